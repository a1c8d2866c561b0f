/** One operator's Koii node with the wrapper in it, made of the stand-ins. */
import { connectPod } from '../../src/pod.js';
import { envelopeFinder } from '../../src/envelopes.js';
import { connectKoii } from '../../src/koii.js';
import { makeSteps } from '../../src/task/steps.js';
import { Container } from './container.js';
import { K2 } from './k2.js';
import { Storage } from './ipfs.js';
import { address, keypair, signPayload } from './keys.js';
import { orcaClient } from './sidecar.js';

export const TASK = address('task');

/** @type {import('../../src/pool.js').Pool} */
export const POOL = {
  image: `registry.example/orcapool@sha256:${'0'.repeat(64)}`,
  taskType: 'KOII',
  firstRound: 0,
  ports: { stratum: 3334, http: 8338 },
  memory: '2Gi',
  config: { bitcoin: { network: 'regtest' }, payout: { script: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080' } },
};

/** No gateway of the world is asked in a test. */
export const offline = /** @type {typeof fetch} */ (
  async () => {
    throw new Error('no route to host');
  }
);

/**
 * @param {object} [parts]
 * @param {string} [parts.name]
 * @param {'single' | 'double'} [parts.generation]
 * @param {K2} [parts.k2]
 * @param {Storage} [parts.storage]
 * @param {typeof fetch} [parts.fetcher]
 * @param {number} [parts.patience]
 * @param {import('../../src/pool.js').Pool} [parts.pool]
 * @param {string} [parts.base] of a container that runs already
 */
export async function operator({
  name = 'alice',
  generation = 'double',
  k2 = new K2(),
  storage = new Storage(),
  fetcher = offline,
  patience = 5000,
  pool = POOL,
  base,
} = {}) {
  const container = new Container();
  if (base === undefined) await container.start();
  const kept = new Map();
  const namespaceWrapper = {
    getSubmitterAccount: async () => keypair(name),
    payloadSigning: async (/** @type {object} */ body, /** @type {Uint8Array | undefined} */ key) =>
      signPayload(body, key ?? keypair(`${name}'s main account`).secretKey),
    getTaskSubmissionInfo: async (/** @type {number} */ round) => k2.info(round),
    getBasePath: async () => `/home/${name}/namespace/${TASK}`,
    getRpcUrl: async () => undefined,
    storeGet: async (/** @type {string} */ key) => kept.get(key) ?? null,
    storeSet: async (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
  };
  const KoiiStorageClient = /** @type {any} */ ({ getInstance: () => storage });
  const koii = connectKoii({ namespaceWrapper, KoiiStorageClient, taskId: TASK, rpcUrl: undefined, taskType: 'KOII' });
  /** @type {string[]} */
  const lines = [];
  /** @type {number[]} */
  const pauses = [];
  /** @type {Map<string, (request: unknown, response: any) => Promise<unknown>>} */
  const routes = new Map();
  const clock = { now: 0 };
  const parts = {
    koii,
    pod: connectPod(async () => orcaClient(base ?? container.base, generation), patience),
    envelopes: envelopeFinder(koii, fetcher, patience),
    pool,
    environment: { BITCOIN_RPC_URL: 'http://user:password@127.0.0.1:8332' },
    seed: async () => 'cd'.repeat(32),
    pause: async (/** @type {number} */ milliseconds) => void pauses.push(milliseconds),
    log: {
      info: (/** @type {string} */ line) => void lines.push(line),
      error: (/** @type {string} */ line, /** @type {unknown} */ about) =>
        void lines.push(about === undefined ? line : `${line}: ${about}`),
    },
    now: () => clock.now,
    app: { get: (/** @type {string} */ path, /** @type {any} */ handler) => void routes.set(path, handler) },
  };
  return {
    key: address(name),
    container,
    k2,
    storage,
    namespaceWrapper,
    koii,
    parts,
    lines,
    pauses,
    routes,
    clock,
    steps: makeSteps(parts),
  };
}

/** @typedef {Awaited<ReturnType<typeof operator>>} Operator */
