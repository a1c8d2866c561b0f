/**
 * Fetches the envelope that a submission on K2 names, from all places at once, and says what it is.
 *
 * Gateways are nobody's witnesses. A signature speaks for itself, whoever delivered it. That an envelope is *wrong* is
 * said only of
 * bytes that hash to the CID, because any gateway could make up others.
 */
import { isFolderWith, parseCid } from './cid.js';
import { within } from './deadline.js';
import { ENVELOPE_FILE, MAX_ENVELOPE_BYTES, openEnvelope } from './envelope.js';

/**
 * @typedef {{ is: 'signed', statement: import('./envelope.js').Statement }
 *   | { is: 'forged', reason: string }
 *   | { is: 'unreadable', reason: string }} Found
 *   `forged`: proved by the bytes K2 names; `unreadable`: no place has it, or none has the right one
 */

/** A place that takes longer does not have it. */
export const SOURCE_PATIENCE_MS = 60_000;

/**
 * @param {unknown} value what stands on K2
 * @param {import('./envelope.js').Whose} whose
 * @param {(cid: import('multiformats/cid').CID, file: string, limit: number) => import('./gateways.js').Source[]}
 *   sources
 * @param {number} [patience] milliseconds for each source
 * @returns {Promise<Found>}
 */
export async function findEnvelope(value, whose, sources, patience = SOURCE_PATIENCE_MS) {
  const cid = parseCid(value);
  if (cid === null) return { is: 'forged', reason: 'the submission is not a CID' };
  const stop = new AbortController();
  /** @type {string[]} */
  const failures = [];
  /** @param {import('./gateways.js').Source} source @returns {Promise<Found>} */
  const ask = async (source) => {
    const bytes = await within(source(stop.signal), patience, 'a gateway');
    const opened = openEnvelope(bytes, whose);
    if ('statement' in opened) return { is: 'signed', statement: opened.statement };
    if (bytes.length <= MAX_ENVELOPE_BYTES && isFolderWith(cid, ENVELOPE_FILE, bytes))
      return { is: 'forged', reason: opened.refused };
    throw new Error(opened.refused);
  };
  const asked = sources(cid, ENVELOPE_FILE, MAX_ENVELOPE_BYTES).map((source) =>
    ask(source).catch((error) => {
      failures.push(error instanceof Error ? error.message : String(error));
      throw error;
    }),
  );
  try {
    return await Promise.any(asked);
  } catch {
    return { is: 'unreadable', reason: [...new Set(failures)].join(', ').slice(0, 300) || 'there is nowhere to ask' };
  } finally {
    stop.abort();
  }
}
