import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { isFolderWith, parseCid } from '../src/cid.js';
import { folderCid } from './stand-ins/ipfs.js';

const FORMS = /** @type {const} */ ([
  { cidVersion: 1, rawLeaves: true },
  { cidVersion: 1, rawLeaves: false },
  { cidVersion: 0, rawLeaves: false },
]);

test('every form of one file in a folder is known, and is that of these bytes only', async () => {
  const contents = fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ minLength: 1, maxLength: 8192 }));
  await fc.assert(
    fc.asyncProperty(contents, fc.constantFrom(...FORMS), fc.nat(), async (content, form, position) => {
      const cid = parseCid(await folderCid('submission.json', content, form));
      assert.ok(cid !== null);
      // The importer writes no data field for an empty file; nobody's submission is empty.
      if (content.length > 0) assert.equal(isFolderWith(cid, 'submission.json', content), true);
      assert.equal(isFolderWith(cid, 'submission.jsom', content), false);
      assert.equal(isFolderWith(cid, 'submission.json', Uint8Array.of(...content, 0)), false);
      if (content.length > 0) {
        const other = content.slice();
        other[position % other.length] ^= 1;
        assert.equal(isFolderWith(cid, 'submission.json', other), false);
      }
    }),
    { numRuns: 200, seed: 5 },
  );
});

test('what is no CID', () => {
  for (const value of [
    undefined,
    null,
    5,
    '',
    ' ',
    'submission',
    'bafy',
    `bafy${'b'.repeat(600)}`,
    '../../etc/passwd',
    'https://ipfs.io/ipfs/x',
  ]) {
    assert.equal(parseCid(value), null, String(value));
  }
  assert.equal(String(parseCid('bafybeiflp4ns64m5qtqgjvddjzgq6b7fv2l4765ta5bb3q4sd7medhhzzm')).length, 59);
});
