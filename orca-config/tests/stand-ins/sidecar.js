/**
 * `podCall` as Koii's Orca client and its sidecar make it: a real HTTP request to the container, and the reply in the
 * wrapping of one of
 * the two generations that are in use.
 */

/** Socket.IO drops what is larger, and with it the pod. */
const MAX_MESSAGE_BYTES = 1_000_000;

/** @param {Response} response */
async function parsed(response) {
  const kind = response.headers.get('content-type');
  if (kind === null || kind.includes('application/json')) return response.json();
  return response.text();
}

/**
 * @param {string} base `http://127.0.0.1:PORT`
 * @param {'single' | 'double'} generation
 * @returns {{ podCall(route: string, options?: { method?: string, headers?: Record<string, string>, body?: string }):
 *   Promise<unknown> }}
 */
export const orcaClient = (base, generation) => ({
  async podCall(route, options = {}) {
    const headers = options.body === undefined ? {} : { ...options.headers, 'Content-Type': 'application/json' };
    const request = {
      method: options.method ?? 'GET',
      headers,
      ...(options.body === undefined ? {} : { body: options.body }),
    };
    if (JSON.stringify(request).length > MAX_MESSAGE_BYTES) throw new Error('transport close');
    /** @type {{ status: number, data: unknown }} */
    let http;
    try {
      const response = await fetch(`${base}/${route}`, request);
      const body = await parsed(response);
      if (!response.ok) {
        const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : body;
        if (generation === 'single') throw new Error(`Request failed with status code ${response.status}`);
        http = { status: response.status, data: { error } };
      } else {
        http = { status: response.status, data: body };
      }
    } catch (error) {
      if (generation === 'single') throw error;
      // Nobody listens, or a body that is no JSON without a content type.
      http = { status: 500, data: { error: error instanceof Error ? error.message : String(error) } };
    }
    if (JSON.stringify(http).length > MAX_MESSAGE_BYTES) throw new Error('transport close');
    // Through the socket everything is JSON: what is undefined is gone.
    return JSON.parse(
      JSON.stringify(generation === 'single' ? { status: 200, data: http.data } : { status: 200, data: http }),
    );
  },
});
