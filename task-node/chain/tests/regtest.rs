//! One real node: templates, submission, headers, the cookie, ZMQ.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bitcoin::{BlockHash, CompactTarget, Network, hashes::Hash as _};
use chain::{
    Auth, BitcoinNode, NodeError, PrivateChain, RpcNode, RpcOptions, Standing, SubmitOutcome,
    ZmqCheck,
    headers::{child_bits, header_facts, tip_height_at},
    zmq::{ZmqEndpoint, check_node},
};
use common::{anyone_can_spend, eventually, solve, soon, start};

#[tokio::test]
async fn a_template_builds_on_the_tip() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let hashes = test
        .bitcoind
        .generate(3, &anyone_can_spend())
        .await
        .unwrap();

    let given = node.block_template().await.unwrap();
    assert_eq!(given.template.prev_hash(), hashes[2]);
    assert_eq!(given.template.height(), 4);
    assert_eq!(given.template.nbits().to_consensus(), 0x207f_ffff);
    assert_eq!(given.template.coinbase_value().to_sat(), 50_0000_0000);
    assert_eq!(&*given.node, node.name());
    assert!(given.long_poll.is_some());

    let info = node.chain_info().await.unwrap();
    assert_eq!(
        (info.network, info.height, info.tip),
        (Network::Regtest, 3, hashes[2])
    );
    assert_eq!(node.best_block_hash().await.unwrap(), hashes[2]);
}

#[tokio::test]
async fn headers_and_blocks_are_found_by_hash_and_height_or_said_to_be_unknown() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let hashes = test
        .bitcoind
        .generate(5, &anyone_can_spend())
        .await
        .unwrap();

    let header = node.header(hashes[1]).await.unwrap().unwrap();
    assert_eq!(header.height, 2);
    assert_eq!(header.standing, Standing::Active { confirmations: 4 });
    assert_eq!(node.hash_at(2).await.unwrap(), Some(hashes[1]));
    assert_eq!(
        node.block(hashes[1]).await.unwrap().unwrap().block_hash(),
        hashes[1]
    );

    let genesis = node.hash_at(0).await.unwrap().unwrap();
    assert_eq!(
        genesis,
        bitcoin::constants::genesis_block(Network::Regtest).block_hash()
    );
    assert_eq!(node.header(genesis).await.unwrap().unwrap().height, 0);

    let nowhere = BlockHash::from_byte_array([7; 32]);
    assert_eq!(node.header(nowhere).await.unwrap(), None);
    assert_eq!(node.block(nowhere).await.unwrap(), None);
    assert_eq!(node.hash_at(6).await.unwrap(), None);
    assert_eq!(node.hash_at(u32::MAX).await.unwrap(), None);
}

#[tokio::test]
async fn a_block_is_accepted_once_then_a_duplicate_and_a_sibling_is_inconclusive() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let template = node.block_template().await.unwrap().template;
    let block = solve(&template, 1);
    assert_eq!(
        node.submit_block(&block).await.unwrap(),
        SubmitOutcome::Accepted
    );
    assert_eq!(node.best_block_hash().await.unwrap(), block.block_hash());
    assert_eq!(
        node.submit_block(&block).await.unwrap(),
        SubmitOutcome::Duplicate
    );

    let sibling = solve(&template, 2);
    assert_eq!(
        node.submit_block(&sibling).await.unwrap(),
        SubmitOutcome::Inconclusive
    );
    let header = node.header(sibling.block_hash()).await.unwrap().unwrap();
    assert_eq!((header.standing, header.height), (Standing::Stale, 1));
}

#[tokio::test]
async fn a_bad_block_is_rejected_with_the_nodes_reason() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let template = node.block_template().await.unwrap().template;

    let mut unsolved = solve(&template, 1);
    while unsolved
        .header
        .validate_pow(unsolved.header.target())
        .is_ok()
    {
        unsolved.header.nonce += 1;
    }
    assert_eq!(
        node.submit_block(&unsolved).await.unwrap(),
        SubmitOutcome::Rejected("high-hash".into())
    );

    let mut greedy = solve(&template, 1);
    greedy.txdata[0].output[0].value = bitcoin::Amount::from_sat(50_0000_0001);
    greedy.header.merkle_root = greedy.compute_merkle_root().unwrap();
    while greedy.header.validate_pow(greedy.header.target()).is_err() {
        greedy.header.nonce += 1;
    }
    assert_eq!(
        node.submit_block(&greedy).await.unwrap(),
        SubmitOutcome::Rejected("bad-cb-amount".into())
    );
    // What is known to be bad stays bad, and is no "duplicate".
    assert_eq!(
        node.submit_block(&greedy).await.unwrap(),
        SubmitOutcome::Rejected("duplicate-invalid".into())
    );
}

#[tokio::test]
async fn a_long_poll_wakes_up_on_a_new_block() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let first = node.block_template().await.unwrap();
    let id = first.long_poll.unwrap();
    let waiting = tokio::spawn({
        let node = test.bitcoind.node();
        async move { node.wait_for_template(&id).await }
    });
    let hash = test
        .bitcoind
        .generate(1, &anyone_can_spend())
        .await
        .unwrap()[0];
    let woken = soon("the long poll's answer", waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(woken.template.prev_hash(), hash);
    assert_eq!(woken.template.height(), first.template.height() + 1);
}

#[tokio::test]
async fn a_long_poll_that_stays_quiet_is_no_failure() {
    let test = start(PrivateChain::Regtest).await;
    let mut options = options(&test, Network::Regtest);
    options.long_poll_timeout = std::time::Duration::from_millis(300);
    let node = RpcNode::new(options).unwrap();
    let id = node.block_template().await.unwrap().long_poll.unwrap();
    assert!(node.wait_for_template(&id).await.unwrap().is_none());
}

fn options(test: &common::TestNode, network: Network) -> RpcOptions {
    let auth = Auth::CookieFile(test.bitcoind.cookie_file());
    RpcOptions::new(
        "test",
        format!("127.0.0.1:{}", test.bitcoind.rpc_port()),
        auth,
        network,
    )
}

#[tokio::test]
async fn a_node_on_another_chain_is_named_as_such() {
    let test = start(PrivateChain::Regtest).await;
    let node = RpcNode::new(options(&test, Network::Bitcoin)).unwrap();
    let error = node.chain_info().await.unwrap_err();
    assert!(
        matches!(&error, NodeError::WrongNetwork { found, .. } if found == "regtest"),
        "{error}"
    );
    assert!(error.to_string().contains("main"));
}

#[tokio::test]
async fn a_wrong_password_is_unauthorized_and_never_shown() {
    let test = start(PrivateChain::Regtest).await;
    let mut options = options(&test, Network::Regtest);
    options.auth = Auth::Password {
        user: "mallory".into(),
        password: "sesame".into(),
    };
    let shown = format!("{options:?}");
    let node = RpcNode::new(options).unwrap();
    let error = node.best_block_hash().await.unwrap_err();
    assert!(matches!(error, NodeError::Unauthorized { .. }), "{error}");
    for text in [shown, format!("{node:?}"), format!("{error:?} {error}")] {
        assert!(
            !text.contains("sesame") && !text.contains("mallory"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_restarted_node_with_a_new_cookie_is_used_again() {
    let mut test = start(PrivateChain::Regtest).await;
    let node = RpcNode::new(options(&test, Network::Regtest)).unwrap();
    let hash = test
        .bitcoind
        .generate(1, &anyone_can_spend())
        .await
        .unwrap()[0];
    assert_eq!(node.best_block_hash().await.unwrap(), hash);
    let cookie = std::fs::read(test.bitcoind.cookie_file()).unwrap();

    test = test.restart().await;
    assert_ne!(std::fs::read(test.bitcoind.cookie_file()).unwrap(), cookie);
    assert_eq!(node.best_block_hash().await.unwrap(), hash);

    let _test = test.crash_and_restart().await;
    assert!(node.best_block_hash().await.is_ok());
}

#[tokio::test]
async fn a_stopped_node_is_unreachable_or_without_a_cookie() {
    let test = start(PrivateChain::Regtest).await;
    let (seen, fresh) = (
        RpcNode::new(options(&test, Network::Regtest)),
        RpcNode::new(options(&test, Network::Regtest)),
    );
    let (seen, fresh) = (seen.unwrap(), fresh.unwrap());
    seen.chain_info().await.unwrap();
    test.bitcoind.stop().await.unwrap();
    assert!(matches!(
        seen.chain_info().await,
        Err(NodeError::Unreachable { .. })
    ));
    assert!(matches!(
        fresh.chain_info().await,
        Err(NodeError::Cookie { .. })
    ));
}

#[tokio::test]
async fn the_configured_zmq_endpoint_is_checked_against_the_node() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let ours = test.bitcoind.zmq_endpoint();
    assert_eq!(
        check_node(&*node, &ours).await.unwrap(),
        ZmqCheck::Announced
    );
    let other: ZmqEndpoint = "tcp://127.0.0.1:1".parse().unwrap();
    assert_eq!(
        check_node(&*node, &other).await.unwrap(),
        ZmqCheck::Elsewhere(vec![ours.to_string()])
    );
}

#[tokio::test]
async fn the_auditors_view_agrees_with_the_node() {
    let test = start(PrivateChain::Regtest).await;
    let node = test.bitcoind.node();
    let hashes = test
        .bitcoind
        .generate(20, &anyone_can_spend())
        .await
        .unwrap();
    let template = node.block_template().await.unwrap().template;
    let stale = solve(&template, 1);
    node.submit_block(&solve(&template, 2)).await.unwrap();
    node.submit_block(&stale).await.unwrap();

    let facts = header_facts(
        &*node,
        &[hashes[19], stale.block_hash(), BlockHash::all_zeros()],
    )
    .await
    .unwrap();
    assert_eq!(facts.len(), 2);
    assert_eq!(facts[&hashes[19]].height, 20);
    assert!(
        facts[&hashes[19]]
            .child_bits
            .allows(CompactTarget::from_consensus(
                template.nbits().to_consensus()
            ))
    );
    assert_eq!(facts[&stale.block_hash()].standing, Standing::Stale);

    let mut times = Vec::new();
    for height in 0..=21 {
        let hash = node.hash_at(height).await.unwrap().unwrap();
        times.push(node.header(hash).await.unwrap().unwrap().time());
    }
    for &time in &times {
        for asked in [time - 1, time, time + 1] {
            let expected = times.iter().rposition(|&t| t <= asked).map(|h| h as u32);
            assert_eq!(
                tip_height_at(&*node, asked).await.unwrap(),
                expected,
                "at {asked}"
            );
        }
    }
    assert_eq!(tip_height_at(&*node, 0).await.unwrap(), None);
    assert_eq!(tip_height_at(&*node, u32::MAX).await.unwrap(), Some(21));
}

#[tokio::test]
async fn a_private_signet_gives_templates_and_mines_without_a_signature() {
    let test = start(PrivateChain::PrivateSignet).await;
    let node = test.bitcoind.node();
    let before = node.block_template().await.unwrap().template;
    assert_eq!(before.height(), 1);
    let hash = test
        .bitcoind
        .generate(1, &anyone_can_spend())
        .await
        .unwrap()[0];
    let after = node.block_template().await.unwrap().template;
    assert_eq!((after.height(), after.prev_hash()), (2, hash));
    let parent = node.header(hash).await.unwrap().unwrap();
    let required = child_bits(&*node, &parent).await.unwrap();
    assert_eq!(
        required.regular.to_consensus(),
        after.nbits().to_consensus()
    );
}

#[tokio::test]
async fn a_child_process_does_not_outlive_its_handle() {
    let test = start(PrivateChain::Regtest).await;
    let port = test.bitcoind.rpc_port();
    drop(test);
    eventually("the RPC port is free again", async || {
        std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
    })
    .await;
}
