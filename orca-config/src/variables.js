/**
 * What an operator sets in the desktop node: the TASK_VARIABLEs of config-task.yml. The node asks for every one of
 * them, so there is a
 * way to say "nothing": a dash.
 */
import { MAX_GATEWAY_CHARACTERS } from './accepted.js';
import { portComplaint } from './pool.js';

/** @typedef {Record<string, string | undefined>} Environment */

/**
 * @typedef {object} Operator
 * @property {{ url: string, user?: string, password?: string, zmq_hashblock?: string } | null} bitcoin null: none
 * @property {string[]} peers base URLs of other nodes: for their bundles, and in place of a Bitcoin node
 * @property {number} minerThreads
 * @property {number} stratumPort on the host
 * @property {number} httpPort on the host
 * @property {string} publicUrl where other nodes reach it; empty: nowhere in particular
 * @property {string} ipfsRpc of the operator's IPFS node; empty: none
 */

/** The variables, in the order of config-task.yml. */
export const VARIABLES = [
  'BITCOIN_RPC_URL',
  'BITCOIN_ZMQ_URL',
  'PEERS',
  'MINER_THREADS',
  'STRATUM_PORT',
  'HTTP_PORT',
  'PUBLIC_URL',
  'IPFS_RPC',
];

/** @param {Environment} environment @param {string} name */
function read(environment, name) {
  const value = (environment[name] ?? '').trim();
  return value === '-' ? '' : value;
}

/**
 * @param {Environment} environment
 * @param {import('./pool.js').Pool} pool
 * @returns {Operator}
 * @throws {Error} every variable that is wrong, in one message. Values are not repeated: one holds a password.
 */
export function readVariables(environment, pool) {
  /** @type {string[]} */
  const complaints = [];
  const bitcoin = bitcoinNode(read(environment, 'BITCOIN_RPC_URL'), read(environment, 'BITCOIN_ZMQ_URL'), complaints);
  const peers = read(environment, 'PEERS')
    .split(/[\s,]+/)
    .filter((url) => url !== '');
  if (!peers.every((url) => parseUrl(url, ['http:', 'https:']) !== null)) {
    complaints.push('PEERS: http:// or https:// URLs of other nodes, with commas between them');
  }
  const threads = read(environment, 'MINER_THREADS') || '0';
  if (!/^\d{1,4}$/.test(threads) || Number(threads) > 1024) complaints.push('MINER_THREADS: a number from 0 to 1024');
  const ports = { STRATUM_PORT: pool.ports.stratum, HTTP_PORT: pool.ports.http };
  for (const name of /** @type {const} */ (['STRATUM_PORT', 'HTTP_PORT'])) {
    const text = read(environment, name);
    if (text === '') continue;
    const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
    const complaint = portComplaint(port);
    if (complaint !== null) complaints.push(`${name}: ${complaint}`);
    ports[name] = port;
  }
  if (ports.STRATUM_PORT === ports.HTTP_PORT) complaints.push('STRATUM_PORT and HTTP_PORT: the same port');
  const publicUrl = read(environment, 'PUBLIC_URL');
  if (publicUrl !== '' && !isNodeUrl(publicUrl)) {
    complaints.push('PUBLIC_URL: http://HOST:PORT (80, 443, or from 1024 on) and nothing behind it, or a dash');
  }
  const ipfsRpc = read(environment, 'IPFS_RPC');
  const rpc = parseUrl(ipfsRpc, ['http:', 'https:']);
  if (ipfsRpc !== '' && (rpc === null || rpc.search !== '' || rpc.hash !== '')) {
    complaints.push('IPFS_RPC: http://HOST:5001 of an IPFS node, or a dash');
  }
  if (complaints.length > 0) throw new Error(`task variables to change in the Koii node:\n${complaints.join('\n')}`);
  return {
    bitcoin,
    peers: peers.map((url) => url.replace(/\/+$/, '')),
    minerThreads: Number(threads),
    stratumPort: ports.STRATUM_PORT,
    httpPort: ports.HTTP_PORT,
    publicUrl: publicUrl.replace(/\/$/, ''),
    ipfsRpc,
  };
}

/** @param {string} text what the container takes as `http.public_url` */
function isNodeUrl(text) {
  const url = parseUrl(text, ['http:', 'https:']);
  if (url === null || text.length > MAX_GATEWAY_CHARACTERS || !/^[!-~]+$/.test(text) || /[@\\]/.test(text))
    return false;
  const port = url.port === '' ? 443 : Number(url.port);
  const isBare = url.pathname === '/' && url.search === '' && url.hash === '' && !/[?#]/.test(text);
  return isBare && (port === 80 || port === 443 || port >= 1024);
}

/** @param {string} text @param {string[]} protocols */
function parseUrl(text, protocols) {
  try {
    const url = new URL(text);
    return protocols.includes(url.protocol) && url.hostname !== '' ? url : null;
  } catch {
    return null;
  }
}

/**
 * @param {string} rpc
 * @param {string} zmq
 * @param {string[]} complaints
 * @returns {Operator['bitcoin']}
 */
function bitcoinNode(rpc, zmq, complaints) {
  const zmqUrl = zmq === '' ? null : parseUrl(zmq, ['tcp:']);
  if (zmq !== '' && zmqUrl === null) complaints.push('BITCOIN_ZMQ_URL: tcp://HOST:PORT of -zmqpubhashblock, or a dash');
  if (rpc === '') {
    if (zmq !== '') complaints.push('BITCOIN_ZMQ_URL: not without BITCOIN_RPC_URL');
    return null;
  }
  const url = parseUrl(rpc, ['http:']);
  let user = '';
  let password = '';
  try {
    // In a URL, what is special in it is percent-encoded.
    [user, password] = [decodeURIComponent(url?.username ?? ''), decodeURIComponent(url?.password ?? '')];
  } catch {
    user = '';
  }
  if (url === null || user === '' || password === '') {
    complaints.push(
      'BITCOIN_RPC_URL: http://USER:PASSWORD@HOST:PORT of a Bitcoin node, or a dash (%-encode what is special in it)',
    );
    return null;
  }
  const node = { url: `http://${url.host}`, user, password };
  return zmqUrl === null ? node : { ...node, zmq_hashblock: zmq };
}
