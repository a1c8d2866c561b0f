/** Calls into the container, through Koii's Orca client and the sidecar. */
import { within } from './deadline.js';
import { unwrap } from './reply.js';

/** The sidecar's socket, and with it the pod, dies at 1 MB; the container itself takes 512 KiB. */
export const MAX_BODY_BYTES = 400 * 1024;

/** The sidecar gives up on the container after 300 s; whoever waits here waits a little longer, to hear so. */
const PATIENCE_MS = 320_000;

/**
 * @typedef {(route: string, request?: object) => Promise<import('./reply.js').Reply>} PodCall
 *   `request` given: a POST of it as JSON; rejects where nothing readable came back
 */

/** The older sidecar rejects where the container answers anything but 2xx: which status it was, is lost. */
export class Rejected extends Error {}

/**
 * @param {() => Promise<{ podCall(route: string, options?: object): Promise<unknown> }>} getOrcaClient
 * @param {number} [patience] milliseconds
 * @returns {{ get: PodCall, post: PodCall }}
 */
export function connectPod(getOrcaClient, patience = PATIENCE_MS) {
  /** @param {string} route @param {object} [options] */
  const call = async (route, options) => {
    const client = await within(getOrcaClient(), patience, 'the Orca client');
    const asked = options === undefined ? client.podCall(route) : client.podCall(route, options);
    const answer = Promise.resolve(asked).catch((error) => {
      throw new Rejected(`${route}: ${error instanceof Error ? error.message : String(error)}`);
    });
    return unwrap(await within(answer, patience, route));
  };
  return {
    get: (route) => call(route),
    post: (route, request) => {
      if (request === undefined) return call(route, { method: 'POST' });
      const body = JSON.stringify(request);
      if (Buffer.byteLength(body) > MAX_BODY_BYTES) {
        return Promise.reject(
          new Error(`${route}: a request of ${Buffer.byteLength(body)} bytes would break the sidecar's socket`),
        );
      }
      return call(route, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
    },
  };
}
