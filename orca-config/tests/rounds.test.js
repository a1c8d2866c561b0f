/** Whole rounds on several nodes: everybody is paid alike on everybody's list, and lies are found out. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Storage } from './stand-ins/ipfs.js';
import { K2 } from './stand-ins/k2.js';
import { operator } from './stand-ins/node.js';

const ROUNDS = 6;
const BOUNTY = 1_000_003;
const STAKE = 1_900_000_000;
/** @type {import('./stand-ins/node.js').Operator[]} */
const nodes = [];
after(() => Promise.all(nodes.map(({ container }) => container.stop())));

/** @template T @param {T | undefined} value @returns {T} */
const there = (value) => {
  assert.ok(value !== undefined);
  return value;
};

test('five honest nodes of both generations, a liar, a copycat, one that is late and one that is away', async () => {
  const k2 = new K2();
  const storage = new Storage();
  const names = ['ann', 'ben', 'cem', 'dot', 'eve', 'liar', 'copycat', 'late', 'away'];
  for (const [index, name] of names.entries()) {
    nodes.push(
      await operator({ name, generation: index % 2 === 0 ? 'double' : 'single', k2, storage, patience: 2000 }),
    );
  }
  const node = (/** @type {string} */ name) => there(nodes[names.indexOf(name)]);
  const key = (/** @type {string} */ name) => node(name).key;
  node('liar').container.instead.set('submission', () => ({
    body: { cid: node('liar').container.cid, shares: 3_000_000, work: '1', difficulty: 1, root: '00'.repeat(32) },
  }));

  for (let round = 0; round < ROUNDS; round += 1) {
    const isAway = (/** @type {string} */ name) => name === 'away' && (round === 2 || round === 3);
    const present = names.filter((name) => !isAway(name));
    for (const name of present) if (name !== 'late' || round % 2 === 0) await node(name).steps.task(round);
    for (const name of present.filter((name) => name !== 'copycat')) {
      const cid = await node(name).steps.submission(round);
      if (cid !== undefined) k2.submit(round, key(name), cid);
    }
    // Koii tells it when the others have submitted.
    if (round % 2 !== 0) await node('late').steps.task(round);
    k2.submit(round, key('copycat'), there(k2.submissions[round]?.[key('ann')]).submission_value.trim());

    // The liar votes everybody down, and first: K2 takes a vote for a submission only after one against it.
    for (const name of ['liar', ...present.filter((other) => other !== 'liar')]) {
      for (const [submitter, { submission_value: value }] of Object.entries(there(k2.submissions[round]))) {
        if (submitter === key(name)) continue;
        const valid = name === 'liar' ? false : await node(name).steps.audit(value.trim(), round, submitter);
        k2.vote(round, submitter, key(name), valid);
      }
    }

    const lists = [];
    for (const name of present)
      lists.push(await node(name).steps.distribution(k2.submitters(round, STAKE), BOUNTY, round));
    const [list, ...others] = lists;
    for (const other of others)
      assert.equal(JSON.stringify(other), JSON.stringify(list), 'everybody has the same list');

    const honest = [
      'ann',
      'ben',
      'cem',
      'dot',
      'eve',
      ...(round % 2 === 0 ? ['late'] : []),
      ...(isAway('away') ? [] : ['away']),
    ];
    const share = Math.floor(BOUNTY / honest.length);
    for (const name of honest) assert.equal(list?.[key(name)], share, `${name} in round ${round}`);
    for (const name of ['liar', 'copycat'])
      assert.equal(list?.[key(name)], -1_330_000_000, `${name} in round ${round}`);
    assert.equal(key('late') in (list ?? {}), round % 2 === 0);
  }
});
