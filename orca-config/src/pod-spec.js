/** The pod that Koii's agent starts with `podman play kube`; it adds its sidecar to it. */
import { stringify } from 'yaml';

import { HTTP_PORT, STRATUM_PORT } from './container-env.js';

/**
 * The pod and its named volumes are deleted with every restart of the task. What must last is here, on the operator's
 * machine.
 */
const DATA = '/data';

/**
 * @param {object} parts
 * @param {string} parts.podId the task's id
 * @param {string} parts.basePath the task's folder on the operator's machine
 * @param {string} parts.image
 * @param {string} parts.memory
 * @param {{ stratum: number, http: number }} parts.hostPorts
 * @param {{ name: string, value: string }[]} parts.env
 * @returns {string} YAML
 */
export const podSpec = ({ podId, basePath, image, memory, hostPorts, env }) =>
  stringify(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: podId },
      spec: {
        containers: [
          {
            // Koii's agent looks for this very name.
            name: `user-${podId}`,
            image,
            imagePullPolicy: 'IfNotPresent',
            env,
            ports: [
              { containerPort: STRATUM_PORT, hostPort: hostPorts.stratum, protocol: 'TCP' },
              { containerPort: HTTP_PORT, hostPort: hostPorts.http, protocol: 'TCP' },
            ],
            // No limit on processor time: rootless podman can refuse to start a pod with one. MINER_THREADS bounds it.
            resources: { limits: { memory }, requests: { memory: '256Mi' } },
            securityContext: {
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
              readOnlyRootFilesystem: true,
              // Rootless podman maps 0 to the operator's own user, who owns the folder behind /data; nobody else may
              // write there.
              runAsUser: 0,
              runAsGroup: 0,
            },
            volumeMounts: [{ name: 'data', mountPath: DATA }],
          },
        ],
        restartPolicy: 'Always',
        volumes: [{ name: 'data', hostPath: { path: `${basePath}/orca/data`, type: 'DirectoryOrCreate' } }],
      },
    },
    // A value must not be folded over lines, and a string that looks like a number must stay one.
    { lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' },
  );
