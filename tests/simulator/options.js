/** The command line. */
import { parseArgs } from 'node:util';

import { FAULTS, LIES, TROUBLES } from './schedule.js';

const list = (/** @type {Record<string, string>} */ faults) =>
  Object.entries(faults)
    .map(([name, what]) => `  ${name.padEnd(16)} ${what}`)
    .join('\n');

export const HELP = `Plays Koii rounds with real task nodes and lets things go wrong.

Usage: node tests/simulator/run.js [OPTIONS]

  --nodes N         task nodes, from 2; with faults from 5 (default 5)
  --rounds N        rounds to play, from 1 (default 10)
  --seed SEED       what chance follows: who is hit when, and who audits whom (default 7)
  --faults A,B,...  what goes wrong, each once; all, none, or names (default all)
  --json            on standard output one JSON object a line: rounds, then the result
  --keep            leave logs and data where they are
  --help

Needs orcapool and bitcoind: ORCAPOOL_BIN and ORCAPOOL_BITCOIND name them, or they are in the PATH. ORCAPOOL_ORCA names
an orca-config whose packages are installed, if it is not the one of this clone. Nothing leaves this machine.

Lies, which must be voted down:
${list(LIES)}

Troubles, which must hurt no honest node:
${list(TROUBLES)}

Exit status: 0 if all went as it must, 1 if not, 2 if it could not be played.

Examples:
  (cd orca-config && npm ci --ignore-scripts)
  export ORCAPOOL_BIN=target/debug/orcapool ORCAPOOL_BITCOIND=$(scripts/get-bitcoind | tail -n 1)
  node tests/simulator/run.js
  node tests/simulator/run.js --nodes 7 --rounds 20 --seed another
  node tests/simulator/run.js --rounds 3 --faults pod-killed,copied-envelope
  node tests/simulator/run.js --faults none --rounds 2 --json | tail -n 1
`;

/** What is wrong with the command line. */
export class Usage extends Error {}

/**
 * @param {string[]} args
 * @returns {{ help: true } | { help: false, nodes: number, rounds: number, seed: string, faults: string[],
 *   json: boolean, keep: boolean }}
 * @throws {Usage}
 */
export function parseOptions(args) {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        nodes: { type: 'string', default: '5' },
        rounds: { type: 'string', default: '10' },
        seed: { type: 'string', default: '7' },
        faults: { type: 'string', default: 'all' },
        json: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false, short: 'h' },
      },
    }));
  } catch (error) {
    throw new Usage(error instanceof Error ? error.message : String(error));
  }
  if (values.help) return { help: true };
  const number = (/** @type {'nodes' | 'rounds'} */ name, /** @type {number} */ least, /** @type {number} */ most) => {
    const value = values[name] ?? '';
    const isFit = /^\d{1,4}$/.test(value) && Number(value) >= least && Number(value) <= most;
    if (!isFit) throw new Usage(`--${name}: a number from ${least} to ${most}`);
    return Number(value);
  };
  const named = (values.faults ?? '').split(',').filter((name) => name !== '');
  const faults = values.faults === 'all' ? FAULTS : values.faults === 'none' ? [] : [...new Set(named)];
  return {
    help: false,
    nodes: number('nodes', 2, 64),
    rounds: number('rounds', 1, 1000),
    seed: values.seed ?? '',
    faults,
    json: values.json ?? false,
    keep: values.keep ?? false,
  };
}
