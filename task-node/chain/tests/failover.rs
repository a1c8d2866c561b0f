//! Two real nodes behind one trait: one dies, comes back, lags; a block reaches all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{sync::Arc, time::Duration};

use chain::{
    Auth, BitcoinNode, Condition, FailoverNode, FailoverOptions, NodeError, PrivateChain, RpcNode,
    RpcOptions, SubmitOutcome, WatcherOptions, watcher,
};
use common::{TestNode, anyone_can_spend, eventually, solve, soon, start};
use tokio_util::sync::CancellationToken;

fn together(nodes: &[&TestNode]) -> Arc<FailoverNode> {
    let nodes = nodes
        .iter()
        .map(|t| t.bitcoind.node() as Arc<dyn BitcoinNode>)
        .collect();
    let options = FailoverOptions {
        probe_every: Duration::from_millis(100),
        submit_for: Duration::from_secs(30),
    };
    Arc::new(FailoverNode::new(nodes, options).unwrap())
}

/// Brings `to` to the chain of `from`, as the network would.
async fn relay(from: &TestNode, to: &TestNode) {
    let (from, to) = (from.bitcoind.node(), to.bitcoind.node());
    let mut height = 1;
    while let Some(hash) = from.hash_at(height).await.unwrap() {
        to.submit_block(&from.block(hash).await.unwrap().unwrap())
            .await
            .unwrap();
        height += 1;
    }
}

#[tokio::test]
async fn the_first_node_is_asked_and_the_second_takes_over_datum_162() {
    let (first, second) = (
        start(PrivateChain::Regtest).await,
        start(PrivateChain::Regtest).await,
    );
    let pool = together(&[&first, &second]);
    let names = [
        first.bitcoind.node().name().to_owned(),
        second.bitcoind.node().name().to_owned(),
    ];
    assert_eq!(*pool.block_template().await.unwrap().node, names[0]);
    assert!(pool.status()[0].active);

    let _stopped = first.bitcoind.kill().await.unwrap();
    assert_eq!(*pool.block_template().await.unwrap().node, names[1]);
    let status = pool.status();
    assert!(matches!(status[0].condition, Condition::Demoted { .. }) && !status[0].active);
    assert!(status[1].active);
}

#[tokio::test]
async fn every_question_is_answered_while_a_node_crashes_and_restarts() {
    let (first, second) = (
        start(PrivateChain::Regtest).await,
        start(PrivateChain::Regtest).await,
    );
    let pool = together(&[&first, &second]);
    let stop = CancellationToken::new();
    let questions = tokio::spawn({
        let (pool, stop) = (Arc::clone(&pool), stop.clone());
        async move {
            let mut answered = 0_u32;
            while !stop.is_cancelled() {
                pool.best_block_hash().await.unwrap();
                answered += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answered
        }
    });
    let first = first.crash_and_restart().await;
    stop.cancel();
    assert!(soon("the questions", questions).await.unwrap() > 0);
    drop(first);
}

#[tokio::test]
async fn a_node_that_comes_back_is_used_again_monero_p2pool_232_269() {
    let (first, second) = (
        start(PrivateChain::Regtest).await,
        start(PrivateChain::Regtest).await,
    );
    let pool = together(&[&first, &second]);
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    pool.spawn_monitor(cancel);
    let first_name = first.bitcoind.node().name().to_owned();
    let _first = first.crash_and_restart().await;
    eventually("the first node is active again", async || {
        let status = pool.status();
        status[0].active && status[0].condition == Condition::Healthy && status[0].chain.is_some()
    })
    .await;
    assert_eq!(*pool.block_template().await.unwrap().node, first_name);
}

#[tokio::test]
async fn a_found_block_reaches_every_node() {
    let (first, second) = (
        start(PrivateChain::Regtest).await,
        start(PrivateChain::Regtest).await,
    );
    let pool = together(&[&first, &second]);
    let block = solve(&pool.block_template().await.unwrap().template, 1);
    assert_eq!(
        pool.submit_block(&block).await.unwrap(),
        SubmitOutcome::Accepted
    );
    for test in [&first, &second] {
        let node = test.bitcoind.node();
        eventually("the block", async || {
            node.best_block_hash().await.unwrap() == block.block_hash()
        })
        .await;
    }
    let again = pool.submit_block(&block).await.unwrap();
    assert_eq!(again, SubmitOutcome::Duplicate);
}

#[tokio::test]
async fn a_found_block_is_not_lost_with_the_first_node_down() {
    let (first, second) = (
        start(PrivateChain::Regtest).await,
        start(PrivateChain::Regtest).await,
    );
    let pool = together(&[&first, &second]);
    let block = solve(&pool.block_template().await.unwrap().template, 1);
    let _stopped = first.bitcoind.kill().await.unwrap();
    assert_eq!(
        pool.submit_block(&block).await.unwrap(),
        SubmitOutcome::Accepted
    );
    assert_eq!(
        second.bitcoind.node().best_block_hash().await.unwrap(),
        block.block_hash()
    );
}

#[tokio::test]
async fn a_found_block_waits_for_a_node_that_is_down() {
    let only = start(PrivateChain::Regtest).await;
    let pool = together(&[&only]);
    let block = solve(&pool.block_template().await.unwrap().template, 1);
    let stopped = only.bitcoind.stop().await.unwrap();
    let submit = tokio::spawn({
        let (pool, block) = (Arc::clone(&pool), block.clone());
        async move { pool.submit_block(&block).await }
    });
    eventually("the first try has failed", async || {
        matches!(pool.status()[0].condition, Condition::Demoted { .. })
    })
    .await;
    let back = stopped.start().await.unwrap();
    assert_eq!(
        soon("the outcome", submit).await.unwrap().unwrap(),
        SubmitOutcome::Accepted
    );
    assert_eq!(
        back.node().best_block_hash().await.unwrap(),
        block.block_hash()
    );
}

#[tokio::test]
async fn a_lagging_node_is_left_alone_until_it_has_caught_up() {
    let (first, second) = (
        start(PrivateChain::Regtest).await,
        start(PrivateChain::Regtest).await,
    );
    second
        .bitcoind
        .generate(3, &anyone_can_spend())
        .await
        .unwrap();
    let pool = together(&[&first, &second]);
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    pool.spawn_monitor(cancel);
    eventually("the lag is noticed", async || {
        matches!(pool.status()[0].condition, Condition::Demoted { .. })
    })
    .await;
    assert_eq!(pool.block_template().await.unwrap().template.height(), 4);
    relay(&second, &first).await;
    eventually("the first node is active again", async || {
        pool.status()[0].active
    })
    .await;
}

#[tokio::test]
async fn a_lagging_node_never_takes_miners_back() {
    let (first, second) = (
        start(PrivateChain::Regtest).await,
        start(PrivateChain::Regtest).await,
    );
    let hashes = first
        .bitcoind
        .generate(3, &anyone_can_spend())
        .await
        .unwrap();
    let pool = together(&[&first, &second]);
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let options = WatcherOptions {
        poll: Duration::from_millis(50),
        refresh: Duration::from_millis(100),
        ..WatcherOptions::default()
    };
    let mut feed = watcher::spawn(Arc::clone(&pool) as Arc<dyn BitcoinNode>, options, cancel);
    assert_eq!(
        soon("work", feed.next())
            .await
            .unwrap()
            .template
            .prev_hash(),
        hashes[2]
    );
    // The second node has nothing but its genesis block and is the only one left.
    let _stopped = first.bitcoind.kill().await.unwrap();
    let status = feed.status();
    eventually("the older tip is refused", async || {
        status
            .borrow()
            .error
            .as_ref()
            .is_some_and(|e| e.contains("an older tip"))
    })
    .await;
    assert_eq!(feed.latest().unwrap().prev_hash(), hashes[2]);
    // Once it has more work than what miners are on, it is followed.
    let ahead = second
        .bitcoind
        .generate(4, &anyone_can_spend())
        .await
        .unwrap();
    eventually("the longer chain", async || {
        feed.latest().unwrap().prev_hash() == ahead[3]
    })
    .await;
}

#[tokio::test]
async fn every_node_down_names_every_node() {
    let (first, second) = (
        start(PrivateChain::Regtest).await,
        start(PrivateChain::Regtest).await,
    );
    let pool = together(&[&first, &second]);
    let names = [
        first.bitcoind.node().name().to_owned(),
        second.bitcoind.node().name().to_owned(),
    ];
    first.bitcoind.kill().await.unwrap();
    second.bitcoind.kill().await.unwrap();
    let error = pool.block_template().await.unwrap_err();
    assert!(matches!(error, NodeError::AllFailed { .. }));
    assert!(
        names.iter().all(|name| error.to_string().contains(name)),
        "{error}"
    );
}

#[tokio::test]
async fn nodes_of_different_chains_or_the_same_name_cannot_stand_together() {
    let node = |name: &str, network| -> Arc<dyn BitcoinNode> {
        let auth = Auth::Password {
            user: "u".into(),
            password: "p".into(),
        };
        Arc::new(RpcNode::new(RpcOptions::new(name, "127.0.0.1:1", auth, network)).unwrap())
    };
    use bitcoin::Network::{Bitcoin, Regtest};
    let refused = |nodes| {
        FailoverNode::new(nodes, FailoverOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert!(refused(vec![]).contains("no bitcoin node"));
    assert!(refused(vec![node("a", Regtest), node("b", Bitcoin)]).contains("same chain"));
    assert!(refused(vec![node("a", Regtest), node("a", Regtest)]).contains("name"));
}
