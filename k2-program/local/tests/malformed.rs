//! Nothing from outside ends the node, and whatever it answers is JSON-RPC.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use common::{SOL, blockhash, funded, keypair, node, transfer};
use k2_local::{Node, rpc::pubsub::Subscriptions};
use proptest::prelude::*;
use serde_json::{Value, json};
use solana_signer::Signer;

/// One node for all cases of a test: it has to survive them together.
fn fresh() -> Node {
    let node = node();
    funded(&node, 1, 100 * SOL);
    node
}

static NODE: LazyLock<Node> = LazyLock::new(fresh);
/// Of which nothing but transactions is asked, so that balances can be compared.
static BANK: LazyLock<Node> = LazyLock::new(fresh);

const METHODS: &[&str] = &[
    "getHealth",
    "getVersion",
    "getIdentity",
    "getGenesisHash",
    "getSlot",
    "getBlockHeight",
    "getSlotLeader",
    "getBlockTime",
    "getBlocks",
    "getFirstAvailableBlock",
    "getEpochInfo",
    "getEpochSchedule",
    "getTransactionCount",
    "getLatestBlockhash",
    "getRecentBlockhash",
    "isBlockhashValid",
    "getRecentPrioritizationFees",
    "getBalance",
    "getAccountInfo",
    "getMultipleAccounts",
    "getProgramAccounts",
    "getMinimumBalanceForRentExemption",
    "getTokenAccountBalance",
    "getTokenSupply",
    "getTokenAccountsByOwner",
    "getTokenAccountsByDelegate",
    "getTokenLargestAccounts",
    "getFeeForMessage",
    "simulateTransaction",
    "sendTransaction",
    "requestAirdrop",
    "getSignatureStatuses",
    "getTransaction",
    "getSignaturesForAddress",
    "signatureSubscribe",
    "accountSubscribe",
    "slotSubscribe",
    "rootSubscribe",
    "signatureUnsubscribe",
    "nonsense",
];

/// Values that come close to what methods expect.
fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[1-9A-HJ-NP-Za-km-z]{30,90}".prop_map(Value::from),
        any::<[u8; 32]>().prop_map(|key| json!(bs58::encode(key).into_string())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| json!(BASE64.encode(bytes))),
        Just(json!(keypair(1).pubkey().to_string())),
        Just(json!(spl_token_interface::ID.to_string())),
        prop::sample::select(vec![
            "base58",
            "base64",
            "base64+zstd",
            "json",
            "jsonParsed",
            "processed",
            "confirmed",
            "finalized"
        ])
        .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let keys = vec![
        "commitment",
        "encoding",
        "dataSlice",
        "offset",
        "length",
        "filters",
        "memcmp",
        "dataSize",
        "bytes",
        "mint",
        "programId",
        "minContextSlot",
        "limit",
        "before",
        "until",
        "accounts",
        "addresses",
        "sigVerify",
        "replaceRecentBlockhash",
        "skipPreflight",
        "innerInstructions",
        "maxSupportedTransactionVersion",
    ];
    leaf().prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(keys.clone()), inner, 0..5).prop_map(
                |map| map
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            ),
        ]
    })
}

fn check(answer: Option<String>) -> Result<(), TestCaseError> {
    let Some(answer) = answer else { return Ok(()) };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    for answer in answer
        .as_array()
        .map_or(std::slice::from_ref(&answer), Vec::as_slice)
    {
        prop_assert_eq!(&answer["jsonrpc"], "2.0");
        prop_assert!(answer.get("result").is_some() != answer.get("error").is_some());
        prop_assert_ne!(
            &answer["error"]["message"],
            "Internal error",
            "a panic was caught"
        );
    }
    Ok(())
}

fn survives(body: &[u8]) -> Result<(), TestCaseError> {
    check(NODE.handle(body))?;
    let mut subscriptions = Subscriptions::default();
    let bank = NODE.bank();
    check(subscriptions.handle(&bank, body))?;
    subscriptions.notifications(&bank);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn bytes(body in prop::collection::vec(any::<u8>(), 0..400)) {
        survives(&body)?;
    }

    #[test]
    fn json_values(body in value()) {
        survives(body.to_string().as_bytes())?;
    }

    #[test]
    fn calls(method in prop::sample::select(METHODS), params in prop::collection::vec(value(), 0..4)) {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        survives(body.to_string().as_bytes())?;
    }

    /// A good transaction with some bytes changed, as a cluster would get it from anybody.
    #[test]
    fn transactions(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        method in prop::sample::select(vec!["sendTransaction", "simulateTransaction", "getFeeForMessage"]),
        skip in any::<bool>(),
    ) {
        let transaction = transfer(&keypair(1), &keypair(2).pubkey(), SOL, blockhash(&BANK));
        let mut bytes = match method {
            "getFeeForMessage" => transaction.message.serialize(),
            _ => bincode::serialize(&transaction).unwrap(),
        };
        let good = bytes.clone();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        prop_assume!(bytes != good);
        let config = json!({
            "encoding": "base64", "skipPreflight": skip, "replaceRecentBlockhash": skip, "commitment": "processed",
        });
        let params = json!([BASE64.encode(bytes), config]);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        check(BANK.handle(body.to_string().as_bytes()))?;
        // The signature covers every byte of it: nobody's money moves.
        prop_assert_eq!(common::balance(&BANK, &keypair(1).pubkey(), "processed"), 100 * SOL);
    }
}

#[test]
fn deep_nesting_is_refused() {
    let body = "[".repeat(40_000);
    assert!(NODE.handle(body.as_bytes()).unwrap().contains("-32700"));
}
