/** The rounds: what Koii's node and K2 do with the task, slot by slot, on all nodes. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { POOL_SCRIPT, startBitcoind } from './bitcoind.js';
import { disorder } from './disorder.js';
import { K2, Refused } from './k2.js';
import { submitLie } from './lies.js';
import { Operator } from './operator.js';
import { ORCA, address, layDoors, webpack, webpackConfig } from './orca.js';
import { eventually, freePort } from './processes.js';
import { Random } from './random.js';
import { SKIPPED, schedule } from './schedule.js';
import { Store } from './store.js';

/** As config-task.yml has it, in small: both windows, and some slots left of the round. */
const TERMS = { startingSlot: 1_000_000, roundTime: 900, submissionWindow: 300, auditWindow: 300 };
const ALLOWED_FAILED_DISTRIBUTIONS = 10;
/** Submissions that an auditor draws. */
const SAMPLE = 5;
/** A prime, so that it never divides without a rest. */
export const BOUNTY = 1_000_000_007;
export const STAKE = 1_900_000_000;
/** Blocks until a coinbase may be spent. */
const MATURITY = 100;
/**
 * Hashes a second of all miners together. Every share is a block here, and shares are 65,536 hashes: of six blocks a
 * second and more, the median time past would run ahead of the clock.
 */
const HASH_RATE = 300_000;
/** Shares that every miner finds in a round before it ends. */
const SHARES = 2;

/**
 * What all nodes share: pool.js of the simulated task. Shares are 65,536 hashes, and the window reaches over all
 * rounds, so that what a node earns can be told from its submissions alone.
 */
const POOL = {
  image: `registry.example/orcapool/orcapool@sha256:${'0'.repeat(64)}`,
  taskType: 'KOII',
  firstRound: 0,
  ports: { stratum: 3334, http: 8338 },
  memory: '2Gi',
  config: {
    bitcoin: { network: 'regtest' },
    payout: { script: POOL_SCRIPT },
    pplns: { floor_hashes: 2 ** 40 },
    stratum: { start_difficulty: 2 ** -16, min_difficulty: 2 ** -16, shares_per_minute: 120 },
    content: { gateways: [], timeout_seconds: 20, private_submitters: true },
  },
};

/** @param {string} folder @returns {Promise<string>} the path of main.js */
async function buildWrapper(folder) {
  const pool = path.join(folder, 'pool.js');
  await writeFile(pool, `export default ${JSON.stringify(POOL)};\n`);
  const settings = webpackConfig({ koii: 'external' });
  settings.output = { ...settings.output, path: folder, clean: false };
  settings.resolve = { alias: { [path.join(ORCA, 'pool.js')]: pool } };
  const stats = await new Promise((resolve, reject) => {
    webpack(settings, (/** @type {unknown} */ error, /** @type {any} */ result) =>
      error ? reject(error) : resolve(result),
    );
  });
  if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }));
  await layDoors(folder);
  return path.join(folder, 'main.js');
}

/**
 * @typedef {object} Played what happened in one round
 * @property {number} round
 * @property {import('./schedule.js').Fault | null} lie
 * @property {import('./schedule.js').Fault | null} trouble
 * @property {Record<string, string | null>} submitted value on K2 by node; null: none
 * @property {Record<string, string>} refused what K2 said of a submission that came too late
 * @property {Record<string, string>} work what the nodes' containers said, in hashes
 * @property {Record<string, Record<string, boolean | null>>} verdicts by auditor and submitter; null: no vote
 * @property {Record<string, { against: number, votes: number | null }>} votes as K2 has them
 * @property {Record<string, number>} stakes when the list was computed
 * @property {Record<string, string | null>} lists text by node; null: it had none
 * @property {number} failedLists
 * @property {Record<string, number> | null} paid by node
 * @property {Record<string, unknown>} books by node
 * @property {string[]} problems
 */

/**
 * @param {object} options
 * @param {number} options.nodes
 * @param {number} options.rounds
 * @param {number | string} options.seed
 * @param {string[]} options.faults
 * @param {string} options.program orcapool
 * @param {string} options.bitcoind
 * @param {string} options.folder for logs and data; it must exist
 * @param {(line: string) => void} options.progress
 */
export async function simulate({ nodes, rounds, seed, faults, program, bitcoind: node, folder, progress }) {
  const names = Array.from({ length: nodes }, (_, index) => `node-${index + 1}`);
  const plans = schedule({ names, rounds, seed, faults });
  await mkdir(path.join(folder, 'wrapper'));
  progress('building the wrapper, starting bitcoind');
  const mainJs = await buildWrapper(path.join(folder, 'wrapper'));
  const store = await new Store().start();
  const bitcoind = await startBitcoind({ program: node, folder });
  const k2 = new K2({
    ...TERMS,
    allowedFailedDistributions: ALLOWED_FAILED_DISTRIBUTIONS,
    bounty: BOUNTY,
    stakes: Object.fromEntries(names.map((name) => [address(name), STAKE])),
  });
  const hashRate = Math.ceil(HASH_RATE / nodes);
  const world = { folder, program, mainJs, task: address('task'), hashRate, k2, store, bitcoind };
  /** @type {{ name: string, http: number, stratum: number }[]} */
  const ports = [];
  for (const name of names) ports.push({ name, http: await freePort(), stratum: await freePort() });
  const operators = ports.map(
    ({ name, ...own }, index) =>
      new Operator(world, {
        name,
        // Both generations of Koii's sidecar are in use at the same time.
        generation: index % 2 === 0 ? 'double' : 'single',
        ports: own,
        peers: ports.filter((other) => other.name !== name).map(({ http }) => `http://127.0.0.1:${http}`),
      }),
  );
  const simulation = new Simulation({ world, operators, seed, progress });
  try {
    progress(`starting ${nodes} nodes`);
    await Promise.all(operators.map((operator) => operator.start()));
    for (const operator of operators) operator.startMiner();
    for (const plan of plans) await simulation.play(plan);
    await simulation.drain();
    return {
      seed,
      nodes: operators.map(({ name, key, generation }) => ({ name, key, generation })),
      rounds: simulation.records,
      miners: await simulation.miners(),
      balances: byName(operators, k2.balances),
      stakes: byName(operators, k2.stakes),
      pages: store.pages,
    };
  } finally {
    await Promise.all(operators.map((operator) => operator.quit()));
    await Promise.all([bitcoind.stop(), store.stop()]);
  }
}

/** @typedef {Awaited<ReturnType<typeof simulate>>} Report */

/** @param {Operator[]} operators @param {Record<string, number>} byKey */
const byName = (operators, byKey) => Object.fromEntries(operators.map(({ name, key }) => [name, byKey[key] ?? 0]));

/** Keys in order: equal lists are equal texts. @param {Record<string, number>} list */
const listText = (list) =>
  JSON.stringify(Object.fromEntries(Object.entries(list).sort(([a], [b]) => (a < b ? -1 : 1))));

class Simulation {
  /** @type {Played[]} */
  records = [];
  /** Rounds whose submissions are due: the one before the clock's. @type {Played | null} */
  #last = null;

  /** @param {{ world: import('./operator.js').World, operators: Operator[], seed: number | string,
   *   progress: (line: string) => void }} parts */
  constructor({ world, operators, seed, progress }) {
    this.world = world;
    this.operators = operators;
    this.seed = seed;
    this.progress = progress;
  }

  get #there() {
    return this.operators.filter((operator) => operator.isThere);
  }

  /** @param {string | null | undefined} name @returns {Operator} */
  #named(name) {
    const operator = this.operators.find((operator) => operator.name === name);
    if (operator === undefined) throw new Error(`no node ${name}`);
    return operator;
  }

  /** A round from its first slot to its last. @param {import('./schedule.js').Plan} plan */
  async play({ lie, trouble }) {
    const { k2 } = this.world;
    const record = this.#open(lie, trouble);
    for (const operator of this.operators) {
      if (trouble?.kind === 'away' && trouble.who === operator.name) await operator.stop();
      else if (!operator.isThere) await operator.start();
    }
    if (trouble?.kind === 'disorder') {
      record.problems.push(...(await disorder(this.#named(trouble.who), k2.round, this.#last)));
    }
    await Promise.all(this.#there.map((operator) => operator.task(record.round)));
    await this.#windows();
    await this.#mining(record);
    this.#last = record;
    const isJump = trouble?.kind === 'jump';
    k2.advanceToRound(record.round + 1 + (isJump ? SKIPPED : 0));
    if (isJump) await this.#afterJump(record);
    this.records.push(record);
  }

  /** Rounds without mining, until all is paid. */
  async drain() {
    const { k2 } = this.world;
    for (const operator of this.operators) if (!operator.isThere) await operator.start();
    for (let turn = 0; turn < ALLOWED_FAILED_DISTRIBUTIONS; turn += 1) {
      await Promise.all(this.#there.map((operator) => operator.task(k2.round)));
      await this.#windows();
      this.#last = null;
      k2.advanceToRound(k2.round + 1);
      if (this.records.every(({ paid, submitted }) => paid !== null || Object.keys(submitted).length === 0)) break;
    }
    await this.#books();
  }

  /** What every node says of every round, once the blocks found in it have matured and it is settled for good. */
  async #books() {
    this.progress(`${MATURITY} blocks, so that every round is settled`);
    await this.world.bitcoind.mine(MATURITY);
    for (const record of this.records) {
      if (record.paid === null) continue;
      for (const { name, pod } of this.operators) {
        const settlement = await eventually(`round ${record.round} settled by ${name}`, () =>
          pod.get(`/api/rounds/${record.round}/settlement`),
        );
        record.books[name] = { settlement, distribution: await pod.get(`/api/rounds/${record.round}/distribution`) };
      }
    }
  }

  /** Shares that miners were told `true` for, and shares that their nodes have. */
  async miners() {
    const miners = [];
    for (const operator of this.operators) {
      const accepted = await operator.stopMiner();
      const rounds = await operator.rounds();
      miners.push({ name: operator.name, accepted, stored: rounds.reduce((sum, { shares }) => sum + shares, 0) });
    }
    return miners;
  }

  /** @param {import('./schedule.js').Fault | null} lie @param {import('./schedule.js').Fault | null} trouble */
  #open(lie, trouble) {
    /** @type {Played} */
    const record = {
      round: this.world.k2.round,
      lie,
      trouble,
      submitted: {},
      refused: {},
      work: {},
      verdicts: {},
      votes: {},
      stakes: {},
      lists: {},
      failedLists: 0,
      paid: null,
      books: {},
      problems: [],
    };
    const what = [lie, trouble].flatMap((fault) => (fault === null ? [] : `${fault.kind} (${fault.who ?? 'all'})`));
    this.progress(`round ${record.round}, slot ${this.world.k2.slot}: ${what.join(', ') || 'nothing is wrong'}`);
    return record;
  }

  /** Both windows of the round that the clock is in. */
  async #windows() {
    const { k2, store } = this.world;
    const last = this.#last;
    const trouble = last?.trouble ?? null;
    store.blocks += 1;
    if (trouble?.kind === 'html' || trouble?.kind === 'slow') store.gateways = trouble.kind;
    if (trouble?.kind === 'lost-line') store.lost.add(String(trouble.who));

    if (last !== null) await this.#submissions(last);
    await this.#lists();
    k2.advanceTo(k2.slot + TERMS.submissionWindow);
    if (trouble?.kind === 'late' && last !== null) await this.#tooLate(last, this.#named(trouble.who));
    if (last !== null) await this.#audits(last);
    await this.#listAudits();
    store.gateways = 'ok';
    store.lost.clear();

    k2.advanceTo(k2.slot + TERMS.auditWindow);
    for (const { round, isPaid } of k2.payOut()) {
      const record = this.#of(round);
      if (isPaid) record.paid = byName(this.operators, /** @type {any} */ (k2.paid.get(round)));
      else record.failedLists += 1;
    }
  }

  /** @param {number} round */
  #of(round) {
    return /** @type {Played} */ (this.records.find((record) => record.round === round));
  }

  /** @param {Played} record */
  async #submissions(record) {
    const { k2 } = this.world;
    const { round, lie, trouble } = record;
    const isSilent = (/** @type {Operator} */ { name }) =>
      (trouble?.kind === 'missing' || trouble?.kind === 'late') && trouble.who === name;
    // Who copies must wait for the others.
    const honest = this.#there.filter(({ name }) => name !== lie?.who);
    await Promise.all(
      honest.map(async (operator) => {
        if (isSilent(operator)) return;
        const value = await operator.submission(round);
        record.submitted[operator.name] = value ?? null;
        if (value !== undefined) k2.submit(round, operator.key, value);
      }),
    );
    if (lie !== null) {
      const liar = this.#named(lie.who);
      const victim = honest.find(({ name }) => typeof record.submitted[name] === 'string');
      if (victim === undefined) throw new Error(`round ${round}: there is nobody to copy`);
      const value = /** @type {string} */ (record.submitted[victim.name]);
      const told = await submitLie(lie.kind, { liar, round, victim: victim.key, value, world: this.world });
      record.submitted[liar.name] = told ?? null;
      if (told !== undefined) k2.submit(round, liar.key, told);
    }
    for (const { name, pod } of this.#there) {
      const own = /** @type {any} */ (await pod.get(`/submission/${round}`));
      if (own !== null && typeof record.submitted[name] === 'string') record.work[name] = own.work;
    }
  }

  /** @param {Played} record @param {Operator} operator */
  async #tooLate(record, operator) {
    const value = await operator.submission(record.round);
    try {
      this.world.k2.submit(record.round, operator.key, String(value));
      record.problems.push(`K2 took ${operator.name}'s submission after the window`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      record.refused[operator.name] = error.message;
    }
  }

  /** Everybody audits some submissions; a liar votes everybody down, and first. @param {Played} record */
  async #audits(record) {
    const { k2 } = this.world;
    const { round, lie } = record;
    const submitters = Object.keys(k2.submissions[round] ?? {}).sort();
    const voters = new Random('votes', this.seed, round).shuffled(this.#there);
    const isLiar = ({ name = '' }) => name === lie?.who;
    await Promise.all(
      voters.map(async (voter) => {
        /** @type {Played['verdicts'][string]} */
        const verdicts = (record.verdicts[voter.name] = {});
        const drawn = new Random('sample', this.seed, round, voter.name).shuffled(submitters).slice(0, SAMPLE);
        for (const key of drawn) {
          if (key === voter.key) continue;
          const { name } = /** @type {Operator} */ (this.operators.find((operator) => operator.key === key));
          const value = k2.submissions[round]?.[key]?.submission_value.trim() ?? '';
          // A thrown error is no vote.
          verdicts[name] = isLiar(voter) ? false : await voter.audit(value, round, key).catch(() => null);
        }
      }),
    );
    for (const voter of [...voters.filter(isLiar), ...voters.filter((voter) => !isLiar(voter))]) {
      for (const [name, verdict] of Object.entries(record.verdicts[voter.name] ?? {})) {
        if (verdict !== null) k2.vote(round, this.#named(name).key, voter.key, verdict);
      }
    }
    for (const key of submitters) {
      const { name } = /** @type {Operator} */ (this.operators.find((operator) => operator.key === key));
      const votes = k2.triggers[round]?.[key]?.votes ?? [];
      record.votes[name] = {
        against: votes.filter((vote) => !vote.is_valid).length,
        votes: k2.votes(round, key),
      };
    }
  }

  /** @param {Operator} operator @param {Played} record */
  async #listOf(operator, record) {
    try {
      return await operator.distribution(record.round);
    } catch (error) {
      record.lists[operator.name] ??= null;
      // With no line to anywhere there is no list, and that is right.
      if (!this.world.store.lost.has(operator.name)) record.problems.push(`${operator.name}: ${error}`);
      return null;
    }
  }

  /** The chosen nodes submit the lists that are due. */
  async #lists() {
    const { k2 } = this.world;
    for (const round of k2.undistributed()) {
      const record = this.#of(round);
      record.stakes = byName(this.operators, k2.stakes);
      const chosen = this.#there.find(({ key }) => key === k2.listSubmitter(round));
      const list = chosen === undefined ? null : await this.#listOf(chosen, record);
      if (chosen === undefined || list === null) {
        k2.noList(round);
        continue;
      }
      const isGreedy = record.trouble?.kind === 'greedy-list' && record.failedLists === 0;
      k2.submitList(round, chosen.key, isGreedy ? { [chosen.key]: BOUNTY } : list);
    }
  }

  /** Everybody computes the lists again, and votes down what is not the same. */
  async #listAudits() {
    const { k2 } = this.world;
    for (const [round, { submitter, list }] of [...k2.lists].sort(([a], [b]) => a - b)) {
      const record = this.#of(round);
      const texts = await Promise.all(
        this.#there.map(async (operator) => {
          const own = await this.#listOf(operator, record);
          if (own === null) return [operator, null];
          const text = listText(own);
          const before = record.lists[operator.name] ?? text;
          if (before !== text) record.problems.push(`${operator.name} had another list before`);
          record.lists[operator.name] = text;
          return [operator, text];
        }),
      );
      const isEqual = (/** @type {unknown} */ text) => text === listText(list);
      // Votes against come first: one for a list counts only where there is one against it.
      for (const side of [false, true]) {
        for (const [operator, text] of /** @type {[Operator, string | null][]} */ (texts)) {
          if (text === null || operator.key === submitter || isEqual(text) !== side) continue;
          k2.voteList(round, operator.key, side);
        }
      }
    }
  }

  /** Until every miner has found shares. A block from elsewhere moves the chain on. @param {Played} record */
  async #mining(record) {
    const { round, trouble } = record;
    const enough = (/** @type {Operator} */ operator, /** @type {number} */ shares) =>
      eventually(`${operator.name}'s shares of round ${round}`, async () => (await operator.shares(round)) >= shares);
    await Promise.all(this.#there.map((operator) => enough(operator, SHARES)));
    if (trouble?.kind === 'pod-killed') {
      const operator = this.#named(trouble.who);
      const before = await operator.shares(round);
      await operator.stop({ signal: 'SIGKILL' });
      await operator.start();
      // Nobody tells it of the round again.
      const after = await operator.shares(round);
      if (after < before) record.problems.push(`${operator.name} had ${before} shares and after the restart ${after}`);
      await enough(operator, after + SHARES);
    }
    await this.world.bitcoind.mine(1);
  }

  /** Nobody can submit the round that the clock left behind, nor one that never began. @param {Played} record */
  async #afterJump(record) {
    const { k2 } = this.world;
    const skipped = k2.round - 1;
    this.progress(`the slot jumps to ${k2.slot}: round ${record.round} cannot be submitted any more`);
    await Promise.all(
      this.#there.map(async (operator) => {
        const value = await operator.submission(skipped);
        if (value !== undefined) record.problems.push(`${operator.name} submits round ${skipped}, which never began`);
        try {
          k2.submit(record.round, operator.key, 'too late');
          record.problems.push('K2 took a submission from before the jump');
        } catch (error) {
          record.refused[operator.name] = error instanceof Error ? error.message : String(error);
        }
      }),
    );
    this.#last = null;
  }
}
