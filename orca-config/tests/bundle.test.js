/**
 * dist/main.js as a Koii node runs it: one file, forked with the node's arguments, with Koii's packages to be had by
 * `require`.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

import { build } from '../scripts/build.js';
import { Container } from './stand-ins/container.js';
import { layDoors } from './stand-ins/doors.js';
import { address } from './stand-ins/keys.js';

const TASK = address('task');
const folder = await mkdtemp(path.join(os.tmpdir(), 'orcapool-bundle-'));
const container = await new Container().start();
after(async () => {
  await container.stop();
  await rm(folder, { recursive: true, force: true });
});

await build({ koii: 'external', folder });
await layDoors(folder);
const runner = fileURLToPath(new URL('./stand-ins/koii-node.js', import.meta.url));

/** @param {'single' | 'double'} generation */
function startNode(generation) {
  // As startTask of the Koii node: name, task, port, 'service', main account, secret, K2, service URL, stake, the
  // node's port.
  const args = ['Orcapool', TASK, '0', 'service', address('main'), 'secret', 'http://127.0.0.1:9', '', '10', '30017'];
  const child = fork(runner, args, {
    env: {
      PATH: process.env['PATH'],
      MAIN_JS: path.join(folder, 'main.js'),
      CONTAINER: container.base,
      GENERATION: generation,
      BITCOIN_RPC_URL: 'http://user:password@127.0.0.1:8332',
      MINER_THREADS: '1',
    },
    silent: true,
  });
  let output = '';
  child.stdout?.on('data', (data) => (output += data));
  child.stderr?.on('data', (data) => (output += data));
  /** @param {string} step @param {unknown[]} args @returns {Promise<any>} */
  const call = (step, ...args) =>
    new Promise((resolve, reject) => {
      const gone = (/** @type {number | null} */ code) =>
        reject(new Error(`the task process ended with ${code}:\n${output}`));
      child.once('exit', gone);
      child.once('message', (/** @type {any} */ answer) => {
        child.off('exit', gone);
        if ('error' in answer) reject(new Error(answer.error));
        else resolve(answer.result);
      });
      child.send({ step, args });
    });
  return { call, stop: () => child.kill(), output: () => output };
}

for (const generation of /** @type {const} */ (['single', 'double'])) {
  test(`the bundle plays a round (${generation})`, async () => {
    const node = startNode(generation);
    try {
      const config = await node.call('getConfig');
      assert.equal(parse(config.customPodSpec).spec.containers[0].name, `user-${TASK}`);
      assert.deepEqual([config.rootCA, typeof config.imageURL], [null, 'string']);
      await node.call('setup');
      await node.call('routes');
      await node.call('task', 0);
      const cid = await node.call('submission', 0);
      assert.match(cid, /^bafybei/);
      assert.equal(await node.call('auditAsOther', cid, 0), true);
      assert.equal(await node.call('audit', cid, 0, address('mallory')), false);
      const list = await node.call('distribution', cid, 1_000_000, 0);
      assert.deepEqual(list, { [address('alice')]: 1_000_000 });
      await assert.rejects(node.call('distribution', cid, 0.5, 0), /bounty/);
    } finally {
      node.stop();
    }
  });
}

test('nothing in it is left to be installed', async () => {
  const alone = path.join(folder, 'alone');
  await mkdir(alone);
  await cp(path.join(folder, 'main.js'), path.join(alone, 'main.js'));
  const text = await import('node:fs/promises').then(({ readFile }) => readFile(path.join(alone, 'main.js'), 'utf8'));
  const required = [...text.matchAll(/\brequire\("([^"]+)"\)/g)].map(([, name]) => name ?? '');
  assert.ok(required.length > 3);
  for (const name of required) assert.match(name, /^(node:)?(fs\/promises|os|path|process|buffer|crypto)$|^@_koii\//);
});
