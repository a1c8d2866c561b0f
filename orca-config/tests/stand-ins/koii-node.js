/**
 * The process that a Koii node forks, with stand-ins for Koii's packages: loads main.js and calls the steps it is told
 * to.
 */
import { createRequire } from 'node:module';

import { K2 } from './k2.js';
import { Storage } from './ipfs.js';
import { address, keypair, signPayload } from './keys.js';
import { orcaClient } from './sidecar.js';

const TASK_ID = process.argv[3];
const { MAIN_JS, CONTAINER, GENERATION } = process.env;
const k2 = new K2();
const storage = new Storage();
const kept = new Map();
let name = 'alice';
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
        getSubmitterAccount: async () => keypair(name),
        payloadSigning: async (/** @type {object} */ body, /** @type {Uint8Array} */ key) => signPayload(body, key),
        getTaskSubmissionInfo: async (/** @type {number} */ round) => k2.info(round),
        getBasePath: async () => '/home/alice/namespace',
        getRpcUrl: async () => process.argv[8],
        storeGet: async (/** @type {string} */ key) => kept.get(key) ?? null,
        storeSet: async (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
      },
    },
    '@_koii/storage-task-sdk': { KoiiStorageClient: { getInstance: () => storage } },
    '@_koii/task-manager': { initializeTaskManager: (/** @type {any} */ given) => void (steps = given) },
    '@_koii/task-manager/extensions': {
      initializeOrcaClient: (/** @type {any} */ given) => void (getConfig = given),
      getOrcaClient: async () => orcaClient(String(CONTAINER), GENERATION === 'single' ? 'single' : 'double'),
    },
  },
});
// Gateways are not asked from a test: only this machine is.
const reallyFetch = globalThis.fetch;
globalThis.fetch = (/** @type {any} */ input, /** @type {any} */ init) =>
  new URL(String(input)).hostname === '127.0.0.1'
    ? reallyFetch(input, init)
    : Promise.reject(new Error('no route to host'));

createRequire(import.meta.url)(String(MAIN_JS));

/** @type {Record<string, (...args: any[]) => Promise<unknown>>} */
const calls = {
  getConfig: () => getConfig(),
  auditAsOther: async (cid, round) => {
    name = 'bob';
    try {
      return await steps.audit(cid, round, address('alice'));
    } finally {
      name = 'alice';
    }
  },
  distribution: (cid, bounty, round) => {
    k2.submit(round, address('alice'), cid);
    return steps.distribution(k2.submitters(round, 1000), bounty, round);
  },
};
process.on('message', async (/** @type {{ step: string, args: unknown[] }} */ { step, args }) => {
  try {
    process.send?.({ result: await (calls[step] ?? steps[step])(...args) });
  } catch (error) {
    process.send?.({ error: String(error) });
  }
});
