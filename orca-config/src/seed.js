/**
 * The seed of an audit: what decides which parts of a bundle are opened that is too large to be fetched whole.
 *
 * It must not have been known when the bundle was made. The hash of a K2 block of now is that, and anybody can look it
 * up later; where
 * no endpoint answers, chance is as good for this auditor.
 */
import { randomBytes } from 'node:crypto';
import { base58btc } from 'multiformats/bases/base58';

import { within } from './deadline.js';
import { isRecord } from './shape.js';

const PATIENCE_MS = 10_000;

/** @param {unknown} answer of `getLatestBlockhash` @returns {string | null} 64 hex digits */
function blockHash(answer) {
  const result = isRecord(answer) && isRecord(answer['result']) ? answer['result'] : {};
  const value = isRecord(result['value']) ? result['value']['blockhash'] : null;
  if (typeof value !== 'string' || value.length > 44) return null;
  try {
    const bytes = base58btc.baseDecode(value);
    return bytes.length === 32 ? Buffer.from(bytes).toString('hex') : null;
  } catch {
    return null;
  }
}

/**
 * @param {string | null} rpcUrl JSON-RPC of K2
 * @param {typeof fetch} fetcher
 * @returns {Promise<string>} 32 bytes of hex
 */
export async function auditSeed(rpcUrl, fetcher) {
  const random = () => randomBytes(32).toString('hex');
  if (rpcUrl === null) return random();
  const stop = new AbortController();
  try {
    const asked = fetcher(rpcUrl, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'getLatestBlockhash',
        params: [{ commitment: 'confirmed' }],
      }),
      signal: stop.signal,
    }).then((response) => response.json());
    return blockHash(await within(asked, PATIENCE_MS, 'K2')) ?? random();
  } catch {
    return random();
  } finally {
    stop.abort();
  }
}
