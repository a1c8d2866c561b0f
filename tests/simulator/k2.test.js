import assert from 'node:assert/strict';
import { test } from 'node:test';

import { K2, Refused } from './k2.js';

const k2 = () =>
  new K2({
    startingSlot: 1000,
    roundTime: 90,
    submissionWindow: 30,
    auditWindow: 30,
    allowedFailedDistributions: 3,
    bounty: 100,
    stakes: { a: 10, b: 10, c: 10, d: 10 },
  });

test('a round is submitted, audited and paid in its windows and at no other slot', () => {
  const state = k2();
  const refused = (/** @type {() => unknown} */ act) => assert.throws(act, Refused);
  refused(() => state.submit(0, 'a', 'x'));
  state.advanceToRound(1, 29);
  state.submit(0, 'a', 'x');
  state.submit(0, 'b', 'y');
  refused(() => state.submit(1, 'a', 'x'));
  refused(() => state.submit(0, 'nobody', 'x'));
  refused(() => state.submit(0, 'a', 'x'.repeat(513)));
  refused(() => state.vote(0, 'a', 'b', false));
  assert.equal(/** @type {any} */ (state.info(0)).submissions[0].a.submission_value, 'x'.padEnd(512));
  state.advanceToRound(1, 30);
  refused(() => state.submit(0, 'a', 'x'));

  assert.equal(state.vote(0, 'a', 'c', true), false, 'nothing to defend');
  assert.equal(state.vote(0, 'a', 'b', false), true);
  assert.equal(state.vote(0, 'a', 'c', true), true);
  assert.equal(state.vote(0, 'a', 'd', false), true);
  refused(() => state.vote(0, 'a', 'd', false));
  refused(() => state.vote(0, 'b', 'b', false));
  refused(() => state.vote(0, 'c', 'b', false));
  assert.deepEqual(state.submitters(0), [
    { publicKey: 'a', stake: 10, votes: -1 },
    { publicKey: 'b', stake: 10, votes: 1 },
  ]);
  state.advanceToRound(1, 60);
  refused(() => state.vote(0, 'b', 'a', false));
  assert.deepEqual(state.undistributed(), []);

  state.advanceToRound(2);
  assert.deepEqual(state.undistributed(), [0]);
  const chosen = String(state.listSubmitter(0));
  refused(() => state.submitList(0, chosen === 'a' ? 'b' : 'a', {}));
  refused(() => state.submitList(0, chosen, { a: 0.5 }));
  refused(() => state.submitList(0, chosen, { a: 60, b: 41 }));
  state.submitList(0, chosen, { a: -7, b: 100 });
  refused(() => state.submitList(0, chosen, { b: 100 }));
  state.advanceToRound(2, 59);
  assert.deepEqual(state.payOut(), []);
  state.advanceToRound(2, 60);
  assert.deepEqual(state.payOut(), [{ round: 0, isPaid: true }]);
  assert.deepEqual([state.balances, state.stakes.a], [{ b: 100 }, 3]);
  assert.deepEqual(state.undistributed(), []);
});

test('a list that is voted down pays nobody, and the next one submits another', () => {
  const state = k2();
  state.advanceToRound(1);
  for (const key of ['a', 'b', 'c']) state.submit(0, key, key);
  const seen = new Set();
  for (let round = 2; round < 5; round += 1) {
    state.advanceToRound(round);
    const chosen = String(state.listSubmitter(0));
    seen.add(chosen);
    state.submitList(0, chosen, { [chosen]: 100 });
    state.advanceToRound(round, 30);
    for (const voter of ['a', 'b', 'c'].filter((key) => key !== chosen)) state.voteList(0, voter, false);
    state.advanceToRound(round, 60);
    assert.deepEqual(state.payOut(), [{ round: 0, isPaid: false }]);
  }
  assert.equal(seen.size, 3);
  assert.deepEqual(state.balances, {});
  state.advanceToRound(5);
  assert.deepEqual(state.undistributed(), [], 'K2 has had enough');
  assert.deepEqual(state.info(0), { submissions: {}, submissions_audit_trigger: {} }, 'and forgets');
});

test('a vote for a list counts where there is one against it', () => {
  const state = k2();
  state.advanceToRound(1);
  for (const key of ['a', 'b', 'c', 'd']) state.submit(0, key, key);
  state.advanceToRound(2);
  const chosen = String(state.listSubmitter(0));
  state.submitList(0, chosen, { a: 1 });
  assert.throws(() => state.voteList(0, 'a', false), Refused);
  state.advanceToRound(2, 30);
  state.voteList(0, 'a', true);
  state.voteList(0, 'b', false);
  state.voteList(0, 'c', true);
  state.advanceToRound(2, 60);
  assert.deepEqual(state.payOut(), [{ round: 0, isPaid: true }]);
});
