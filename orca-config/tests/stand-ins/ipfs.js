/**
 * Koii's storage: a file goes in, the CID of a folder with it comes out. The CIDs are those of the IPFS project's own
 * importer.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { importer } from 'ipfs-unixfs-importer';

/**
 * @param {string} name
 * @param {Uint8Array} content
 * @param {{ rawLeaves?: boolean, cidVersion?: 0 | 1 }} [form]
 * @returns {Promise<string>}
 */
export async function folderCid(name, content, { rawLeaves = true, cidVersion = 1 } = {}) {
  const blocks = /** @type {any} */ ({ put: async (/** @type {unknown} */ cid) => cid });
  let root = null;
  for await (const entry of importer([{ path: name, content }], blocks, {
    cidVersion,
    rawLeaves,
    wrapWithDirectory: true,
  }))
    root = entry.cid;
  return String(root);
}

export class Storage {
  /** @type {Map<string, { name: string, bytes: Uint8Array }>} */
  files = new Map();
  uploads = 0;

  /** @param {string} name @param {Uint8Array | string} content */
  async add(name, content) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    const cid = await folderCid(name, bytes);
    this.files.set(cid, { name, bytes });
    return cid;
  }

  /** @param {string} file @param {any} wallet */
  async uploadFile(file, wallet) {
    if (!(wallet?.secretKey instanceof Uint8Array)) throw new Error('Staking wallet is not valid (Mismatch owner)');
    this.uploads += 1;
    return { cid: await this.add(path.basename(file), await readFile(file)) };
  }

  /** @param {string} cid @param {string} name */
  async getFile(cid, name) {
    const file = this.files.get(cid);
    if (file === undefined || file.name !== name) throw new Error(`no such file: ${cid}/${name}`);
    return new Blob([Buffer.from(file.bytes)]);
  }
}
