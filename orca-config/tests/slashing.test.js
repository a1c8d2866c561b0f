import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isLie, slashOf } from '../src/slashing.js';

test('one voice burns nobody’s stake, a quorum does', () => {
  /** @type {[number, number, boolean][]} votes, submitters, slashed */
  const cases = [
    [1, 5, false],
    [0, 5, false],
    [-1, 5, false],
    [-2, 5, false],
    [-3, 5, true],
    [-3, 1000, true],
    [-2, 3, true],
    [-1, 3, false],
    [-1, 2, false],
    [-1, 1, false],
    [-3, 4, true],
    [-2, 4, false],
  ];
  for (const [votes, submitters, slashed] of cases) {
    assert.equal(isLie({ votes, isForged: false }, submitters), slashed, `${votes} of ${submitters}`);
  }
  assert.equal(isLie({ votes: 1, isForged: true }, 2), true);
});

test('a slash is an integer, rounded down, at the largest stakes too', () => {
  assert.equal(slashOf(0), 0);
  assert.equal(slashOf(1), 0);
  assert.equal(slashOf(1_900_000_001), 1_330_000_000);
  assert.equal(slashOf(Number.MAX_SAFE_INTEGER), 6_305_039_478_318_693);
});
