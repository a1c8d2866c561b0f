/** Where files of submissions are fetched: the places Koii's own programs ask. */

/** @typedef {(signal: AbortSignal) => Promise<Uint8Array>} Source rejects where the file is not to be had there */

/** `{v1}` is for places where the CID is a host name and must be in lower case. */
const GATEWAYS = [
  'https://s3.koii.network/koii-k2-task-metadata/{cid}/{file}',
  'https://koii-k2-task-metadata.s3.us-east-2.amazonaws.com/{cid}/{file}',
  'https://{v1}.ipfs.w3s.link/{file}',
  'https://ipfs-gateway.koii.live/ipfs/{cid}/{file}',
  'https://{v1}.ipfs.dweb.link/{file}',
  'https://gateway.ipfs.io/ipfs/{cid}/{file}',
  'https://ipfs.io/ipfs/{cid}/{file}',
];

/**
 * @param {import('multiformats/cid').CID} cid
 * @param {string} file
 * @returns {string[]}
 */
export const gatewayUrls = (cid, file) =>
  GATEWAYS.map((url) =>
    url.replace('{cid}', cid.toString()).replace('{v1}', cid.toV1().toString()).replace('{file}', file),
  );

/**
 * @param {string} url
 * @param {number} limit bytes
 * @param {typeof fetch} fetcher
 * @returns {Source}
 */
export const gateway = (url, limit, fetcher) => async (signal) => {
  const response = await fetcher(url, { signal, redirect: 'follow' });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new Error(`status ${response.status}`);
  }
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  // Not `content-length`: it is the sender's word, and leaving the loop hangs up.
  for await (const part of /** @type {import('node:stream/web').ReadableStream<Uint8Array>} */ (response.body)) {
    size += part.length;
    if (size > limit) throw new Error(`more than ${limit} bytes`);
    parts.push(part);
  }
  // A page that says sorry with status 200 is refused by whoever reads it: it is not signed.
  return Buffer.concat(parts);
};
