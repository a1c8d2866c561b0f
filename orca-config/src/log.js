/** The task's log, which the desktop node shows to its operator. */
import { quoted } from './shape.js';

/**
 * @typedef {object} Log
 * @property {(line: string) => void} info
 * @property {(line: string, about?: unknown) => void} error `about` may be somebody else's words
 */

/** @type {Log} */
export const log = {
  info: (line) => console.log(line),
  error: (line, about) => console.error(about === undefined ? line : `${line}: ${quoted(about)}`),
};
