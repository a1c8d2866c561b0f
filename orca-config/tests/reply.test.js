import assert from 'node:assert/strict';
import { test } from 'node:test';

import { errorText, unwrap } from '../src/reply.js';

test('both generations of the sidecar say the same', () => {
  for (const body of [
    true,
    false,
    null,
    0,
    '',
    'text',
    [],
    {},
    { cid: 'x', shares: 1 },
    { status: 200, round: 3, message: 'm' },
  ]) {
    const expected = { status: 200, body };
    assert.deepEqual(unwrap({ status: 200, data: body }), expected);
    assert.deepEqual(unwrap({ status: 200, data: { status: 200, data: body } }), expected);
    assert.deepEqual(unwrap(body), expected, 'and a task manager that unwraps by itself');
  }
});

test('an error is an error at any depth', () => {
  assert.deepEqual(unwrap({ status: 200, data: { status: 404, data: { error: 'no submission' } } }), {
    status: 404,
    body: { error: 'no submission' },
  });
  assert.deepEqual(unwrap({ status: 500, data: { status: 200, data: true } }), {
    status: 500,
    body: { status: 200, data: true },
  });
  // A sidecar that hands on nothing but the body: the container repeats the status in it.
  for (const reply of [
    { status: 503, error: 'later' },
    { status: 200, data: { status: 503, error: 'later' } },
    { status: 200, data: { status: 200, data: { status: 503, error: 'later' } } },
  ]) {
    assert.equal(unwrap(reply).status, 503);
  }
});

test('what only looks like a wrapping is a body', () => {
  for (const body of [{ status: 'ok', data: 1 }, { status: 200, data: 1, more: 2 }, { data: true }, { status: 200 }]) {
    assert.deepEqual(unwrap({ status: 200, data: body }), { status: 200, body });
  }
});

test('nothing, and wrapping without end', () => {
  for (const reply of [undefined, { status: 200, data: undefined }])
    assert.throws(() => unwrap(reply), /did not answer/);
  /** @type {unknown} */
  let reply = true;
  for (let layer = 0; layer < 100; layer += 1) reply = { status: 200, data: reply };
  assert.throws(() => unwrap(reply), /over and over/);
});

test('an error is one short line in the log', () => {
  const line = errorText({ status: 502, body: `<html>\n\u001b[31m${'x'.repeat(10_000)}` });
  assert.ok(line.length < 400 && !/[\n\u001b]/.test(line));
  assert.match(
    errorText({ status: 503, body: { error: 'the Bitcoin node is away' } }),
    /^status 503: the Bitcoin node is away$/,
  );
  assert.match(errorText({ status: 200, body: undefined }), /^status 200/);
});
