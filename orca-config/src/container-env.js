/**
 * The container's environment: every key of orcapool's configuration has a variable, `ORCAPOOL_` and `__` between table
 * and key.
 */

/**
 * @typedef {{ readonly [key: string]: Value }} Table
 * @typedef {string | number | boolean | readonly unknown[] | Table} Value
 */

/**
 * A value as orcapool reads it from a variable. Text is quoted, so that a password of digits stays text.
 *
 * @param {Value} value
 * @returns {string}
 */
export function encoded(value) {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return `[${/** @type {Value[]} */ (value).map(encoded).join(', ')}]`;
  return `{${Object.entries(/** @type {Table} */ (value))
    .map(([key, inner]) => `${key} = ${encoded(inner)}`)
    .join(', ')}}`;
}

/** The port of Orca's sidecar calls. */
export const HTTP_PORT = 8080;
/** Any port in the pod but the sidecar's 3004 and 8080. */
export const STRATUM_PORT = 3334;

/**
 * The operator's Bitcoin node, or other operators' nodes in its place.
 *
 * @param {import('./variables.js').Operator} operator
 * @returns {Record<string, Value>}
 */
function bitcoinSource({ bitcoin, peers }) {
  if (bitcoin !== null) return { nodes: [bitcoin] };
  // With one peer there is nothing to compare; the container's doctor says what that means.
  return peers.length === 0 ? { nodes: [] } : { nodes: [], peers, peer_quorum: Math.min(2, peers.length) };
}

/** @param {string} key @param {string} text @returns {Record<string, Value>} */
const given = (key, text) => (text === '' ? {} : { [key]: text });

/**
 * @param {object} parts
 * @param {string} parts.taskId
 * @param {string} parts.stakingKey
 * @param {import('./pool.js').Pool} parts.pool
 * @param {import('./variables.js').Operator} parts.operator
 * @returns {{ name: string, value: string }[]}
 */
export function containerEnv({ taskId, stakingKey, pool, operator }) {
  const shared = /** @type {Record<string, Record<string, Value>>} */ (pool.config);
  const gateways = [.../** @type {string[]} */ (shared['content']?.['gateways'] ?? []), ...operator.peers];
  /** @type {Record<string, Record<string, Value>>} */
  const config = {
    ...shared,
    task: { id: taskId, node: stakingKey },
    bitcoin: { ...shared['bitcoin'], ...bitcoinSource(operator) },
    stratum: { ...shared['stratum'], listen: [`0.0.0.0:${STRATUM_PORT}`] },
    http: { ...shared['http'], listen: `0.0.0.0:${HTTP_PORT}`, ...given('public_url', operator.publicUrl) },
    content: { ...shared['content'], gateways: [...new Set(gateways)] },
    ipfs: { ...shared['ipfs'], ...given('rpc', operator.ipfsRpc) },
    miner: { ...shared['miner'], threads: operator.minerThreads },
  };
  const variables = Object.entries(config).flatMap(([table, keys]) =>
    Object.entries(keys).map(([key, value]) => ({
      name: `ORCAPOOL_${table}__${key}`.toUpperCase(),
      value: encoded(value),
    })),
  );
  return [{ name: 'ORCAPOOL_DATA_DIR', value: encoded('/data') }, ...variables];
}
