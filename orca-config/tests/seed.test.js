import assert from 'node:assert/strict';
import { test } from 'node:test';

import { auditSeed } from '../src/seed.js';
import { address } from './stand-ins/keys.js';

/** @param {() => unknown} answer */
const rpc = (answer) => {
  /** @type {any[]} */
  const asked = [];
  const fetcher = /** @type {typeof fetch} */ (
    /** @type {unknown} */ (
      async (/** @type {string} */ url, /** @type {any} */ init) => {
        asked.push({ url, ...JSON.parse(init.body) });
        return { json: async () => answer() };
      }
    )
  );
  return { asked, fetcher };
};
/** @param {unknown} blockhash */
const latest = (blockhash) => ({
  jsonrpc: '2.0',
  id: 1,
  result: { context: { slot: 5 }, value: { blockhash, lastValidBlockHeight: 155 } },
});

test('the seed is the hash of a block of now', async () => {
  const { asked, fetcher } = rpc(() => latest('11111111111111111111111111111112'));
  assert.equal(await auditSeed('https://k2.example', fetcher), `${'00'.repeat(31)}01`);
  assert.deepEqual(asked, [
    {
      url: 'https://k2.example',
      jsonrpc: '2.0',
      id: 1,
      method: 'getLatestBlockhash',
      params: [{ commitment: 'confirmed' }],
    },
  ]);
});

test('there is always a seed, and where K2 does not give it nobody knows it before', async () => {
  const answers = [
    null,
    'text',
    [],
    { error: { code: -32601, message: 'Method not found' } },
    { result: null },
    { result: { value: null } },
    latest(undefined),
    latest(5),
    latest(''),
    latest('0OIl'),
    latest('1'.repeat(33)),
    latest('2'.repeat(1_000_000)),
  ];
  const seeds = [];
  for (const answer of answers) seeds.push(await auditSeed('https://k2.example', rpc(() => answer).fetcher));
  const failing = rpc(() => {
    throw new SyntaxError('<html>');
  });
  seeds.push(await auditSeed('https://k2.example', failing.fetcher));
  seeds.push(await auditSeed(null, rpc(() => latest(address('block'))).fetcher));
  for (const seed of seeds) assert.match(seed, /^[0-9a-f]{64}$/);
  assert.equal(new Set(seeds).size, seeds.length);
});
