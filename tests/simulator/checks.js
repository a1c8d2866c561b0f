/**
 * What must be true of a simulation, computed here from K2's votes and what the containers said of their rounds,
 * without the program's or the wrapper's code.
 */
import { base58btc } from './orca.js';
import { PROVEN } from './schedule.js';
import { BOUNTY, STAKE } from './simulation.js';

/** As orca-config's README has it: three more against than for; in small rounds all others, never less than two. */
const quorum = (/** @type {number} */ submitters) => Math.max(2, Math.min(3, submitters - 1));

/** @typedef {import('./simulation.js').Played} Played */
/** @typedef {import('./simulation.js').Report} Report */

/**
 * Shares of the bounty in proportion to the work: rounded down, and what is left goes one each to the largest rests,
 * ties in the order of the keys.
 *
 * @param {Map<string, bigint>} work by staking key
 * @param {number} bounty
 * @returns {Map<string, number>}
 */
export function apportioned(work, bounty) {
  const total = [...work.values()].reduce((sum, one) => sum + one, 0n);
  if (total === 0n) return new Map();
  const bytes = (/** @type {string} */ key) => Buffer.from(base58btc.baseDecode(key));
  const parts = [...work].map(([key, one]) => {
    const product = one * BigInt(bounty);
    return { key, whole: product / total, rest: product % total };
  });
  let left = BigInt(bounty) - parts.reduce((sum, { whole }) => sum + whole, 0n);
  parts.sort((a, b) => (a.rest !== b.rest ? (a.rest > b.rest ? -1 : 1) : bytes(a.key).compare(bytes(b.key))));
  return new Map(
    parts.map(({ key, whole }) => {
      const extra = left > 0n ? 1n : 0n;
      left -= extra;
      return [key, Number(whole + extra)];
    }),
  );
}

/**
 * The list of a round by the task's rules.
 *
 * @param {Report} report
 * @param {Played} record
 * @returns {{ [name: string]: number }}
 */
export function expectedList(report, record) {
  const key = (/** @type {string} */ name) => String(report.nodes.find((node) => node.name === name)?.key);
  const isProven = (/** @type {Played} */ { lie }, /** @type {string} */ name) =>
    lie !== null && lie.who === name && PROVEN.has(lie.kind);
  const isAccepted = (/** @type {Played} */ round, /** @type {string} */ name) =>
    typeof round.submitted[name] === 'string' && (round.votes[name]?.votes ?? 1) > 0 && !isProven(round, name);
  /** @type {Map<string, bigint>} */
  const work = new Map();
  for (const round of report.rounds.filter((other) => other.round <= record.round)) {
    for (const { name } of report.nodes) {
      if (!isAccepted(round, name)) continue;
      work.set(key(name), (work.get(key(name)) ?? 0n) + BigInt(round.work[name] ?? 0));
    }
  }
  const shares = apportioned(work, BOUNTY);
  const submitters = report.nodes.filter(({ name }) => typeof record.submitted[name] === 'string');
  return Object.fromEntries(
    report.nodes.map(({ name }) => {
      const votes = record.votes[name]?.votes ?? 1;
      const isSubmitter = submitters.some((node) => node.name === name);
      const isLie = isSubmitter && (isProven(record, name) || votes <= -quorum(submitters.length));
      const slashed = -Math.floor(((record.stakes[name] ?? 0) * 7) / 10);
      return [name, isLie ? slashed : (shares.get(key(name)) ?? 0)];
    }),
  );
}

/**
 * @param {Report} report
 * @returns {string[]} what is not as it must be; empty: all is well
 */
export function findings(report) {
  /** @type {string[]} */
  const found = [];
  for (const record of report.rounds) {
    const say = (/** @type {string} */ what) => found.push(`round ${record.round}: ${what}`);
    record.problems.forEach(say);
    if (record.trouble?.kind === 'jump') {
      if (Object.values(record.submitted).some((value) => value !== null)) say('submitted although the slot jumped');
      if (Object.keys(record.refused).length === 0) say('nobody was refused after the jump');
      continue;
    }
    submissions(report, record).forEach(say);
    votes(report, record).forEach(say);
    lists(report, record).forEach(say);
  }
  for (const { name, accepted, stored } of report.miners) {
    if (accepted === 0) found.push(`${name}: its miner found nothing`);
    if (stored < accepted) found.push(`${name}: ${accepted} shares were acknowledged, ${stored} are there`);
  }
  for (const { name } of report.nodes) {
    const paid = report.rounds.map((record) => record.paid?.[name] ?? 0);
    const earned = paid.filter((amount) => amount > 0).reduce((sum, amount) => sum + amount, 0);
    const lost = paid.filter((amount) => amount < 0).reduce((sum, amount) => sum - amount, 0);
    if (report.balances[name] !== earned) found.push(`${name}: K2 holds ${report.balances[name]}, earned ${earned}`);
    if (report.stakes[name] !== STAKE - lost) found.push(`${name}: stake ${report.stakes[name]}, lost ${lost}`);
  }
  if (report.pages === 0) found.push('no gateway ever answered a page');
  return found;
}

/** @param {Report} report @param {Played} record @returns {string[]} */
function submissions({ nodes, rounds }, { round, submitted, refused, lie, trouble }) {
  const found = [];
  const next = rounds.find((other) => other.round === round + 1)?.trouble;
  for (const { name } of nodes) {
    const has = typeof submitted[name] === 'string';
    const isLate = trouble?.kind === 'late' && trouble.who === name;
    // Who is away in a round is away in the windows of the one before it.
    const isAway = [trouble, next].some((fault) => fault?.kind === 'away' && fault.who === name);
    const isOut = isLate || isAway || (trouble?.kind === 'missing' && trouble.who === name);
    if (has === isOut) found.push(`${name} ${has ? 'submitted all the same' : 'did not submit'}`);
    if (isLate && refused[name] === undefined) found.push(`${name} was not late`);
  }
  if (lie !== null && typeof submitted[String(lie.who)] !== 'string') found.push(`${lie.who} told no lie`);
  return found;
}

/** @param {Report} report @param {Played} record @returns {string[]} */
function votes({ nodes }, { verdicts, votes, lie, trouble, submitted, paid }) {
  const found = [];
  let judged = 0;
  for (const [voter, by] of Object.entries(verdicts)) {
    if (voter === lie?.who) continue;
    const isLost = trouble?.kind === 'lost-line' && trouble.who === voter;
    for (const [name, verdict] of Object.entries(by)) {
      const isTrue = name !== lie?.who;
      judged += 1;
      // Without a line nothing can be told but what is no CID.
      if (verdict === null && !isLost) found.push(`${voter} has no vote on ${name}`);
      if (verdict !== null && verdict !== isTrue) found.push(`${voter} says ${verdict} of ${name}`);
      if (isLost && verdict === true) found.push(`${voter} has seen what it cannot have seen`);
    }
  }
  if (judged === 0) found.push('nobody audited');
  for (const { name } of nodes) {
    const net = votes[name]?.votes ?? null;
    if (name === lie?.who && !(net !== null && net < 0)) found.push(`the lie of ${name} has ${net} votes`);
    if (name === lie?.who && !((paid?.[name] ?? 0) <= 0)) found.push(`the lie of ${name} was paid`);
    if (name !== lie?.who && net !== null && net <= 0) found.push(`honest ${name} has ${net} votes`);
    if (typeof submitted[name] === 'string' && name !== lie?.who && !((paid?.[name] ?? 0) > 0)) {
      found.push(`honest ${name} is not paid`);
    }
  }
  return found;
}

/** @param {Report} report @param {Played} record @returns {string[]} */
function lists(report, record) {
  const found = [];
  const texts = new Set(Object.values(record.lists).filter((text) => text !== null));
  if (texts.size !== 1) found.push(`${texts.size} different lists`);
  if (record.paid === null) return [...found, 'was not paid'];
  const expected = expectedList(report, record);
  for (const { name } of report.nodes) {
    if (record.paid[name] !== expected[name]) found.push(`${name} got ${record.paid[name]}, not ${expected[name]}`);
  }
  const isGreedy = record.trouble?.kind === 'greedy-list';
  if (record.failedLists !== (isGreedy ? 1 : 0)) found.push(`${record.failedLists} lists failed`);
  if (new Set(Object.values(record.books).map((book) => JSON.stringify(book))).size !== 1) {
    found.push('the books of the nodes differ');
  }
  if (Object.values(record.books).some((book) => book === null)) found.push('a node has no book of it');
  return found;
}
