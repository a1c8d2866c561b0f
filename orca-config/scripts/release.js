/** `npm run release [-- config-task-kpl.yml]`: dist/main.js for deployment, if everything is filled in. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

import pool from '../pool.js';
import { build } from './build.js';
import { releaseComplaints } from './release-check.js';

/** @param {string} name */
const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

/** @param {string} name @returns {string | undefined} */
function installedVersion(name) {
  try {
    return JSON.parse(read(`node_modules/${name}/package.json`)).version;
  } catch {
    return undefined;
  }
}

const file = process.argv[2] ?? 'config-task.yml';
/** @type {Record<string, string>} */
const wanted = JSON.parse(read('package.json')).peerDependencies;
const installed = Object.fromEntries(Object.keys(wanted).map((name) => [name, installedVersion(name)]));
const complaints = releaseComplaints({ pool, task: parse(read(file)), wanted, installed });
if (complaints.length > 0) {
  console.error(`not to be released:\n${complaints.map((line) => `  ${line}`).join('\n')}`);
  process.exit(1);
}
const main = await build({ koii: 'bundled' });
console.log(`${main}\nsha256 ${createHash('sha256').update(readFileSync(main)).digest('hex')}`);
