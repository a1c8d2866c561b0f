/** What K2 says of the submissions of a round. */
import { isKey, isRecord } from './shape.js';

/**
 * @typedef {object} Judged
 * @property {string} stakingKey
 * @property {string} value what was submitted
 * @property {number} votes votes for, less votes against; above zero where nobody raised an audit
 */

/** What an unchallenged submission counts as: any number above zero pays. */
const UNCHALLENGED = 1;

/** @param {unknown} byRound @param {number} round */
const ofRound = (byRound, round) =>
  isRecord(byRound) && isRecord(byRound[String(round)]) ? byRound[String(round)] : null;

/**
 * The submissions of a round, in the order of their keys.
 *
 * @param {unknown} info what `getTaskSubmissionInfo` resolved to
 * @param {number} round
 * @returns {Judged[] | null} null where Koii's answer cannot be read; empty where the round has none
 */
export function judgedOf(info, round) {
  if (!isRecord(info) || 'error' in info || !isRecord(info['submissions'])) return null;
  const submissions = /** @type {Record<string, unknown>} */ (ofRound(info['submissions'], round) ?? {});
  const triggers = /** @type {Record<string, unknown>} */ (ofRound(info['submissions_audit_trigger'], round) ?? {});
  const judged = [];
  for (const [stakingKey, submission] of Object.entries(submissions)) {
    if (!isKey(stakingKey) || !isRecord(submission) || typeof submission['submission_value'] !== 'string') return null;
    // K2 keeps 512 bytes, filled up with blanks.
    const value = submission['submission_value'].replace(/[\s\0]+$/, '');
    const votes = netVotes(triggers[stakingKey]);
    if (votes === null) return null;
    judged.push({ stakingKey, value, votes });
  }
  return judged.sort(byKey);
}

/** @param {unknown} trigger @returns {number | null} */
function netVotes(trigger) {
  if (trigger === undefined || trigger === null) return UNCHALLENGED;
  if (!isRecord(trigger) || !Array.isArray(trigger['votes'])) return null;
  let votes = 0;
  for (const vote of trigger['votes']) {
    if (!isRecord(vote) || typeof vote['is_valid'] !== 'boolean') return null;
    votes += vote['is_valid'] ? 1 : -1;
  }
  return votes;
}

/** @param {{ stakingKey: string }} a @param {{ stakingKey: string }} b */
export const byKey = (a, b) => (a.stakingKey < b.stakingKey ? -1 : a.stakingKey > b.stakingKey ? 1 : 0);
