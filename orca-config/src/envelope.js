/**
 * A submission as it lies on IPFS: `submission.json` in a folder of its own, `{"signature": "<base58>"}`.
 *
 * The base58 is a 64-byte ed25519 signature and then the message, which is JSON: `taskId`, `roundNumber`, `stakingKey`,
 * and what the
 * container said of its round. Whoever knows the submitter's staking key can check it, whoever it came from.
 */
import { createPublicKey, verify } from 'node:crypto';
import { base58btc } from 'multiformats/bases/base58';

import { isKey, isRecord } from './shape.js';

/** The name that Koii's tools give the file. */
export const ENVELOPE_FILE = 'submission.json';

/** Ours are below 1 KiB. Decoding base58 takes quadratic time, so this is also a limit on time. */
export const MAX_ENVELOPE_BYTES = 8 * 1024;

/** What the container may say of a round, in bytes of JSON: base58 and the signature make it half as long again. */
const MAX_STATEMENT_BYTES = 4 * 1024;

const SIGNATURE_BYTES = 64;

/** DER of an ed25519 public key, before the key itself (RFC 8410). */
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * @typedef {object} Whose the submission that an envelope has to be
 * @property {string} taskId
 * @property {number} roundNumber
 * @property {string} stakingKey
 */

/** @typedef {Whose & Record<string, unknown>} Statement what a submitter signed */

/** The wrapper's own fields. The container must not say anything else in their place: every auditor would refuse it. */
const RESERVED = /** @type {const} */ (['taskId', 'roundNumber', 'stakingKey']);

/**
 * What is signed: the wrapper's fields, and the container's.
 *
 * @param {Whose} whose
 * @param {unknown} container the body of `/submission/{round}`
 * @returns {Statement}
 * @throws {Error} it is not what a container of this pool answers
 */
export function statementOf(whose, container) {
  if (!isRecord(container)) throw new Error('the container did not answer a JSON object');
  if (typeof container['cid'] !== 'string') throw new Error('the container names no bundle');
  for (const field of RESERVED) {
    if (field in container && container[field] !== whose[field])
      throw new Error(`the container answered for another ${field}`);
  }
  const { taskId, roundNumber, stakingKey } = whose;
  const statement = { ...container, taskId, roundNumber, stakingKey };
  const size = Buffer.byteLength(JSON.stringify(statement));
  if (size > MAX_STATEMENT_BYTES) throw new Error(`the container's answer is too long for a submission: ${size} bytes`);
  return statement;
}

/**
 * Opens a signed message.
 *
 * @param {string} text base58 of signature and message
 * @param {string} key base58
 * @returns {string | null} the message; null where the key did not sign it
 */
function open(text, key) {
  try {
    const bytes = base58btc.baseDecode(text);
    const signature = bytes.subarray(0, SIGNATURE_BYTES);
    const message = bytes.subarray(SIGNATURE_BYTES);
    const spki = Buffer.concat([SPKI_ED25519, base58btc.baseDecode(key)]);
    const isSigned = verify(null, message, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature);
    return isSigned ? new TextDecoder('utf-8', { fatal: true }).decode(message) : null;
  } catch {
    return null;
  }
}

/**
 * What stands in an envelope, if it is the one it has to be.
 *
 * @param {Uint8Array} bytes `submission.json`
 * @param {Whose} whose
 * @returns {{ statement: Statement } | { refused: string }}
 */
export function openEnvelope(bytes, whose) {
  if (bytes.length > MAX_ENVELOPE_BYTES) return { refused: `${bytes.length} bytes are no submission` };
  if (!isKey(whose.stakingKey)) return { refused: 'the submitter is no key' };
  /** @type {unknown} */
  let envelope;
  try {
    envelope = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return { refused: 'not JSON' };
  }
  if (!isRecord(envelope) || typeof envelope['signature'] !== 'string') return { refused: 'no signature' };
  const message = open(envelope['signature'], whose.stakingKey);
  if (message === null) return { refused: 'not signed by its submitter' };
  /** @type {unknown} */
  let statement;
  try {
    statement = JSON.parse(message);
  } catch {
    return { refused: 'what is signed is not JSON' };
  }
  if (!isRecord(statement)) return { refused: 'what is signed is no submission' };
  for (const field of RESERVED) {
    if (statement[field] !== whose[field]) return { refused: `signed for another ${field}` };
  }
  return { statement: /** @type {Statement} */ (statement) };
}
