/** A regtest node, which all task nodes of the simulation share. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { eventually, freePort, start, stop } from './processes.js';

/** The script of the pool: the public key of private key 1. */
export const POOL_SCRIPT = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
const [USER, PASSWORD] = ['operator', '12345'];

/** @param {{ program: string, folder: string }} parts */
export async function startBitcoind({ program, folder }) {
  const [rpcPort, zmqPort] = [await freePort(), await freePort()];
  await mkdir(path.join(folder, 'bitcoind'));
  const log = path.join(folder, 'bitcoind.log');
  const child = start(
    program,
    [
      '-regtest',
      `-datadir=${path.join(folder, 'bitcoind')}`,
      '-listen=0',
      '-dnsseed=0',
      `-rpcport=${rpcPort}`,
      `-rpcuser=${USER}`,
      `-rpcpassword=${PASSWORD}`,
      `-zmqpubhashblock=tcp://127.0.0.1:${zmqPort}`,
    ],
    { log },
  );

  /** @param {string} method @param {...unknown} params @returns {Promise<any>} */
  const rpc = async (method, ...params) => {
    const response = await fetch(`http://127.0.0.1:${rpcPort}`, {
      method: 'POST',
      headers: { Authorization: `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}` },
      body: JSON.stringify({ jsonrpc: '1.0', id: 0, method, params }),
    });
    const { result, error } = /** @type {any} */ (await response.json());
    if (error) throw new Error(`bitcoind ${method}: ${error.message}`);
    return result;
  };
  const isGone = () => child.exitCode !== null || child.pid === undefined;
  await eventually(`bitcoind (${log})`, async () => (await rpc('getblockcount')) === 0, isGone);
  /** @param {number} blocks */
  const mine = (blocks) => rpc('generatetoaddress', blocks, POOL_SCRIPT);
  // One block ends the initial download; above height 16 coinbases have an ordinary BIP 34 push.
  await mine(17);
  return {
    mine,
    rpcUrl: `http://${USER}:${PASSWORD}@127.0.0.1:${rpcPort}`,
    zmqUrl: `tcp://127.0.0.1:${zmqPort}`,
    stop: () => stop(child),
  };
}
