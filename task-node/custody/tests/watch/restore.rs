//! What is lost is made anew from the chain.

use std::fs;

use super::support::regtest::core_pays;
use super::*;

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A chain with everything in it: coinbases, payouts, change that is spent again.
fn busy() -> Funded {
    let mut funded = Funded::new(3);
    let first = funded.payment(&funded.coins[..2], &[1, 2], 10_000);
    funded.node.send(&first);
    funded.node.mine_elsewhere(2);
    let change = Spendable {
        vout: 2,
        ..Spendable::of(&funded.setup, &first)
    };
    let second = funded.payment(&[change], &[3], 10_000);
    funded.node.send(&second);
    funded.node.mine_elsewhere(1);
    mine_own(&funded.node, &funded.setup, 2);
    let waiting = funded.payment(&funded.coins[2..], &[7], 10_000);
    funded.node.send(&waiting);
    funded.sync();
    funded
}

#[test]
fn a_deleted_database_is_made_anew() {
    let funded = busy();
    let view = funded.watch.view();
    let history = funded.watch.history();
    assert_eq!(view.payments.len(), 3);
    let dir = funded.watch.dir().path().to_owned();
    drop(funded.watch);
    for name in ["wallet.sqlite", "wallet.sqlite-wal", "wallet.sqlite-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    let mut watch = Watch::open(&dir).unwrap();
    assert_eq!(watch.tip().height, 0);
    sync(&mut watch, &funded.node);
    assert_eq!(watch.view(), view);
    assert_eq!(watch.history(), history);
}

#[test]
fn the_descriptor_alone_brings_everything_back() {
    let funded = busy();
    let text = funded.watch.setup().descriptor().to_string();
    let setup = Setup::parse(bitcoin::Network::Regtest, &text).unwrap();
    assert_eq!(fresh_view(&funded.node, &setup), funded.watch.view());
}

#[test]
fn killed_at_any_block_of_a_scan_it_goes_on_from_there() {
    let funded = busy();
    let view = funded.watch.view();
    let dir = funded.node.dir().join("scan");
    let mut watch = create(&dir, &funded.setup);
    let mut copies = Vec::new();
    watch
        .sync(&source(&funded.node), NOW, &mut |progress| {
            // What a process leaves behind that is killed at this moment.
            if progress.height % 15 == 1 {
                let to = funded
                    .node
                    .dir()
                    .join(format!("killed-{}", progress.height));
                copy_dir(&dir, &to);
                copies.push((progress.height, to));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(watch.view(), view);
    assert!(copies.len() > 5);
    for (height, copy) in copies {
        let mut watch = Watch::open(&copy).unwrap();
        assert!(watch.tip().height <= height);
        sync(&mut watch, &funded.node);
        assert_eq!(watch.view(), view, "killed at block {height}");
    }
}

#[test]
fn a_scan_that_is_stopped_keeps_what_it_found() {
    let funded = busy();
    let dir = funded.node.dir().join("stopped");
    let mut watch = create(&dir, &funded.setup);
    let stopped = watch.sync(&source(&funded.node), NOW, &mut |progress| {
        if progress.height == 50 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(WatchError::Stopped)));
    drop(watch);
    let mut watch = Watch::open(&dir).unwrap();
    assert_eq!(watch.tip().height, 50);
    let synced = sync(&mut watch, &funded.node);
    assert_eq!(synced.blocks, funded.node.height() - 50);
    assert_eq!(watch.view(), funded.watch.view());
}

/// Liana issue 897: restoring from the descriptor found nothing, because the coins lay beyond the gap it looked at.
#[test]
fn liana_897_a_restore_finds_coins_far_beyond_the_usual_gap() {
    let node = Regtest::start();
    let core = node.rich_core_wallet("rich", 1);
    let setup = Custodian::two_of_three();
    // 20 is the usual gap; the second coin is 999 beyond the first.
    for (keychain, index) in [
        (KeychainKind::External, 900),
        (KeychainKind::Internal, 900),
        (KeychainKind::Internal, 1899),
    ] {
        let script = setup.script(keychain, index).unwrap();
        core_pays(&core, &script, Amount::from_sat(100_000));
        node.mine_elsewhere(1);
    }
    let dir = node.dir().join("restored");
    let mut watch = Watch::create(&dir, &setup, 0).unwrap();
    sync(&mut watch, &node);
    let found = |watch: &Watch| {
        let coins = watch.view().coins.into_values();
        let mut found: Vec<_> = coins.map(|coin| (coin.keychain, coin.index)).collect();
        found.sort_unstable();
        found
    };
    let all = [
        (KeychainKind::External, 900),
        (KeychainKind::Internal, 900),
        (KeychainKind::Internal, 1899),
    ];
    assert_eq!(found(&watch), all);
    // Nor does it forget them, or hand out a script twice.
    drop(watch);
    let mut watch = Watch::open(&dir).unwrap();
    assert_eq!(found(&watch), all);
    assert_eq!(
        watch.setup().script(KeychainKind::Internal, 900).unwrap(),
        watch
            .view()
            .coins
            .values()
            .find(|coin| coin.index == 900 && coin.keychain == KeychainKind::Internal)
            .unwrap()
            .txout
            .script_pubkey
    );
    assert_eq!(watch.change_script().unwrap().0, 0);
}

#[test]
fn blocks_below_the_birthday_are_not_looked_at() {
    let node = Regtest::start();
    let setup = Custodian::single_setup();
    mine_own(&node, &setup, 5);
    node.mine_elsewhere(5);
    mine_own(&node, &setup, 5);
    let mut watch = Watch::create(&node.dir().join("young"), &setup, 11).unwrap();
    let synced = sync(&mut watch, &node);
    assert_eq!(synced.blocks, 5);
    assert_eq!(watch.view().coins.len(), 5);
    assert_eq!(watch.dir().birthday(), 11);

    // A re-organisation across the birthday: what was below it and now is not, is found.
    node.invalidate(node.hash_at(9));
    node.mine(4, &setup.coinbase_script().unwrap());
    sync(&mut watch, &node);
    let heights: Vec<_> = watch
        .view()
        .coins
        .values()
        .map(|coin| coin.height.unwrap())
        .collect();
    assert_eq!(watch.tip().height, 12);
    assert_eq!(heights.len(), 2);
    assert!(heights.contains(&11) && heights.contains(&12));
}
