import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';

import constants from '../pool.js';
import { releaseComplaints } from '../scripts/release-check.js';

/** @param {string} name */
const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const wanted = { '@_koii/task-manager': '1.0.13' };
const pool = {
  ...constants,
  image: `docker.io/somebody/orcapool@sha256:${'1'.repeat(64)}`,
  config: {
    ...constants.config,
    bitcoin: { network: 'mainnet' },
    payout: { script: 'bc1q' },
    k2: { program: 'So11111111111111111111111111111111111111112' },
  },
};
const urls = { repositoryUrl: 'https://a.org', imageUrl: 'https://a.org/i.png', infoUrl: 'https://a.org' };
const task = { ...parse(read('config-task.yml')), ...urls, environment: 'PRODUCTION' };

test('what is filled in can be released', () => {
  assert.deepEqual(releaseComplaints({ pool, task, wanted, installed: wanted }), []);
});

test('no example goes to K2', () => {
  for (const file of ['config-task.yml', 'config-task-kpl.yml']) {
    const complaints = releaseComplaints({ pool: constants, task: parse(read(file)), wanted, installed: {} }).join(
      '\n',
    );
    for (const part of [
      'image is the example',
      'payout.script',
      'k2.program',
      'repositoryUrl',
      'imageUrl',
      'infoUrl',
      'npm install --no-save',
    ]) {
      assert.ok(complaints.includes(part), part);
    }
    assert.equal(complaints.includes('token_type'), file === 'config-task-kpl.yml');
    assert.equal(complaints.includes('task_type'), file === 'config-task-kpl.yml');
  }
  /** @type {[string, object, object?][]} */
  const cases = [
    ['PRODUCTION', { pool: { ...pool, config: { ...pool.config, bitcoin: { network: 'signet' } } } }],
    ['task_id', { task: { ...task, task_id: 'So11111111111111111111111111111111111111112' } }],
    ['is not pinned', { pool: { ...pool, image: 'docker.io/somebody/orcapool:latest' } }],
    ['1.0.12: npm install', { installed: { '@_koii/task-manager': '1.0.12' } }],
    ['config: tables', { pool: { ...pool, config: null } }],
  ];
  for (const [part, change] of cases) {
    const complaints = releaseComplaints({ pool, task, wanted, installed: wanted, ...change });
    assert.ok(
      complaints.some((complaint) => complaint.includes(part)),
      `${part}: ${complaints}`,
    );
  }
});
