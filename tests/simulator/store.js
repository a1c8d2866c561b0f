/**
 * Where envelopes lie: Koii's storage and the public gateways, for all nodes, behind one port.
 *
 * `POST /upload/{file}` stores; `GET /{node}/{host}/{cid}/{file}` is what `host` answers to that node, which depends on
 * the host and on what is wrong with it just now; `POST /rpc` is K2's latest block hash.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

import { Storage, base58btc } from './orca.js';
import { pause } from './processes.js';

/** The name of Koii's own way to a file. */
export const SDK = 'sdk';
/** The gateway that has everything; of the others, each has its own way of not having it. */
const COMPLETE = 's3.koii.network';
const SORRY = '<!DOCTYPE html><html><body><h1>One moment, please</h1></body></html>';
const SLOW_MS = 1500;

export class Store {
  storage = new Storage();
  /** Everybody's gateways: `ok`, `html` or `slow`. */
  gateways = 'ok';
  /** Nodes whose every place answers HTML. @type {Set<string>} */
  lost = new Set();
  /** What was answered with a page. */
  pages = 0;
  /** Counts K2's blocks. */
  blocks = 0;
  base = '';
  #server = createServer((request, response) => void this.#serve(request, response));

  async start() {
    await /** @type {Promise<void>} */ (new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve)));
    this.base = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (this.#server.address()).port}`;
    return this;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #serve(request, response) {
    /** @type {Buffer[]} */
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const [node = '', host = '', ...rest] = decodeURIComponent(String(request.url)).split('/').slice(1);
    /** @param {number} status @param {string} type @param {Uint8Array | string} content */
    const answer = (status, type, content) => response.writeHead(status, { 'Content-Type': type }).end(content);
    const page = () => {
      this.pages += 1;
      return answer(200, 'text/html', SORRY);
    };
    if (request.method === 'POST' && node === 'upload') {
      return answer(200, 'application/json', JSON.stringify({ cid: await this.storage.add(host, body) }));
    }
    if (request.method === 'POST' && node === 'rpc') {
      const blockhash = base58btc.baseEncode(createHash('sha256').update(`block ${this.blocks}`).digest());
      return answer(200, 'application/json', JSON.stringify({ result: { value: { blockhash } } }));
    }
    if (this.lost.has(node)) return page();
    if (host !== SDK) {
      if (this.gateways === 'html') return page();
      if (this.gateways === 'slow') await pause(SLOW_MS);
      if (host !== COMPLETE) {
        if (host.length % 3 === 0) return page();
        return host.length % 3 === 1
          ? answer(504, 'text/plain', 'gateway timeout')
          : answer(404, 'text/plain', 'no link named that');
      }
    }
    // `koii-k2-task-metadata/<cid>/<file>`, `ipfs/<cid>/<file>` or `<cid>/<file>`.
    const [cid = '', name = ''] = rest.slice(-2);
    const file = this.storage.files.get(cid);
    return file === undefined || file.name !== name
      ? answer(404, 'application/xml', '<Error><Code>NoSuchKey</Code></Error>')
      : answer(200, 'application/json', file.bytes);
  }
}
