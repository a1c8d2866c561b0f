/** One operator: a Koii node with the task's process, the pod it asks for, and a miner in the cellar. */
import { fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { address } from './orca.js';
import { Pod } from './pod.js';
import { owned, start, stop } from './processes.js';

const RUNNER = fileURLToPath(new URL('./task-process.js', import.meta.url));

/**
 * @typedef {object} World what all operators share
 * @property {string} folder
 * @property {string} program orcapool
 * @property {string} mainJs
 * @property {string} task
 * @property {number} hashRate of each miner, hashes a second
 * @property {import('./k2.js').K2} k2
 * @property {import('./store.js').Store} store
 * @property {Awaited<ReturnType<typeof import('./bitcoind.js').startBitcoind>>} bitcoind
 */

export class Operator {
  /** @type {import('node:child_process').ChildProcess | null} */
  #process = null;
  /** @type {import('node:child_process').ChildProcess | null} */
  #miner = null;
  #steps = 0;
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();
  /** The task's database on the operator's machine: it outlives the process and the pod. @type {Map<string, string>} */
  #kept = new Map();
  /** What the pod answers instead, for a liar. @type {((route: string) => Promise<object> | null) | null} */
  lie = null;

  /**
   * @param {World} world
   * @param {{ name: string, generation: 'single' | 'double', ports: { http: number, stratum: number },
   *   peers: string[] }} parts
   */
  constructor(world, { name, generation, ports, peers }) {
    this.world = world;
    this.name = name;
    this.key = address(name);
    this.generation = generation;
    this.ports = ports;
    this.peers = peers;
    this.pod = new Pod({ name, folder: world.folder, program: world.program, generation });
    this.log = path.join(world.folder, `${name}-task.log`);
    this.minerLog = path.join(world.folder, `${name}-miner.log`);
  }

  get isThere() {
    return this.#process !== null;
  }

  /** The Koii node starts the task: its process, and the pod that this asks for. */
  async start() {
    const { task, mainJs, store, bitcoind } = this.world;
    // As startTask of the Koii node: name, task, port, 'service', main account, secret, K2, service URL, stake, port.
    const args = ['Orcapool', task, '0', 'service', address(`${this.name}'s main account`), 'secret'];
    const child = fork(RUNNER, [...args, `${store.base}/rpc`, '', '10', '30017'], {
      env: {
        PATH: process.env['PATH'],
        ORCAPOOL_ORCA: process.env['ORCAPOOL_ORCA'],
        MAIN_JS: mainJs,
        NODE: this.name,
        STORE: store.base,
        BITCOIN_RPC_URL: bitcoind.rpcUrl,
        BITCOIN_ZMQ_URL: bitcoind.zmqUrl,
        PEERS: this.peers.join(','),
        MINER_THREADS: '0',
        HTTP_PORT: String(this.ports.http),
        PUBLIC_URL: `http://127.0.0.1:${this.ports.http}`,
        STRATUM_PORT: String(this.ports.stratum),
      },
      silent: true,
    });
    const log = createWriteStream(this.log, { flags: 'a' });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    child.on('message', (message) => void this.#hear(child, message));
    child.once('exit', (code) => {
      log.end();
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(`${this.name}'s task process ended with ${code}: see ${this.log}`));
      }
      this.#waiting.clear();
    });
    this.#process = owned(child);
    const { customPodSpec } = await this.#call('getConfig');
    await this.pod.start(customPodSpec);
    await this.#call('setup');
  }

  /** @param {import('node:child_process').ChildProcess} child @param {any} message */
  async #hear(child, message) {
    if ('step' in message) {
      const { resolve, reject } = this.#waiting.get(message.step) ?? {};
      this.#waiting.delete(message.step);
      if ('error' in message) reject?.(new Error(message.error));
      else resolve?.(message.result);
      return;
    }
    const reply = (/** @type {object} */ answer) => {
      if (child.connected) child.send({ answer: message.ask, ...answer });
    };
    try {
      reply({ result: await this.#answer(message.name, message.args) });
    } catch (error) {
      reply({ error: error instanceof Error ? error.message : String(error) });
    }
  }

  /** What Koii's packages ask of the node. @param {string} name @param {any[]} args @returns {Promise<unknown>} */
  async #answer(name, args) {
    if (name === 'submissionInfo') return this.world.k2.info(args[0]);
    if (name === 'basePath') return path.join(this.world.folder, this.name, 'namespace');
    if (name === 'storeGet') return this.#kept.get(args[0]) ?? null;
    if (name === 'storeSet') return void this.#kept.set(args[0], args[1]);
    if (name === 'podCall') {
      const lie = this.lie?.(args[0]) ?? null;
      if (lie === null) return this.pod.call(args[0], args[1] ?? undefined);
      const data = await lie;
      return this.generation === 'single' ? { status: 200, data } : { status: 200, data: { status: 200, data } };
    }
    throw new Error(`${name} is not answered here`);
  }

  /** @param {string} name @param {unknown[]} args @returns {Promise<any>} */
  #call(name, ...args) {
    const child = this.#process;
    if (child === null) throw new Error(`${this.name} is away`);
    return new Promise((resolve, reject) => {
      this.#steps += 1;
      this.#waiting.set(this.#steps, { resolve, reject });
      child.send({ step: this.#steps, name, args });
    });
  }

  /** @param {number} round @returns {Promise<void>} */
  task(round) {
    return this.#call('task', round);
  }

  /** @param {number} round @returns {Promise<string | undefined>} */
  submission(round) {
    return this.#call('submission', round);
  }

  /** @param {string} value @param {number} round @param {string} submitter @returns {Promise<boolean>} */
  audit(value, round, submitter) {
    return this.#call('audit', value, round, submitter);
  }

  /** @param {number} round @returns {Promise<Record<string, number>>} */
  distribution(round) {
    const { k2 } = this.world;
    return this.#call('distribution', k2.submitters(round), k2.terms.bounty, round);
  }

  startMiner() {
    const url = `stratum+tcp://127.0.0.1:${this.ports.stratum}`;
    const user = `${address(`${this.name}'s miner`)}.rig`;
    const args = ['mine', '--url', url, '--user', user, '--max-hash-rate', String(this.world.hashRate)];
    this.#miner = start(this.world.program, args, { env: { NO_COLOR: '1' }, log: this.minerLog });
  }

  /** Stops the miner. @returns {Promise<number>} the shares that were acknowledged to it in all its life */
  async stopMiner() {
    await stop(this.#miner);
    const log = (await readFile(this.minerLog, 'utf8')).replace(/\u001b\[[0-9;]*m/g, '');
    const [, accepted] = /accepted=(\d+)(?!.*accepted=)/s.exec(log) ?? [];
    if (accepted === undefined) throw new Error(`${this.minerLog} does not say what was accepted`);
    return Number(accepted);
  }

  /** Shares of a round that the node has stored. @param {number} round @returns {Promise<number>} */
  async shares(round) {
    return (await this.rounds()).find((it) => it.round === round)?.shares ?? 0;
  }

  /** @returns {Promise<{ round: number, shares: number }[]>} */
  async rounds() {
    return /** @type {any} */ (await this.pod.get('/api/rounds?limit=500'));
  }

  /** Process and pod go. The process dies first, and its socket's end is what deletes the pod. */
  async stop({ signal = /** @type {'SIGTERM' | 'SIGKILL'} */ ('SIGTERM') } = {}) {
    const child = this.#process;
    this.#process = null;
    await stop(child, signal);
    await this.pod.delete(signal);
  }

  /** Everything of it goes, the miner too. */
  async quit() {
    await Promise.all([this.stop({ signal: 'SIGKILL' }), stop(this.#miner, 'SIGKILL')]);
  }
}
