/**
 * The process that a Koii node forks for the task: loads the built main.js with stand-ins for Koii's packages, whose
 * calls go to the simulator, and does the steps it is told to.
 *
 * Arguments are those of the Koii node; MAIN_JS, NODE and STORE name the bundle, the node and the file store.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

import { keypair, signPayload } from './orca.js';
import { SDK } from './store.js';

const TASK_ID = process.argv[3];
const { MAIN_JS, NODE = '', STORE } = process.env;
/** How long the wrapper waits before it asks for a submission again, and before it names a round again. */
const WAITS_MS = [10_000, 15_000];
const FASTER = 20;
const reallyFetch = globalThis.fetch;

let calls = 0;
/** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
const waiting = new Map();

/** Asks the simulator. @param {string} name @param {...unknown} args @returns {Promise<any>} */
const ask = (name, ...args) =>
  new Promise((resolve, reject) => {
    calls += 1;
    waiting.set(calls, { resolve, reject });
    process.send?.({ ask: calls, name, args });
  });

const storage = {
  /** @param {string} file @param {any} wallet */
  async uploadFile(file, wallet) {
    if (!(wallet?.secretKey instanceof Uint8Array)) throw new Error('Staking wallet is not valid (Mismatch owner)');
    const body = await readFile(file);
    return (await reallyFetch(`${STORE}/upload/${path.basename(file)}`, { method: 'POST', body })).json();
  },
  /** @param {string} cid @param {string} name */
  async getFile(cid, name) {
    const response = await reallyFetch(`${STORE}/${NODE}/${SDK}/${cid}/${name}`);
    if (!response.ok) throw new Error(`no such file: ${cid}/${name}`);
    return response.blob();
  },
};

/** @type {any} */
let steps;
/** @type {any} */
let getConfig;
Object.assign(globalThis, {
  orcapoolStandIns: {
    '@_koii/namespace-wrapper': {
      TASK_ID,
      K2_NODE_URL: process.argv[8],
      app: { get: () => {} },
      namespaceWrapper: {
        getSubmitterAccount: async () => keypair(NODE),
        payloadSigning: async (/** @type {object} */ body, /** @type {Uint8Array} */ key) => signPayload(body, key),
        getTaskSubmissionInfo: (/** @type {number} */ round) => ask('submissionInfo', round),
        getBasePath: () => ask('basePath'),
        getRpcUrl: async () => process.argv[8],
        storeGet: (/** @type {string} */ key) => ask('storeGet', key),
        storeSet: (/** @type {string} */ key, /** @type {string} */ value) => ask('storeSet', key, value),
      },
    },
    '@_koii/storage-task-sdk': { KoiiStorageClient: { getInstance: () => storage } },
    '@_koii/task-manager': { initializeTaskManager: (/** @type {any} */ given) => void (steps = given) },
    '@_koii/task-manager/extensions': {
      initializeOrcaClient: (/** @type {any} */ given) => void (getConfig = given),
      getOrcaClient: async () => ({
        podCall: (/** @type {string} */ route, /** @type {object} */ options) => ask('podCall', route, options),
      }),
    },
  },
});
// The world's gateways are those of the simulator: no request leaves the machine.
globalThis.fetch = (/** @type {any} */ input, /** @type {any} */ init) => {
  const url = new URL(String(input));
  if (url.hostname === '127.0.0.1') return reallyFetch(input, init);
  // Where the CID is a host name, it comes first.
  const [first = '', ...host] = url.hostname.split('.');
  const at = first.startsWith('ba') ? `${host.join('.')}/${first}` : url.hostname;
  return reallyFetch(`${STORE}/${NODE}/${at}${url.pathname}`, init);
};

// Slots pass faster here than K2's 0.4 s each, and so do the wrapper's waits before it asks the pod again. Deadlines
// keep their length: a busy machine is slow enough.
const reallySetTimeout = globalThis.setTimeout;
Object.assign(globalThis, {
  setTimeout: (/** @type {() => void} */ callback, /** @type {number} */ delay, /** @type {any[]} */ ...args) =>
    reallySetTimeout(callback, WAITS_MS.includes(delay) ? delay / FASTER : delay, ...args),
});

createRequire(import.meta.url)(String(MAIN_JS));

process.on('message', async (/** @type {any} */ message) => {
  if ('answer' in message) {
    const { resolve, reject } = waiting.get(message.answer) ?? {};
    waiting.delete(message.answer);
    if ('error' in message) reject?.(new Error(message.error));
    else resolve?.(message.result);
    return;
  }
  const { step, name, args } = message;
  try {
    const result = await (name === 'getConfig' ? getConfig() : steps[name](...args));
    process.send?.({ step, result });
  } catch (error) {
    process.send?.({ step, error: error instanceof Error ? error.message : String(error) });
  }
});
process.on('disconnect', () => process.exit(0));
