/** CIDs of what is uploaded through Koii's storage: one small file in a folder. */
import * as dagPb from '@ipld/dag-pb';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import * as digest from 'multiformats/hashes/digest';
import { createHash } from 'node:crypto';

/** What K2 takes as a submission. */
const MAX_VALUE_BYTES = 512;

/** UnixFS of a folder: `Type = Directory` and nothing else. */
const UNIXFS_DIRECTORY = Uint8Array.of(0x08, 0x01);

/** Multihash code of SHA-256. */
const SHA2_256 = 0x12;

/**
 * @param {unknown} value a submission on K2
 * @returns {CID | null} null where it is none
 */
export function parseCid(value) {
  if (typeof value !== 'string' || value.length > MAX_VALUE_BYTES) return null;
  try {
    return CID.parse(value);
  } catch {
    return null;
  }
}

/** @param {number} codec @param {Uint8Array} block @param {0 | 1} version */
const cidOf = (codec, block, version) =>
  CID.create(version, codec, digest.create(SHA2_256, createHash('sha256').update(block).digest()));

/** @param {number} value */
function varint(value) {
  const bytes = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest];
}

/**
 * UnixFS of a whole file in one node: `Type = File`, `Data`, `filesize`.
 *
 * @param {Uint8Array} content
 */
const unixFsFile = (content) =>
  Uint8Array.from([0x08, 0x02, 0x12, ...varint(content.length), ...content, 0x18, ...varint(content.length)]);

/**
 * Whether `cid` is that of a folder with exactly this file, in one of the forms that uploaders make of a file of one
 * block: a raw
 * leaf, or a UnixFS node.
 *
 * `true` proves the bytes. `false` proves nothing: there are other forms.
 *
 * @param {CID} cid
 * @param {string} name
 * @param {Uint8Array} content
 */
export function isFolderWith(cid, name, content) {
  const node = dagPb.encode(dagPb.prepare({ Data: unixFsFile(content), Links: [] }));
  const version = cid.version;
  const leaves = [{ hash: cidOf(dagPb.code, node, version), size: node.length }];
  if (version === 1) leaves.push({ hash: cidOf(raw.code, content, 1), size: content.length });
  return leaves.some(({ hash, size }) => {
    const folder = dagPb.prepare({ Data: UNIXFS_DIRECTORY, Links: [{ Name: name, Hash: hash, Tsize: size }] });
    return cidOf(dagPb.code, dagPb.encode(folder), version).equals(cid);
  });
}
