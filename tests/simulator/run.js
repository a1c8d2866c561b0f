#!/usr/bin/env node
/** `node tests/simulator/run.js`: see --help. */
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { HELP, Usage, parseOptions } from './options.js';

const [GOOD, BAD, COULD_NOT] = [0, 1, 2];

/** @param {string} variable @param {string} name @returns {string} a program's absolute path */
function program(variable, name) {
  const named = process.env[variable];
  const places = named ? [named] : (process.env['PATH'] ?? '').split(path.delimiter).map((dir) => path.join(dir, name));
  for (const place of places) {
    try {
      accessSync(place, constants.X_OK);
      return path.resolve(place);
    } catch {
      continue;
    }
  }
  throw new Usage(named ? `${variable}=${named} is no program` : `no ${name} in the PATH: let ${variable} name one`);
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return void process.stdout.write(HELP);
  const programs = {
    program: program('ORCAPOOL_BIN', 'orcapool'),
    bitcoind: program('ORCAPOOL_BITCOIND', 'bitcoind'),
  };
  // Late, because they need the packages of orca-config, and --help does not.
  const { simulate } = await import('./simulation.js');
  const { findings } = await import('./checks.js');
  const { table } = await import('./table.js');
  const started = Date.now();
  const progress = (/** @type {string} */ line) =>
    console.error(`${String(Math.round((Date.now() - started) / 1000)).padStart(4)} s  ${line}`);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'orcapool-simulator-'));
  let isKept = options.keep;
  try {
    progress(`seed ${options.seed}, logs in ${folder}`);
    const report = await simulate({ ...options, ...programs, folder, progress });
    const found = findings(report);
    if (options.json) {
      for (const record of report.rounds) console.log(JSON.stringify(record));
      console.log(JSON.stringify({ ...report, rounds: report.rounds.length, findings: found }));
    } else {
      console.log(table(report));
      for (const finding of found) console.log(`WRONG: ${finding}`);
      console.log(found.length === 0 ? 'All went as it must.' : `${found.length} things are not as they must be.`);
    }
    process.exitCode = found.length === 0 ? GOOD : BAD;
    isKept ||= found.length > 0;
  } catch (error) {
    isKept = true;
    throw error;
  } finally {
    if (isKept) progress(`logs and data are left in ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(error instanceof Usage ? `${error.message}\nSee --help.` : error);
  process.exitCode = COULD_NOT;
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => process.exit(COULD_NOT));
