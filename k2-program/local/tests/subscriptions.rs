//! Subscriptions, without a socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{SOL, blockhash, funded, keypair, node, transfer};
use k2_local::{Node, rpc::pubsub::Subscriptions};
use serde_json::{Value, json};
use solana_signer::Signer;

struct Connection<'a>(&'a Node, Subscriptions);

impl Connection<'_> {
    fn call(&mut self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self
            .1
            .handle(&self.0.bank(), request.to_string().as_bytes())
            .unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn news(&mut self) -> Vec<Value> {
        let told = self.1.notifications(&self.0.bank());
        told.iter()
            .map(|text| serde_json::from_str::<Value>(text).unwrap()["params"].clone())
            .collect()
    }
}

#[test]
fn a_signature_is_told_once_at_its_commitment() {
    let node = node();
    let alice = funded(&node, 1, SOL);
    let mut connection = Connection(&node, Subscriptions::default());
    let pay = transfer(&alice, &keypair(2).pubkey(), SOL / 2, blockhash(&node));
    let signature = pay.signatures[0].to_string();
    let config = json!({ "commitment": "confirmed", "enableReceivedNotification": true });
    assert_eq!(
        connection.call("signatureSubscribe", json!([signature, config]))["result"],
        0
    );
    assert_eq!(connection.news(), [Value::Null; 0]);
    common::send(&node, &pay).unwrap();
    let told = connection.news();
    assert_eq!(told[0]["result"]["value"], "receivedSignature");
    assert_eq!(told.len(), 1);
    node.advance(1);
    let told = connection.news();
    assert_eq!(told[0]["subscription"], 0);
    assert_eq!(told[0]["result"]["value"], json!({ "err": null }));
    node.advance(1);
    assert!(connection.news().is_empty());
    assert_eq!(
        connection.call("signatureUnsubscribe", json!([0]))["error"]["code"],
        -32602
    );
}

#[test]
fn accounts_slots_and_roots() {
    let node = node();
    node.advance(50);
    let alice = funded(&node, 1, SOL);
    let mut connection = Connection(&node, Subscriptions::default());
    let config = json!({ "commitment": "processed", "encoding": "base64" });
    connection.call(
        "accountSubscribe",
        json!([alice.pubkey().to_string(), config]),
    );
    connection.call("slotSubscribe", json!([]));
    connection.call("rootSubscribe", json!([]));
    assert!(connection.news().is_empty(), "what was before is not news");
    node.bank().airdrop(alice.pubkey(), SOL).unwrap();
    let told = connection.news();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["result"]["value"]["lamports"], 2 * SOL);
    node.advance(2);
    let told: Vec<_> = connection
        .news()
        .into_iter()
        .map(|news| news["result"].clone())
        .collect();
    let slots = [52, 53].map(|slot| json!({ "slot": slot, "parent": slot - 1, "root": slot - 32 }));
    assert_eq!(
        told,
        [slots[0].clone(), slots[1].clone(), json!(20), json!(21)]
    );
    // Only the newest of very many.
    node.advance(10_000);
    assert_eq!(connection.news().len(), 128);
    assert_eq!(
        connection.call("slotUnsubscribe", json!([1]))["result"],
        true
    );
    node.advance(1);
    assert_eq!(connection.news().len(), 1);
}

#[test]
fn a_connection_has_a_bounded_number_of_subscriptions() {
    let node = node();
    let mut connection = Connection(&node, Subscriptions::default());
    for _ in 0..1_000 {
        assert!(connection.call("slotSubscribe", json!([]))["result"].is_u64());
    }
    assert_eq!(
        connection.call("slotSubscribe", json!([]))["error"]["code"],
        -32603
    );
    assert_eq!(
        connection.call("getSlot", json!([]))["error"]["code"],
        -32601
    );
    // web3.js' keep-alive.
    let ping = br#"{"jsonrpc":"2.0","method":"ping"}"#;
    assert_eq!(connection.1.handle(&node.bank(), ping), None);
}
