/**
 * The task's routes on the Koii node, `/task/<task>/...`. They answer whoever reaches the node, so they only read, tell
 * nothing that is
 * not public, and do not let strangers' requests through to the pod.
 */
import { lastSubmission } from '../koii.js';

/** The pod is asked at most this often. */
const FRESH_MS = 5_000;

/**
 * @param {import('./steps.js').Parts & { app: typeof import('@_koii/namespace-wrapper').app, now: () => number }} parts
 * @returns {() => Promise<void>}
 */
export const makeRoutes = ({ koii, pod, pool, app, now }) => {
  /** @type {{ at: number, status: Promise<unknown> } | null} */
  let fresh = null;

  const health = async () => {
    try {
      const { status, body } = await pod.get('healthz');
      return status === 200 ? body : { status };
    } catch {
      return { status: 503 };
    }
  };
  const status = async () => ({
    task: koii.taskId(),
    node: await koii.stakingKey(),
    image: pool.image,
    lastSubmission: await lastSubmission(koii),
    container: await health(),
  });

  return async () => {
    app.get('/status', async (_request, response) => {
      if (fresh === null || now() - fresh.at >= FRESH_MS) fresh = { at: now(), status: status() };
      try {
        return response.status(200).json(await fresh.status);
      } catch {
        return response.status(503).json({ error: 'the Koii node does not answer this task' });
      }
    });
  };
};
