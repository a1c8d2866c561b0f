/** Submissions and votes as K2 shows them through `getTaskSubmissionInfo`. */
export class K2 {
  /** @type {Record<string, Record<string, { submission_value: string, slot: number }>>} */
  submissions = {};
  /**
   * @type {Record<string, Record<string, { trigger_by: string, slot: number, votes: { is_valid: boolean, voter: string,
   * slot: number }[] }>>}
   */
  triggers = {};
  slot = 1000;

  /** @param {number} round @param {string} key @param {string} value */
  submit(round, key, value) {
    if (Buffer.byteLength(value) > 512) throw new Error('a submission has 512 bytes');
    (this.submissions[round] ??= {})[key] = { submission_value: value.padEnd(512), slot: (this.slot += 1) };
  }

  /**
   * A vote against raises an audit; one for counts only where there is one.
   * @param {number} round
   * @param {string} key
   * @param {string} voter
   * @param {boolean} valid
   */
  vote(round, key, voter, valid) {
    const triggers = (this.triggers[round] ??= {});
    if (valid && triggers[key] === undefined) return;
    (triggers[key] ??= { trigger_by: voter, slot: this.slot, votes: [] }).votes.push({
      is_valid: valid,
      voter,
      slot: this.slot,
    });
  }

  /** @param {number} round */
  info(round) {
    const of = (/** @type {any} */ all) => (all[round] === undefined ? {} : { [round]: all[round] });
    return structuredClone({ submissions: of(this.submissions), submissions_audit_trigger: of(this.triggers) });
  }

  /** What the task manager hands to `distribution`. @param {number} round @param {number} stake */
  submitters(round, stake) {
    return Object.keys(this.submissions[round] ?? {}).map((publicKey) => {
      const votes = this.triggers[round]?.[publicKey]?.votes;
      return {
        publicKey,
        stake,
        votes: votes === undefined ? 1 : votes.reduce((sum, vote) => sum + (vote.is_valid ? 1 : -1), 0),
      };
    });
  }
}
