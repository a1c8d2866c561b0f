/**
 * Whether another node's submission is valid: `true`, `false`, or no vote.
 *
 * Koii takes every truthy answer for `true` and every other for `false`, and a thrown error for no vote. K2 accepts
 * what nobody votes
 * against, so "cannot tell" must be kept for what is wrong on this side.
 */
import { MAX_BODY_BYTES } from '../pod.js';
import { lastSubmission } from '../koii.js';
import { errorText } from '../reply.js';
import { isKey, isRound } from '../shape.js';

/**
 * @param {import('./steps.js').Parts} parts
 * @returns {(value: string, round: number, submitter: string) => Promise<boolean>} rejects where there is no verdict
 */
export const makeAudit = ({ koii, pod, envelopes, seed, log }) => {
  /** Whether files of submissions can be fetched at all: this node's own last one, from the same places. */
  const canFetch = async () => {
    const last = await lastSubmission(koii);
    if (last === null) return false;
    const whose = { taskId: koii.taskId(), roundNumber: last.round, stakingKey: await koii.stakingKey() };
    return (await envelopes.findAgain(last.cid, whose)).is === 'signed';
  };

  return async (value, round, submitter) => {
    if (!isRound(round) || !isKey(submitter)) throw new Error('Koii named no round or no submitter: no vote');
    /** @param {boolean} valid @param {string} [reason] */
    const verdict = (valid, reason) => {
      log.info(
        `round ${round}, ${submitter}: ${valid ? 'valid' : 'NOT valid'}${reason === undefined ? '' : `, ${reason}`}`,
      );
      return valid;
    };

    const found = await envelopes.find(value, { taskId: koii.taskId(), roundNumber: round, stakingKey: submitter });
    if (found.is === 'forged') return verdict(false, found.reason);
    if (found.is === 'unreadable') {
      if (await canFetch()) return verdict(false, `nowhere to be had: ${found.reason}`);
      throw new Error(`no vote on ${submitter} in round ${round}: nothing can be fetched here (${found.reason})`);
    }

    const request = { submission: found.statement, seed: await seed() };
    if (Buffer.byteLength(JSON.stringify(request)) > MAX_BODY_BYTES) return verdict(false, 'too large');
    const reply = await pod.post('audit', request);
    if (reply.status === 200 && typeof reply.body === 'boolean') return verdict(reply.body);
    if (reply.status === 413) return verdict(false, 'too large');
    throw new Error(`no vote on ${submitter} in round ${round}: ${errorText(reply)}`);
  };
};
