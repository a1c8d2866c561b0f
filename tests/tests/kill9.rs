//! The kill -9 drill: whatever a miner was told `true` for is on disk, however the node ended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcoin::BlockHash;
use chain::PrivateChain;
use orcapool_tests::{Answer, PoolOptions, StratumClient, TestNode, TestPool, address};
use serde_json::Value;
use tokio::task::JoinSet;
use work::RoundNumber;

const KILLS: u64 = 50;
const CLIENTS: u64 = 4;

/// A small generator, so that a failing drill can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX multiplier; the high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_under_load_lose_no_acknowledged_share() {
    // On a private signet a block costs millions of hashes, so two-hash shares are not all blocks.
    let mut pool = TestPool::start(&PoolOptions {
        chain: PrivateChain::PrivateSignet,
        difficulty: f64::from(2.0_f32).powi(-31),
        settings: vec!["stratum.shares_per_minute=600".to_owned()],
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    let settings = ["stratum.shares_per_minute=600".to_owned()];
    let mut random = Random(20_261_121);
    let acknowledged: Arc<Mutex<HashSet<BlockHash>>> = Arc::default();
    let mut round = RoundNumber::ZERO;
    pool.nodes[0].orca.task(round).await.unwrap();

    for kill in 0..KILLS {
        let node = &mut pool.nodes[0];
        let mut miners = JoinSet::new();
        for client in 0..CLIENTS {
            miners.spawn(mine(
                node.stratum,
                format!("{}.c{client}", address("drill")),
                Arc::clone(&acknowledged),
            ));
        }
        tokio::time::sleep(Duration::from_millis(150 + random.below(350))).await;
        // Every fifth kill hits the node while it closes and seals a round.
        if kill % 5 == 4 {
            let (orca, task, sealed) = (node.orca.clone(), pool.task, round);
            round = round.next();
            node.orca.task(round).await.unwrap();
            let sealing = tokio::spawn(async move { orca.submission(task, sealed).await.ok() });
            tokio::time::sleep(Duration::from_micros(random.below(15_000))).await;
            node.kill().await.unwrap();
            let answered = sealing.await.unwrap();
            miners.shutdown().await;
            node.start(&settings).await.unwrap();
            // A seal that was answered stays; one that was cut is made now, from the same shares.
            let again = node.orca.submission(pool.task, sealed).await.unwrap();
            if let Some(answered) = answered {
                assert_eq!(answered, again, "kill {kill}");
            }
            assert_eq!(
                again["shares"].as_u64().unwrap(),
                stored(node, sealed).len() as u64,
                "kill {kill}: the bundle of round {sealed} holds all its shares"
            );
            assert!(node.orca.audit(&again).await.unwrap(), "kill {kill}");
        } else {
            node.kill().await.unwrap();
            miners.shutdown().await;
            node.start(&settings).await.unwrap();
        }
        assert_eq!(
            node.orca.get("/api/stats").await.unwrap()["health"]["round"],
            Value::from(round.get()),
            "kill {kill}: the round goes on"
        );
    }

    let mut on_disk = HashSet::new();
    let mut number = Some(round);
    while let Some(round) = number {
        for hash in stored(&pool.nodes[0], round) {
            assert!(on_disk.insert(hash), "{hash} is stored twice");
        }
        number = round.previous();
    }
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&on_disk).collect();
    assert!(lost.is_empty(), "acknowledged but not stored: {lost:?}");
    // What is on disk and was not acknowledged was on its way when the node was killed: at most one a client and kill.
    let unheard = on_disk.len() - acknowledged.len();
    assert!(
        unheard as u64 <= KILLS * CLIENTS,
        "{unheard} shares nobody sent"
    );
    assert!(
        acknowledged.len() > 1000,
        "only {} shares: this was no load",
        acknowledged.len()
    );
    println!(
        "{KILLS} kills, {} acknowledged shares, {} stored",
        acknowledged.len(),
        on_disk.len()
    );
}

/// Mines until the connection ends.
async fn mine(
    pool: std::net::SocketAddr,
    user: String,
    acknowledged: Arc<Mutex<HashSet<BlockHash>>>,
) {
    let Ok(mut client) = StratumClient::connect(pool, &user).await else {
        return;
    };
    while let Ok((hash, answer)) = client.share().await {
        match answer {
            Answer::Accepted => {
                assert!(
                    acknowledged.lock().unwrap().insert(hash),
                    "{hash} counted twice"
                );
            }
            // A new block, a closed round, or a refused store: the next job comes.
            Answer::Rejected(20 | 21, _) => {
                client.forget_job();
            }
            Answer::Rejected(code, text) => panic!("{code}: {text}"),
        }
    }
}

fn stored(node: &TestNode, round: RoundNumber) -> Vec<BlockHash> {
    let (out, err, code) = node
        .cli(&["shares", "--json", "--round", &round.to_string()])
        .unwrap();
    assert_eq!(code, 0, "{err}");
    out.lines()
        .map(|line| {
            let share: Value = serde_json::from_str(line).unwrap();
            share["hash"].as_str().unwrap().parse().unwrap()
        })
        .collect()
}
