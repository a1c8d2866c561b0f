import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

/** @param {string} name */
const read = (name) => JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'));
const packages = Object.entries(/** @type {Record<string, any>} */ (read('package-lock.json').packages)).filter(
  ([name]) => name !== '',
);

/** As in the repository's deny.toml: a user may do with the whole what these allow. */
const ALLOWED = [
  '0BSD',
  'Apache-2.0',
  'Apache-2.0 OR MIT',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
];
/** Data of a build tool, which is not in the bundle. */
const EXCEPTIONS = new Map([['node_modules/caniuse-lite', 'CC-BY-4.0']]);

test('only permissive licences', () => {
  assert.ok(packages.length > 50);
  for (const [name, { license, dev }] of packages) {
    if (EXCEPTIONS.get(name) === license) assert.equal(dev, true, name);
    else assert.ok(ALLOWED.includes(license), `${name}: ${license}`);
  }
});

test('every package is pinned by its hash, and nothing needs a newer node', () => {
  for (const [name, { integrity, engines, hasInstallScript }] of packages) {
    assert.match(integrity, /^sha512-/, name);
    assert.notEqual(hasInstallScript, true, `${name} runs something of its own when it is installed`);
    assert.doesNotMatch(engines?.node ?? '', /^\s*>=?\s*(2[1-9]|[3-9]\d)/, name);
  }
});

test('what is bundled is few, and exactly pinned', () => {
  const { dependencies, devDependencies, peerDependencies } = read('package.json');
  assert.deepEqual(Object.keys(dependencies), ['@ipld/dag-pb', 'multiformats', 'yaml']);
  for (const version of Object.values({ ...dependencies, ...devDependencies, ...peerDependencies }))
    assert.match(version, /^\d+\.\d+\.\d+$/);
});
