//! The Bitcoin node goes and comes back under load: nothing is lost, and work goes on by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use chain::BitcoinNode as _;
use orcapool_tests::{Answer, PoolOptions, StratumClient, TestPool, address};
use serde_json::json;
use work::RoundNumber;

async fn health(pool: &TestPool) -> serde_json::Value {
    pool.nodes[0].orca.get("/healthz").await.unwrap()
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_block_found_while_bitcoind_is_away_reaches_it_when_it_is_back() {
    let mut pool = TestPool::start(&PoolOptions {
        difficulty: 1.0 / f64::from(1 << 24),
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    pool.nodes[0].orca.task(RoundNumber::ZERO).await.unwrap();
    let user = format!("{}.rig", address("a miner"));
    let mut client = StratumClient::connect(pool.nodes[0].stratum, &user)
        .await
        .unwrap();
    client.wait_for_job().await.unwrap();

    let stopped = pool.stop_bitcoind().await.unwrap();
    // The share is good whatever the Bitcoin node does; on regtest it is a block too.
    let (found, answer) = client.share().await.unwrap();
    assert_eq!(answer, Answer::Accepted);
    wait_until(
        "the health page says that the Bitcoin node is away",
        async || {
            let health = health(&pool).await;
            health["status"] == json!(200)
                && health["message"]
                    .as_str()
                    .unwrap()
                    .contains("cannot be reached")
        },
    )
    .await;
    // A round can begin and end meanwhile.
    pool.nodes[0]
        .orca
        .task(RoundNumber::ZERO.next())
        .await
        .unwrap();
    let submission = pool.nodes[0]
        .orca
        .submission(pool.task, RoundNumber::ZERO)
        .await
        .unwrap();
    assert_eq!(submission["shares"], json!(1));

    pool.start_bitcoind(stopped).await.unwrap();
    let node = pool.bitcoin().unwrap();
    wait_until("the block found meanwhile is the tip", async || {
        node.best_block_hash().await.unwrap() == found
    })
    .await;
    // And the next job builds on it.
    client.forget_job();
    client.wait_for_job().await.unwrap();
    wait_until("shares count again", async || {
        let (_, answer) = client.share().await.unwrap();
        if answer != Answer::Accepted {
            client.forget_job();
        }
        answer == Answer::Accepted
    })
    .await;
}
