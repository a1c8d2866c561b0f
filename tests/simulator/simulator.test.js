/**
 * Five nodes, ten rounds, every fault once. Needs ORCAPOOL_BIN and ORCAPOOL_BITCOIND; is skipped without them.
 * VERBOSE=1 shows progress.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { apportioned, findings } from './checks.js';
import { address } from './orca.js';
import { FAULTS, LIES } from './schedule.js';
import { simulate } from './simulation.js';

const [PROGRAM, BITCOIND] = [process.env['ORCAPOOL_BIN'] ?? '', process.env['ORCAPOOL_BITCOIND'] ?? ''];
const skip = !(existsSync(PROGRAM) && existsSync(BITCOIND)) && 'ORCAPOOL_BIN and ORCAPOOL_BITCOIND not set';
const SEED = 7;

test('everything goes wrong once, and every honest node is paid alike', { skip }, async (context) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'orcapool-simulator-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const progress = (/** @type {string} */ line) => {
    if (process.env['VERBOSE']) console.error(line);
  };
  const report = await simulate({
    nodes: 5,
    rounds: 10,
    seed: SEED,
    faults: FAULTS,
    program: PROGRAM,
    bitcoind: BITCOIND,
    folder,
    progress,
  });
  assert.deepEqual(findings(report), []);
  assert.equal(report.rounds.length, 10);
  const met = report.rounds.flatMap(({ lie, trouble }) => [lie?.kind ?? [], trouble?.kind ?? []].flat());
  assert.deepEqual(met.sort(), [...FAULTS].sort());
  for (const { lie, paid, round } of report.rounds) {
    if (lie !== null) assert.ok((paid?.[String(lie.who)] ?? 0) < 0, `${lie.kind} in round ${round} cost no stake`);
  }

  // The checks themselves: whatever is changed, they find it.
  const [lying] = report.rounds.filter(({ lie }) => lie !== null);
  const number = report.rounds.findIndex(({ round }) => round === lying?.round);
  const liar = String(lying?.lie?.who);
  const honest = String(
    report.nodes.find(({ name }) => typeof lying?.submitted[name] === 'string' && name !== liar)?.name,
  );
  /** @type {Record<string, (report: import('./simulation.js').Report, record: any) => void>} */
  const changes = {
    'a unit too much': (_, record) => (record.paid[honest] += 1),
    'a lie that passes': (_, record) => (record.verdicts[honest][liar] = true),
    'a lie that is paid': (_, record) => (record.paid[liar] = 1),
    'an honest node voted down': (_, record) => (record.votes[honest].votes = -1),
    'another list': (_, record) => (record.lists[honest] = '{}'),
    'other books': (_, record) => (record.books[honest] = {}),
    'a lost share': (changed) => (changed.miners[0] = { name: 'node-1', accepted: 2, stored: 1 }),
    'a balance from nowhere': (changed) => (changed.balances[honest] = 1),
    'a stake that is still there': (changed) => (changed.stakes[liar] = 1_900_000_000),
  };
  for (const [what, change] of Object.entries(changes)) {
    const changed = structuredClone(report);
    change(changed, changed.rounds[number]);
    assert.notDeepEqual(findings(changed), [], what);
  }
  assert.ok(Object.keys(LIES).length >= 7);
});

test('what the checks compare with adds up, and ties go in the order of the keys', () => {
  const [a, b, c] = ['alice', 'bob', 'carol'].map(address);
  const sum = (/** @type {Map<string, number>} */ shares) => [...shares.values()].reduce((sum, part) => sum + part, 0);
  const even = apportioned(new Map([a, b, c].map((key) => [String(key), 5n])), 1_000_000_007);
  assert.equal(sum(even), 1_000_000_007);
  assert.deepEqual([...even.values()], [333_333_336, 333_333_336, 333_333_335]);
  const odd = apportioned(
    new Map([
      [String(a), 2n ** 200n],
      [String(b), 1n],
      [String(c), 2n ** 199n],
    ]),
    100,
  );
  assert.deepEqual([odd.get(String(a)), odd.get(String(b)), odd.get(String(c))], [67, 0, 33]);
  assert.equal(apportioned(new Map(), 100).size, 0);
});
