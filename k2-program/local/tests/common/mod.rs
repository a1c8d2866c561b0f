//! What several tests need: a chain whose slots pass by hand, and transactions on it.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // each test uses a part

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use k2_local::{Bank, Genesis, Node};
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

pub(crate) const GENESIS_TIME: i64 = 1_700_000_000;
pub(crate) const SOL: u64 = 1_000_000_000;

pub(crate) fn genesis() -> Genesis {
    Genesis::new(GENESIS_TIME, [7; 32])
}

/// A node whose slots pass by hand.
pub(crate) fn node() -> Node {
    Node::new(Bank::new(&genesis()).unwrap())
}

pub(crate) fn keypair(n: u8) -> Keypair {
    Keypair::new_from_array([n; 32])
}

/// A keypair that holds `lamports`.
pub(crate) fn funded(node: &Node, n: u8, lamports: u64) -> Keypair {
    let keypair = keypair(n);
    node.bank().airdrop(keypair.pubkey(), lamports).unwrap();
    keypair
}

/// The blockhash of the newest slot.
pub(crate) fn blockhash(node: &Node) -> Hash {
    let bank = node.bank();
    bank.latest_blockhash(bank.slot()).0
}

pub(crate) fn sign(
    instructions: &[Instruction],
    signers: &[&Keypair],
    blockhash: Hash,
) -> VersionedTransaction {
    let payer = signers[0].pubkey();
    let message = Message::new_with_blockhash(instructions, Some(&payer), &blockhash);
    VersionedTransaction::try_new(VersionedMessage::Legacy(message), signers).unwrap()
}

pub(crate) fn transfer(
    from: &Keypair,
    to: &Pubkey,
    lamports: u64,
    blockhash: Hash,
) -> VersionedTransaction {
    let instruction = solana_system_interface::instruction::transfer(&from.pubkey(), to, lamports);
    sign(&[instruction], &[from], blockhash)
}

/// A transaction on the wire, in base64.
pub(crate) fn wire(transaction: &VersionedTransaction) -> String {
    BASE64.encode(bincode::serialize(transaction).unwrap())
}

/// `sendTransaction` with a base64 transaction.
pub(crate) fn send(
    node: &Node,
    transaction: &VersionedTransaction,
) -> Result<Value, k2_local::rpc::RpcError> {
    let params = json!([wire(transaction), { "encoding": "base64" }]);
    node.call("sendTransaction", Some(&params))
}

/// Calls a method that must succeed.
pub(crate) fn call(node: &Node, method: &str, params: Value) -> Value {
    node.call(method, Some(&params))
        .unwrap_or_else(|error| panic!("{method}: {error:?}"))
}

/// Calls a method that must fail, and returns the code and the message.
pub(crate) fn refused(node: &Node, method: &str, params: Value) -> (i64, String) {
    let error = node.call(method, Some(&params)).expect_err(method);
    (error.code, error.message)
}

/// The lamports of `key` as seen at `commitment`.
pub(crate) fn balance(node: &Node, key: &Pubkey, commitment: &str) -> u64 {
    let params = json!([key.to_string(), { "commitment": commitment }]);
    call(node, "getBalance", params)["value"].as_u64().unwrap()
}
