/** The packages of these tests. None of them is part of anything that orcapool ships. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

/** @param {string} name */
const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));
const packages = Object.entries(/** @type {Record<string, any>} */ (read('package-lock.json').packages)).filter(
  ([name]) => name !== '',
);

/** What names no licence in its package.json, and what it says instead. */
const ELSEWHERE = new Map([
  ['component-bind', 'MIT, in its README'],
  ['ms', 'MIT, in its LICENSE'],
  ['socket.io-stream', 'MIT, in its LICENSE'],
  ['xmlhttprequest-ssl', 'MIT, as `licenses`'],
]);
/** Koii's, published without a licence: fetched to be tested against, never passed on. */
const PUBLISHED = 'node_modules/@orcacompute/orca-node-client';

test('only permissive licences, but for the package under test', () => {
  assert.ok(packages.length > 30);
  for (const [name, { license, dev }] of packages) {
    assert.equal(dev, true, name);
    if (name === PUBLISHED) assert.equal(license, 'UNLICENSED');
    else if (license === undefined) assert.ok(ELSEWHERE.has(name.split('node_modules/').at(-1) ?? ''), name);
    else assert.equal(license, 'MIT', name);
  }
});

test('every package is pinned by its hash, and none runs anything when it is installed', () => {
  for (const [name, { integrity, hasInstallScript }] of packages) {
    assert.match(integrity, /^sha512-/, name);
    assert.notEqual(hasInstallScript, true, name);
  }
});

test('what the client names and never loads is left out', () => {
  // Nest and an obfuscator are of its build; `ms` is there anyway and stands for them.
  for (const [name, version] of Object.entries(read('package.json').overrides['@orcacompute/orca-node-client'])) {
    assert.match(String(version), /^npm:ms@/, name);
  }
});
