/** Requests in an order that no node should send them in. */

/** How often Koii may name the same round. */
const TASKS = 1000;
const AT_ONCE = 50;

/**
 * @param {import('./operator.js').Operator} operator
 * @param {number} round which begins now; the node was not told of it yet
 * @param {import('./simulation.js').Played | null} last
 * @returns {Promise<string[]>} what it did wrong
 */
export async function disorder(operator, round, last) {
  /** @type {string[]} */
  const problems = [];
  const expect = (/** @type {boolean} */ holds, /** @type {string} */ what) => {
    if (!holds) problems.push(`${operator.name}: ${what}`);
  };
  const status = async (/** @type {string} */ route, /** @type {object} */ init = {}) => {
    const response = await fetch(`${operator.pod.base}/${route}`, init);
    const body = await response.text();
    expect(response.headers.get('content-type') === 'application/json', `${route} does not answer JSON but ${body}`);
    return response.status;
  };
  const json = (/** @type {unknown} */ body) => ({
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });

  // An audit of a round before the node heard of it, of the round that begins, and of one that is far away.
  for (const future of [round, round + 1000]) {
    const isFalse = (await operator.audit('submission', future, operator.world.task)) === false;
    expect(isFalse, `audits what is no CID in round ${future} and does not refuse it`);
    expect((await operator.submission(future)) === undefined, `submits round ${future} before it was`);
    expect((await status(`submission/${future}`)) === 404, `submission/${future} is not 404`);
    // Whatever it answers: it must not change what is paid later, which everybody compares.
    await operator.distribution(future).catch(() => null);
  }
  for (const body of [{}, { submission: {} }, { submission: [] }, []]) {
    expect((await status('audit', json(body))) === 400, `audit of ${JSON.stringify(body)} is not 400`);
  }
  expect((await status('audit', json('x'.repeat(1_100_000)))) === 413, 'a body of more than 1 MB is not 413');
  for (const route of ['task/-1', 'task/1e3', 'task/99999999999999999999']) {
    expect((await status(route, { method: 'POST' })) === 400, `${route} is not 400`);
  }
  // The round before, which it knows, and this one, a thousand times.
  if (last !== null)
    expect((await status(`task/${last.round}`, { method: 'POST' })) === 200, 'an old /task is not 200');
  const wrong = new Set();
  for (let sent = 0; sent < TASKS; sent += AT_ONCE) {
    const statuses = Array.from({ length: AT_ONCE }, () => status(`task/${round}`, { method: 'POST' }));
    for (const code of await Promise.all(statuses)) if (code !== 200) wrong.add(code);
  }
  expect(wrong.size === 0, `of ${TASKS} /task some are answered ${[...wrong].join(', ')}`);
  await Promise.all(Array.from({ length: AT_ONCE }, () => operator.task(round)));
  return problems;
}
