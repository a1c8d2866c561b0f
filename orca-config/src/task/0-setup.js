/** Once, before the first round: says in the task's log what the operator has to know. */
import { readVariables } from '../variables.js';

/**
 * @param {import('./steps.js').Parts} parts
 * @returns {() => Promise<void>}
 */
export const makeSetup =
  ({ koii, pool, environment, log }) =>
  async () => {
    const operator = readVariables(environment, pool);
    log.info(`orcapool: task ${koii.taskId()}, node ${await koii.stakingKey()}`);
    log.info(
      `miners: stratum+tcp://<this machine>:${operator.stratumPort}, dashboard: http://<this machine>:${operator.httpPort}/`,
    );
    if (operator.bitcoin !== null) return;
    if (operator.peers.length === 0) {
      log.error(
        'no Bitcoin node: set BITCOIN_RPC_URL, or PEERS to mine with theirs; without either this node cannot mine',
      );
    } else if (operator.peers.length < 3) {
      log.info(
        `no Bitcoin node: work comes from ${operator.peers.length} of PEERS; name three or more, so that they can be compared`,
      );
    } else {
      log.info(`no Bitcoin node: work comes from ${operator.peers.length} PEERS, and two of them must agree`);
    }
  };
