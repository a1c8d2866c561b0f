/**
 * A container as far as its HTTP goes: statuses, bodies and content types of `orcapool run`. `real-node.test.js` holds
 * it against the
 * real one.
 */
import { createServer } from 'node:http';

/** @typedef {{ status?: number, type?: string | null, body: unknown, text?: string }} Answer */

export class Container {
  /** @type {{ method: string, path: string, type: string | undefined, body: any }[]} */
  requests = [];
  /**
   * What a route answers instead of what it usually does. @type {Map<string, (request: any) => Answer |
   * Promise<Answer>>}
   */
  instead = new Map();
  cid = 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua';
  rounds = new Set();
  /** Rounds whose accepted submissions it knows. */
  known = new Set();
  #server = createServer((request, response) => void this.#serve(request, response));
  base = '';

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
    const parts = [];
    for await (const part of request) parts.push(part);
    const text = Buffer.concat(parts).toString();
    const seen = {
      method: String(request.method),
      path: String(request.url),
      type: request.headers['content-type'],
      body: text === '' ? null : JSON.parse(text),
    };
    this.requests.push(seen);
    const route = seen.path.split('/')[1] ?? '';
    const answer = await (this.instead.get(route)?.(seen) ?? this.#usual(route, seen));
    const type = answer.type === undefined ? 'application/json' : answer.type;
    response.writeHead(answer.status ?? 200, type === null ? {} : { 'Content-Type': type });
    response.end(answer.text ?? JSON.stringify(answer.body));
  }

  /** @param {string} route @param {{ path: string, body: any }} request @returns {Answer} */
  #usual(route, { path, body }) {
    const round = Number(path.split('/')[2]);
    /** @param {number} status @param {string} error */
    const refusal = (status, error) => ({ status, body: { status, error } });
    if (route === 'healthz') return { body: { status: 200, ready: true } };
    if (route === 'task') {
      this.rounds.add(round);
      return { body: { status: 200, round, message: `mining for round ${round}` } };
    }
    if (route === 'submission') {
      if (!this.rounds.has(round)) return refusal(404, `this node has no submission for round ${round}`);
      return {
        body: { cid: this.cid, shares: 3, work: '12884901891', difficulty: 3.0000000007, root: 'ab'.repeat(32) },
      };
    }
    if (route === 'audit') return { body: body.submission.shares === 3 && body.submission.cid === this.cid };
    if (route === 'distribution') {
      for (const known of body.rounds ?? [round]) this.known.add(known);
      for (let before = round - 1; before >= body.firstRound; before -= 1) {
        if (!this.known.has(before))
          return refusal(409, `the accepted submissions of round ${before} are not known to this node`);
      }
      const paid = body.submissions.filter(
        (/** @type {any} */ it) => (it.roundNumber ?? round) === round && it.votes > 0 && typeof it.cid === 'string',
      );
      const share = Math.floor(body.bounty / Math.max(1, paid.length));
      return { body: Object.fromEntries(paid.map((/** @type {any} */ it) => [it.stakingKey, share])) };
    }
    return refusal(404, 'no such route');
  }
}
