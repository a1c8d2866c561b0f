/**
 * Who is paid for a round. The containers compute it from the accepted bundles, the same everywhere; here it becomes
 * Koii's list.
 *
 * Where anything is missing there is no list: one that is not what everybody else computes would cost the round.
 */
import { earlierRounds, readAccepted, shortened } from '../accepted.js';
import { distributionList, parseBounty, parseOperators, parseSubmitters } from '../distribution-list.js';
import { MAX_BODY_BYTES, Rejected } from '../pod.js';
import { errorText } from '../reply.js';
import { isRound } from '../shape.js';
import { judgedOf } from '../votes.js';

/** More than K2 keeps (`allowed_failed_distributions`). */
const MOST_EARLIER_ROUNDS = 16;

/**
 * @param {import('./steps.js').Parts} parts
 * @param {import('./steps.js').Heard} heard
 * @returns {(submitters: unknown, bounty: unknown, round: number) => Promise<Record<string, number>>}
 */
export const makeDistribution = ({ koii, pod, envelopes, pool, log }, heard) => {
  const taskId = () => koii.taskId();

  /** @param {number} round @param {import('../votes.js').Judged[]} judged */
  const read = (round, judged) => readAccepted(taskId(), round, judged, envelopes.find);

  /**
   * The container's list. Rounds that it was never told of, because this node was away or nobody submitted in them, are
   * sent along
   * one by one as K2 still shows them: it remembers each.
   *
   * @param {number} round
   * @param {number} bounty
   * @param {import('../accepted.js').Accepted[]} accepted
   */
  const ask = async (round, bounty, accepted) => {
    const request = { bounty, firstRound: pool.firstRound, submissions: accepted };
    /** @param {typeof request & { rounds?: number[] }} body @returns {Promise<import('../reply.js').Reply>} */
    const post = async (body) => {
      try {
        return await pod.post(`distribution/${round}`, shortened(body, MAX_BODY_BYTES));
      } catch (error) {
        // Through the older sidecar a 409 looks like this, and so does every other refusal: they are refused again.
        if (error instanceof Rejected) return { status: 409, body: { error: error.message } };
        throw error;
      }
    };
    let reply = await post(request);
    if (reply.status !== 409) return reply;
    const shown = await earlierRounds(round, pool.firstRound, MOST_EARLIER_ROUNDS, koii.submissionInfo, heard.newest);
    for (const earlier of shown) {
      const sentAlong = await read(earlier.round, earlier.judged);
      const submissions = [...accepted, ...sentAlong.accepted];
      reply = await post({ ...request, submissions, rounds: [round, earlier.round] });
      if (reply.status !== 409) break;
    }
    return reply;
  };

  return async (named, offered, round) => {
    if (!isRound(round)) throw new Error('Koii named no round');
    // The container would take it that nobody submitted, and might settle the round so.
    if (heard.newest >= 0 && round > heard.newest) throw new Error(`round ${round} has not begun, so there is no list`);
    const submitters = parseSubmitters(named);
    const bounty = parseBounty(offered);
    if (round < pool.firstRound) return distributionList({ submitters, forged: new Set(), operators: new Map() });

    const onChain = judgedOf(await koii.submissionInfo(round), round);
    if (onChain === null) throw new Error(`round ${round}: K2's submissions cannot be read, so there is no list`);
    const values = new Map(onChain.map(({ stakingKey, value }) => [stakingKey, value]));
    const judged = submitters.map(({ publicKey, votes }) => {
      const value = values.get(publicKey);
      if (value === undefined)
        throw new Error(`round ${round}: K2 shows no submission of ${publicKey}, so there is no list`);
      return { stakingKey: publicKey, value, votes };
    });
    const { accepted, forged } = await read(round, judged);
    const reply = await ask(round, bounty, accepted);
    if (reply.status !== 200) throw new Error(`round ${round}: no list, ${errorText(reply)}`);
    const list = distributionList({ submitters, forged, operators: parseOperators(reply.body, bounty) });
    log.info(`round ${round} distributed: ${JSON.stringify(list)}`);
    return list;
  };
};
