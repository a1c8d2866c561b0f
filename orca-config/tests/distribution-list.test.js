import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { distributionList, parseBounty, parseOperators, parseSubmitters } from '../src/distribution-list.js';
import { address } from './stand-ins/keys.js';

const KEYS = Array.from({ length: 24 }, (_, index) => address(`node ${index}`));

/** A round: bounty, submitters, what the container pays, and who is proved a forger. */
const rounds = fc
  .record({
    bounty: fc.oneof(fc.integer({ min: 0, max: 1_000_000 }), fc.maxSafeNat()),
    submitters: fc.uniqueArray(
      fc.record({
        publicKey: fc.constantFrom(...KEYS),
        votes: fc.integer({ min: -6, max: 6 }),
        stake: fc.maxSafeNat(),
      }),
      { selector: ({ publicKey }) => publicKey },
    ),
    weights: fc.dictionary(fc.constantFrom(...KEYS), fc.integer({ min: 0, max: 1000 }), { maxKeys: 24 }),
    forged: fc.array(fc.constantFrom(...KEYS)),
  })
  .map(({ bounty, submitters, weights, forged }) => {
    const sum = BigInt(Object.values(weights).reduce((total, weight) => total + weight, 1));
    const paid = Object.entries(weights).map(
      ([key, weight]) => /** @type {const} */ ([key, Number((BigInt(bounty) * BigInt(weight)) / sum)]),
    );
    return { bounty, submitters, forged: new Set(forged), operators: new Map(paid) };
  });

test('integers, never more than the bounty, a key for every submitter', () => {
  fc.assert(
    fc.property(rounds, ({ bounty, submitters, forged, operators }) => {
      const list = distributionList({
        submitters,
        forged,
        operators: parseOperators(Object.fromEntries(operators), bounty),
      });
      let paid = 0n;
      for (const [key, amount] of Object.entries(list)) {
        assert.ok(Number.isSafeInteger(amount) && !Object.is(amount, -0), `${key}: ${amount}`);
        if (amount > 0) paid += BigInt(amount);
      }
      assert.ok(paid <= BigInt(bounty));
      for (const { publicKey, stake } of submitters) {
        const amount = list[publicKey];
        assert.ok(amount !== undefined && -amount <= stake, 'no more than the stake is taken');
      }
    }),
    { numRuns: 500, seed: 1 },
  );
});

test('every node writes the same text, in whatever order it heard of things', () => {
  fc.assert(
    fc.property(rounds, fc.infiniteStream(fc.nat()), ({ submitters, forged, operators }, random) => {
      const text = JSON.stringify(distributionList({ submitters, forged, operators }));
      /** @template T @param {T[]} items */
      const shuffled = (items) => {
        const ranks = items.map((item) => ({ item, rank: Number(random.next().value) }));
        return ranks.sort((a, b) => a.rank - b.rank).map(({ item }) => item);
      };
      const again = distributionList({
        submitters: shuffled(submitters),
        forged: new Set(shuffled([...forged])),
        operators: new Map(shuffled([...operators])),
      });
      assert.equal(JSON.stringify(again), text);
    }),
    { numRuns: 300, seed: 2 },
  );
});

test('honest nodes with the same work are paid alike, whatever the others do', () => {
  fc.assert(
    fc.property(rounds, ({ submitters, forged, operators }) => {
      const honest = submitters.filter(({ publicKey, votes }) => votes > 0 && !forged.has(publicKey));
      const list = distributionList({
        submitters,
        forged,
        operators: new Map([...operators, ...honest.map(({ publicKey }) => /** @type {const} */ ([publicKey, 7]))]),
      });
      for (const { publicKey } of honest) assert.equal(list[publicKey], 7);
    }),
    { numRuns: 300, seed: 3 },
  );
});

test('a proved liar loses stake and pay, one that is only doubted loses nothing', () => {
  const [liar, forger, doubted, honest] = /** @type {[string, string, string, string]} */ (KEYS.slice(0, 4));
  const submitters = [
    { publicKey: liar, votes: -3, stake: 1001 },
    { publicKey: forger, votes: 1, stake: 1000 },
    { publicKey: doubted, votes: -1, stake: 1000 },
    { publicKey: honest, votes: 1, stake: 1000 },
  ];
  // The window of earlier rounds still pays the liar something.
  const operators = new Map([
    [liar, 10],
    [honest, 90],
  ]);
  const list = distributionList({ submitters, forged: new Set([forger]), operators });
  assert.deepEqual(list, { [liar]: -700, [forger]: -700, [doubted]: 0, [honest]: 90 });
});

test('what Koii or the container hand over is refused if it is not what it has to be', () => {
  const [key] = /** @type {[string]} */ (KEYS);
  const good = { publicKey: key, votes: 1, stake: 5 };
  assert.deepEqual(parseSubmitters([good]), [good]);
  for (const bad of [
    null,
    {},
    [null],
    [{ ...good, publicKey: 'nobody' }],
    [{ ...good, publicKey: '__proto__' }],
    [{ ...good, votes: 0.5 }],
    [{ ...good, votes: '1' }],
    [{ ...good, votes: undefined }],
    [{ ...good, stake: -1 }],
    [{ ...good, stake: 1.5 }],
    [{ ...good, stake: NaN }],
    [good, good],
  ]) {
    assert.throws(() => parseSubmitters(bad));
  }
  for (const bad of [
    null,
    [],
    '{}',
    true,
    { nobody: 1 },
    { [key]: 1.5 },
    { [key]: -1 },
    { [key]: '5' },
    { [key]: 101 },
    { [key]: 2 ** 60 },
  ]) {
    assert.throws(() => parseOperators(bad, 100));
  }
  assert.throws(() =>
    parseOperators(
      { [key]: Number.MAX_SAFE_INTEGER, [KEYS[1] ?? '']: Number.MAX_SAFE_INTEGER },
      Number.MAX_SAFE_INTEGER,
    ),
  );
  for (const bad of [-1, 0.1, NaN, '5', undefined, 2 ** 60]) assert.throws(() => parseBounty(bad));
});
