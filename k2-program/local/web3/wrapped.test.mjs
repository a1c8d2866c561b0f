// An unmodified @solana/web3.js and @solana/spl-token as the wallet of a miner that the pool has paid: it reads the wrapped BTC
// and sends some on. K2_RPC_URL, WRAPPED_MINT and HOLDER_KEYPAIR say where. Run by tests/tests/k2.rs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { airdrop, splToken, web3 } from "./stock.mjs";

const { Connection, Keypair, PublicKey, Transaction } = web3;
const connection = new Connection(process.env.K2_RPC_URL, "confirmed");
const mint = new PublicKey(process.env.WRAPPED_MINT);
const holder = Keypair.fromSecretKey(Uint8Array.from(JSON.parse(readFileSync(process.env.HOLDER_KEYPAIR))));

after(() => setTimeout(() => process.exit(), 200).unref());

test("the wrapped token has 8 decimals, no freeze authority, and is what the wallets show", async () => {
  const token = await splToken.getMint(connection, mint);
  assert.equal(token.decimals, 8);
  assert.equal(token.freezeAuthority, null);
  assert.ok(token.supply > 0n);
  const { value } = await connection.getParsedTokenAccountsByOwner(holder.publicKey, { mint });
  assert.equal(value.length, 1);
  const shown = value[0].account.data.parsed.info.tokenAmount;
  assert.equal(shown.decimals, 8);
  assert.ok(BigInt(shown.amount) > 0n);
});

test("a transfer of 12,345 sat arrives", async () => {
  await airdrop(connection, holder.publicKey, 1);
  const friend = Keypair.generate();
  const from = splToken.getAssociatedTokenAddressSync(mint, holder.publicKey);
  const to = splToken.getAssociatedTokenAddressSync(mint, friend.publicKey);
  const before = (await splToken.getAccount(connection, from)).amount;
  const transaction = new Transaction().add(
    splToken.createAssociatedTokenAccountInstruction(holder.publicKey, to, friend.publicKey, mint),
    splToken.createTransferCheckedInstruction(from, mint, to, holder.publicKey, 12_345n, 8),
  );
  await web3.sendAndConfirmTransaction(connection, transaction, [holder]);
  assert.equal((await splToken.getAccount(connection, to)).amount, 12_345n);
  assert.equal((await splToken.getAccount(connection, from)).amount, before - 12_345n);
});
