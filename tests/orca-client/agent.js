/**
 * The Koii node's agent and the sidecar in the pod, as far as a call into the container goes.
 *
 * The agent is a Socket.IO server with a namespace a pod; whatever one side of a pod says to the other it hands on. The
 * sidecar answers calls with the published client's own RPC service: it makes them HTTP requests to the container.
 */
import { createServer } from 'node:http';

/**
 * @param {any} published the package
 * @param {{ Server: any, io: any }} socketIo server and client
 * @param {string} container `http://127.0.0.1:PORT`
 */
export async function startAgent({ RpcService }, { Server, io }, container) {
  const http = createServer();
  // As the agent has it: no options, so no message is larger than 1 MB.
  const server = new Server(http, {});
  /** @type {any[]} */
  const inits = [];
  /** @type {any} */
  let sidecar = null;
  await /** @type {Promise<void>} */ (new Promise((resolve) => http.listen(0, '127.0.0.1', resolve)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (http.address());
  const url = `http://127.0.0.1:${port}`;

  server.of(/^\/\w+$/).on('connection', (/** @type {any} */ socket) => {
    const other = { orcaPulse: 'pulse_proxy', pulse_proxy: 'orcaPulse' }[String(socket.handshake.auth.connectionType)];
    socket.join(socket.handshake.auth.connectionType);
    for (const event of ['rpc:request', 'rpc:response']) {
      socket.on(event, (/** @type {unknown} */ message) => socket.nsp.to(other).emit(event, message));
    }
    socket.on('orcaPulse:init', (/** @type {any} */ init) => {
      inits.push(init);
      sidecar ??= io(`${url}/${init.podId}`, { auth: { connectionType: 'pulse_proxy' } });
      new RpcService(sidecar).bindFn('*', (/** @type {string} */ name, /** @type {any} */ args) =>
        httpCall(container, name, args),
      );
    });
  });
  return {
    url,
    inits,
    async stop() {
      sidecar?.disconnect();
      await server.close();
    },
  };
}

/** @param {string} container @param {string} name @param {{ method?: string, headers?: object, body?: string }} args */
async function httpCall(container, name, args) {
  const headers = args.body === undefined ? {} : { ...args.headers, 'Content-Type': 'application/json' };
  try {
    const { method = 'GET', body } = args;
    const response = await fetch(`${container}/${name}`, { method, headers, ...(body === undefined ? {} : { body }) });
    const kind = response.headers.get('content-type');
    const data = kind === null || kind.includes('application/json') ? await response.json() : await response.text();
    return { status: response.status, data: response.ok ? data : { error: data.error ?? data } };
  } catch (error) {
    return { status: 500, data: { error: error instanceof Error ? error.message : String(error) } };
  }
}
