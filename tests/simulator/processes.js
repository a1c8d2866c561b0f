/** Processes of the simulation: all of them end with it. */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { createServer } from 'node:net';

/** Polls: generous, because a busy machine is slow and no fault. */
const PATIENCE_MS = 180_000;
const POLL_MS = 50;

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** @type {Set<ChildProcess>} */
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** @param {ChildProcess} child @returns {ChildProcess} */
export function owned(child) {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: Record<string, string>, cwd?: string, log: string }} options `log`: where its output is added to
 * @returns {ChildProcess}
 */
export function start(program, args, { env = {}, cwd, log }) {
  const output = openSync(log, 'a');
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', output, output],
    ...(cwd === undefined ? {} : { cwd }),
  });
  closeSync(output);
  // Without a listener a program that cannot be started would end everything here.
  child.on('error', () => {});
  return owned(child);
}

/** @param {ChildProcess | null} child @param {NodeJS.Signals} [signal] */
export async function stop(child, signal = 'SIGTERM') {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

/** Below the ports that connections get for themselves: one of those could take it before its server does. */
const PORTS = { from: 12_000, to: 32_000 };

/** @returns {Promise<number>} */
export async function freePort() {
  for (;;) {
    const server = createServer();
    try {
      server.listen(randomInt(PORTS.from, PORTS.to), '127.0.0.1');
      await once(server, 'listening');
    } catch {
      continue;
    }
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** @param {number} milliseconds @returns {Promise<void>} */
export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Asks until there is an answer.
 *
 * @template T
 * @param {string} what for the error
 * @param {() => Promise<T | undefined | null | false>} ask a rejection is no answer yet
 * @param {() => boolean} [isHopeless] what was waited for has ended
 * @returns {Promise<T>}
 */
export async function eventually(what, ask, isHopeless = () => false) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    /** @type {unknown} */
    let trouble = 'no answer';
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== null && answer !== false) return answer;
    } catch (error) {
      trouble = error;
    }
    if (isHopeless()) throw new Error(`${what}: it has ended (${trouble})`);
    if (Date.now() > deadline) throw new Error(`${what} does not come to pass (${trouble})`);
    await pause(POLL_MS);
  }
}
