// The stock Solana client, from the folder that `use_web3` of scripts/lib.sh fills. Nothing is installed beside this file.
import { createRequire } from "node:module";
import { join } from "node:path";

const folder = process.env.ORCAPOOL_WEB3;
if (!folder) throw new Error("ORCAPOOL_WEB3 is not set: run scripts/test, which gets the client");
const require = createRequire(join(folder, "package.json"));

export const web3 = require("@solana/web3.js");
export const splToken = require("@solana/spl-token");

/** Airdrops `sol` to `address` and waits until it is confirmed, over the WebSocket, as web3.js does it. */
export async function airdrop(connection, address, sol) {
  const latest = await connection.getLatestBlockhash();
  const signature = await connection.requestAirdrop(address, sol * web3.LAMPORTS_PER_SOL);
  const { value } = await connection.confirmTransaction({ signature, ...latest });
  if (value.err) throw new Error(`airdrop: ${JSON.stringify(value.err)}`);
}
