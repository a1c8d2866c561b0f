/** Small questions about values from outside. */
import { base58btc } from 'multiformats/bases/base58';

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export const isRecord = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Koii's round numbers: what a JSON number and the container's own rounds can both hold.
 *
 * @param {unknown} value
 * @returns {value is number}
 */
export const isRound = (value) => Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;

/**
 * An ed25519 public key as K2 writes it. Decoding base58 takes quadratic time, so the length is looked at first.
 *
 * @param {unknown} value
 * @returns {value is string}
 */
export function isKey(value) {
  if (typeof value !== 'string' || value.length < 32 || value.length > 44) return false;
  try {
    const bytes = base58btc.baseDecode(value);
    return bytes.length === 32 && base58btc.baseEncode(bytes) === value;
  } catch {
    return false;
  }
}

/**
 * For log lines: what somebody else wrote, on one line and not long.
 *
 * @param {unknown} value
 */
export function quoted(value) {
  const text =
    value instanceof Error
      ? value.message
      : typeof value === 'string'
        ? value
        : (JSON.stringify(value) ?? String(value));
  const line = JSON.stringify(text.slice(0, 200));
  return text.length > 200 ? `${line}...` : line;
}
