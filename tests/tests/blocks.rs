//! Blocks found by miners are accepted by a real bitcoind, and their coinbase is ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use bitcoin::{Block, BlockHash};
use chain::BitcoinNode as _;
use orcapool_tests::{Answer, PoolOptions, StratumClient, TestPool, address};
use work::RoundNumber;

async fn best_block(pool: &TestPool) -> Block {
    let node = pool.bitcoin().unwrap();
    let tip = node.best_block_hash().await.unwrap();
    node.block(tip).await.unwrap().unwrap()
}

/// The coinbase has our claim, pays our script, and is shaped as BIP34 and BIP54 want it.
fn assert_ours(block: &Block, height: u64) {
    let coinbase = block.coinbase().unwrap();
    let script = coinbase.input[0].script_sig.as_bytes();
    assert!(
        script.windows(5).any(|bytes| bytes == b"KOII\x01"),
        "{script:02x?}"
    );
    assert!(script.windows(10).any(|bytes| bytes == b"/orcapool/"));
    assert_eq!(block.bip34_block_height(), Ok(height));
    assert_eq!(u64::from(coinbase.lock_time.to_consensus_u32()), height - 1);
    assert_eq!(coinbase.input[0].sequence.0, 0xffff_fffe);
    let payout = work::PayoutScript::parse(
        "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)",
        bitcoin::Network::Regtest,
    )
    .unwrap();
    assert_eq!(
        coinbase.output[0].script_pubkey.as_script(),
        payout.as_script()
    );
    assert!(block.check_merkle_root() && block.check_witness_commitment());
}

#[tokio::test]
async fn a_block_found_through_stratum_is_accepted_by_bitcoind() {
    let pool = TestPool::start(&PoolOptions {
        difficulty: 1.0 / f64::from(1 << 24),
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    let node = &pool.nodes[0];
    node.orca.task(RoundNumber::ZERO).await.unwrap();
    let user = format!("{}.rig", address("a miner"));
    let mut client = StratumClient::connect(node.stratum, &user).await.unwrap();

    let (hash, answer): (BlockHash, _) = client.share().await.unwrap();
    assert_eq!(answer, Answer::Accepted);
    // The share's hash is far below regtest's block target, so it is a block.
    wait_for_tip(&pool, hash).await;
    assert_ours(&best_block(&pool).await, 18);

    // The next job builds on it, and the pool says whose block it was.
    client.forget_job();
    client.wait_for_job().await.unwrap();
    let (second, answer) = client.share().await.unwrap();
    assert_eq!(answer, Answer::Accepted);
    wait_for_tip(&pool, second).await;
    assert_eq!(best_block(&pool).await.header.prev_blockhash, hash);
    let blocks = wait_for_blocks(&pool, 2).await;
    assert!(
        blocks.iter().all(|block| block["status"] == "accepted"),
        "{blocks:?}"
    );
    assert_eq!(blocks[0]["miner"], address("a miner").to_string());
    assert_eq!(blocks[0]["worker"], "rig");
}

#[tokio::test]
async fn a_block_found_by_the_built_in_miner_is_accepted_by_bitcoind() {
    let pool = TestPool::start(&PoolOptions {
        difficulty: 1.0 / f64::from(1 << 14),
        miner_threads: 1,
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    pool.nodes[0].orca.task(RoundNumber::ZERO).await.unwrap();
    let blocks = wait_for_blocks(&pool, 1).await;
    let block = blocks.last().unwrap();
    let node = pool.bitcoin().unwrap();
    let hash: BlockHash = block["hash"].as_str().unwrap().parse().unwrap();
    let header = node
        .header(hash)
        .await
        .unwrap()
        .expect("bitcoind knows the block");
    let body = node.block(hash).await.unwrap().expect("and has its body");
    assert_ours(&body, u64::from(header.height));
    assert_eq!(block["miner"], pool.nodes[0].orca.key.to_string());
}

async fn wait_for_tip(pool: &TestPool, hash: BlockHash) {
    let node = pool.bitcoin().unwrap();
    let arrived = async {
        while node.best_block_hash().await.unwrap() != hash {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), arrived)
        .await
        .unwrap_or_else(|_| {
            panic!(
                "{hash} never became the tip:\n{}",
                pool.nodes[0].last_words()
            )
        });
}

async fn wait_for_blocks(pool: &TestPool, count: usize) -> Vec<serde_json::Value> {
    let found = async {
        loop {
            let stats = pool.nodes[0].orca.get("/api/stats").await.unwrap();
            let blocks = stats["blocks"].as_array().unwrap().clone();
            let settled = blocks.iter().filter(|block| block["status"] != "submitted");
            if settled.count() >= count {
                return blocks;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap_or_else(|_| panic!("no {count} blocks:\n{}", pool.nodes[0].last_words()))
}
