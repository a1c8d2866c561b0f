import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';

import constants from '../pool.js';
import { encoded } from '../src/container-env.js';
import { makeGetConfig } from '../src/orcaSettings.js';
import { checkedPool, poolComplaints } from '../src/pool.js';
import { readVariables } from '../src/variables.js';
import { POOL, TASK, operator } from './stand-ins/node.js';

const fields = JSON.parse(readFileSync(new URL('./fields.json', import.meta.url), 'utf8'));
const ENVIRONMENT = {
  BITCOIN_RPC_URL: 'http://us%65r:p%40ss%20%22word@10.0.0.5:8332',
  BITCOIN_ZMQ_URL: 'tcp://10.0.0.5:28332',
  PEERS: 'http://203.0.113.7:8338/, https://pool.example',
  MINER_THREADS: '2',
  STRATUM_PORT: '3340',
  HTTP_PORT: '-',
  PUBLIC_URL: 'http://203.0.113.9:8338/',
  IPFS_RPC: 'http://host.containers.internal:5001',
};

/** @param {Record<string, string>} environment @param {import('../src/pool.js').Pool} [pool] */
async function spec(environment, pool = POOL) {
  const node = await operator({ base: 'http://127.0.0.1:1' });
  const config = await makeGetConfig(node.koii, pool, environment)();
  return { key: node.key, config, pod: parse(config.customPodSpec) };
}

test('getConfig has exactly the keys that the Orca client reads', async () => {
  const { config } = await spec(ENVIRONMENT);
  assert.deepEqual(Object.keys(config).sort(), [...fields.orcaSettings].sort());
  assert.equal(config.imageURL, POOL.image);
  assert.equal(config.rootCA, null);
  assert.equal(typeof config.timeout, 'number');
});

test('the pod is what Koii’s agent plays', async () => {
  const { pod, key } = await spec(ENVIRONMENT);
  assert.deepEqual(Object.keys(pod), fields.podSpec.top);
  assert.deepEqual([pod.apiVersion, pod.kind, pod.metadata], ['v1', 'Pod', { name: TASK }]);
  const [container, ...others] = pod.spec.containers;
  assert.equal(others.length, 0, 'with the sidecar and the infra container there must be three');
  assert.equal(container.name, fields.podSpec.containerName.replace('<TASK_ID>', TASK));
  assert.equal(container.image, POOL.image);
  assert.deepEqual(container.volumeMounts, [{ name: pod.spec.volumes[0].name, mountPath: fields.podSpec.mountPath }]);
  assert.deepEqual(pod.spec.volumes[0].hostPath, {
    path: fields.podSpec.hostPath.replace('<basePath>', `/home/alice/namespace/${TASK}`),
    type: fields.podSpec.hostPathType,
  });
  assert.deepEqual(container.resources.limits, { memory: '2Gi' });
  for (const { name, value } of container.env) {
    assert.match(name, /^ORCAPOOL_[A-Z0-9_]+$/);
    assert.equal(typeof value, 'string', `${name}: Kubernetes refuses other values`);
  }
  const env = Object.fromEntries(container.env.map((/** @type {any} */ it) => [it.name, it.value]));
  assert.equal(env.ORCAPOOL_DATA_DIR, '"/data"');
  assert.equal(env.ORCAPOOL_TASK__ID, `"${TASK}"`);
  assert.equal(env.ORCAPOOL_TASK__NODE, `"${key}"`);
  assert.equal(
    env.ORCAPOOL_BITCOIN__NODES,
    '[{url = "http://10.0.0.5:8332", user = "user", password = "p@ss \\"word", zmq_hashblock = "tcp://10.0.0.5:28332"}]',
  );
  assert.equal(env.ORCAPOOL_CONTENT__GATEWAYS, '["http://203.0.113.7:8338", "https://pool.example"]');
  assert.equal(env.ORCAPOOL_MINER__THREADS, '2');
  assert.equal(env.ORCAPOOL_HTTP__PUBLIC_URL, '"http://203.0.113.9:8338"');
  assert.equal(env.ORCAPOOL_IPFS__RPC, '"http://host.containers.internal:5001"');
  const { pod: plain } = await spec({ ...ENVIRONMENT, PUBLIC_URL: '-', IPFS_RPC: '-' });
  const names = plain.spec.containers[0].env.map((/** @type {any} */ it) => it.name);
  assert.ok(!names.includes('ORCAPOOL_HTTP__PUBLIC_URL') && !names.includes('ORCAPOOL_IPFS__RPC'));
});

test('PUBLIC_URL is what the container takes: it would not start with anything else', () => {
  const taken = [
    'http://203.0.113.9:8338',
    'https://node.example',
    'http://[2001:db8::1]:1024',
    'http://node.example:80',
  ];
  for (const url of taken) assert.equal(readVariables({ PUBLIC_URL: url }, POOL).publicUrl, url);
  const refused = [
    'node.example:8338',
    'ftp://node.example',
    'http://node.example/pool',
    'http://node.example/?',
    'http://node.example#',
    'http://user@node.example',
    'http://@node.example',
    'http:\\\\node.example',
    'http://node.example:25',
    'http://node.example:0',
    'http://nöde.example',
    `http://${'a'.repeat(122)}`,
  ];
  for (const url of refused) assert.throws(() => readVariables({ PUBLIC_URL: url }, POOL), /PUBLIC_URL:/, url);
});

test('without a Bitcoin node the peers take its place', async () => {
  /** @param {Record<string, string>} changes */
  const env = async (changes) => {
    const { pod } = await spec({ ...ENVIRONMENT, BITCOIN_RPC_URL: '-', BITCOIN_ZMQ_URL: '-', ...changes });
    return Object.fromEntries(pod.spec.containers[0].env.map((/** @type {any} */ it) => [it.name, it.value]));
  };
  const two = await env({});
  assert.equal(two.ORCAPOOL_BITCOIN__NODES, '[]');
  assert.equal(two.ORCAPOOL_BITCOIN__PEERS, '["http://203.0.113.7:8338", "https://pool.example"]');
  assert.equal(two.ORCAPOOL_BITCOIN__PEER_QUORUM, '2');
  assert.equal((await env({ PEERS: 'http://203.0.113.7:8338' })).ORCAPOOL_BITCOIN__PEER_QUORUM, '1');
  assert.equal((await env({ PEERS: '-' })).ORCAPOOL_BITCOIN__PEERS, undefined);
  const { pod } = await spec(ENVIRONMENT);
  const names = pod.spec.containers[0].env.map((/** @type {any} */ it) => it.name);
  assert.ok(!names.includes('ORCAPOOL_BITCOIN__PEERS'), 'beside a Bitcoin node they would be refused');
});

test('no port that Koii or its sidecar uses', async () => {
  const taken = [...fields.ports.occupiedOnHost, ...fields.ports.forbiddenInPod];
  const { pod } = await spec(ENVIRONMENT);
  const { ports, env } = pod.spec.containers[0];
  for (const { containerPort, hostPort } of ports)
    assert.ok(!taken.includes(containerPort) && !taken.includes(hostPort));
  assert.deepEqual(
    ports.map((/** @type {any} */ port) => port.hostPort),
    [3340, 8338],
  );
  const listens = env
    .filter((/** @type {any} */ it) => it.name.endsWith('__LISTEN'))
    .map((/** @type {any} */ it) => it.value)
    .join();
  assert.match(listens, new RegExp(`0\\.0\\.0\\.0:${fields.ports.container}"`));
  for (const port of [...taken, 80, 65536, 0]) {
    assert.throws(
      () => readVariables({ ...ENVIRONMENT, STRATUM_PORT: String(port) }, POOL),
      /STRATUM_PORT/,
      String(port),
    );
    assert.notDeepEqual(poolComplaints({ ...POOL, ports: { stratum: port, http: 8338 } }), []);
  }
});

test('whatever an operator types, it is one value of one variable', async () => {
  const pool = { ...POOL, config: { ...POOL.config, log: { level: 'info' } } };
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1 }), async (password) => {
      const { pod } = await spec({ BITCOIN_RPC_URL: `http://user:${encodeURIComponent(password)}@host:1` }, pool);
      const env = pod.spec.containers[0].env;
      assert.equal(env.length, new Set(env.map((/** @type {any} */ it) => it.name)).size);
      const nodes = env.find((/** @type {any} */ it) => it.name === 'ORCAPOOL_BITCOIN__NODES').value;
      assert.equal(nodes, `[{url = "http://host:1", user = "user", password = ${JSON.stringify(password)}}]`);
    }),
    { numRuns: 200, seed: 4 },
  );
});

test('every wrong variable is named, and no password with it', () => {
  const wrong = {
    BITCOIN_RPC_URL: 'https://user:hunter2@host',
    BITCOIN_ZMQ_URL: 'http://host',
    PEERS: 'ftp://host',
    MINER_THREADS: '-1',
    STRATUM_PORT: '3333',
    HTTP_PORT: '1e3',
    PUBLIC_URL: 'http://user:hunter2@host',
    IPFS_RPC: '/ip4/127.0.0.1/tcp/5001?hunter2',
  };
  for (const rpc of [
    wrong.BITCOIN_RPC_URL,
    'http://hunter2@host',
    'hunter2',
    'http://user:%zz@host',
    'http://:hunter2@host',
  ]) {
    assert.throws(
      () => readVariables({ ...wrong, BITCOIN_RPC_URL: rpc }, POOL),
      (/** @type {Error} */ error) => {
        for (const name of Object.keys(wrong)) assert.match(error.message, new RegExp(`${name}:`), name);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      },
    );
  }
  assert.throws(() => readVariables({ STRATUM_PORT: '8338' }, POOL), /same port/);
  assert.throws(() => readVariables({ BITCOIN_ZMQ_URL: 'tcp://host:1' }, POOL), /not without/);
});

test('without variables there is no Bitcoin node, and everything else by default', () => {
  const expected = {
    bitcoin: null,
    peers: [],
    minerThreads: 0,
    stratumPort: 3334,
    httpPort: 8338,
    publicUrl: '',
    ipfsRpc: '',
  };
  assert.deepEqual(readVariables({}, POOL), expected);
  assert.deepEqual(
    readVariables(Object.fromEntries(Object.keys(ENVIRONMENT).map((name) => [name, ' - '])), POOL),
    expected,
  );
});

test('outside a Koii node there is no pod', async () => {
  const koii = {
    taskId: () => {
      throw new Error('no Koii task');
    },
    stakingKey: async () => TASK,
    basePath: async () => '/x',
  };
  await assert.rejects(makeGetConfig(koii, POOL, {})(), /no Koii task/);
});

test('values as orcapool reads them from a variable', () => {
  assert.equal(encoded('1234'), '"1234"');
  assert.equal(encoded(['a', 1, true, { b: ['c'] }]), '["a", 1, true, {b = ["c"]}]');
});

test('pool.js is right, and what is wrong with one is said', () => {
  assert.deepEqual(checkedPool(constants), constants);
  for (const image of ['org/image', 'image', 'Docker.io/a@sha256:' + '0'.repeat(64), 'docker.io/org/image:latest']) {
    assert.throws(() => checkedPool({ ...POOL, image }), /image:/, image);
  }
  assert.equal(poolComplaints({ image: 'x' }).length, 8);
  assert.deepEqual(poolComplaints(null).length, 1);
});
