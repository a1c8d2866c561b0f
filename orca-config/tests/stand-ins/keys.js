/** Staking keys and signatures, in the forms of Koii's packages. */
import { createHash, createPrivateKey, createPublicKey, sign as ed25519 } from 'node:crypto';
import { base58btc } from 'multiformats/bases/base58';

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * @param {string} name the same name gives the same key
 * @returns {import('@_koii/namespace-wrapper').Keypair}
 */
export function keypair(name) {
  const seed = createHash('sha256').update(name).digest();
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32);
  return {
    publicKey: { toBase58: () => base58btc.baseEncode(publicKey) },
    secretKey: new Uint8Array(Buffer.concat([seed, publicKey])),
  };
}

/** @param {string} name */
export const address = (name) => keypair(name).publicKey.toBase58();

/**
 * `payloadSigning`: base58 of the signature and then the signed JSON.
 *
 * @param {unknown} body
 * @param {Uint8Array} secretKey
 */
export function signPayload(body, secretKey) {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, secretKey.subarray(0, 32)]),
    format: 'der',
    type: 'pkcs8',
  });
  const message = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return base58btc.baseEncode(Buffer.concat([ed25519(null, message, key), message]));
}
