/**
 * The list that goes to K2. A pure function of what the round's submitters did and of what the containers computed from
 * the accepted
 * bundles, which is the same on every node.
 */
import { isLie, slashOf } from './slashing.js';
import { isKey, isRecord } from './shape.js';

/**
 * @typedef {object} Submitter as Koii hands it to `distribution`
 * @property {string} publicKey
 * @property {number} votes votes for, less votes against
 * @property {number} stake base units
 */

/**
 * @param {unknown} submitters
 * @returns {Submitter[]}
 * @throws {Error} they are not what Koii documents: no list is better than a wrong one
 */
export function parseSubmitters(submitters) {
  if (!Array.isArray(submitters)) throw new Error('Koii named no submitters');
  const seen = new Set();
  return submitters.map((submitter) => {
    if (!isRecord(submitter) || !isKey(submitter['publicKey'])) throw new Error('a submitter is no key');
    const { publicKey, votes, stake } = submitter;
    if (seen.has(publicKey)) throw new Error(`${publicKey} submitted twice`);
    seen.add(publicKey);
    if (!Number.isSafeInteger(votes)) throw new Error(`the votes for ${publicKey} are no integer`);
    if (!Number.isSafeInteger(stake) || /** @type {number} */ (stake) < 0)
      throw new Error(`the stake of ${publicKey} is no amount`);
    return /** @type {Submitter} */ ({ publicKey, votes, stake });
  });
}

/**
 * @param {unknown} bounty
 * @returns {number}
 */
export function parseBounty(bounty) {
  if (!Number.isSafeInteger(bounty) || /** @type {number} */ (bounty) < 0)
    throw new Error('the bounty is no amount in base units');
  return /** @type {number} */ (bounty);
}

/**
 * What the container computed: staking key to amount.
 *
 * @param {unknown} list
 * @param {number} bounty
 * @returns {Map<string, number>}
 * @throws {Error} K2 would refuse the whole list
 */
export function parseOperators(list, bounty) {
  if (!isRecord(list)) throw new Error('the container did not answer a list');
  let sum = 0n;
  const operators = new Map();
  for (const [key, amount] of Object.entries(list)) {
    if (!isKey(key)) throw new Error('the list pays somebody who is no key');
    if (!Number.isSafeInteger(amount) || /** @type {number} */ (amount) < 0)
      throw new Error(`the amount of ${key} is no amount`);
    sum += BigInt(/** @type {number} */ (amount));
    operators.set(key, amount);
  }
  if (sum > BigInt(bounty)) throw new Error(`the list pays ${sum}, the bounty is ${bounty}`);
  return operators;
}

/**
 * @param {object} parts
 * @param {Submitter[]} parts.submitters of the round
 * @param {ReadonlySet<string>} parts.forged keys whose submission is proved to be none of theirs
 * @param {Map<string, number>} parts.operators what is paid; also for earlier rounds, whose submitters may be gone
 * @returns {Record<string, number>} base units; negative is taken from the stake. In the order of the keys, so that
 *   equal lists are
 *   equal texts
 */
export function distributionList({ submitters, forged, operators }) {
  const list = new Map(operators);
  for (const { publicKey, votes, stake } of submitters) {
    const isForged = forged.has(publicKey);
    if (isLie({ votes, isForged }, submitters.length)) {
      // Not `-0`: JSON would write it as 0, and a comparison by Object.is would not call them equal.
      list.set(publicKey, 0 - slashOf(stake));
    } else if (!list.has(publicKey)) {
      list.set(publicKey, 0);
    }
  }
  return Object.fromEntries([...list].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
