import assert from 'node:assert/strict';
import { test } from 'node:test';
import { base58btc } from 'multiformats/bases/base58';

import { isKey, quoted } from '../src/shape.js';
import { address } from './stand-ins/keys.js';

test('a key is 32 bytes of base58, written the one way', () => {
  assert.equal(isKey(address('alice')), true);
  assert.equal(isKey('1'.repeat(32)), true);
  const wrong = [31, 33, 64].map((length) => base58btc.baseEncode(new Uint8Array(length).fill(7)));
  const strange = ['', '1'.repeat(44), `${address('alice')} `, '0'.repeat(43), 'z'.repeat(44), '1'.repeat(100_000)];
  for (const value of [...wrong, ...strange, 5, null, undefined, {}, [address('alice')]]) {
    assert.equal(isKey(value), false, String(value).slice(0, 50));
  }
});

test('somebody else’s words are one short line in the log', () => {
  assert.equal(quoted('a\nb\u001b[31m'), '"a\\nb\\u001b[31m"');
  assert.equal(quoted(new Error('no')), '"no"');
  assert.ok(quoted('x'.repeat(1_000_000)).length < 250);
  for (const value of [undefined, null, {}, Symbol('x')]) assert.equal(typeof quoted(value), 'string');
});
