/** What goes wrong, and in which round: a function of the numbers and the seed. */
import { Random } from './random.js';

/** Submissions that must be voted down. */
export const LIES = {
  'inflated': 'claims ten times the work of its bundle',
  'altered': 'one byte of its shares is changed, and the hashes above it made to fit',
  'stale': "hands in the last round's bundle again",
  'copied-bundle': "another node's bundle in an envelope of its own",
  'copied-envelope': "another node's envelope, by its CID",
  'garbage': 'submits what is no CID',
  'withheld': 'submits the CID of an envelope that nobody has',
};

/** Lies that K2's bytes prove by themselves: they are slashed whatever the votes. */
export const PROVEN = new Set(['copied-envelope', 'garbage']);

/** What happens to honest nodes. */
export const TROUBLES = {
  'late': "submits after the window's end",
  'missing': 'does not submit',
  'away': 'pod and task process are gone for a round',
  'pod-killed': 'kill -9 in the round, everything but the hostPath deleted, started again',
  'html': 'every gateway answers an HTML page, with status 200',
  'lost-line': 'for one node every place answers an HTML page',
  'slow': 'every gateway takes its time',
  'disorder': 'audit before task, submission of a future round, a thousand /task',
  'greedy-list': 'whoever submits the distribution list pays itself everything',
  'jump': 'the slot jumps: nobody can submit the round any more, and two rounds never were',
};

/** Rounds that a jump leaves out. */
export const SKIPPED = 2;

/** Those in which nobody is told apart by what it did. */
const EVERYBODY = new Set(['html', 'slow', 'greedy-list', 'jump']);

export const FAULTS = [...Object.keys(LIES), ...Object.keys(TROUBLES)];

/**
 * @typedef {{ kind: string, who: string | null }} Fault
 * @typedef {{ lie: Fault | null, trouble: Fault | null }} Plan
 */

/** Schedules drawn until one fits. About one in ten does. */
const DRAWS = 1000;

/**
 * At most one lie and one trouble a round, of two nodes, so that whatever follows has one reason.
 *
 * @param {object} parts
 * @param {string[]} parts.names of the nodes
 * @param {number} parts.rounds
 * @param {number | string} parts.seed
 * @param {string[]} parts.faults
 * @returns {Plan[]} one a round
 * @throws {Error} they do not fit
 */
export function schedule({ names, rounds, seed, faults }) {
  const unknown = faults.filter((fault) => !FAULTS.includes(fault));
  if (unknown.length > 0) throw new Error(`no such fault: ${unknown.join(', ')}; there are: ${FAULTS.join(', ')}`);
  // A liar votes honest nodes down. With one more away, two must be left to vote for each.
  if (names.length < 5 && faults.length > 0) throw new Error('faults need 5 nodes: give --nodes 5, or --faults none');
  const lies = faults.filter((fault) => fault in LIES);
  const troubles = faults.filter((fault) => fault in TROUBLES);
  // No lie in the first round, which has none before it to hand in again, and none in the round that a jump ends.
  const jumps = faults.includes('jump') ? 1 : 0;
  const needed = Math.max(lies.length + 1 + jumps, troubles.length, jumps * 3);
  if (needed > rounds)
    throw new Error(`these faults need ${needed} rounds: give --rounds ${needed}, or fewer --faults`);
  for (let draw = 0; draw < DRAWS; draw += 1) {
    const plans = drawn({ names, rounds, lies, troubles, random: new Random('schedule', seed, draw) });
    if (plans.every((plan, round) => fits(plan, plans[round - 1], round, rounds))) return plans;
  }
  throw new Error('no schedule fits: take more rounds, or another seed');
}

/**
 * @param {{ names: string[], rounds: number, lies: string[], troubles: string[], random: Random }} parts
 * @returns {Plan[]}
 */
function drawn({ names, rounds, lies, troubles, random }) {
  /** @param {string[]} kinds @returns {(string | null)[]} one a round */
  const spread = (kinds) => random.shuffled(Array.from({ length: rounds }, (_, index) => kinds[index] ?? null));
  // In turn: a stake must bear its slashings, and each is known only three rounds after the lie.
  const liars = random.shuffled(names);
  let turn = 0;
  const told = spread(lies).map((kind) => (kind === null ? null : { kind, who: liars[turn++ % liars.length] ?? null }));
  return spread(troubles).map((kind, round) => {
    const lie = told[round] ?? null;
    if (kind === null) return { lie, trouble: null };
    const others = names.filter((name) => name !== lie?.who);
    return { lie, trouble: { kind, who: EVERYBODY.has(kind) ? null : (others[random.below(others.length)] ?? null) } };
  });
}

/** @param {Plan} plan @param {Plan | undefined} before @param {number} round @param {number} rounds */
function fits({ lie, trouble }, before, round, rounds) {
  if (lie !== null && (round === 0 || trouble?.kind === 'jump')) return false;
  // A node must come after a jump, and something be left behind by it.
  if (trouble?.kind === 'jump') return round > 0 && round < rounds - 1;
  if (trouble?.kind !== 'away') return true;
  // Who is away has no part in the windows of the round before; and not a liar, one without a line and one away in the
  // same windows: too few would be left to vote.
  if ([before?.lie?.who, before?.trouble?.who].includes(trouble.who)) return false;
  return before?.lie === null || before?.trouble?.kind !== 'lost-line';
}
