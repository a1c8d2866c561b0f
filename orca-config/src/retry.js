/** @param {number} milliseconds @returns {Promise<void>} */
export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Asks again while the answer is that it cannot be had now.
 *
 * @param {() => Promise<import('./reply.js').Reply>} ask
 * @param {object} options
 * @param {number} options.times at least 1
 * @param {() => Promise<void>} options.wait between two attempts
 * @param {() => boolean} [options.goOn] whether anybody still wants the answer
 * @returns {Promise<import('./reply.js').Reply>} the first answer below 500, else the last
 * @throws {Error} what the last attempt threw
 */
export async function askAgain(ask, { times, wait, goOn = () => true }) {
  for (let left = times; ; left -= 1) {
    const isLast = left <= 1 || !goOn();
    try {
      const reply = await ask();
      // 500 is also how the sidecar reports a container that is not there yet.
      if (reply.status < 500 || isLast) return reply;
    } catch (error) {
      if (isLast) throw error;
    }
    await wait();
  }
}
