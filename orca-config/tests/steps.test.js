/** The steps one by one, against containers, storages and nodes that misbehave. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { shortened } from '../src/accepted.js';
import { address, keypair, signPayload } from './stand-ins/keys.js';
import { TASK, operator } from './stand-ins/node.js';

const GENERATIONS = /** @type {const} */ (['single', 'double']);
/** @type {{ stop(): Promise<unknown> }[]} */
const running = [];
after(() => Promise.all(running.map((container) => container.stop())));

/** @param {Parameters<typeof operator>[0]} [parts] */
async function start(parts) {
  const node = await operator(parts);
  running.push(node.container);
  return node;
}

/**
 * Another node's submission of round 7, as it is said to be.
 * @param {import('./stand-ins/ipfs.js').Storage} storage
 * @param {object} [fields]
 * @param {string} [signer]
 */
function submitted(storage, fields = {}, signer = 'bob') {
  const statement = {
    taskId: TASK,
    roundNumber: 7,
    stakingKey: address('bob'),
    cid: 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua',
    shares: 3,
    ...fields,
  };
  return storage.add(
    'submission.json',
    JSON.stringify({ signature: signPayload(statement, keypair(signer).secretKey) }),
  );
}

/** What a route may answer that is not what it should. @type {[string, import('./stand-ins/container.js').Answer][]} */
const NOT_ANSWERS = [
  ['HTML', { type: 'text/html', body: null, text: '<html>Bad gateway</html>' }],
  ['HTML, bad gateway', { status: 502, type: 'text/html', body: null, text: '<html>Bad gateway</html>' }],
  ['"false" as text', { type: 'text/plain', body: null, text: 'false' }],
  ['"true" as text', { type: 'text/plain', body: null, text: 'true' }],
  ['nothing, without content type', { type: null, body: null, text: '' }],
  ['broken JSON', { body: null, text: '{"cid":' }],
  ['null', { body: null }],
  ['a number', { body: 1 }],
  ['text', { body: 'true' }],
  ['an empty object', { body: {} }],
  ['a list', { body: [true] }],
  ['a success of another kind', { body: { success: true, data: { passed: true } } }],
  ['two megabytes', { body: { cid: 'x'.repeat(2_000_000) } }],
  ['unavailable', { status: 503, body: { status: 503, error: 'the Bitcoin node is away' } }],
  ['not allowed', { status: 403, body: { status: 403, error: 'only the sidecar may' } }],
];

for (const generation of GENERATIONS) {
  test(`task: a round begins (${generation})`, async () => {
    const node = await start({ generation });
    await node.steps.task(5);
    assert.deepEqual(node.container.requests, [{ method: 'POST', path: '/task/5', type: undefined, body: null }]);
    assert.deepEqual(node.lines, ['round 5 has begun']);
  });

  test(`task: a container that is just starting is asked again (${generation})`, async () => {
    const node = await start({ generation });
    let asked = 0;
    node.container.instead.set('task', () =>
      (asked += 1) < 4 ? { status: 503, body: { status: 503, error: 'starting' } } : { body: { status: 200 } },
    );
    await node.steps.task(5);
    assert.equal(asked, 4);
    assert.deepEqual(node.lines, ['round 5 has begun']);
  });

  test(`task: nobody listens, and a later round begins meanwhile (${generation})`, async () => {
    const node = await start({ generation, base: 'http://127.0.0.1:9' });
    const sixth = { asked: false };
    node.parts.pause = async () => {
      if (!sixth.asked) {
        sixth.asked = true;
        node.parts.pause = async () => {};
        void node.steps.task(6);
      }
    };
    const { makeTask } = await import('../src/task/1-task.js');
    node.steps.task = makeTask({ ...node.parts, pause: () => node.parts.pause(0) }, { newest: -1 });
    await node.steps.task(5);
    assert.match(node.lines[0] ?? '', /round 5 has not begun/);
  });

  test(`submission: signed, uploaded, once (${generation})`, async () => {
    const node = await start({ generation });
    await node.steps.task(7);
    const cid = await node.steps.submission(7);
    assert.ok(cid !== undefined && Buffer.byteLength(cid) <= 512);
    const { signature } = JSON.parse(new TextDecoder().decode(node.storage.files.get(cid)?.bytes));
    assert.equal(typeof signature, 'string');
    const found = await node.parts.envelopes.find(cid, { taskId: TASK, roundNumber: 7, stakingKey: node.key });
    assert.equal(found.is, 'signed');
    assert.ok(found.is === 'signed' && found.statement['shares'] === 3);
    assert.equal(await node.steps.submission(7), cid);
    assert.equal(node.storage.uploads, 1);
    assert.ok(node.lines.every((line) => !/unknown form/.test(line)));
  });

  test(`submission: whatever else comes back, nothing is submitted and nothing thrown (${generation})`, async () => {
    for (const [name, answer] of NOT_ANSWERS) {
      const node = await start({ generation });
      node.container.instead.set('submission', () => answer);
      assert.equal(await node.steps.submission(7), undefined, name);
      assert.equal(node.storage.uploads, 0, name);
      assert.match(node.lines.join(), /nothing to submit/, name);
    }
    const node = await start({ generation });
    assert.equal(await node.steps.submission(7), undefined, 'a round it took no part in');
  });

  test(`audit: true and false are what the container says (${generation})`, async () => {
    const node = await start({ generation });
    assert.equal(await node.steps.audit(await submitted(node.storage), 7, address('bob')), true);
    const { body, type } = /** @type {any} */ (node.container.requests.at(-1));
    assert.equal(type, 'application/json');
    assert.deepEqual(Object.keys(body), ['submission', 'seed']);
    assert.equal(body.seed, 'cd'.repeat(32));
    assert.equal(body.submission.roundNumber, 7);
    assert.equal(await node.steps.audit(await submitted(node.storage, { shares: 4 }), 7, address('bob')), false);
  });

  test(`audit: anything but a boolean is no vote (${generation})`, async () => {
    for (const [name, answer] of NOT_ANSWERS) {
      const node = await start({ generation });
      node.container.instead.set('audit', () => answer);
      await assert.rejects(node.steps.audit(await submitted(node.storage), 7, address('bob')), Error, name);
    }
  });

  test(`audit: a container that hangs is no vote (${generation})`, async () => {
    const node = await start({ generation, patience: 200 });
    node.container.instead.set('audit', () => new Promise(() => {}));
    await assert.rejects(node.steps.audit(await submitted(node.storage), 7, address('bob')), /no answer within/);
  });

  test(`distribution: the container’s list, with everybody in it (${generation})`, async () => {
    const node = await start({ generation });
    const cid = await submitted(node.storage);
    node.k2.submit(7, address('bob'), cid);
    node.k2.submit(7, address('carol'), await node.storage.add('submission.json', '{"signature":"1"}'));
    for (let voter = 0; voter < 3; voter += 1) node.k2.vote(7, address('carol'), `voter ${voter}`, false);
    node.container.known.add(6);
    const list = await node.steps.distribution(node.k2.submitters(7, 1000), 100, 7).catch((error) => error);
    assert.match(String(list), /no list, status 409/, 'rounds 0 and 1 are unknown, and K2 may have forgotten them');
    for (let round = 0; round < 7; round += 1) node.container.known.add(round);
    assert.deepEqual(await node.steps.distribution(node.k2.submitters(7, 1000), 100, 7), {
      [address('bob')]: 100,
      [address('carol')]: -700,
    });
  });

  test(`distribution: anything but a list is no list (${generation})`, async () => {
    for (const [name, answer] of NOT_ANSWERS) {
      if (name === 'an empty object') continue; // a round without work
      const node = await start({ generation });
      node.container.instead.set('distribution', () => answer);
      node.k2.submit(7, address('bob'), await submitted(node.storage));
      await assert.rejects(node.steps.distribution(node.k2.submitters(7, 1000), 100, 7), Error, name);
    }
  });
}

test('413 from an audit is a verdict, where the sidecar hands it on', async () => {
  const node = await start();
  node.container.instead.set('audit', () => ({ status: 413, body: { status: 413, error: 'too large' } }));
  assert.equal(await node.steps.audit(await submitted(node.storage), 7, address('bob')), false);
});

test('/task a thousand times is one request at a time', async () => {
  const node = await start();
  let atOnce = 0;
  let most = 0;
  node.container.instead.set('task', async () => {
    most = Math.max(most, (atOnce += 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    atOnce -= 1;
    return { body: { status: 200 } };
  });
  await Promise.all(Array.from({ length: 1000 }, () => node.steps.task(5)));
  assert.deepEqual([most, node.container.requests.length], [1, 1]);
});

test('a late round is refused by the container and not asked for again', async () => {
  const node = await start();
  node.container.instead.set('task', () => ({
    status: 409,
    body: { status: 409, error: 'round 3 is behind round 7' },
  }));
  await node.steps.task(3);
  assert.equal(node.container.requests.length, 1);
  assert.match(node.lines.join(), /round 3 has not begun: status 409: round 3 is behind/);
});

test('rounds that are none', async () => {
  const node = await start();
  for (const round of /** @type {any[]} */ ([-1, 1.5, NaN, '7', null, undefined, 2 ** 53])) {
    await node.steps.task(round);
    assert.equal(await node.steps.submission(round), undefined);
    await assert.rejects(node.steps.audit('x', round, address('bob')));
    await assert.rejects(node.steps.distribution([], 0, round));
  }
  assert.deepEqual(node.container.requests, []);
});

test('a round that has not begun is not distributed: the container might settle it, with nobody in it', async () => {
  const node = await start();
  await node.steps.task(7);
  await assert.rejects(node.steps.distribution([], 100, 8), /has not begun/);
  assert.ok(!node.container.requests.some(({ path }) => path.startsWith('/distribution')));
});

test('submission: a Koii node that fails gives no submission', async () => {
  const failed = { error: { message: 'Request failed' } };
  /** @type {[string, (node: Awaited<ReturnType<typeof start>>) => void][]} */
  const failures = [
    ['no key', (node) => (node.namespaceWrapper.getSubmitterAccount = /** @type {any} */ (async () => null))],
    [
      'no key but an error',
      (node) => (node.namespaceWrapper.getSubmitterAccount = /** @type {any} */ (async () => failed)),
    ],
    ['no signature', (node) => (node.namespaceWrapper.payloadSigning = /** @type {any} */ (async () => failed))],
    [
      'the main account’s signature',
      (node) => (node.namespaceWrapper.payloadSigning = async (body) => signPayload(body, keypair('main').secretKey)),
    ],
    [
      'no upload',
      (node) =>
        (node.storage.uploadFile = async () => {
          throw new Error('Mismatch owner');
        }),
    ],
    ['an upload without CID', (node) => (node.storage.uploadFile = /** @type {any} */ (async () => ({})))],
    ['a CID that is none', (node) => (node.storage.uploadFile = async () => ({ cid: 'x'.repeat(513) }))],
  ];
  for (const [name, fail] of failures) {
    const node = await start();
    await node.steps.task(7);
    fail(node);
    assert.equal(await node.steps.submission(7), undefined, name);
    assert.match(node.lines.join(), /nothing to submit for round 7/, name);
  }
});

test('audit: a submission whose signature, key, task or round does not match is not valid', async () => {
  const node = await start();
  const { storage } = node;
  /** @type {[string, string, string?][]} */
  const cases = [
    ['a copycat', await submitted(storage), address('mallory')],
    ['another signer', await submitted(storage, {}, 'mallory')],
    ['an earlier round again', await submitted(storage, { roundNumber: 6 })],
    ['a future round', await submitted(storage, { roundNumber: 8 })],
    ['another task', await submitted(storage, { taskId: address('other task') })],
    ['HTML', await storage.add('submission.json', '<html>')],
    ['no CID', 'submission'],
    ['nothing', ''],
  ];
  for (const [name, value, submitter = address('bob')] of cases) {
    assert.equal(await node.steps.audit(value, 7, submitter), false, name);
  }
  assert.deepEqual(node.container.requests, [], 'the container is not troubled');
});

test('audit: what is nowhere to be had is not valid where other things are to be had, else no vote', async () => {
  const node = await start({ patience: 300 });
  const missing = 'bafybeiflp4ns64m5qtqgjvddjzgq6b7fv2l4765ta5bb3q4sd7medhhzzm';
  await assert.rejects(node.steps.audit(missing, 7, address('bob')), /no vote/, 'nothing was ever fetched here');
  await node.steps.task(6);
  await node.steps.submission(6);
  assert.equal(await node.steps.audit(missing, 7, address('bob')), false);
  const download = node.storage.getFile.bind(node.storage);
  node.storage.getFile = (cid, name) => (cid === missing ? new Promise(() => {}) : download(cid, name));
  assert.equal(await node.steps.audit(missing, 7, address('bob')), false, 'one that hangs');
  node.storage.getFile = () => new Promise(() => {});
  await assert.rejects(node.steps.audit(missing, 7, address('bob')), /no vote/, 'this node is cut off');
});

test('audit: a huge file is not read', async () => {
  const node = await start({ patience: 300 });
  await node.steps.task(6);
  await node.steps.submission(6);
  const value = await node.storage.add('submission.json', `{"signature":"${'1'.repeat(1_000_000)}"}`);
  assert.equal(await node.steps.audit(value, 7, address('bob')), false);
});

test('distribution: a copycat that nobody drew earns nothing and is slashed', async () => {
  const node = await start();
  for (let round = 0; round < 7; round += 1) node.container.known.add(round);
  const cid = await submitted(node.storage);
  node.k2.submit(7, address('bob'), cid);
  node.k2.submit(7, address('mallory'), cid);
  const list = await node.steps.distribution(node.k2.submitters(7, 1001), 101, 7);
  assert.deepEqual(list, { [address('bob')]: 101, [address('mallory')]: -700 });
});

test('distribution: without every accepted envelope there is no list, of the others none is needed', async () => {
  const node = await start({ patience: 300 });
  for (let round = 0; round < 7; round += 1) node.container.known.add(round);
  const missing = 'bafybeiflp4ns64m5qtqgjvddjzgq6b7fv2l4765ta5bb3q4sd7medhhzzm';
  node.k2.submit(7, address('bob'), await submitted(node.storage));
  node.k2.submit(7, address('carol'), missing);
  await assert.rejects(node.steps.distribution(node.k2.submitters(7, 1000), 100, 7), /cannot be read/);
  node.k2.vote(7, address('carol'), 'anybody', false);
  assert.deepEqual(await node.steps.distribution(node.k2.submitters(7, 1000), 100, 7), {
    [address('bob')]: 100,
    [address('carol')]: 0,
  });
});

test('where a submitter says that its bundle is goes on to the container, and what is no such text does not', async () => {
  const gateway = 'http://203.0.113.9:8338';
  for (const [said, sent] of [
    [gateway, gateway],
    [`http://${'a'.repeat(200)}`, undefined],
    [5, undefined],
    [{ url: gateway }, undefined],
  ]) {
    const node = await start();
    for (let round = 0; round < 7; round += 1) node.container.known.add(round);
    const cid = await submitted(node.storage, { gateway: said });
    assert.equal(await node.steps.audit(cid, 7, address('bob')), true);
    node.k2.submit(7, address('bob'), cid);
    // Whatever it is, the list is the same.
    assert.deepEqual(await node.steps.distribution(node.k2.submitters(7, 1000), 100, 7), { [address('bob')]: 100 });
    const bodies = node.container.requests.map(({ path, body }) => ({ path, body }));
    assert.deepEqual(bodies.find(({ path }) => path === '/audit')?.body.submission.gateway, said);
    const { submissions } = bodies.find(({ path }) => path === '/distribution/7')?.body;
    assert.deepEqual([submissions[0].gateway, submissions[0].votes], [sent, 1]);
  }
});

test('no submitter makes a distribution too long for the container', () => {
  const cid = 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua';
  const plain = Array.from({ length: 100 }, () => ({ stakingKey: address('bob'), roundNumber: 7, votes: 1, cid }));
  const submissions = plain.map((submission) => ({ ...submission, gateway: `http://${'a'.repeat(120)}` }));
  const length = JSON.stringify({ bounty: 1, submissions }).length;
  assert.deepEqual(shortened({ bounty: 1, submissions }, length), { bounty: 1, submissions });
  assert.deepEqual(shortened({ bounty: 1, submissions }, length - 1), { bounty: 1, submissions: plain });
});

test('distribution: where votes are even nothing is paid, and nothing has to be fetched', async () => {
  const node = await start({ patience: 300 });
  for (let round = 0; round < 7; round += 1) node.container.known.add(round);
  node.k2.submit(7, address('carol'), 'bafybeiflp4ns64m5qtqgjvddjzgq6b7fv2l4765ta5bb3q4sd7medhhzzm');
  node.k2.vote(7, address('carol'), 'one', false);
  node.k2.vote(7, address('carol'), 'another', true);
  assert.deepEqual(await node.steps.distribution(node.k2.submitters(7, 1000), 100, 7), { [address('carol')]: 0 });
});

test('what was fetched for an audit is there for the distribution', async () => {
  const node = await start();
  for (let round = 0; round < 7; round += 1) node.container.known.add(round);
  const cid = await submitted(node.storage);
  assert.equal(await node.steps.audit(cid, 7, address('bob')), true);
  node.storage.files.clear();
  node.k2.submit(7, address('bob'), cid);
  assert.deepEqual(await node.steps.distribution(node.k2.submitters(7, 1000), 100, 7), { [address('bob')]: 100 });
});

test('distribution: K2 must be readable, and agree with what Koii names', async () => {
  const node = await start();
  const submitters = [{ publicKey: address('bob'), votes: 1, stake: 5 }];
  for (const info of [
    null,
    { error: 'x' },
    {},
    { submissions: null },
    { submissions: { 7: { nobody: { submission_value: 'x' } } } },
    { submissions: {} },
  ]) {
    node.namespaceWrapper.getTaskSubmissionInfo = /** @type {any} */ (async () => info);
    await assert.rejects(node.steps.distribution(submitters, 100, 7), /no list/, JSON.stringify(info));
  }
  assert.deepEqual(node.container.requests, []);
});

for (const generation of GENERATIONS)
  test(`distribution: rounds that the container was never told of are sent along, empty ones too (${generation})`, async () => {
    const node = await start({ generation });
    for (const round of [2, 4, 7])
      node.k2.submit(round, address('bob'), await submitted(node.storage, { roundNumber: round }));
    // Rounds 3, 5 and 6 had no submissions; 0 and 1 K2 has forgotten, but this container knows them.
    for (const round of [0, 1]) node.container.known.add(round);
    assert.deepEqual(await node.steps.distribution(node.k2.submitters(7, 1000), 100, 7), { [address('bob')]: 100 });
    const asked = node.container.requests.map(({ body }) => [body.rounds, body.submissions.length, body.firstRound]);
    assert.deepEqual(asked, [
      [undefined, 1, 0],
      [[7, 6], 1, 0],
      [[7, 5], 1, 0],
      [[7, 4], 2, 0],
      [[7, 3], 1, 0],
      [[7, 2], 2, 0],
    ]);
  });

test('distribution: a round that K2 may have forgotten is not taken for an empty one', async () => {
  const node = await start();
  node.k2.submit(40, address('bob'), await submitted(node.storage, { roundNumber: 40 }));
  await assert.rejects(node.steps.distribution(node.k2.submitters(40, 1000), 100, 40), /no list/);
  const told = node.container.requests.flatMap(({ body }) => body.rounds ?? []).filter((round) => round !== 40);
  assert.deepEqual(told, [39, 38, 37, 36, 35]);

  // A list that is late by some rounds: K2 has gone on forgetting.
  node.container.requests.length = 0;
  await node.steps.task(42);
  await assert.rejects(node.steps.distribution(node.k2.submitters(40, 1000), 100, 40), /no list/);
  const late = node.container.requests.flatMap(({ body }) => body?.rounds ?? []).filter((round) => round !== 40);
  assert.deepEqual(late, [39, 38, 37]);
});

test('routes: the pod is not at everybody’s beck and call', async () => {
  const node = await start();
  await node.steps.routes();
  const handler = node.routes.get('/status');
  assert.ok(handler !== undefined);
  /** @type {any[]} */
  const answers = [];
  const response = {
    status: (/** @type {number} */ status) => ({ json: (/** @type {any} */ body) => answers.push({ status, body }) }),
  };
  await Promise.all(Array.from({ length: 100 }, () => handler({}, response)));
  assert.equal(node.container.requests.length, 1);
  assert.equal(answers[99].status, 200);
  assert.deepEqual(answers[99].body.container, { status: 200, ready: true });
  assert.ok(!JSON.stringify(answers).includes('password'));
  node.clock.now += 5000;
  await handler({}, response);
  assert.equal(node.container.requests.length, 2);
});

test('setup says where miners connect, and what is missing', async () => {
  const node = await start();
  await node.steps.setup();
  assert.match(node.lines.join('\n'), /stratum\+tcp:\/\/<this machine>:3334/);
  node.parts.environment.BITCOIN_RPC_URL = '-';
  await node.steps.setup();
  assert.match(node.lines.join('\n'), /set BITCOIN_RPC_URL/);
});
