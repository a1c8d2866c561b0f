/**
 * The steps that Koii calls, made of their parts. Time, network and Koii come in here, so that tests can bring their
 * own.
 */
import { makeSetup } from './0-setup.js';
import { makeTask } from './1-task.js';
import { makeSubmission } from './2-submission.js';
import { makeAudit } from './3-audit.js';
import { makeDistribution } from './4-distribution.js';
import { makeRoutes } from './5-routes.js';

/**
 * @typedef {object} Parts
 * @property {import('../koii.js').Koii} koii
 * @property {ReturnType<typeof import('../pod.js').connectPod>} pod
 * @property {import('../envelopes.js').Envelopes} envelopes
 * @property {import('../pool.js').Pool} pool
 * @property {import('../variables.js').Environment} environment
 * @property {() => Promise<string>} seed 32 bytes of hex
 * @property {(milliseconds: number) => Promise<void>} pause
 * @property {import('../log.js').Log} log
 * @property {() => number} now milliseconds
 * @property {typeof import('@_koii/namespace-wrapper').app} app
 */

/**
 * @typedef {object} Heard what Koii has told this process so far
 * @property {number} newest the newest round that has begun; -1 before the first
 */

/** @param {Parts} parts */
export const makeSteps = (parts) => {
  /** @type {Heard} */
  const heard = { newest: -1 };
  return {
    setup: makeSetup(parts),
    task: makeTask(parts, heard),
    submission: makeSubmission(parts),
    audit: makeAudit(parts),
    distribution: makeDistribution(parts, heard),
    routes: makeRoutes(parts),
  };
};
