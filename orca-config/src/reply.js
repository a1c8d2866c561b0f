/**
 * What a call into the pod comes back as.
 *
 * Two generations of Koii's sidecar are in use. The older one resolves to `{status: 200, data: <body>}` and rejects
 * where the
 * container did not answer 2xx. The newer one wraps once more: `{status: 200, data: {status: <the container's>, data:
 * <body>}}`,
 * and hands on errors as `data: {error: <the body's error, or the body>}`. Without unwrapping, an audit's `false`
 * arrives as an
 * object, which is truthy.
 */
import { isRecord } from './shape.js';

/** More layers than any generation puts around a body. */
const MAX_LAYERS = 4;

/**
 * @typedef {object} Reply
 * @property {number} status the container's HTTP status
 * @property {unknown} body what it answered, parsed from JSON; a string where it was not JSON
 */

/**
 * @param {unknown} value
 * @returns {value is { status: number, data: unknown }}
 */
function isLayer(value) {
  return isRecord(value) && Object.keys(value).sort().join() === 'data,status' && Number.isSafeInteger(value['status']);
}

/**
 * The container's own errors repeat their status in the body, for a generation that hands on nothing else.
 *
 * @param {unknown} body
 */
function errorStatus(body) {
  if (!isRecord(body) || typeof body['error'] !== 'string') return null;
  return Number.isSafeInteger(body['status']) ? /** @type {number} */ (body['status']) : null;
}

/**
 * @param {unknown} reply what `podCall` resolved to
 * @returns {Reply}
 * @throws {Error} it is wrapped deeper than any sidecar does
 */
export function unwrap(reply) {
  let status = 200;
  let body = reply;
  for (let layer = 0; isLayer(body); layer += 1) {
    if (layer === MAX_LAYERS) throw new Error('the reply of the pod is wrapped over and over');
    ({ status, data: body } = body);
    // An error is whatever the outermost layer says it is: what is inside it only describes it.
    if (status !== 200) break;
  }
  if (body === undefined) throw new Error('the pod did not answer');
  return { status: status === 200 ? (errorStatus(body) ?? 200) : status, body };
}

/**
 * Why a reply is not what was asked for, for the log.
 *
 * @param {Reply} reply
 * @returns {string}
 */
export function errorText({ status, body }) {
  const text = isRecord(body) && 'error' in body ? body['error'] : body;
  const line = (typeof text === 'string' ? text : (JSON.stringify(text) ?? ''))
    .replace(/[\s\p{C}]+/gu, ' ')
    .slice(0, 300);
  return `status ${status}: ${line}`;
}
