/**
 * A pod as `podman play kube` would start it from the wrapper's own pod spec, with the built program for the image: its
 * environment, its volume, its ports, and a file system that is gone with it.
 */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { orcaClient, yaml } from './orca.js';
import { eventually, start, stop } from './processes.js';

/** The container's ports, which the spec maps to ports of the host. */
const HTTP = 8080;

export class Pod {
  /** @type {import('node:child_process').ChildProcess | null} */
  #child = null;
  base = '';
  data = '';

  /** @param {{ name: string, folder: string, program: string, generation: 'single' | 'double' }} parts */
  constructor({ name, folder, program, generation }) {
    this.name = name;
    this.program = program;
    this.generation = generation;
    this.root = path.join(folder, `${name}-pod`);
    this.log = path.join(folder, `${name}-pod.log`);
  }

  get isRunning() {
    return this.#child !== null;
  }

  /** @param {string} spec the pod spec, YAML */
  async start(spec) {
    const { containers, volumes } = yaml.parse(spec).spec;
    const [container] = containers;
    this.data = volumes.find((/** @type {any} */ it) => it.name === container.volumeMounts[0].name).hostPath.path;
    const ports = new Map(container.ports.map((/** @type {any} */ it) => [it.containerPort, it.hostPort]));
    const env = Object.fromEntries(container.env.map((/** @type {any} */ { name, value }) => [name, value]));
    await mkdir(this.data, { recursive: true });
    await mkdir(this.root, { recursive: true });
    // Pods have a network of their own each; here they share this machine's, at the ports the spec maps to.
    const stratum = [...ports].find(([port]) => port !== HTTP)?.[1];
    this.#child = start(this.program, ['run'], {
      env: {
        ...env,
        ORCAPOOL_DATA_DIR: this.data,
        ORCAPOOL_HTTP__LISTEN: `"127.0.0.1:${ports.get(HTTP)}"`,
        ORCAPOOL_STRATUM__LISTEN: `["127.0.0.1:${stratum}"]`,
      },
      cwd: this.root,
      log: this.log,
    });
    this.base = `http://127.0.0.1:${ports.get(HTTP)}`;
    const child = this.#child;
    const isGone = () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    await eventually(
      `${this.name}'s pod (${this.log})`,
      async () => /** @type {any} */ (await this.get('/healthz')).ready === true,
      isGone,
    );
  }

  /** What the sidecar does for the wrapper. @param {string} route @param {object} [options] @returns {Promise<any>} */
  call(route, options) {
    return orcaClient(this.base, this.generation).podCall(route, options);
  }

  /** What any visitor reads. @param {string} route @returns {Promise<unknown>} null where there is nothing */
  async get(route) {
    const response = await fetch(`${this.base}${route}`);
    if (response.status === 404) return null;
    if (!response.ok) throw new Error(`${this.name} ${route}: status ${response.status}`);
    return response.json();
  }

  /** Away with it, as the agent does when the task's process is gone. @param {'SIGTERM' | 'SIGKILL'} signal */
  async delete(signal) {
    const child = this.#child;
    this.#child = null;
    await stop(child, signal);
    await rm(this.root, { recursive: true, force: true });
  }
}
