/**
 * The door to orca-config: the wrapper, its build, and the stand-ins for Koii's packages.
 *
 * ORCAPOOL_ORCA is the folder whose packages are installed, where that is not the one beside this: `scripts/test` keeps
 * a copy of it outside the clone.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const ORCA = path.resolve(
  process.env['ORCAPOOL_ORCA'] || fileURLToPath(new URL('../../orca-config', import.meta.url)),
);
if (!existsSync(path.join(ORCA, 'node_modules'))) {
  throw new Error(`the packages of ${ORCA} are not installed: (cd ${ORCA} && npm ci --ignore-scripts)`);
}
const require = createRequire(path.join(ORCA, 'package.json'));

/** @param {string} file below orca-config @returns {Promise<any>} */
const part = (file) => import(pathToFileURL(path.join(ORCA, file)).href);

export const { connectPod } = await part('src/pod.js');
export const { openEnvelope, ENVELOPE_FILE } = await part('src/envelope.js');
export const { address, keypair, signPayload } = await part('tests/stand-ins/keys.js');
export const { Storage } = await part('tests/stand-ins/ipfs.js');
export const { orcaClient } = await part('tests/stand-ins/sidecar.js');
export const { layDoors } = await part('tests/stand-ins/doors.js');
export const { config: webpackConfig } = await part('webpack.config.js');
/** @type {any} */
export const webpack = require('webpack');
/** @type {{ parse(text: string): any }} */
export const yaml = require('yaml');
/** @type {{ base58btc: { baseEncode(bytes: Uint8Array): string, baseDecode(text: string): Uint8Array } }} */
export const { base58btc } = await import(pathToFileURL(require.resolve('multiformats/bases/base58')).href);
/** @type {{ base32: { baseEncode(bytes: Uint8Array): string } }} */
export const { base32 } = await import(pathToFileURL(require.resolve('multiformats/bases/base32')).href);
