import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FAULTS, PROVEN, LIES, schedule } from './schedule.js';

const names = ['a', 'b', 'c', 'd', 'e'];

test('for any seed every fault comes once, and no node meets two in one round', () => {
  for (let seed = 0; seed < 500; seed += 1) {
    const plans = schedule({ names, rounds: 10, seed, faults: FAULTS });
    assert.equal(plans.length, 10);
    const kinds = plans.flatMap(({ lie, trouble }) => [lie, trouble]).flatMap((fault) => (fault ? [fault.kind] : []));
    assert.deepEqual(kinds.sort(), [...FAULTS].sort());
    assert.equal(plans[0]?.lie, null, 'there is nothing yet to hand in again');
    for (const [round, { lie, trouble }] of plans.entries()) {
      if (lie !== null) assert.ok(names.includes(String(lie.who)) && lie.who !== trouble?.who, `seed ${seed}`);
      if (trouble?.kind === 'jump') assert.ok(lie === null && round > 0 && round < 9);
      if (trouble?.kind === 'away') {
        const before = plans[round - 1];
        assert.ok(![before?.lie?.who, before?.trouble?.who].includes(trouble.who));
      }
    }
    // Who lies twice has been slashed for the first before the second.
    for (const name of names) {
      const lies = plans.flatMap(({ lie }, round) => (lie?.who === name ? [round] : []));
      for (const [index, round] of lies.slice(1).entries()) assert.ok(round - (lies[index] ?? 0) >= 4);
    }
  }
});

test('the same seed is the same schedule, another is another', () => {
  const plan = (/** @type {number} */ seed) => JSON.stringify(schedule({ names, rounds: 10, seed, faults: FAULTS }));
  assert.equal(plan(1), plan(1));
  assert.notEqual(plan(1), plan(2));
});

test('what does not fit is said', () => {
  assert.throws(() => schedule({ names, rounds: 3, seed: 0, faults: FAULTS }), /these faults need \d+ rounds/);
  assert.throws(() => schedule({ names, rounds: 9, seed: 0, faults: ['thunder'] }), /no such fault: thunder/);
  assert.throws(() => schedule({ names: ['a'], rounds: 9, seed: 0, faults: ['late'] }), /5 nodes/);
  assert.equal(schedule({ names: ['a'], rounds: 1, seed: 0, faults: [] }).length, 1);
  for (const kind of PROVEN) assert.ok(kind in LIES);
});
