/**
 * A round begins: the container is told, and returns at once.
 *
 * Koii asks once. A container that is only just being started would miss the round, so it is asked again for some
 * minutes, until it
 * knows or a later round has begun.
 */
import { errorText } from '../reply.js';
import { askAgain } from '../retry.js';
import { isRound } from '../shape.js';

const TIMES = 20;
const WAIT_MS = 15_000;

/**
 * @param {import('./steps.js').Parts} parts
 * @param {import('./steps.js').Heard} heard
 * @returns {(round: number) => Promise<void>}
 */
export const makeTask = ({ pod, log, pause }, heard) => {
  /** @type {Map<number, Promise<void>>} */
  const running = new Map();

  /** @param {number} round */
  const begin = async (round) => {
    try {
      const ask = () => pod.post(`task/${round}`);
      const reply = await askAgain(ask, {
        times: TIMES,
        wait: () => pause(WAIT_MS),
        goOn: () => round >= heard.newest,
      });
      if (reply.status === 200) log.info(`round ${round} has begun`);
      else log.error(`round ${round} has not begun: ${errorText(reply)}`);
    } catch (error) {
      log.error(`round ${round} has not begun`, error);
    }
  };

  return (round) => {
    if (!isRound(round)) return Promise.resolve(log.error('Koii named no round', round));
    heard.newest = Math.max(heard.newest, round);
    // However often the same round is asked for, the pod is asked once at a time.
    const known = running.get(round);
    if (known !== undefined) return known;
    const begun = begin(round).finally(() => running.delete(round));
    running.set(round, begun);
    return begun;
  };
};
