/**
 * The task's state on K2, driven by slots.
 *
 * A round's submissions come in the first window of the round after it, votes on them in the window after that, and its
 * distribution list a round later; a list that is not voted down is paid when both windows have passed. Koii's own
 * program refuses what comes at another time, and so does this.
 */
import { createHash } from 'node:crypto';

/** A submission on K2, filled up with blanks. */
const VALUE_BYTES = 512;
/** Submitters of so many rounds may be chosen to submit a list. */
const LIST_ROUNDS = 3;

/** A transaction that K2 does not take. */
export class Refused extends Error {}

/**
 * @typedef {object} Terms
 * @property {number} startingSlot
 * @property {number} roundTime slots
 * @property {number} submissionWindow slots
 * @property {number} auditWindow slots
 * @property {number} allowedFailedDistributions also how many rounds of submissions are kept
 * @property {number} bounty base units a round
 * @property {Record<string, number>} stakes base units, by staking key
 */

/**
 * @typedef {{ is_valid: boolean, voter: string, slot: number }} Vote
 * @typedef {{ trigger_by: string, slot: number, votes: Vote[] }} Trigger
 * @typedef {{ submitter: string, list: Record<string, number>, slot: number, audit: Trigger | null }} List
 */

export class K2 {
  /** @type {Record<string, Record<string, { submission_value: string, slot: number, round: number }>>} */
  submissions = {};
  /** @type {Record<string, Record<string, Trigger>>} */
  triggers = {};
  /** Lists that wait to be paid, and those that failed. @type {Map<number, List>} */
  lists = new Map();
  /** @type {Map<number, number>} lists that failed or never came */
  attempts = new Map();
  /** @type {Map<number, Record<string, number>>} */
  paid = new Map();
  /** @type {Record<string, number>} */
  balances = {};
  /** @type {Record<string, number>} */
  stakes;
  slot;

  /** @param {Terms} terms */
  constructor(terms) {
    this.terms = terms;
    this.slot = terms.startingSlot;
    this.stakes = { ...terms.stakes };
  }

  get round() {
    return Math.floor((this.slot - this.terms.startingSlot) / this.terms.roundTime);
  }

  /** Slots since the round began. */
  get offset() {
    return (this.slot - this.terms.startingSlot) % this.terms.roundTime;
  }

  /** @param {number} slot not before now */
  advanceTo(slot) {
    if (slot < this.slot) throw new Error('slots do not run backwards');
    this.slot = slot;
  }

  /** @param {number} round @param {number} [offset] slots after its beginning */
  advanceToRound(round, offset = 0) {
    this.advanceTo(this.terms.startingSlot + round * this.terms.roundTime + offset);
  }

  /** @param {string} key */
  #staked(key) {
    if (!((this.stakes[key] ?? 0) > 0)) throw new Refused(`${key} has no stake`);
  }

  /** @param {number} round @param {string} key @param {string} value */
  submit(round, key, value) {
    this.#staked(key);
    if (round !== this.round - 1 || this.offset >= this.terms.submissionWindow) {
      throw new Refused(`slot ${this.slot} is outside the submission window of round ${round}`);
    }
    const bytes = Buffer.from(value);
    if (bytes.length > VALUE_BYTES) throw new Refused(`a submission has ${VALUE_BYTES} bytes`);
    const blob = Buffer.alloc(VALUE_BYTES, ' ');
    bytes.copy(blob);
    (this.submissions[round] ??= {})[key] = { submission_value: blob.toString(), slot: this.slot, round };
  }

  /**
   * A vote against raises an audit; one for a submission is taken only where there is one.
   *
   * @param {number} round
   * @param {string} candidate
   * @param {string} voter
   * @param {boolean} isValid
   * @returns {boolean} whether it was taken
   */
  vote(round, candidate, voter, isValid) {
    this.#staked(voter);
    const { submissionWindow, auditWindow } = this.terms;
    const isInWindow = this.offset >= submissionWindow && this.offset < submissionWindow + auditWindow;
    if (round !== this.round - 1 || !isInWindow) {
      throw new Refused(`slot ${this.slot} is outside the audit window of round ${round}`);
    }
    if (this.submissions[round]?.[candidate] === undefined) throw new Refused(`${candidate} did not submit`);
    if (voter === candidate) throw new Refused('nobody votes on itself');
    const triggers = (this.triggers[round] ??= {});
    if (isValid && triggers[candidate] === undefined) return false;
    const trigger = (triggers[candidate] ??= { trigger_by: voter, slot: this.slot, votes: [] });
    if (trigger.votes.some((vote) => vote.voter === voter)) throw new Refused(`${voter} has voted`);
    trigger.votes.push({ is_valid: isValid, voter, slot: this.slot });
    return true;
  }

  /** What `getTaskSubmissionInfo` answers: K2 forgets old rounds. @param {number} round */
  info(round) {
    const isKept = round >= this.round - this.terms.allowedFailedDistributions;
    const of = (/** @type {Record<string, unknown>} */ all) =>
      isKept && all[round] !== undefined ? { [round]: all[round] } : {};
    return structuredClone({ submissions: of(this.submissions), submissions_audit_trigger: of(this.triggers) });
  }

  /** What the task manager hands to `distribution`. @param {number} round */
  submitters(round) {
    return Object.keys(this.submissions[round] ?? {}).map((publicKey) => ({
      publicKey,
      stake: this.stakes[publicKey] ?? 0,
      votes: this.votes(round, publicKey) ?? 1,
    }));
  }

  /** @param {number} round @param {string} key @returns {number | null} for, less against; null: nobody voted */
  votes(round, key) {
    const votes = this.triggers[round]?.[key]?.votes;
    return votes === undefined ? null : votes.reduce((sum, vote) => sum + (vote.is_valid ? 1 : -1), 0);
  }

  /** Rounds whose list is to be submitted now. @returns {number[]} */
  undistributed() {
    return Object.keys(this.submissions)
      .map(Number)
      .filter((round) => round <= this.round - 2 && !this.paid.has(round) && !this.lists.has(round))
      .filter((round) => (this.attempts.get(round) ?? 0) < this.terms.allowedFailedDistributions)
      .sort((a, b) => a - b);
  }

  /** Who submits the list of a round: the same on every node; after a failure the next. @param {number} round */
  listSubmitter(round) {
    const keys = new Set();
    for (let back = 0; back < LIST_ROUNDS; back += 1) {
      for (const key of Object.keys(this.submissions[round - back] ?? {})) keys.add(key);
    }
    const score = (/** @type {string} */ key) => createHash('sha256').update(`${round}${key}`).digest('hex');
    const order = [...keys].sort((a, b) => (score(a) < score(b) ? -1 : 1));
    return order[(this.attempts.get(round) ?? 0) % order.length];
  }

  /** @param {number} round @param {string} submitter @param {Record<string, number>} list */
  submitList(round, submitter, list) {
    if (round > this.round - 2 || this.offset >= this.terms.submissionWindow) {
      throw new Refused(`slot ${this.slot} is outside the window of round ${round}'s list`);
    }
    if (submitter !== this.listSubmitter(round)) throw new Refused(`${submitter} was not chosen`);
    if (this.lists.has(round) || this.paid.has(round)) throw new Refused(`round ${round} has its list`);
    const amounts = Object.values(list);
    if (!amounts.every(Number.isSafeInteger)) throw new Refused('an amount is no integer');
    const sum = amounts.reduce((sum, amount) => sum + Math.max(0, amount), 0);
    if (sum > this.terms.bounty) throw new Refused(`the list pays ${sum}, the bounty is ${this.terms.bounty}`);
    this.lists.set(round, { submitter, list: { ...list }, slot: this.slot, audit: null });
  }

  /** The round's chosen node did not come. @param {number} round */
  noList(round) {
    this.attempts.set(round, (this.attempts.get(round) ?? 0) + 1);
  }

  /** @param {number} round @param {string} voter @param {boolean} isValid */
  voteList(round, voter, isValid) {
    const { submissionWindow, auditWindow } = this.terms;
    if (this.offset < submissionWindow || this.offset >= submissionWindow + auditWindow) {
      throw new Refused(`slot ${this.slot} is outside the audit window`);
    }
    const list = this.lists.get(round);
    if (list === undefined) throw new Refused(`round ${round} has no list`);
    if (isValid && list.audit === null) return;
    list.audit ??= { trigger_by: voter, slot: this.slot, votes: [] };
    list.audit.votes.push({ is_valid: isValid, voter, slot: this.slot });
  }

  /** Pays the lists whose time has come. @returns {{ round: number, isPaid: boolean }[]} */
  payOut() {
    const { submissionWindow, auditWindow } = this.terms;
    const done = [];
    for (const [round, { list, slot, audit }] of this.lists) {
      if (this.slot < slot + submissionWindow + auditWindow) continue;
      this.lists.delete(round);
      const net = (audit?.votes ?? []).reduce((sum, vote) => sum + (vote.is_valid ? 1 : -1), 0);
      const isPaid = net >= 0;
      if (isPaid) {
        this.paid.set(round, list);
        for (const [key, amount] of Object.entries(list)) {
          if (amount >= 0) this.balances[key] = (this.balances[key] ?? 0) + amount;
          else this.stakes[key] = Math.max(0, (this.stakes[key] ?? 0) + amount);
        }
      } else {
        this.noList(round);
      }
      done.push({ round, isPaid });
    }
    return done;
  }
}
