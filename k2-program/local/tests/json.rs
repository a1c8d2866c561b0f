//! Requests and responses as JSON: the envelope, the shapes and errors of a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use common::{SOL, blockhash, call, funded, keypair, node, refused, send, transfer, wire};
use k2_local::Node;
use serde_json::{Value, json};
use solana_signer::Signer;

fn handle(node: &Node, body: &str) -> Option<Value> {
    Some(serde_json::from_str(&node.handle(body.as_bytes())?).unwrap())
}

#[test]
fn the_envelope_is_json_rpc_2() {
    let node = node();
    let answer = handle(&node, r#"{"jsonrpc":"2.0","id":7,"method":"getHealth"}"#);
    assert_eq!(
        answer,
        Some(json!({ "jsonrpc": "2.0", "result": "ok", "id": 7 }))
    );
    let answer = handle(
        &node,
        r#"{"jsonrpc":"2.0","id":"a","method":"getHealth","params":[]}"#,
    );
    assert_eq!(answer.unwrap()["id"], "a");
    // A notification is not answered, and neither is a batch of them.
    assert_eq!(
        handle(&node, r#"{"jsonrpc":"2.0","method":"getHealth"}"#),
        None
    );
    assert_eq!(
        handle(&node, r#"[{"jsonrpc":"2.0","method":"getHealth"}]"#),
        None
    );

    let code = |body| {
        handle(&node, body).unwrap()["error"]["code"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(code("{"), -32700);
    assert_eq!(code("[]"), -32600);
    assert_eq!(code("5"), -32600);
    assert_eq!(code(r#"{"id":1,"method":"getHealth"}"#), -32600);
    assert_eq!(
        code(r#"{"jsonrpc":"1.0","id":1,"method":"getHealth"}"#),
        -32600
    );
    assert_eq!(
        code(r#"{"jsonrpc":"2.0","id":{},"method":"getHealth"}"#),
        -32600
    );
    assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"method":4}"#), -32600);
    assert_eq!(
        code(r#"{"jsonrpc":"2.0","id":1,"method":"getWealth"}"#),
        -32601
    );
    assert_eq!(
        code(r#"{"jsonrpc":"2.0","id":1,"method":"getBalance"}"#),
        -32602
    );
    assert_eq!(
        code(r#"{"jsonrpc":"2.0","id":1,"method":"getBalance","params":{}}"#),
        -32602
    );
    assert_eq!(
        code(r#"{"jsonrpc":"2.0","id":1,"method":"getHealth","params":[1]}"#),
        -32602
    );
}

#[test]
fn a_batch_is_answered_call_by_call_up_to_a_bound() {
    let node = node();
    let answer = handle(
        &node,
        r#"[{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{"commitment":"processed"}]}, 3,
            {"jsonrpc":"2.0","method":"getSlot"}, {"jsonrpc":"2.0","id":2,"method":"none"}]"#,
    )
    .unwrap();
    assert_eq!(answer.as_array().unwrap().len(), 3);
    assert_eq!(answer[0]["result"], 1);
    assert_eq!(answer[1]["error"]["code"], -32600);
    assert_eq!(answer[2]["error"]["code"], -32601);
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "getHealth" });
    let batch = json!(vec![one; 257]);
    assert_eq!(
        handle(&node, &batch.to_string()).unwrap()["error"]["code"],
        -32600
    );
}

#[test]
fn slots_blockhashes_and_times_follow_the_commitment() {
    let node = node();
    node.advance(99);
    let slot = |level: &str| call(&node, "getSlot", json!([{ "commitment": level }]));
    assert_eq!(
        [slot("processed"), slot("confirmed"), slot("finalized")],
        [100, 99, 68]
    );
    assert_eq!(
        call(&node, "getSlot", json!([])),
        68,
        "finalized is the default"
    );
    assert_eq!(
        call(
            &node,
            "getBlockHeight",
            json!([{ "commitment": "processed" }])
        ),
        100
    );
    let newest = call(
        &node,
        "getLatestBlockhash",
        json!([{ "commitment": "processed" }]),
    );
    assert_eq!(newest["context"]["slot"], 100);
    assert_eq!(newest["value"]["lastValidBlockHeight"], 250);
    let finalized = call(&node, "getLatestBlockhash", json!([]));
    assert_eq!(finalized["value"]["lastValidBlockHeight"], 218);
    let valid = |hash: &Value, level: &str| {
        let params = json!([hash["value"]["blockhash"], { "commitment": level }]);
        call(&node, "isBlockhashValid", params)["value"]
            .as_bool()
            .unwrap()
    };
    assert!(valid(&newest, "processed"));
    assert!(
        !valid(&newest, "finalized"),
        "a finalized bank does not know it yet"
    );
    assert!(valid(&finalized, "finalized"));
    assert_eq!(
        call(&node, "getBlockTime", json!([100])),
        common::GENESIS_TIME + 40
    );
    assert_eq!(refused(&node, "getBlockTime", json!([101])).0, -32004);
    let info = call(
        &node,
        "getEpochInfo",
        json!([{ "commitment": "processed" }]),
    );
    assert_eq!(info["absoluteSlot"], 100);
    assert_eq!(info["slotsInEpoch"], 432_000);
    assert_eq!(
        call(&node, "getBlocks", json!([60])),
        json!([60, 61, 62, 63, 64, 65, 66, 67, 68])
    );
    assert_eq!(call(&node, "getBlocks", json!([60, 61])), json!([60, 61]));
    assert_eq!(call(&node, "getBlocks", json!([90])), json!([]));
    let late = node
        .call("getSlot", Some(&json!([{ "minContextSlot": 69 }])))
        .unwrap_err();
    assert_eq!(
        (late.code, late.data),
        (-32016, Some(json!({ "contextSlot": 68 })))
    );
    assert_eq!(
        call(&node, "getRecentPrioritizationFees", json!([]))
            .as_array()
            .unwrap()
            .len(),
        101
    );
    assert_eq!(
        refused(&node, "isBlockhashValid", json!(["no hash"])).0,
        -32602
    );
}

#[test]
fn accounts_in_every_encoding() {
    let node = node();
    let alice = funded(&node, 1, SOL).pubkey().to_string();
    let read =
        |config: Value| call(&node, "getAccountInfo", json!([alice, config]))["value"].clone();
    let account = read(json!({ "commitment": "processed", "encoding": "base64" }));
    assert_eq!(account["lamports"], SOL);
    assert_eq!(account["owner"], "11111111111111111111111111111111");
    assert_eq!(account["data"], json!(["", "base64"]));
    assert_eq!(account["executable"], false);
    assert_eq!(account["space"], 0);
    assert_eq!(read(json!({ "commitment": "processed" }))["data"], "");
    assert_eq!(read(json!({ "commitment": "finalized" })), Value::Null);

    let clock = solana_sdk_ids::sysvar::clock::ID.to_string();
    let data = |config: Value| {
        call(&node, "getAccountInfo", json!([clock, config]))["value"]["data"].clone()
    };
    let slice = json!({ "offset": 0, "length": 8 });
    let processed = json!({ "commitment": "processed", "encoding": "base64", "dataSlice": slice });
    assert_eq!(
        data(processed),
        json!([BASE64.encode(1_u64.to_le_bytes()), "base64"])
    );
    let parsed = data(json!({ "commitment": "processed", "encoding": "jsonParsed" }));
    assert_eq!(parsed["parsed"]["info"]["slot"], 1);
    let base58 =
        data(json!({ "commitment": "processed", "encoding": "base58", "dataSlice": slice }));
    assert_eq!(base58[0], bs58::encode(1_u64.to_le_bytes()).into_string());
    assert_eq!(data(json!({ "encoding": "base64+zstd" }))[1], "base64+zstd");
    // Base58 only for what is short.
    let long = solana_sdk_ids::sysvar::slot_hashes::ID.to_string();
    assert_eq!(
        refused(
            &node,
            "getAccountInfo",
            json!([long, { "encoding": "base58" }])
        )
        .0,
        -32600
    );

    let two = json!([[alice, keypair(9).pubkey().to_string()], { "commitment": "processed" }]);
    let two = call(&node, "getMultipleAccounts", two);
    assert_eq!(
        (&two["value"][0]["lamports"], &two["value"][1]),
        (&json!(SOL), &Value::Null)
    );
    let many = vec![alice.clone(); 101];
    assert_eq!(
        refused(&node, "getMultipleAccounts", json!([many])).1,
        "Too many inputs provided; max 100"
    );
    assert_eq!(
        refused(&node, "getBalance", json!(["x"])),
        (-32602, "Invalid param: WrongSize".to_owned())
    );
    assert_eq!(
        call(&node, "getMinimumBalanceForRentExemption", json!([0])),
        890_880
    );
    let system = json!(["11111111111111111111111111111111", { "filters": [{ "dataSize": 0 }], "withContext": true, "commitment": "processed" }]);
    let owned = call(&node, "getProgramAccounts", system);
    let owned: Vec<_> = owned["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["pubkey"].clone())
        .collect();
    assert!(owned.contains(&json!(alice)));
    let filters = json!([{ "dataSize": 0 }, { "dataSize": 0 }, { "dataSize": 0 }, { "dataSize": 0 }, { "dataSize": 0 }]);
    let params = json!(["11111111111111111111111111111111", { "filters": filters }]);
    assert_eq!(refused(&node, "getProgramAccounts", params).0, -32602);
}

#[test]
fn a_transaction_fits_in_a_packet_or_is_refused() {
    let node = node();
    let alice = funded(&node, 1, SOL);
    let good = transfer(&alice, &keypair(2).pubkey(), 1_000_000, blockhash(&node));
    // As sendTransaction's default encoding, base58.
    let base58 = bs58::encode(bincode::serialize(&good).unwrap()).into_string();
    call(&node, "sendTransaction", json!([base58]));

    let refuse = |text: String| {
        let (code, message) = refused(
            &node,
            "sendTransaction",
            json!([text, { "encoding": "base64" }]),
        );
        assert_eq!(code, -32602, "{message}");
        message
    };
    assert!(
        refuse("A".repeat(1_648)).contains("too large: 1648 bytes (max: encoded/raw 1644/1232)")
    );
    assert!(refuse(BASE64.encode([1; 1_233])).contains("too large: 1233 bytes (max: 1232 bytes)"));
    assert!(refuse("!".to_owned()).contains("invalid base64 encoding"));
    assert!(refuse(BASE64.encode([1; 90])).contains("failed to deserialize"));
    let (code, message) = refused(
        &node,
        "sendTransaction",
        json!([wire(&good), { "encoding": "json" }]),
    );
    assert_eq!(code, -32602);
    assert!(message.contains("Supported encodings: base58, base64"));
    // A form that no cluster takes: more signatures than signers.
    let mut more = good;
    more.signatures.push(more.signatures[0]);
    assert!(refuse(wire(&more)).contains("invalid transaction"));
}

#[test]
fn a_simulation_changes_nothing_and_shows_what_would_be() {
    let node = node();
    let alice = funded(&node, 1, SOL);
    let bob = keypair(2).pubkey();
    let mut pay = transfer(&alice, &bob, SOL / 2, blockhash(&node));
    let addresses = json!({ "encoding": "base64", "addresses": [bob.to_string()] });
    let simulate = |pay: &_, mut config: Value| {
        config["encoding"] = json!("base64");
        node.call("simulateTransaction", Some(&json!([wire(pay), config])))
    };
    let value =
        simulate(&pay, json!({ "sigVerify": true, "accounts": addresses })).unwrap()["value"]
            .clone();
    assert_eq!(value["err"], Value::Null);
    assert_eq!(value["accounts"][0]["lamports"], SOL / 2);
    assert_eq!(value["unitsConsumed"], 150);
    assert!(value["logs"][0].as_str().unwrap().contains("invoke [1]"));
    assert_eq!(common::balance(&node, &bob, "processed"), 0);

    pay.message
        .set_recent_blockhash(solana_hash::Hash::default());
    let value = simulate(&pay, json!({})).unwrap()["value"].clone();
    assert_eq!(value["err"], "BlockhashNotFound");
    let value = simulate(&pay, json!({ "replaceRecentBlockhash": true })).unwrap()["value"].clone();
    assert_eq!(value["err"], Value::Null);
    assert_eq!(
        value["replacementBlockhash"]["blockhash"],
        blockhash(&node).to_string()
    );
    assert_eq!(
        simulate(&pay, json!({ "sigVerify": true }))
            .unwrap_err()
            .code,
        -32003
    );
    // Also of a transaction that has been processed: it would be another one.
    let done = transfer(&alice, &bob, SOL / 2, blockhash(&node));
    send(&node, &done).unwrap();
    let value = simulate(&done, json!({})).unwrap()["value"].clone();
    assert_eq!(value["err"], "AlreadyProcessed");
    let replace = json!({ "replaceRecentBlockhash": true });
    let value = simulate(&done, replace).unwrap()["value"].clone();
    assert_ne!(value["err"], "AlreadyProcessed");
    let both = json!({ "sigVerify": true, "replaceRecentBlockhash": true });
    assert_eq!(simulate(&pay, both).unwrap_err().code, -32602);
}

#[test]
fn the_fee_of_a_message() {
    let node = node();
    // A payer who has nothing: the fee is a property of the message.
    let pay = transfer(&keypair(1), &keypair(2).pubkey(), SOL, blockhash(&node));
    let fee = |message: &solana_message::VersionedMessage| {
        let message = BASE64.encode(message.serialize());
        call(
            &node,
            "getFeeForMessage",
            json!([message, { "commitment": "processed" }]),
        )["value"]
            .clone()
    };
    assert_eq!(fee(&pay.message), 5_000);
    let mut old = pay.message;
    old.set_recent_blockhash(solana_hash::Hash::default());
    assert_eq!(fee(&old), Value::Null);
}

#[test]
fn statuses_progress_from_processed_to_finalized() {
    let node = node();
    let alice = funded(&node, 1, SOL);
    let pay = transfer(&alice, &keypair(2).pubkey(), SOL / 2, blockhash(&node));
    let signature = send(&node, &pay).unwrap();
    let status = |node: &Node, search: bool| {
        let params = json!([[signature], { "searchTransactionHistory": search }]);
        call(node, "getSignatureStatuses", params)["value"][0].clone()
    };
    let expected = |confirmations: Value, level: &str| json!({ "slot": 1, "confirmations": confirmations, "status": { "Ok": null }, "err": null, "confirmationStatus": level });
    assert_eq!(status(&node, false), expected(json!(0), "processed"));
    let find = |node: &Node| {
        call(
            node,
            "getTransaction",
            json!([signature, { "commitment": "confirmed" }]),
        )
    };
    assert_eq!(find(&node), Value::Null);
    node.advance(1);
    assert_eq!(status(&node, false), expected(json!(1), "confirmed"));
    assert_eq!(find(&node)["slot"], 1);
    node.advance(31);
    assert_eq!(status(&node, false), expected(Value::Null, "finalized"));
    node.advance(269);
    assert_eq!(
        status(&node, false),
        Value::Null,
        "long ago: only a search finds it"
    );
    assert_eq!(status(&node, true), expected(Value::Null, "finalized"));
    let many = vec![signature.clone(); 257];
    assert_eq!(
        refused(&node, "getSignatureStatuses", json!([many])).0,
        -32602
    );
    let processed = json!([signature, { "commitment": "processed" }]);
    assert_eq!(refused(&node, "getTransaction", processed).0, -32602);
}

#[test]
fn signatures_for_an_address_page_backwards() {
    let node = node();
    let alice = funded(&node, 1, 100 * SOL);
    let bob = keypair(2).pubkey().to_string();
    let mut signatures: Vec<Value> = (0..5)
        .map(|n| {
            node.advance(n % 2);
            send(
                &node,
                &transfer(&alice, &keypair(2).pubkey(), SOL + n, blockhash(&node)),
            )
            .unwrap()
        })
        .collect();
    signatures.reverse();
    node.advance(1);
    let list = |mut config: Value| {
        config["commitment"] = json!("confirmed");
        let found = call(&node, "getSignaturesForAddress", json!([bob, config]));
        found
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["signature"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(json!({})), signatures);
    assert_eq!(list(json!({ "limit": 2 })), signatures[..2]);
    assert_eq!(
        list(json!({ "before": signatures[1], "limit": 2 })),
        signatures[2..4]
    );
    assert_eq!(list(json!({ "until": signatures[3] })), signatures[..3]);
    assert_eq!(
        refused(
            &node,
            "getSignaturesForAddress",
            json!([bob, { "limit": 0 }])
        )
        .0,
        -32602
    );
    let airdrop = call(
        &node,
        "getSignaturesForAddress",
        json!([alice.pubkey().to_string(), { "commitment": "confirmed" }]),
    );
    assert_eq!(airdrop[5]["memo"], "[9] airdrop 0");
}

#[test]
fn tokens_are_refused_where_there_are_none() {
    let node = node();
    let alice = funded(&node, 1, SOL).pubkey().to_string();
    let at = json!({ "commitment": "processed" });
    let (code, message) = refused(&node, "getTokenAccountBalance", json!([alice, at]));
    assert_eq!(
        (code, message.as_str()),
        (-32602, "Invalid param: not a Token account")
    );
    let (_, message) = refused(
        &node,
        "getTokenAccountBalance",
        json!([keypair(9).pubkey().to_string(), at]),
    );
    assert_eq!(message, "Invalid param: could not find account");
    let (_, message) = refused(&node, "getTokenSupply", json!([alice, at]));
    assert_eq!(message, "Invalid param: not a Token mint");
    let (_, message) = refused(
        &node,
        "getTokenAccountsByOwner",
        json!([alice, { "programId": alice }]),
    );
    assert_eq!(message, "Invalid param: unrecognized Token program id");
    assert_eq!(
        refused(&node, "getTokenAccountsByOwner", json!([alice])).0,
        -32602
    );
    let token = spl_token_interface::ID.to_string();
    let none = call(
        &node,
        "getTokenAccountsByOwner",
        json!([alice, { "programId": token }]),
    );
    assert_eq!(none["value"], json!([]));
}

#[test]
fn an_airdrop_that_cannot_be_is_an_error() {
    let node = node();
    let alice = keypair(1).pubkey().to_string();
    // Too little to be rent exempt; more than there is.
    assert_eq!(
        refused(&node, "requestAirdrop", json!([alice, 1])).0,
        -32603
    );
    assert_eq!(
        refused(&node, "requestAirdrop", json!([alice, u64::MAX])).0,
        -32603
    );
    assert_eq!(
        refused(&node, "requestAirdrop", json!([alice, -1])).0,
        -32602
    );
    assert_eq!(node.bank().transaction_count(), 0);
}
