//! Koii lets a submission pass that no auditor happened to draw: whatever it names, everybody else is paid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use content::{Block, BlockStore as _, Codec, DirStore};
use orcapool_tests::{PoolOptions, TestPool, address};
use serde_json::{Value, json};
use work::RoundNumber;

const BOUNTY: u64 = 1_000_000_007;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_bundle_of_its_submitter_earns_nothing_and_holds_up_nobody() {
    let pool = TestPool::start(&PoolOptions {
        miner_threads: 1,
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    let node = &pool.nodes[0];
    let round = RoundNumber::ZERO;
    node.orca.task(round).await.unwrap();
    wait_for_share(&pool).await;
    let honest = node.orca.submission(pool.task, round).await.unwrap();

    let served = DirStore::open(node.dir.join("data/blocks")).unwrap();
    let no_bundle = content::dag_cbor::encode(&json!({"format": "something else"})).unwrap();
    let not_even_a_map = Block::new(Codec::Raw, &b"raw"[..]).unwrap();
    for block in [&no_bundle, &not_even_a_map] {
        served.put(block).await.unwrap();
    }
    let submitted = |who: &str, cid: &Value| {
        let mut submission = honest.clone();
        submission.insert("stakingKey".to_owned(), json!(address(who).to_string()));
        submission.insert("cid".to_owned(), cid.clone());
        submission
    };
    let accepted = [
        honest.clone(),
        submitted("copycat", &honest["cid"]),
        submitted("a map", &json!(no_bundle.cid().to_string())),
        submitted("bytes", &json!(not_even_a_map.cid().to_string())),
        // CIDv0: no block of this pool has such a name.
        submitted(
            "version 0",
            &json!("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"),
        ),
        submitted("no CID", &json!("submission")),
        submitted("no text", &json!(5)),
        submitted("long text", &json!("b".repeat(10_000))),
    ];
    let list = node
        .orca
        .distribution(round, BOUNTY, &accepted)
        .await
        .unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list, json!({ node.orca.key.to_string(): BOUNTY }));
}

async fn wait_for_share(pool: &TestPool) {
    let mined = async {
        loop {
            let rounds = pool.nodes[0].orca.get("/api/rounds").await.unwrap();
            if rounds[0]["shares"].as_u64() > Some(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), mined)
        .await
        .unwrap_or_else(|_| panic!("no shares:\n{}", pool.nodes[0].last_words()));
}
