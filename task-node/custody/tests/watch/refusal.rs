//! Nodes that are not followed.

use super::*;

#[test]
fn a_node_that_is_still_downloading() {
    // Without a recent block a node takes itself to be behind.
    let node = Regtest::start();
    let mut watch = create(&node.dir().join("wallet"), &Custodian::single_setup());
    let error = try_sync(&mut watch, &node).unwrap_err();
    assert!(matches!(error, WatchError::NodeSyncing { .. }), "{error}");
    assert!(error.to_string().contains("wait until it is done"));
    node.mine_elsewhere(1);
    sync(&mut watch, &node);
}

#[test]
fn a_node_of_another_network() {
    let node = Regtest::start();
    node.mine_elsewhere(1);
    let custodian = Custodian::new(1).single();
    let setup = Setup::single(bitcoin::Network::Signet, &custodian).unwrap();
    let mut watch = create(&node.dir().join("wallet"), &setup);
    let error = try_sync(&mut watch, &node).unwrap_err();
    assert!(matches!(error, WatchError::WrongNetwork { .. }), "{error}");
    assert!(error.to_string().contains("regtest"), "{error}");
    assert!(matches!(
        source(&node).height(bitcoin::Network::Signet),
        Err(WatchError::WrongNetwork { .. })
    ));
    assert_eq!(source(&node).height(bitcoin::Network::Regtest).unwrap(), 1);
}

#[test]
fn a_node_with_another_chain_would_make_the_wallet_forget_everything() {
    let mut funded = Funded::new(5);
    let before = funded.watch.view();
    let other = Regtest::start();
    other.mine_elsewhere(200);
    let error = try_sync(&mut funded.watch, &other).unwrap_err();
    assert!(matches!(error, WatchError::OtherChain { .. }), "{error}");
    assert_eq!(funded.watch.view(), before);
    funded.sync();
    assert_eq!(funded.watch.view(), before);
}

#[test]
fn a_node_whose_chain_has_become_shorter() {
    let mut funded = Funded::new(1);
    let top = funded.node.hash_at(100);
    funded.node.invalidate(top);
    let error = try_sync(&mut funded.watch, &funded.node).unwrap_err();
    assert!(
        matches!(
            error,
            WatchError::NodeBehind {
                node: 99,
                wallet: 101
            }
        ),
        "{error}"
    );
    // As soon as there is another block instead, it is followed down there.
    mine_own(&funded.node, &funded.setup, 1);
    assert_eq!(funded.sync().tip.height, 100);
    assert_eq!(funded.watch.view(), fresh_view(&funded.node, &funded.setup));
}

#[test]
fn a_pruned_node_without_the_blocks_that_are_needed() {
    let node = Regtest::with_arguments(&["-fastprune", "-prune=1"]);
    let setup = Custodian::single_setup();
    mine_own(&node, &setup, 10);
    node.mine_elsewhere(600);
    let mut early = create(&node.dir().join("early"), &setup);
    let mut late = Watch::create(&node.dir().join("late"), &setup, 600).unwrap();
    let up_to: u32 = node.call("pruneblockchain", &[serde_json::json!(300)]);
    assert!(up_to > 10, "nothing was pruned");
    let error = try_sync(&mut early, &node).unwrap_err();
    assert!(
        matches!(error, WatchError::Pruned { needed: 0, pruned } if pruned > 10),
        "{error}"
    );
    assert!(error.to_string().contains("-prune=0"), "{error}");
    sync(&mut late, &node);
}

#[test]
fn a_node_that_is_not_there() {
    let mut node = Regtest::start();
    node.mine_elsewhere(1);
    let mut watch = create(&node.dir().join("wallet"), &Custodian::single_setup());
    sync(&mut watch, &node);
    let gone = Source::Bitcoind {
        url: "http://127.0.0.1:1".to_owned(),
        login: Login::CookieFile(node.cookie_file()),
    };
    let error = watch
        .sync(&gone, NOW, &mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(matches!(error, WatchError::Source { .. }), "{error}");
    let no_cookie = Source::Bitcoind {
        url: node.url(),
        login: Login::CookieFile(node.dir().join("absent")),
    };
    let error = watch
        .sync(&no_cookie, NOW, &mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(error.to_string().contains("does bitcoind run?"), "{error}");

    // It is back with another cookie.
    node.restart();
    node.mine_elsewhere(1);
    assert_eq!(sync(&mut watch, &node).tip.height, 2);
}
