/**
 * Who loses stake. Every node must come to the same answer, so it rests on what is on K2 and on bytes that hash to what
 * is on K2, never
 * on what one node happened to reach or on its clock.
 */

/**
 * Votes against, less votes for, that prove a lie. Koii has each auditor look at five submissions, so a lie meets about
 * as many.
 */
const QUORUM = 3;

/** One voice is never enough: any single node could then burn the stake of any other. */
const LEAST_QUORUM = 2;

/** The part of a stake that a lie costs, in tenths: that of Koii's own template. */
const TENTHS = 7n;

/**
 * @param {object} submission
 * @param {number} submission.votes votes for, less votes against
 * @param {boolean} submission.isForged the bytes that K2 names are not this submitter's submission of this round
 * @param {number} submitters how many submitted in the round
 */
export function isLie({ votes, isForged }, submitters) {
  const quorum = Math.max(LEAST_QUORUM, Math.min(QUORUM, submitters - 1));
  return isForged || votes <= -quorum;
}

/**
 * @param {number} stake base units, not negative
 * @returns {number} what is taken of it, rounded down
 */
export const slashOf = (stake) => Number((BigInt(stake) * TENTHS) / 10n);
