/**
 * The published Orca client drives a real task node through its own RPC service, over Socket.IO on this machine.
 *
 * Needs ORCAPOOL_BIN and ORCAPOOL_BITCOIND; is skipped without them. ORCAPOOL_ORCA_CLIENT is where its packages are
 * installed, if not here; ORCAPOOL_ORCA where those of orca-config are.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { POOL_SCRIPT, startBitcoind } from '../simulator/bitcoind.js';
import { address, connectPod, orcaClient } from '../simulator/orca.js';
import { eventually, freePort, start, stop } from '../simulator/processes.js';
import { startAgent } from './agent.js';

const [PROGRAM, BITCOIND] = [process.env['ORCAPOOL_BIN'] ?? '', process.env['ORCAPOOL_BITCOIND'] ?? ''];
const skip = !(existsSync(PROGRAM) && existsSync(BITCOIND)) && 'ORCAPOOL_BIN and ORCAPOOL_BITCOIND not set';
const here = process.env['ORCAPOOL_ORCA_CLIENT'] || fileURLToPath(new URL('.', import.meta.url));
/** By another name: types are checked where these packages are not. @type {(name: string) => any} */
const load = createRequire(path.join(here, 'package.json'));

const TASK = address('task');
const NODE = address('node');
const TIMEOUT_MS = 180_000;

/**
 * A timer of the client's stays until its timeout, long after its purpose.
 *
 * @template T
 * @param {() => T} act
 * @returns {T}
 */
function withoutLastingTimers(act) {
  const really = globalThis.setTimeout;
  const brief = (/** @type {any[]} */ ...args) => /** @type {any} */ (really)(...args).unref();
  Object.assign(globalThis, { setTimeout: brief });
  try {
    return act();
  } finally {
    Object.assign(globalThis, { setTimeout: really });
  }
}

test('the published client plays a round with a real node', { skip }, async (context) => {
  // The client says every call to the terminal, twice.
  for (const level of /** @type {const} */ (['log', 'debug', 'warn'])) context.mock.method(console, level, () => {});
  const published = load('@orcacompute/orca-node-client');
  assert.equal(load('@orcacompute/orca-node-client/package.json').version, '0.0.4');
  const socketIo = { Server: load('socket.io').Server, io: load('socket.io-client').io };

  const folder = await mkdtemp(path.join(os.tmpdir(), 'orcapool-client-'));
  /** @type {(() => unknown)[]} */
  const ends = [() => rm(folder, { recursive: true, force: true })];
  context.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  const bitcoind = await startBitcoind({ program: BITCOIND, folder });
  ends.push(bitcoind.stop);
  const [http, stratum] = [await freePort(), await freePort()];
  const base = `http://127.0.0.1:${http}`;
  const agent = await startAgent(published, socketIo, base);
  ends.push(agent.stop);

  const client = new published.OrcaPulse();
  ends.push(() => client.close());
  const healthy = withoutLastingTimers(() =>
    client.initialize('registry.example/orcapool', TASK, agent.url, 'the pod spec', 'healthz', undefined, TIMEOUT_MS),
  );
  const rpc = new URL(bitcoind.rpcUrl);
  const node = start(PROGRAM, ['run'], {
    env: {
      ORCAPOOL_DATA_DIR: path.join(folder, 'data'),
      ORCAPOOL_TASK__ID: `"${TASK}"`,
      ORCAPOOL_TASK__NODE: `"${NODE}"`,
      ORCAPOOL_BITCOIN__NETWORK: '"regtest"',
      ORCAPOOL_BITCOIN__NODES: `[{url = "http://${rpc.host}", user = "${rpc.username}", password = "${rpc.password}"}]`,
      ORCAPOOL_PAYOUT__SCRIPT: `"${POOL_SCRIPT}"`,
      ORCAPOOL_STRATUM__LISTEN: `["127.0.0.1:${stratum}"]`,
      ORCAPOOL_STRATUM__START_DIFFICULTY: String(2 ** -16),
      ORCAPOOL_STRATUM__MIN_DIFFICULTY: String(2 ** -16),
      ORCAPOOL_HTTP__LISTEN: `"127.0.0.1:${http}"`,
      ORCAPOOL_CONTENT__GATEWAYS: '[]',
    },
    log: path.join(folder, 'node.log'),
  });
  ends.push(() => stop(node));
  assert.equal(await healthy, 200);
  assert.deepEqual([agent.inits[0].podId, agent.inits[0].podSpec], [TASK, 'the pod spec']);

  // With this generation a refused connection is as healthy as an answer, so `ready` is asked for through the same way.
  const post = { method: 'POST', body: '{}' };
  await eventually(
    'the node',
    async () => (await client.podCall('healthz', post)).data.data.ready === true,
    () => node.exitCode !== null,
  );

  const task = await client.podCall('task/0', { method: 'POST' });
  assert.deepEqual([task.status, task.data.status, task.data.data.status, task.data.data.round], [200, 200, 200, 0]);
  const user = `${address('miner')}.rig`;
  const url = `stratum+tcp://127.0.0.1:${stratum}`;
  const miner = start(PROGRAM, ['mine', '--url', url, '--user', user, '--max-hash-rate', '200000'], {
    log: path.join(folder, 'miner.log'),
  });
  ends.push(() => stop(miner));
  await eventually('shares', async () => {
    const rounds = (await client.podCall('api/rounds')).data.data;
    return rounds.some((/** @type {any} */ it) => it.round === 0 && it.shares > 1);
  });
  await client.podCall('task/1', { method: 'POST' });

  // The wrapper's own way to the pod, on the published client.
  const pod = connectPod(async () => client);
  const submission = await pod.get('submission/0');
  assert.equal(submission.status, 200);
  assert.ok(submission.body.shares > 1 && /^bafy/.test(submission.body.cid), JSON.stringify(submission));
  const signed = { taskId: TASK, roundNumber: 0, stakingKey: NODE, ...submission.body };
  const inflated = { ...signed, shares: signed.shares + 1 };
  // Booleans, not texts: every text is true.
  assert.deepEqual(await pod.post('audit', { submission: signed }), { status: 200, body: true });
  assert.deepEqual(await pod.post('audit', { submission: inflated }), { status: 200, body: false });
  const raw = await client.podCall('audit', { method: 'POST', body: JSON.stringify({ submission: inflated }) });
  assert.deepEqual(raw, { status: 200, data: { status: 200, data: false } });
  const accepted = [{ stakingKey: NODE, roundNumber: 0, votes: 1, cid: signed.cid }];
  const list = await pod.post('distribution/0', { bounty: 1_000_003, firstRound: 0, submissions: accepted });
  assert.deepEqual(list, { status: 200, body: { [NODE]: 1_000_003 } });

  // The stand-in that the other tests call pods through answers the same, errors too.
  const standIn = orcaClient(base, 'double');
  for (const [route, options] of /** @type {[string, object][]} */ ([
    ['submission/0', {}],
    ['submission/99', {}],
    ['task/x', { method: 'POST' }],
    ['audit', { method: 'POST', body: '{"submission":' }],
    ['no/such/route', {}],
  ])) {
    const answer = await client.podCall(route, options);
    assert.deepEqual(await standIn.podCall(route, options), answer, route);
    assert.equal(typeof answer.data.data.error, route === 'submission/0' ? 'undefined' : 'string', route);
  }
});
