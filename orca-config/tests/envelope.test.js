import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MAX_ENVELOPE_BYTES, openEnvelope, statementOf } from '../src/envelope.js';
import { address, keypair, signPayload } from './stand-ins/keys.js';

const WHOSE = { taskId: address('task'), roundNumber: 7, stakingKey: address('alice') };
const CONTAINER = { cid: 'bafy', shares: 3, work: '12884901891', difficulty: 3.0000000007, root: 'ab'.repeat(32) };

/** @param {unknown} statement @param {string} [signer] */
const envelope = (statement, signer = 'alice') =>
  new TextEncoder().encode(JSON.stringify({ signature: signPayload(statement, keypair(signer).secretKey) }));

test('what was signed comes back', () => {
  const statement = statementOf(WHOSE, CONTAINER);
  assert.deepEqual(openEnvelope(envelope(statement), WHOSE), { statement });
  assert.deepEqual(openEnvelope(envelope({ ...statement, action: 'audit' }), WHOSE), {
    statement: { ...statement, action: 'audit' },
  });
});

test('signature, key, task and round must be those of the submission', () => {
  const statement = statementOf(WHOSE, CONTAINER);
  const good = envelope(statement);
  const tampered = JSON.parse(new TextDecoder().decode(good)).signature;
  /** @type {[string, Uint8Array, object?][]} */
  const cases = [
    ['another node re-submits it', good, { ...WHOSE, stakingKey: address('bob') }],
    ['another node signs it under this name', envelope(statement, 'bob')],
    ['of an earlier round', envelope({ ...statement, roundNumber: 6 })],
    ['of a later round', envelope({ ...statement, roundNumber: 8 })],
    ['the round as text', envelope({ ...statement, roundNumber: '7' })],
    ['of another task', envelope({ ...statement, taskId: address('task 2') })],
    ['without a key', envelope({ ...statement, stakingKey: undefined })],
    ['signed text', envelope('hello')],
    ['signed list', envelope([statement])],
    ['signed null', envelope(null)],
    [
      'a bent signature',
      new TextEncoder().encode(JSON.stringify({ signature: tampered.replace(/.$/, '1').replace(/^./, '2') })),
    ],
    ['half of it', new TextEncoder().encode(JSON.stringify({ signature: tampered.slice(0, 80) }))],
    ['no signature', new TextEncoder().encode('{}')],
    ['an empty one', new TextEncoder().encode('{"signature":""}')],
    ['a number', new TextEncoder().encode('{"signature":5}')],
    ['not base58', new TextEncoder().encode('{"signature":"0OIl"}')],
    ['HTML', new TextEncoder().encode('<html>')],
    ['not UTF-8', Uint8Array.of(0xff, 0xfe)],
    ['nothing', new Uint8Array(0)],
    ['too much', new TextEncoder().encode(JSON.stringify({ signature: '2'.repeat(MAX_ENVELOPE_BYTES) }))],
    ['a submitter that is no key', good, { ...WHOSE, stakingKey: 'nobody' }],
  ];
  for (const [name, bytes, whose = WHOSE] of cases) {
    const opened = openEnvelope(bytes, /** @type {typeof WHOSE} */ (whose));
    assert.ok('refused' in opened, name);
  }
});

test('a container cannot speak in the wrapper’s place', () => {
  for (const field of ['taskId', 'roundNumber', 'stakingKey']) {
    assert.throws(() => statementOf(WHOSE, { ...CONTAINER, [field]: 'other' }), new RegExp(field));
  }
  assert.throws(() => statementOf(WHOSE, { ...CONTAINER, roundNumber: '7' }), /roundNumber/);
  assert.deepEqual(statementOf(WHOSE, { ...CONTAINER, ...WHOSE }), { ...CONTAINER, ...WHOSE });
});

test('only what a container of this pool answers is signed', () => {
  for (const container of [
    null,
    undefined,
    true,
    'text',
    '<html>',
    [],
    {},
    { cid: 5 },
    { ...CONTAINER, more: 'x'.repeat(5000) },
  ]) {
    assert.throws(() => statementOf(WHOSE, container));
  }
});

test('the longest statement fits into an envelope that auditors open', () => {
  const statement = statementOf(WHOSE, { ...CONTAINER, more: 'x'.repeat(3600) });
  const bytes = envelope(statement);
  assert.ok(bytes.length > 5000 && bytes.length <= MAX_ENVELOPE_BYTES, String(bytes.length));
  assert.deepEqual(openEnvelope(bytes, WHOSE), { statement });
});
