/** What the Koii node starts: hands the steps to Koii's task manager, and the pod to its Orca client. */
import { K2_NODE_URL, TASK_ID, app, namespaceWrapper } from '@_koii/namespace-wrapper';
import { KoiiStorageClient } from '@_koii/storage-task-sdk';
import { initializeTaskManager } from '@_koii/task-manager';
import { getOrcaClient, initializeOrcaClient } from '@_koii/task-manager/extensions';

import constants from '../pool.js';
import { envelopeFinder } from './envelopes.js';
import { connectKoii } from './koii.js';
import { log } from './log.js';
import { makeGetConfig } from './orcaSettings.js';
import { connectPod } from './pod.js';
import { checkedPool } from './pool.js';
import { pause } from './retry.js';
import { auditSeed } from './seed.js';
import { makeSteps } from './task/steps.js';

const pool = checkedPool(constants);
const koii = connectKoii({
  namespaceWrapper,
  KoiiStorageClient,
  taskId: TASK_ID,
  rpcUrl: K2_NODE_URL,
  taskType: pool.taskType,
});

initializeTaskManager(
  makeSteps({
    koii,
    pod: connectPod(getOrcaClient),
    envelopes: envelopeFinder(koii, fetch),
    pool,
    environment: process.env,
    seed: async () => auditSeed(await koii.rpcUrl(), fetch),
    pause,
    log,
    now: Date.now,
    app,
  }),
);
initializeOrcaClient(makeGetConfig(koii, pool, process.env));
