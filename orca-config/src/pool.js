/** The pool's constants (../pool.js), checked. */
import { isRecord, isRound } from './shape.js';

/**
 * @typedef {object} Pool
 * @property {string} image with registry host and digest
 * @property {'KOII' | 'KPL'} taskType
 * @property {number} firstRound
 * @property {{ stratum: number, http: number }} ports on the host
 * @property {string} memory a Kubernetes quantity
 * @property {Record<string, Record<string, unknown>>} config orcapool's configuration: table, key, value
 */

/** The first part of an image's name has to be a registry's host: Koii's agent refuses others. */
const REGISTRY = /^(localhost|(\d{1,3}\.){3}\d{1,3}|([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,})(:\d{1,5})?$/;
const DIGEST = /@sha256:[0-9a-f]{64}$/;

/** Koii's own on the host: Orca's socket, its agent, the node, UPnP. In the pod, 3004 is the sidecar's. */
const TAKEN_PORTS = [443, 3003, 3004, 3333, 5644, 30017];

/** @param {unknown} port @returns {string | null} why not */
export function portComplaint(port) {
  if (!Number.isSafeInteger(port) || /** @type {number} */ (port) < 1024 || /** @type {number} */ (port) > 65535) {
    return 'a port is a number from 1024 to 65535';
  }
  return TAKEN_PORTS.includes(/** @type {number} */ (port)) ? `port ${port} is used by Koii itself` : null;
}

/**
 * @param {unknown} pool
 * @returns {string[]} what is wrong with it, each line with what to change
 */
export function poolComplaints(pool) {
  if (!isRecord(pool)) return ['pool.js exports no object'];
  const complaints = [];
  const image = String(pool['image']);
  const [registry = '', ...rest] = image.split('/');
  if (rest.length < 1 || !REGISTRY.test(registry))
    complaints.push(`image: ${image} does not begin with a registry's host`);
  if (!DIGEST.test(image)) complaints.push(`image: ${image} is not pinned by @sha256:`);
  if (pool['taskType'] !== 'KOII' && pool['taskType'] !== 'KPL') complaints.push('taskType: KOII or KPL');
  if (!isRound(pool['firstRound'])) complaints.push('firstRound: a round number from 0');
  const ports = isRecord(pool['ports']) ? pool['ports'] : {};
  for (const name of ['stratum', 'http']) {
    const complaint = portComplaint(ports[name]);
    if (complaint !== null) complaints.push(`ports.${name}: ${complaint}`);
  }
  if (ports['stratum'] === ports['http'] && 'http' in ports) complaints.push('ports: stratum and http are the same');
  if (!/^[1-9]\d*(Mi|Gi)$/.test(String(pool['memory']))) complaints.push('memory: a number of Mi or Gi');
  const config = pool['config'];
  if (!isRecord(config) || !Object.values(config).every(isRecord)) complaints.push('config: tables of keys');
  return complaints;
}

/** @param {unknown} pool @returns {Pool} @throws {Error} */
export function checkedPool(pool) {
  const complaints = poolComplaints(pool);
  if (complaints.length > 0) throw new Error(`pool.js is not right:\n${complaints.join('\n')}`);
  return /** @type {Pool} */ (pool);
}
