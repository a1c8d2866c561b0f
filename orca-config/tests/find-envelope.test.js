import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { findEnvelope } from '../src/find-envelope.js';
import { gateway, gatewayUrls } from '../src/gateways.js';
import { parseCid } from '../src/cid.js';
import { folderCid } from './stand-ins/ipfs.js';
import { address, keypair, signPayload } from './stand-ins/keys.js';

const WHOSE = { taskId: address('task'), roundNumber: 7, stakingKey: address('alice') };
const text = JSON.stringify({ signature: signPayload({ ...WHOSE, cid: 'bafy' }, keypair('alice').secretKey) });
const bytes = new TextEncoder().encode(text);
const cid = await folderCid('submission.json', bytes);

let hungUp = 0;
/** A gateway for each way of being wrong. */
const server = createServer((request, response) => {
  const place = String(request.url).split('/')[1];
  if (place === 'good') return void response.end(text);
  if (place === 'html') return void response.end('  <!doctype html><p>rate limited');
  if (place === 'missing') return void response.writeHead(404).end('{}');
  if (place === 'lying') return void response.end('{"signature":"1111"}');
  if (place === 'empty') return void response.end();
  if (place === 'loop') return void response.writeHead(302, { location: request.url }).end();
  if (place === 'hangs') return void response.on('close', () => (hungUp += 1));
  // Ten gigabytes, as long as somebody takes them.
  const block = Buffer.alloc(65536, '1');
  const send = () => {
    while (!response.destroyed && response.write(block));
  };
  response.on('drain', send).on('close', () => (hungUp += 1));
  send();
});
let base = '';
before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  base = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

/** @param {string[]} places @param {unknown} [value] @param {typeof WHOSE} [whose] @param {number} [patience] */
const find = (places, value = cid, whose = WHOSE, patience = 3000) =>
  findEnvelope(
    value,
    whose,
    (asked, file, limit) => places.map((place) => gateway(`${base}/${place}/${asked}/${file}`, limit, fetch)),
    patience,
  );

const BAD = ['html', 'missing', 'lying', 'empty', 'loop', 'huge'];

test('one good gateway among bad and hanging ones is enough', async () => {
  const found = await find([...BAD, 'hangs', 'good']);
  assert.deepEqual(found, { is: 'signed', statement: { ...WHOSE, cid: 'bafy' } });
});

test('bad gateways prove nothing', async () => {
  for (const place of BAD) assert.equal((await find([place])).is, 'unreadable', place);
  assert.equal((await find(BAD)).is, 'unreadable');
  assert.equal((await find([])).is, 'unreadable');
});

test('of a huge file no more is taken than an envelope can be', async () => {
  const found = await find(['huge']);
  assert.deepEqual(found, { is: 'unreadable', reason: 'more than 8192 bytes' });
});

test('a gateway that hangs is left, and hung up on', async () => {
  const before = hungUp;
  assert.equal((await find(['hangs'], cid, WHOSE, 50)).is, 'unreadable');
  for (let turn = 0; hungUp === before && turn < 500; turn += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(hungUp > before);
});

test('a copycat is proved by the bytes', async () => {
  const found = await find(['html', 'good'], cid, { ...WHOSE, stakingKey: address('bob') });
  assert.deepEqual(found, { is: 'forged', reason: 'not signed by its submitter' });
});

test('the right bytes under another CID prove nothing against its submitter', async () => {
  const other = await folderCid('submission.json', new TextEncoder().encode('{}'));
  assert.equal((await find(['good'], other, { ...WHOSE, stakingKey: address('bob') })).is, 'unreadable');
});

test('a submission that is no CID is no submission', async () => {
  for (const value of ['', 'submission', undefined]) assert.equal((await find(['good'], value ?? 5)).is, 'forged');
});

test('host names hold a CID in lower case', () => {
  const old = parseCid('QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG');
  assert.ok(old !== null);
  for (const url of gatewayUrls(old, 'submission.json')) {
    assert.equal(new URL(url).href, url, 'nothing was escaped or folded');
    assert.match(url, /\/submission\.json$/);
  }
});
