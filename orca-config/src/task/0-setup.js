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
    if (operator.bitcoin === null) log.error('no Bitcoin node: set BITCOIN_RPC_URL, without it this node cannot mine');
  };
