/**
 * Finds envelopes through every place there is, and remembers those that are signed: audit and distribution ask for the
 * same ones.
 */
import { findEnvelope } from './find-envelope.js';
import { gateway, gatewayUrls } from './gateways.js';

/** Some 16 rounds of 256 nodes, at 1 KiB each. */
const REMEMBERED = 4096;

/**
 * @param {Pick<import('./koii.js').Koii, 'download'>} koii
 * @param {typeof fetch} fetcher
 * @param {number} [patience] milliseconds for each place
 */
export function envelopeFinder(koii, fetcher, patience) {
  /** @type {Map<string, import('./find-envelope.js').Found>} */
  const remembered = new Map();

  /** @type {Parameters<typeof findEnvelope>[2]} */
  const sources = (cid, file, limit) => [
    ...gatewayUrls(cid, file).map((url) => gateway(url, limit, fetcher)),
    () => koii.download(cid.toString(), file, limit),
  ];

  return {
    /** @param {string} value @param {import('./envelope.js').Whose} whose */
    async find(value, whose) {
      const name = JSON.stringify([value, whose.taskId, whose.roundNumber, whose.stakingKey]);
      const known = remembered.get(name);
      if (known !== undefined) return known;
      const found = await findEnvelope(value, whose, sources, patience);
      if (found.is === 'signed') {
        if (remembered.size >= REMEMBERED) remembered.delete(/** @type {string} */ (remembered.keys().next().value));
        remembered.set(name, found);
      }
      return found;
    },

    /**
     * The same without memory: whether it is there to be fetched now.
     * @param {string} value
     * @param {import('./envelope.js').Whose} whose
     */
    findAgain: (value, whose) => findEnvelope(value, whose, sources, patience),
  };
}

/** @typedef {ReturnType<typeof envelopeFinder>} Envelopes */
