//! Work from a real node: every way to hear of a block, re-orgs, restarts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{sync::Arc, time::Duration};

use bitcoin::BlockHash;
use chain::{
    BitcoinNode, PrivateChain, TemplateFeed, TemplateUpdate, WatcherOptions, WatcherPhase,
    ZmqEndpoint, watcher,
};
use common::{TestNode, anyone_can_spend, eventually, solve, soon, start};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Long enough never to come in a test.
const NEVER: Duration = Duration::from_secs(3600);

/// Nothing but what a test switches on.
fn silent() -> WatcherOptions {
    WatcherOptions {
        poll: NEVER,
        refresh: NEVER,
        long_poll: false,
        zmq: Vec::new(),
    }
}

fn watch(node: Arc<dyn BitcoinNode>, options: WatcherOptions) -> (TemplateFeed, DropGuard) {
    let cancel = CancellationToken::new();
    (
        watcher::spawn(node, options, cancel.clone()),
        cancel.drop_guard(),
    )
}

async fn next(feed: &mut TemplateFeed) -> TemplateUpdate {
    soon("a template", feed.next()).await.unwrap()
}

/// The first update on `prev`; whatever comes before it is not on it.
async fn next_on(feed: &mut TemplateFeed, prev: BlockHash) -> TemplateUpdate {
    loop {
        let update = next(feed).await;
        if update.template.prev_hash() == prev {
            return update;
        }
    }
}

async fn generate(test: &TestNode) -> BlockHash {
    test.bitcoind
        .generate(1, &anyone_can_spend())
        .await
        .unwrap()[0]
}

async fn zmq_connections(feed: &TemplateFeed, at_least: u64) {
    let status = feed.status();
    eventually("the ZMQ subscription", async || {
        status
            .borrow()
            .zmq
            .iter()
            .any(|(_, s)| s.connected && s.connections >= at_least)
    })
    .await;
}

#[tokio::test]
async fn a_zmq_notice_alone_brings_clean_work() {
    let test = start(PrivateChain::Regtest).await;
    let zmq = vec![(
        test.bitcoind.node() as Arc<dyn BitcoinNode>,
        test.bitcoind.zmq_endpoint(),
    )];
    let (mut feed, _guard) = watch(test.bitcoind.node(), WatcherOptions { zmq, ..silent() });
    assert!(next(&mut feed).await.clean, "the first work is clean");
    zmq_connections(&feed, 1).await;
    // bitcoind takes note of a subscription a moment after the handshake, and drops notices until then.
    let first = soon("a notice", async {
        loop {
            let hash = generate(&test).await;
            if let Ok(Some(update)) =
                tokio::time::timeout(Duration::from_millis(500), feed.next()).await
            {
                assert_eq!(update.template.prev_hash(), hash);
                break update;
            }
        }
    })
    .await;
    assert!(first.clean);
    let hash = generate(&test).await;
    let update = next(&mut feed).await;
    assert_eq!(update.template.prev_hash(), hash);
    assert!(update.clean);
    let status = feed.status();
    eventually("the notices are counted", async || {
        status.borrow().zmq[0].1.received >= 2
    })
    .await;
    assert_eq!(status.borrow().zmq[0].1.missed, 0);
}

/// A tip that is older than the subscription is not news the subscription has missed.
#[tokio::test]
async fn a_quiet_chain_does_not_make_the_subscription_look_deaf() {
    let test = start(PrivateChain::Regtest).await;
    generate(&test).await;
    let zmq = vec![(
        test.bitcoind.node() as Arc<dyn BitcoinNode>,
        test.bitcoind.zmq_endpoint(),
    )];
    let options = WatcherOptions {
        poll: Duration::from_millis(50),
        zmq,
        ..silent()
    };
    let (mut feed, _guard) = watch(test.bitcoind.node(), options);
    next(&mut feed).await;
    zmq_connections(&feed, 1).await;
    // Longer than the grace after which a silent connection is opened anew.
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert_eq!(feed.status().borrow().zmq[0].1.connections, 1);
}

#[tokio::test]
async fn the_long_poll_alone_brings_clean_work_datum_3() {
    let test = start(PrivateChain::Regtest).await;
    let (mut feed, _guard) = watch(
        test.bitcoind.node(),
        WatcherOptions {
            long_poll: true,
            ..silent()
        },
    );
    next(&mut feed).await;
    for _ in 0..2 {
        let hash = generate(&test).await;
        assert!(next_on(&mut feed, hash).await.clean);
    }
}

#[tokio::test]
async fn polling_alone_brings_clean_work_datum_37() {
    let test = start(PrivateChain::Regtest).await;
    // A dead ZMQ endpoint must not stand in the way either.
    let dead: ZmqEndpoint = "tcp://127.0.0.1:1".parse().unwrap();
    let options = WatcherOptions {
        poll: Duration::from_millis(50),
        zmq: vec![(test.bitcoind.node(), dead)],
        ..silent()
    };
    let (mut feed, _guard) = watch(test.bitcoind.node(), options);
    let first = next(&mut feed).await;
    let hash = generate(&test).await;
    let update = next(&mut feed).await;
    assert_eq!(
        update.template.prev_hash(),
        hash,
        "no work on the old tip in between"
    );
    assert_eq!(update.template.height(), first.template.height() + 1);
    assert!(update.clean);
}

#[tokio::test]
async fn a_refresh_of_the_same_tip_is_not_clean() {
    let test = start(PrivateChain::Regtest).await;
    let options = WatcherOptions {
        refresh: Duration::from_millis(100),
        ..silent()
    };
    let (mut feed, _guard) = watch(test.bitcoind.node(), options);
    let first = next(&mut feed).await;
    for _ in 0..3 {
        let update = next(&mut feed).await;
        assert!(!update.clean);
        assert_eq!(update.template.prev_hash(), first.template.prev_hash());
    }
}

#[tokio::test]
async fn a_receiver_that_slept_still_learns_of_the_new_tip() {
    let test = start(PrivateChain::Regtest).await;
    let options = WatcherOptions {
        poll: Duration::from_millis(50),
        refresh: Duration::from_millis(50),
        ..silent()
    };
    let (mut feed, _guard) = watch(test.bitcoind.node(), options);
    let mut sleeper = feed.clone();
    next(&mut feed).await;
    next(&mut sleeper).await;
    let hash = generate(&test).await;
    // The awake one sees the clean update and then refreshes that hide it from the sleeper.
    assert!(next_on(&mut feed, hash).await.clean);
    assert!(!next(&mut feed).await.clean);
    let update = next(&mut sleeper).await;
    assert_eq!(update.template.prev_hash(), hash);
    assert!(update.clean);
}

#[tokio::test]
async fn same_height_reorg_is_clean() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let template = node.block_template().await.unwrap().template;
    let (ours, theirs) = (solve(&template, 1), solve(&template, 2));
    node.submit_block(&ours).await.unwrap();
    let (mut feed, _guard) = watch(
        test.bitcoind.node(),
        WatcherOptions {
            poll: Duration::from_millis(50),
            ..silent()
        },
    );
    let before = next(&mut feed).await;
    assert_eq!(before.template.prev_hash(), ours.block_hash());

    node.submit_block(&theirs).await.unwrap();
    node.call::<Value>("preciousblock", json!([theirs.block_hash()]))
        .await
        .unwrap();
    let after = next(&mut feed).await;
    assert_eq!(after.template.prev_hash(), theirs.block_hash());
    assert_eq!(after.template.height(), before.template.height());
    assert!(after.clean);
}

#[tokio::test]
async fn a_shorter_chain_with_the_nodes_blessing_is_followed() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let hashes = test
        .bitcoind
        .generate(3, &anyone_can_spend())
        .await
        .unwrap();
    let (mut feed, _guard) = watch(
        test.bitcoind.node(),
        WatcherOptions {
            poll: Duration::from_millis(50),
            ..silent()
        },
    );
    assert_eq!(next(&mut feed).await.template.prev_hash(), hashes[2]);
    node.call::<Value>("invalidateblock", json!([hashes[1]]))
        .await
        .unwrap();
    assert!(next_on(&mut feed, hashes[0]).await.clean);
}

#[tokio::test]
async fn work_goes_on_after_the_node_was_killed_and_came_back_with_a_new_cookie() {
    let mut test = start(PrivateChain::Regtest).await;
    let options = WatcherOptions {
        poll: Duration::from_millis(50),
        long_poll: true,
        zmq: vec![(test.bitcoind.node(), test.bitcoind.zmq_endpoint())],
        ..silent()
    };
    let (mut feed, _guard) = watch(test.bitcoind.node(), options);
    next(&mut feed).await;
    zmq_connections(&feed, 1).await;
    let hash = generate(&test).await;
    next_on(&mut feed, hash).await;

    test = test.crash_and_restart().await;
    // The crash may have cost it the last block, and its replacement may be the very same: mine one more.
    let hashes = test
        .bitcoind
        .generate(2, &anyone_can_spend())
        .await
        .unwrap();
    assert!(next_on(&mut feed, hashes[1]).await.clean);
    zmq_connections(&feed, 2).await;
    let status = feed.status();
    eventually("the error is gone", async || {
        status.borrow().error.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_watcher_started_before_its_node_waits_for_it_and_says_why() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let stopped = test.bitcoind.stop().await.unwrap();
    let (mut feed, _guard) = watch(
        node,
        WatcherOptions {
            poll: Duration::from_millis(50),
            ..silent()
        },
    );
    let status = feed.status();
    eventually("the failure is shown", async || {
        status.borrow().error.is_some()
    })
    .await;
    assert_eq!(status.borrow().phase, WatcherPhase::Connecting);

    let running = stopped.start().await.unwrap();
    assert!(next(&mut feed).await.clean);
    assert_eq!(status.borrow().phase, WatcherPhase::Running);
    assert_eq!(status.borrow().error, None);

    running.stop().await.unwrap();
    eventually("the failure is shown again", async || {
        status.borrow().error.is_some()
    })
    .await;
    assert!(feed.latest().is_some(), "the last work stays available");
}

#[tokio::test]
async fn a_stopped_watcher_ends_its_feed() {
    let test = start(PrivateChain::Regtest).await;
    let (mut feed, guard) = watch(test.bitcoind.node(), silent());
    next(&mut feed).await;
    drop(guard);
    assert!(soon("the end", feed.next()).await.is_none());
    assert_eq!(feed.status().borrow().phase, WatcherPhase::Stopped);
}
