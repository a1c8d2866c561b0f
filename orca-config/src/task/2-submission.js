/**
 * A round is over: what the container says of it is signed with the staking key, laid on IPFS, and its CID goes to K2.
 */
import { isFolderWith, parseCid } from '../cid.js';
import { ENVELOPE_FILE, openEnvelope, statementOf } from '../envelope.js';
import { LAST_SUBMISSION, lastSubmission } from '../koii.js';
import { errorText } from '../reply.js';
import { askAgain } from '../retry.js';
import { isRound } from '../shape.js';

const TIMES = 6;
const WAIT_MS = 10_000;

/**
 * @param {import('./steps.js').Parts} parts
 * @returns {(round: number) => Promise<string | undefined>} the CID; undefined where there is nothing to submit
 */
export const makeSubmission = ({ koii, pod, log, pause }) => {
  /** @param {number} round */
  const submit = async (round) => {
    const last = await lastSubmission(koii);
    if (last?.round === round) return last.cid;

    const reply = await askAgain(() => pod.get(`submission/${round}`), { times: TIMES, wait: () => pause(WAIT_MS) });
    if (reply.status !== 200) {
      // 404: this node took no part. Something made up instead would be voted down.
      log.error(`nothing to submit for round ${round}: ${errorText(reply)}`);
      return undefined;
    }
    const whose = { taskId: koii.taskId(), roundNumber: round, stakingKey: await koii.stakingKey() };
    const text = JSON.stringify({ signature: await koii.sign(statementOf(whose, reply.body)) });
    const bytes = new TextEncoder().encode(text);
    // What auditors would refuse is better not submitted at all.
    const opened = openEnvelope(bytes, whose);
    if ('refused' in opened) throw new Error(`the Koii node's signature is no good: ${opened.refused}`);

    const cid = await koii.upload(ENVELOPE_FILE, text);
    const parsed = parseCid(cid);
    if (parsed !== null && !isFolderWith(parsed, ENVELOPE_FILE, bytes)) {
      log.error(
        `the upload's CID ${cid} is of an unknown form: auditors see that it is signed, but no proof that it is forged`,
      );
    }
    await koii.keep(LAST_SUBMISSION, { round, cid });
    log.info(`round ${round} submitted: ${cid}`);
    return cid;
  };

  return async (round) => {
    if (!isRound(round)) return void log.error('Koii named no round', round);
    try {
      return await submit(round);
    } catch (error) {
      return void log.error(`nothing to submit for round ${round}`, error);
    }
  };
};
