/** What liars submit. Each goes through the liar's own wrapper and signature as far as a liar would want it to. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { ENVELOPE_FILE, Storage, base32, openEnvelope } from './orca.js';

/** Bytes of a CIDv1 of ours: version, codec, hash function, its length, 32 bytes of hash. */
const CID_BYTES = 36;
const RAW = 0x55;

/**
 * @typedef {object} Scene
 * @property {import('./operator.js').Operator} liar
 * @property {number} round
 * @property {string} victim another node's staking key, which has submitted
 * @property {string} value what that node submitted
 * @property {import('./operator.js').World} world
 */

/** @type {Record<string, (scene: Scene) => Promise<string | undefined>>} what goes to K2 */
const LIARS = {
  'inflated': (scene) =>
    withReply(scene, (body) => ({ ...body, shares: body.shares * 10, work: String(BigInt(body.work) * 10n) })),
  'altered': (scene) => withReply(scene, async (body) => ({ ...body, cid: await alteredBundle(scene.liar, body.cid) })),
  'stale': (scene) =>
    withReply(scene, async () => {
      for (let round = scene.round - 1; round >= 0; round -= 1) {
        const body = await scene.liar.pod.get(`/submission/${round}`);
        if (body !== null) return /** @type {object} */ (body);
      }
      throw new Error(`${scene.liar.name} has no earlier bundle`);
    }),
  'copied-bundle': (scene) => withReply(scene, async () => victimsStatement(scene)),
  'copied-envelope': async ({ value }) => value,
  'garbage': async () => 'submission',
  // The CID of what only its maker has.
  'withheld': ({ liar, round }) =>
    new Storage().add(ENVELOPE_FILE, JSON.stringify({ signature: `${liar.name} ${round}` })),
};

/** @param {string} kind @param {Scene} scene */
export const submitLie = (kind, scene) => /** @type {(scene: Scene) => Promise<string>} */ (LIARS[kind])(scene);

/**
 * The liar's wrapper is left alone; what it hears from the pod is not what the pod says.
 *
 * @param {Scene} scene
 * @param {(body: any) => object | Promise<object>} change
 */
async function withReply({ liar, round }, change) {
  const route = `submission/${round}`;
  liar.lie = (asked) => (asked === route ? liar.pod.get(`/${route}`).then(change) : null);
  try {
    return await liar.submission(round);
  } finally {
    liar.lie = null;
  }
}

/** What a victim's container said, as anybody reads it from its envelope. @param {Scene} scene */
function victimsStatement({ victim, value, round, world }) {
  const { bytes } = world.store.storage.files.get(value) ?? {};
  const { statement } = openEnvelope(bytes, { taskId: world.task, roundNumber: round, stakingKey: victim });
  const { taskId: _task, roundNumber: _round, stakingKey: _key, ...container } = statement;
  return container;
}

/** @param {Uint8Array} bytes @param {number} at @returns {[number, number]} value, and where it ends (LEB128) */
function varint(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7, at += 1) {
    const byte = bytes[at] ?? 0;
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return [value, at + 1];
  }
}

/** @param {Uint8Array} car @returns {{ cid: Buffer, data: Buffer }[]} root first */
function blocksOf(car) {
  const blocks = [];
  const [header, start] = varint(car, 0);
  for (let at = start + header; at < car.length;) {
    const [size, begin] = varint(car, at);
    at = begin + size;
    blocks.push({
      cid: Buffer.from(car.subarray(begin, begin + CID_BYTES)),
      data: Buffer.from(car.subarray(begin + CID_BYTES, at)),
    });
  }
  return blocks;
}

/**
 * Changes one byte of the bundle's shares, and the hash of them in the root, and lays both among the liar's own blocks.
 * Every block hashes to its CID, so nothing but an audit finds it out.
 *
 * @param {import('./operator.js').Operator} liar
 * @param {string} bundle CID
 * @returns {Promise<string>} the CID of the altered one
 */
async function alteredBundle(liar, bundle) {
  const response = await fetch(`${liar.pod.base}/ipfs/${bundle}?format=car`);
  const [root, ...others] = blocksOf(new Uint8Array(await response.arrayBuffer()));
  const shares = others.filter(({ cid }) => cid[1] === RAW).at(-1);
  if (root === undefined || shares === undefined) throw new Error(`${bundle} has no shares to alter`);
  const put = async (/** @type {Buffer} */ cid, /** @type {Buffer} */ data) => {
    const digest = createHash('sha256').update(data).digest();
    const altered = Buffer.concat([cid.subarray(0, CID_BYTES - digest.length), digest]);
    const name = `b${base32.baseEncode(altered)}`;
    const shard = path.join(liar.pod.data, 'blocks', digest.subarray(0, 1).toString('hex'));
    await mkdir(shard, { recursive: true });
    await writeFile(path.join(shard, name), data);
    return { altered, name };
  };
  const at = shares.data.length - 1;
  shares.data.writeUInt8((shares.data.at(at) ?? 0) ^ 1, at);
  const { altered } = await put(shares.cid, shares.data);
  const link = root.data.indexOf(shares.cid);
  if (link < 0) throw new Error(`the root of ${bundle} does not name its shares`);
  altered.copy(root.data, link);
  return (await put(root.cid, root.data)).name;
}
