//! A round is paid for good by the blocks that are buried, alike on every node, whatever the chain did before and however the
//! nodes ended.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use chain::BitcoinNode as _;
use cid::Cid;
use content::{FetchOptions, Fetcher, MemoryStore, Source};
use orcapool_tests::{Answer, PoolOptions, StratumClient, TestNode, TestPool, address};
use rounds::fetch_reward_list;
use serde_json::{Value, json};
use work::RoundNumber;

const BOUNTY: u64 = 1_000_000_007;
/// Regtest's subsidy up to block 149.
const SUBSIDY: u64 = 5_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_round_is_settled_alike_everywhere_and_without_its_orphans() {
    let mut pool = TestPool::start(&PoolOptions {
        nodes: 2,
        // Two hashes: every share is a block on regtest.
        difficulty: 1.0 / f64::from(1 << 24),
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    let (zero, one) = (RoundNumber::ZERO, RoundNumber::ZERO.next());

    let (status, body) = get(&pool.nodes[0], "/api/rounds/0/settlement").await;
    assert_eq!(status, 409, "nobody told this node anything: {body}");

    for node in &pool.nodes {
        node.orca.task(zero).await.unwrap();
    }
    // Asked too early, a node would note that nobody was accepted, and settle the round so for good.
    let early = pool.nodes[1].orca.distribution(zero, BOUNTY, &[]).await;
    let early = early.unwrap_err().to_string();
    assert!(early.contains("round 0 is not over"), "{early}");

    let first = find_block(&pool, 0, "alice").await;
    let second = find_block(&pool, 1, "bob").await;
    let orphan = find_block(&pool, 0, "carol").await;
    distribute(&pool, zero).await;

    // What miners earned is provisional, and the settlement says what it waits for.
    for node in &pool.nodes {
        let view = node.orca.get("/api/rounds/0/distribution").await.unwrap();
        assert_eq!(view["pot"], json!(3 * SUBSIDY));
        assert_eq!(view["settled"], json!(false));
        waits_for(node, 0, orphan, 1).await;
        waits_for(node, 1, orphan, 1).await;
        let (status, _) = get(node, &format!("/api/rewards/{}", address("alice"))).await;
        assert_eq!(status, 404);
        let stats = node.orca.get("/api/stats").await.unwrap();
        assert_eq!(stats["settled_round"], Value::Null);
    }

    // The chain goes another way: from height 20 on, 99 blocks of somebody else.
    let bitcoin = pool.bitcoin().unwrap();
    let _: Value = bitcoin
        .call("invalidateblock", json!([orphan]))
        .await
        .unwrap();
    generate(&pool, 99).await;
    assert_eq!(bitcoin.chain_info().await.unwrap().height, 118);
    for node in &pool.nodes {
        waits_for(node, 0, orphan, 99).await;
    }
    pool.nodes[0].kill().await.unwrap();
    pool.nodes[0].start(&[]).await.unwrap();
    waits_for(&pool.nodes[0], 0, orphan, 99).await;

    generate(&pool, 1).await;
    // One is asked, the other one does it by itself.
    let settled = settlement(&pool.nodes[0], 0).await;
    settles_unasked(&pool.nodes[1], 0).await;
    assert_eq!(settlement(&pool.nodes[1], 0).await, settled);
    assert_eq!(settled["settled"], json!(true));
    assert_eq!(settled["pot"], json!(2 * SUBSIDY));
    assert_eq!(settled["total"], json!(2 * SUBSIDY));
    assert_eq!(
        settled["blocks"],
        json!([
            {"height": 18, "hash": first, "value": SUBSIDY},
            {"height": 19, "hash": second, "value": SUBSIDY},
        ])
    );
    assert_eq!(settled["maturity_height"], json!(118));

    // The provisional distribution is what it was, and says that it is not the last word.
    let view = pool.nodes[1].orca.get("/api/rounds/0/distribution").await;
    let view = view.unwrap();
    assert_eq!(view["pot"], json!(3 * SUBSIDY));
    assert_eq!(view["settled"], json!(true));

    // Whoever has the list's CID has every proof, and wallets are given theirs.
    let list = fetch_reward_list(&stranger(&pool.nodes[1]), &list_of(&settled)).await;
    let list = list.unwrap();
    assert_eq!(json!(hex::encode(list.root())), settled["root"]);
    assert_eq!(list.total().to_sat(), 2 * SUBSIDY);
    assert_eq!(list.leaf_count(), 5, "three miners, two nodes");
    for entry in list.entries() {
        let (leaf, proof) = list.leaf(entry.role, entry.owner).unwrap();
        let claim = json!({
            "index": leaf.index,
            "proof": proof.iter().map(hex::encode).collect::<Vec<_>>(),
        });
        for node in &pool.nodes {
            let path = format!("/api/rewards/{}", entry.owner);
            let rewards = node.orca.get(&path).await.unwrap();
            assert_eq!(rewards["list"], settled["list"]);
            assert_eq!(rewards["rewards"][0]["cumulative"], json!(leaf.cumulative));
            assert_eq!(rewards["rewards"][0]["claim"], claim);
        }
    }
    let nobody = format!("/api/rewards/{}", address("nobody"));
    let nobody = pool.nodes[0].orca.get(&nobody).await.unwrap();
    assert_eq!(nobody["rewards"], json!([]));
    let (status, _) = get(&pool.nodes[0], "/api/rewards/not-an-address").await;
    assert_eq!(status, 400);

    // Killed again, the node says the same, and the next round goes on from there. It found nothing, so there is nothing to
    // wait for.
    pool.nodes[1].kill().await.unwrap();
    pool.nodes[1].start(&[]).await.unwrap();
    assert_eq!(settlement(&pool.nodes[1], 0).await, settled);
    distribute(&pool, one).await;
    let next = settlement(&pool.nodes[0], 1).await;
    assert_eq!(settlement(&pool.nodes[1], 1).await, next);
    assert_eq!((&next["pot"], &next["blocks"]), (&json!(0), &json!([])));
    assert_eq!(next["earned"], settled["earned"]);
    assert_ne!(next["list"], settled["list"], "its leaves are of round 1");
    let list = fetch_reward_list(&stranger(&pool.nodes[0]), &list_of(&next)).await;
    assert_eq!(list.unwrap().total().to_sat(), 2 * SUBSIDY);
    let stats = pool.nodes[0].orca.get("/api/stats").await.unwrap();
    assert_eq!(stats["settled_round"], json!(1));
}

/// Status and JSON body.
async fn get(node: &TestNode, path: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("http://{}{path}", node.http))
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The round is refused for lack of confirmations, by name.
async fn waits_for(node: &TestNode, round: u64, block: BlockHash, confirmations: u32) {
    let (status, body) = get(node, &format!("/api/rounds/{round}/settlement")).await;
    assert_eq!((status, &body["status"]), (409, &json!(409)), "{body}");
    let reason = body["error"].as_str().unwrap();
    for part in [
        format!("round {round} is not settled yet"),
        format!("block {block} of round 0"),
        format!("{confirmations} of 100 confirmations"),
    ] {
        assert!(reason.contains(&part), "{reason}");
    }
}

async fn settles_unasked(node: &TestNode, round: u64) {
    let settled = async {
        while node.orca.get("/api/stats").await.unwrap()["settled_round"] != json!(round) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), settled)
        .await
        .unwrap_or_else(|_| panic!("not settled:\n{}", node.last_words()));
}

async fn settlement(node: &TestNode, round: u64) -> Value {
    let (status, body) = get(node, &format!("/api/rounds/{round}/settlement")).await;
    assert_eq!(status, 200, "{body}\n{}", node.last_words());
    body
}

/// Fetches from this node and knows nothing else.
fn stranger(node: &TestNode) -> Fetcher {
    let source: Source = format!("http://{}", node.http).parse().unwrap();
    let store = Arc::new(MemoryStore::default());
    Fetcher::new(vec![source], store, FetchOptions::default()).unwrap()
}

fn list_of(settled: &Value) -> Cid {
    settled["list"].as_str().unwrap().parse().unwrap()
}

/// Seals a round on all nodes and asks all for the distribution. (A hundred blocks in a second are no chain on which audits
/// can tell when a round was; they have tests of their own.)
async fn distribute(pool: &TestPool, round: RoundNumber) {
    for node in &pool.nodes {
        node.orca.task(round.next()).await.unwrap();
    }
    let mut accepted = Vec::new();
    for node in &pool.nodes {
        accepted.push(node.orca.submission(pool.task, round).await.unwrap());
    }
    for node in &pool.nodes {
        let list = node.orca.distribution(round, BOUNTY, &accepted).await;
        list.unwrap();
    }
}

/// A block on the tip, found by a miner of one of the nodes.
async fn find_block(pool: &TestPool, node: usize, miner: &str) -> BlockHash {
    let bitcoin = pool.bitcoin().unwrap();
    let next = bitcoin.chain_info().await.unwrap().height + 1;
    let node = &pool.nodes[node];
    let found = async {
        while node.orca.get("/healthz").await.unwrap()["height"] != json!(next) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let user = format!("{}.rig", address(miner));
        let mut client = StratumClient::connect(node.stratum, &user).await.unwrap();
        let (hash, answer) = client.share().await.unwrap();
        assert_eq!(answer, Answer::Accepted);
        while bitcoin.best_block_hash().await.unwrap() != hash {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        hash
    };
    tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap_or_else(|_| panic!("no block:\n{}", node.last_words()))
}

/// Blocks of somebody else: anybody can spend them.
async fn generate(pool: &TestPool, blocks: u32) {
    let params = json!([blocks, "raw(51)"]);
    let _: Value = pool
        .bitcoin()
        .unwrap()
        .call_slow("generatetodescriptor", params)
        .await
        .unwrap();
}
