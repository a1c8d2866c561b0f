/**
 * Koii's side, with what it answers checked: a call that fails inside the node resolves to `{error}` instead of
 * rejecting, so nothing it
 * hands over is what it should be until it has been looked at.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { parseCid } from './cid.js';
import { within } from './deadline.js';
import { isKey, isRecord, quoted } from './shape.js';

const PATIENCE_MS = 60_000;
const UPLOAD_PATIENCE_MS = 180_000;

/** @typedef {import('@_koii/namespace-wrapper').Keypair} Keypair */

/**
 * @param {object} parts
 * @param {typeof import('@_koii/namespace-wrapper').namespaceWrapper} parts.namespaceWrapper
 * @param {typeof import('@_koii/storage-task-sdk').KoiiStorageClient} parts.KoiiStorageClient
 * @param {string | undefined} parts.taskId
 * @param {string | undefined} parts.rpcUrl
 * @param {'KOII' | 'KPL'} parts.taskType
 */
export function connectKoii({ namespaceWrapper, KoiiStorageClient, taskId, rpcUrl, taskType }) {
  /** @template T @param {Promise<T>} promise @param {string} what */
  const soon = (promise, what) => within(promise, PATIENCE_MS, what);

  /** @returns {Promise<Keypair>} */
  const wallet = async () => {
    const asked =
      taskType === 'KPL' ? namespaceWrapper.getSubmitterAccount('KPL') : namespaceWrapper.getSubmitterAccount();
    const account = /** @type {Partial<Keypair> | null} */ (await soon(asked, 'the staking key'));
    if (!isKey(account?.publicKey?.toBase58?.()) || !(account?.secretKey instanceof Uint8Array)) {
      throw new Error('the Koii node does not give the staking key: is the task staked?');
    }
    return /** @type {Keypair} */ (account);
  };

  return {
    /** @returns {string} */
    taskId() {
      if (!isKey(taskId))
        throw new Error(`no Koii task: this program is started by a Koii node, with the task's id (${quoted(taskId)})`);
      return taskId;
    },

    /** The operator's name in submissions and lists, base58. */
    stakingKey: async () => (await wallet()).publicKey.toBase58(),

    /**
     * @param {object} statement
     * @returns {Promise<string>} base58 of signature and message
     */
    async sign(statement) {
      const { secretKey } = await wallet();
      const signed = await soon(namespaceWrapper.payloadSigning(statement, secretKey), 'the signature');
      if (typeof signed !== 'string') throw new Error('the Koii node does not sign');
      return signed;
    },

    /**
     * @param {string} name
     * @param {string} text
     * @returns {Promise<string>} the CID of a folder with this file
     */
    async upload(name, text) {
      // The file's name becomes part of what the CID names; a folder of its own keeps two rounds apart.
      const folder = await mkdtemp(path.join(os.tmpdir(), 'orcapool-'));
      try {
        const file = path.join(folder, name);
        await writeFile(file, text, { mode: 0o600 });
        const uploading = KoiiStorageClient.getInstance({}).uploadFile(file, await wallet());
        const { cid } = (await within(uploading, UPLOAD_PATIENCE_MS, 'the upload')) ?? {};
        if (typeof cid !== 'string' || parseCid(cid) === null)
          throw new Error(`the upload gave no CID but ${quoted(cid)}`);
        return cid;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },

    /**
     * Koii's own way to a file. It takes no limit, so the size is looked at afterwards.
     *
     * @param {string} cid
     * @param {string} name
     * @param {number} limit bytes
     * @returns {Promise<Uint8Array>}
     */
    async download(cid, name, limit) {
      const blob = await KoiiStorageClient.getInstance({}).getFile(cid, name);
      if (!(blob?.size <= limit)) throw new Error('Koii storage: no file, or too large a one');
      return new Uint8Array(await blob.arrayBuffer());
    },

    /** @param {number} round @returns {Promise<unknown>} see `judgedOf` */
    submissionInfo: (round) => soon(namespaceWrapper.getTaskSubmissionInfo(round), 'the submissions on K2'),

    /** JSON-RPC of K2; null where the node names none. @returns {Promise<string | null>} */
    async rpcUrl() {
      const isUrl = (/** @type {unknown} */ url) => typeof url === 'string' && /^https?:\/\//.test(url);
      if (isUrl(rpcUrl)) return /** @type {string} */ (rpcUrl);
      const url = await soon(namespaceWrapper.getRpcUrl(), 'the RPC URL').catch(() => null);
      return isUrl(url) ? /** @type {string} */ (url) : null;
    },

    /** Where the task may keep files on the operator's machine. @returns {Promise<string>} */
    async basePath() {
      const base = await soon(namespaceWrapper.getBasePath(), 'the base path');
      if (typeof base !== 'string' || base === '') throw new Error('the Koii node names no folder for the task');
      return path.resolve(base);
    },

    /** @param {string} key @returns {Promise<unknown>} what was kept as JSON; null if nothing was */
    async recall(key) {
      try {
        const text = await soon(namespaceWrapper.storeGet(key), 'the task database');
        return typeof text === 'string' ? JSON.parse(text) : null;
      } catch {
        return null;
      }
    },

    /** @param {string} key @param {unknown} value */
    keep: (key, value) => soon(namespaceWrapper.storeSet(key, JSON.stringify(value)), 'the task database'),
  };
}

/** @typedef {ReturnType<typeof connectKoii>} Koii */

/** What was submitted last: `{round, cid}`. */
export const LAST_SUBMISSION = 'orcapool.submission';

/**
 * @param {Koii} koii
 * @returns {Promise<{ round: number, cid: string } | null>}
 */
export async function lastSubmission(koii) {
  const last = await koii.recall(LAST_SUBMISSION);
  if (!isRecord(last) || !Number.isSafeInteger(last['round']) || parseCid(last['cid']) === null) return null;
  return /** @type {{ round: number, cid: string }} */ (last);
}
