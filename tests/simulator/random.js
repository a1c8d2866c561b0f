/** Chance that can be had again: the same seed and the same words give the same numbers. */
import { createHash } from 'node:crypto';

export class Random {
  #state;

  /** @param {...(string | number)} words */
  constructor(...words) {
    this.#state = createHash('sha256').update(JSON.stringify(words)).digest();
  }

  /** @param {number} bound above 0 @returns {number} an integer from 0 to below `bound` */
  below(bound) {
    this.#state = createHash('sha256').update(this.#state).digest();
    // 48 bits: the bias of the remainder is far below what any run could show.
    return this.#state.readUIntBE(0, 6) % bound;
  }

  /** @template T @param {readonly T[]} items @returns {T[]} the same in another order (Fisher and Yates) */
  shuffled(items) {
    const order = [...items];
    for (let left = order.length; left > 1; left -= 1) {
      const drawn = this.below(left);
      const [last, other] = [order[left - 1], order[drawn]];
      order[drawn] = /** @type {T} */ (last);
      order[left - 1] = /** @type {T} */ (other);
    }
    return order;
  }
}
