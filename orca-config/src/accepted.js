/** The accepted submissions of rounds, as the container's `/distribution` takes them. */
import { byKey, judgedOf } from './votes.js';

/**
 * @typedef {object} Accepted
 * @property {string} stakingKey
 * @property {number} roundNumber
 * @property {number} votes
 * @property {string} [cid] the bundle; absent where the envelope is proved to be no submission, which earns nothing
 * @property {string} [gateway] where its submitter's node gives it out, which the container judges by itself
 */

/** @typedef {{ accepted: Accepted[], forged: Set<string> }} Round */

/** The longest URL of a node that the container reads. */
export const MAX_GATEWAY_CHARACTERS = 128;

/** Envelopes fetched at a time. */
const AT_ONCE = 8;

/**
 * Reads the envelopes of a round's accepted submissions.
 *
 * @param {string} taskId
 * @param {number} round
 * @param {import('./votes.js').Judged[]} judged
 * @param {(value: string, whose: import('./envelope.js').Whose) => Promise<import('./find-envelope.js').Found>} find
 * @returns {Promise<Round>}
 * @throws {Error} an envelope is nowhere to be had. To leave it out would not be the same everywhere, so there is no
 *   list.
 */
export async function readAccepted(taskId, round, judged, find) {
  const waiting = judged.filter(({ votes }) => votes > 0);
  /** @type {Round} */
  const read = { accepted: [], forged: new Set() };
  const work = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { stakingKey, value, votes } = next;
      const found = await find(value, { taskId, roundNumber: round, stakingKey });
      if (found.is === 'unreadable') {
        throw new Error(`the accepted submission of ${stakingKey} in round ${round} cannot be read: ${found.reason}`);
      }
      const accepted = { stakingKey, roundNumber: round, votes };
      if (found.is === 'forged') {
        read.forged.add(stakingKey);
        read.accepted.push(accepted);
      } else {
        const { cid, gateway } = found.statement;
        const isUrl = typeof gateway === 'string' && gateway.length <= MAX_GATEWAY_CHARACTERS;
        const place = isUrl ? { gateway } : {};
        read.accepted.push(typeof cid === 'string' ? { ...accepted, cid, ...place } : accepted);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  read.accepted.sort(byKey);
  return read;
}

/**
 * A request that is not too long for the container, whatever submitters wrote: where they say that their bundles are may
 * be left out, and has no say in the list.
 *
 * @template {{ submissions: Accepted[] }} T
 * @param {T} request
 * @param {number} limit bytes of JSON
 * @returns {T}
 */
export const shortened = (request, limit) =>
  Buffer.byteLength(JSON.stringify(request)) <= limit
    ? request
    : { ...request, submissions: request.submissions.map(({ gateway: _, ...others }) => others) };

/**
 * Rounds that K2 shows for certain: half of what `allowed_failed_distributions` in config-task.yml tells it to keep.
 */
export const SURELY_KEPT = 5;

/**
 * Earlier rounds that K2 still shows, newest first. K2 forgets the oldest rounds, and a forgotten round looks like one
 * that nobody
 * submitted in. So an empty one counts only where it is too young to be forgotten, or an older one is still there.
 *
 * @param {number} round whose predecessors are wanted
 * @param {number} first the first round of the history
 * @param {number} most how many rounds are asked for
 * @param {(round: number) => Promise<unknown>} submissionInfo
 * @param {number} [now] the newest round that has begun: K2 forgets as it goes on, however old the wanted round is
 * @returns {Promise<{ round: number, judged: import('./votes.js').Judged[] }[]>}
 */
export async function earlierRounds(round, first, most, submissionInfo, now = round) {
  const rounds = [];
  let known = 0;
  for (let number = round - 1; number >= first && rounds.length < most; number -= 1) {
    const judged = judgedOf(await submissionInfo(number), number);
    if (judged === null) break;
    rounds.push({ round: number, judged });
    if (judged.length > 0 || number >= Math.max(round, now) - SURELY_KEPT) known = rounds.length;
  }
  return rounds.slice(0, known);
}
