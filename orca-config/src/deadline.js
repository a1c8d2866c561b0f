/** Nothing that Koii's side or the network does may hang a step for ever. */

/**
 * @template T
 * @param {Promise<T>} promise it is not stopped by the deadline: what it comes to is dropped
 * @param {number} milliseconds
 * @param {string} what for the error
 * @returns {Promise<T>}
 */
export async function within(promise, milliseconds, what) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${what}: no answer within ${Math.round(milliseconds / 1000)} s`)),
      milliseconds,
    );
  });
  try {
    return await /** @type {Promise<T>} */ (Promise.race([promise, expired]));
  } finally {
    clearTimeout(timer);
  }
}
