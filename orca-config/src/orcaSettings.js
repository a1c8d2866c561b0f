/** What Koii's Orca client is told. */
import { containerEnv } from './container-env.js';
import { podSpec } from './pod-spec.js';
import { readVariables } from './variables.js';

/** Until the container is healthy, which includes fetching its image over an operator's line. */
const TIMEOUT_MS = 900_000;

/**
 * @param {Pick<import('./koii.js').Koii, 'taskId' | 'stakingKey' | 'basePath'>} koii
 * @param {import('./pool.js').Pool} pool
 * @param {import('./variables.js').Environment} environment
 * @returns {() => Promise<{ imageURL: string, customPodSpec: string, rootCA: null, timeout: number }>}
 */
export const makeGetConfig = (koii, pool, environment) => async () => {
  const operator = readVariables(environment, pool);
  const taskId = koii.taskId();
  const env = containerEnv({ taskId, stakingKey: await koii.stakingKey(), pool, operator });
  const customPodSpec = podSpec({
    podId: taskId,
    basePath: await koii.basePath(),
    image: pool.image,
    memory: pool.memory,
    hostPorts: { stratum: operator.stratumPort, http: operator.httpPort },
    env,
  });
  return { imageURL: pool.image, customPodSpec, rootCA: null, timeout: TIMEOUT_MS };
};
