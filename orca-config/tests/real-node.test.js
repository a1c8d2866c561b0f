/**
 * The wrapper with real containers' programs: two `orcapool run`, configured by nothing but the pod's environment, on a
 * real bitcoind.
 *
 * Needs ORCAPOOL_BIN (a built orcapool) and ORCAPOOL_BITCOIND; is skipped without them. VERBOSE=1 shows the nodes'
 * logs.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { containerEnv } from '../src/container-env.js';
import { readVariables } from '../src/variables.js';
import { Storage } from './stand-ins/ipfs.js';
import { K2 } from './stand-ins/k2.js';
import { address } from './stand-ins/keys.js';
import { POOL, TASK, operator } from './stand-ins/node.js';

const BINARIES = {
  ORCAPOOL_BIN: process.env['ORCAPOOL_BIN'] ?? '',
  ORCAPOOL_BITCOIND: process.env['ORCAPOOL_BITCOIND'] ?? '',
};
const missing = Object.entries(BINARIES)
  .filter(([, file]) => !existsSync(file))
  .map(([name]) => name);
const CREDENTIALS = { user: 'user', password: '12345' };

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/** @template T @param {string} what @param {() => Promise<T | undefined | false>} ask @returns {Promise<T>} */
async function eventually(what, ask) {
  for (let turn = 0; turn < 600; turn += 1) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined && answer !== false) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${what} does not come to pass`);
}

test('a round on real nodes', { skip: missing.length > 0 && `${missing.join(' and ')} not set` }, async (context) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'orcapool-real-'));
  /** @type {import('node:child_process').ChildProcess[]} */
  const children = [];
  /** @param {string} program @param {string[]} args @param {Record<string, string>} [env] */
  const run = (program, args, env = {}) => {
    const child = spawn(program, args, {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'ignore', process.env['VERBOSE'] ? 'inherit' : 'ignore'],
    });
    children.push(child);
    return child;
  };
  context.after(async () => {
    for (const child of children.reverse()) {
      if (child.exitCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    }
    await rm(folder, { recursive: true, force: true });
  });

  const rpcPort = await freePort();
  run(BINARIES.ORCAPOOL_BITCOIND, [
    '-regtest',
    `-datadir=${folder}`,
    '-listen=0',
    '-dnsseed=0',
    '-printtoconsole=0',
    `-rpcport=${rpcPort}`,
    `-rpcuser=${CREDENTIALS.user}`,
    `-rpcpassword=${CREDENTIALS.password}`,
  ]);
  /** @param {string} method @param {unknown[]} params */
  const rpc = async (method, ...params) => {
    const response = await fetch(`http://127.0.0.1:${rpcPort}`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${CREDENTIALS.user}:${CREDENTIALS.password}`).toString('base64')}`,
      },
      body: JSON.stringify({ id: 1, method, params }),
    });
    const { result, error } = await response.json();
    if (error) throw new Error(error.message);
    return result;
  };
  await eventually('bitcoind', () => rpc('getblockcount').then(() => true));
  await rpc('generatetoaddress', 1, 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080');

  const [k2, storage] = [new K2(), new Storage()];
  const names = ['alice', 'bob'];
  const ports = [await freePort(), await freePort()];
  const pool = {
    ...POOL,
    config: {
      ...POOL.config,
      stratum: { start_difficulty: 0.00001, min_difficulty: 0.00001 },
      miner: { max_hash_rate: 200_000 },
    },
  };
  const nodes = [];
  for (const [index, name] of names.entries()) {
    const port = ports[index];
    const variables = {
      BITCOIN_RPC_URL: `http://${CREDENTIALS.user}:${CREDENTIALS.password}@127.0.0.1:${rpcPort}`,
      BITCOIN_ZMQ_URL: '-',
      PEERS: `http://127.0.0.1:${ports[1 - index]}`,
      MINER_THREADS: '1',
    };
    const env = containerEnv({
      taskId: TASK,
      stakingKey: address(name),
      pool,
      operator: readVariables(variables, pool),
    });
    const data = path.join(folder, name);
    await mkdir(data);
    run(BINARIES.ORCAPOOL_BIN, ['run'], {
      ...Object.fromEntries(env.map(({ name, value }) => [name, value])),
      // Two nodes share this machine, which two pods do not.
      ORCAPOOL_DATA_DIR: data,
      ORCAPOOL_HTTP__LISTEN: `"127.0.0.1:${port}"`,
      ORCAPOOL_STRATUM__LISTEN: `["127.0.0.1:${await freePort()}"]`,
    });
    const generation = index === 0 ? 'double' : 'single';
    nodes.push({
      ...(await operator({ name, generation, k2, storage, pool, base: `http://127.0.0.1:${port}`, patience: 60_000 })),
      port,
    });
  }
  for (const { port } of nodes) {
    const health = () =>
      fetch(`http://127.0.0.1:${port}/healthz`, { method: 'POST', body: '{}' }).then((response) => response.json());
    await eventually('a node', async () => (await health()).ready === true);
  }

  for (const { steps } of nodes) await steps.task(0);
  for (const { port } of nodes) {
    await eventually('a share', async () => {
      const rounds = await (await fetch(`http://127.0.0.1:${port}/api/rounds`)).text();
      return /"shares":[1-9]/.test(rounds);
    });
  }
  for (const { steps } of nodes) await steps.task(1);
  for (const { key, steps, lines } of nodes) {
    const cid = await steps.submission(0);
    assert.ok(cid !== undefined, lines.join('\n'));
    k2.submit(0, key, cid);
  }
  for (const { key, steps } of nodes) {
    const other = address(names.find((name) => address(name) !== key) ?? '');
    const value = k2.submissions[0]?.[other]?.submission_value.trim() ?? '';
    assert.equal(await steps.audit(value, 0, other), true);
    await assert.rejects(steps.audit('bafybeiflp4ns64m5qtqgjvddjzgq6b7fv2l4765ta5bb3q4sd7medhhzzm', 0, 'nobody'));
  }
  const bounty = 1_000_000_007;
  const lists = [];
  for (const { steps } of nodes) lists.push(await steps.distribution(k2.submitters(0, 1000), bounty, 0));
  assert.equal(JSON.stringify(lists[0]), JSON.stringify(lists[1]));
  assert.deepEqual(Object.keys(lists[0] ?? {}), names.map(address).sort());
  assert.equal(
    Object.values(lists[0] ?? {}).reduce((sum, amount) => sum + amount, 0),
    bounty,
  );
  // Nobody submits in round 1, so no node was told of it when round 2 is distributed.
  for (const round of [2, 3]) for (const { steps } of nodes) await steps.task(round);
  for (const { key, steps } of nodes) k2.submit(2, key, (await steps.submission(2)) ?? '');
  const later = [];
  for (const { steps } of nodes)
    later.push(JSON.stringify(await steps.distribution(k2.submitters(2, 1000), bounty, 2)));
  assert.equal(later[0], later[1]);
  assert.ok(!/-/.test(later[0] ?? '-'), 'nobody is slashed');
});
