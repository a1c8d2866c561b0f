import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';

import { SURELY_KEPT } from '../src/accepted.js';
import { VARIABLES } from '../src/variables.js';

/** @param {string} name */
const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
const { configTask: fields } = JSON.parse(read('./fields.json'));
const { limits } = fields;

for (const [file, type] of /** @type {const} */ ([
  ['config-task.yml', 'KOII'],
  ['config-task-kpl.yml', 'KPL'],
])) {
  const config = parse(read(`../${file}`));

  test(`${file} has the fields that Koii's tool wants, and no others`, () => {
    // Koii's tool takes everything falsy for missing.
    for (const field of fields.required) assert.ok(config[field], field);
    for (const field of Object.keys(config)) assert.ok([...fields.required, ...fields.optional].includes(field), field);
    for (const field of ['task_executable_network', 'task_type', 'environment'])
      assert.ok(fields[field].includes(config[field]), field);
    assert.equal(config.task_type, type);
    assert.match(config.token_type, /^[1-9A-HJ-NP-Za-km-z]{32,44}$/);
  });

  test(`${file} keeps Koii's limits`, () => {
    assert.ok(config.task_name.length <= limits.taskNameMaxCharacters);
    assert.ok(config.description.length <= limits.descriptionMaxCharacters);
    assert.ok(config.round_time >= limits.roundTimeMin);
    assert.ok(config.audit_window >= config.round_time * limits.windowMinFraction);
    assert.ok(config.submission_window >= config.round_time * limits.windowMinFraction);
    assert.ok(config.audit_window + config.submission_window <= config.round_time);
    assert.ok(config.total_bounty_amount >= limits.totalBountyMin);
    assert.ok(config.bounty_amount_per_round <= config.total_bounty_amount);
    assert.ok(config.minimum_stake_amount > 0);
    assert.ok(config.space >= limits.spaceWhitelistedMin && config.space <= limits.spaceMax);
    assert.ok(config.allowed_failed_distributions >= limits.allowedFailedDistributionsMin);
    assert.match(config.task_audit_program, /main\.js$/);
    assert.ok(read(`../${config.markdownDescriptionPath.slice(2)}`).length > 0);
  });

  test(`${file} keeps as many rounds as the wrapper counts on`, () => {
    assert.ok(config.allowed_failed_distributions >= 2 * SURELY_KEPT);
  });

  test(`${file} asks for Orca, and for every variable the wrapper reads`, () => {
    const tags = config.requirementsTags;
    for (const tag of tags)
      assert.ok(fields.requirementTypes.includes(tag.type) && typeof tag.value === 'string', JSON.stringify(tag));
    assert.ok(
      tags.some((/** @type {any} */ tag) => tag.type === fields.orcaTag.type && tag.value === fields.orcaTag.value),
    );
    const variables = tags.filter((/** @type {any} */ tag) => tag.type === 'TASK_VARIABLE');
    assert.deepEqual(
      variables.map((/** @type {any} */ tag) => tag.value),
      VARIABLES,
    );
    for (const { value, description } of variables) {
      assert.ok(description.length > 0, value);
      assert.ok(read('../TaskDescription.md').includes(`\`${value}\``), value);
    }
  });

  test(`${file} survives as base units`, () => {
    const decimals = type === 'KOII' ? 9 : 8;
    for (const field of ['minimum_stake_amount', 'total_bounty_amount', 'bounty_amount_per_round']) {
      const units = config[field] * 10 ** decimals;
      assert.ok(Number.isSafeInteger(units) && units > 0, `${field}: ${units}`);
    }
  });
}

test('both forms are the same task but for its money', () => {
  const money = ['task_type', 'token_type', 'minimum_stake_amount', 'total_bounty_amount', 'bounty_amount_per_round'];
  const [koii, kpl] = ['config-task.yml', 'config-task-kpl.yml'].map((file) =>
    Object.entries(parse(read(`../${file}`))).filter(([field]) => !money.includes(field)),
  );
  assert.deepEqual(koii, kpl);
});
