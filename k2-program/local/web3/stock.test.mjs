// An unmodified @solana/web3.js and @solana/spl-token against the local K2 at K2_RPC_URL. Run by tests/web3.rs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { airdrop, splToken, web3 } from "./stock.mjs";

const { Connection, Keypair, LAMPORTS_PER_SOL, PublicKey, SystemProgram, Transaction } = web3;
const { TransactionMessage, VersionedTransaction, SendTransactionError } = web3;

// web3.js looks for subscriptions one port above.
const connection = new Connection(process.env.K2_RPC_URL, "confirmed");
const alice = Keypair.generate();
const bob = Keypair.generate();

before(() => airdrop(connection, alice.publicKey, 10));
// Its WebSocket would keep the process alive.
after(() => setTimeout(() => process.exit(), 200).unref());

test("the cluster answers for itself", async () => {
  assert.match((await connection.getVersion())["solana-core"], /^\d+\.\d+\.\d+$/);
  const genesis = await connection.getGenesisHash();
  assert.equal(new PublicKey(genesis).toBytes().length, 32);
  const epoch = await connection.getEpochInfo();
  assert.equal(epoch.epoch, 0);
  const slot = await connection.getSlot();
  assert.ok(Math.abs((await connection.getBlockTime(slot)) - Date.now() / 1000) < 3600);
  assert.equal((await connection.getEpochSchedule()).slotsPerEpoch, 432_000);
  assert.ok((await connection.getBlocks(0, 3)).includes(1));
  assert.ok((await connection.getRecentPrioritizationFees()).length > 0);
});

test("lamports are transferred, confirmed over the WebSocket and found in the ledger", async () => {
  const transaction = new Transaction().add(
    SystemProgram.transfer({
      fromPubkey: alice.publicKey,
      toPubkey: bob.publicKey,
      lamports: LAMPORTS_PER_SOL,
    }),
  );
  const signature = await web3.sendAndConfirmTransaction(connection, transaction, [alice]);
  assert.equal(await connection.getBalance(bob.publicKey), LAMPORTS_PER_SOL);
  assert.equal(await transaction.getEstimatedFee(connection), 5000);

  const parsed = await connection.getParsedTransaction(signature);
  assert.equal(parsed.transaction.message.instructions[0].parsed.type, "transfer");
  assert.equal(parsed.meta.fee, 5000);
  assert.ok(parsed.meta.logMessages.at(-1).endsWith("success"));
  assert.ok(parsed.meta.computeUnitsConsumed > 0);
  const { value } = await connection.getSignatureStatus(signature);
  assert.ok(["confirmed", "finalized"].includes(value.confirmationStatus));
  const listed = await connection.getSignaturesForAddress(bob.publicKey, undefined, "confirmed");
  assert.deepEqual(listed.map((entry) => entry.signature), [signature]);
  // Batches: one POST for both.
  const [twice] = await connection.getParsedTransactions([signature, signature]);
  assert.equal(twice.slot, parsed.slot);
});

test("a versioned transaction is simulated and sent", async () => {
  const { blockhash } = await connection.getLatestBlockhash();
  const instruction = SystemProgram.transfer({
    fromPubkey: alice.publicKey,
    toPubkey: bob.publicKey,
    lamports: 5,
  });
  const message = new TransactionMessage({
    payerKey: alice.publicKey,
    recentBlockhash: blockhash,
    instructions: [instruction],
  }).compileToV0Message();
  const transaction = new VersionedTransaction(message);
  transaction.sign([alice]);
  const before = await connection.getBalance(bob.publicKey);
  const simulated = await connection.simulateTransaction(transaction, {
    sigVerify: true,
    accounts: { encoding: "base64", addresses: [bob.publicKey.toBase58()] },
  });
  assert.equal(simulated.value.err, null);
  assert.equal(simulated.value.accounts[0].lamports, before + 5);
  assert.equal(await connection.getBalance(bob.publicKey), before);
  const signature = await connection.sendTransaction(transaction);
  await connection.confirmTransaction(signature);
  assert.equal(await connection.getBalance(bob.publicKey), before + 5);
  const read = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
  assert.equal(read.version, 0);
});

test("a mint, its accounts and a token transfer", async () => {
  const mint = await splToken.createMint(connection, alice, alice.publicKey, null, 8);
  const from = await splToken.getOrCreateAssociatedTokenAccount(connection, alice, mint, alice.publicKey);
  const to = await splToken.getOrCreateAssociatedTokenAccount(connection, alice, mint, bob.publicKey);
  await splToken.mintTo(connection, alice, mint, from.address, alice, 5_000_000_000n);
  await splToken.transferChecked(connection, alice, from.address, mint, to.address, alice, 1_250_000_000n, 8);

  assert.equal((await splToken.getAccount(connection, to.address)).amount, 1_250_000_000n);
  assert.equal((await splToken.getMint(connection, mint)).supply, 5_000_000_000n);
  const { value } = await connection.getTokenAccountBalance(to.address);
  assert.equal(value.uiAmountString, "12.5");
  const owned = await connection.getParsedTokenAccountsByOwner(bob.publicKey, { mint });
  assert.equal(owned.value[0].account.data.parsed.info.tokenAmount.amount, "1250000000");
  assert.equal((await connection.getTokenSupply(mint)).value.amount, "5000000000");
  assert.equal((await connection.getTokenLargestAccounts(mint)).value.length, 2);
});

test("account and slot subscriptions tell of changes", async () => {
  let id, slotId;
  const slot = new Promise((told) => (slotId = connection.onSlotChange(told)));
  assert.ok((await slot).slot > 0);
  const before = await connection.getBalance(bob.publicKey);
  const account = new Promise((told) => (id = connection.onAccountChange(bob.publicKey, told)));
  await airdrop(connection, bob.publicKey, 1);
  assert.equal((await account).lamports, before + LAMPORTS_PER_SOL);
  await connection.removeAccountChangeListener(id);
  await connection.removeSlotChangeListener(slotId);
});

test("what fails is an error web3.js understands", async () => {
  const transaction = new Transaction().add(
    SystemProgram.transfer({
      fromPubkey: alice.publicKey,
      toPubkey: bob.publicKey,
      lamports: 1_000 * LAMPORTS_PER_SOL,
    }),
  );
  await assert.rejects(web3.sendAndConfirmTransaction(connection, transaction, [alice]), (error) => {
    assert.ok(error instanceof SendTransactionError, error);
    assert.ok(error.logs.some((line) => line.includes("insufficient lamports")));
    return true;
  });
  await assert.rejects(connection.getSupply(), /Method not found/);
});
