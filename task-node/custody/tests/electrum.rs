//! The watch-only wallet against a real Electrum server. Run with `cargo test -p orcapool-custody --test electrum -- --ignored`
//! and `ORCAPOOL_ELECTRUMX` set to the path of `electrumx_server`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bdk_wallet::KeychainKind;
use bitcoin::{Amount, Network, ScriptBuf, Transaction, TxOut};
use k2_interface::bitcoin::RedeemIds;
use orcapool_custody::Setup;
use orcapool_custody::watch::{Login, Source, Synced, WalletEvent, Watch, WatchError};

use support::electrumx::ElectrumX;
use support::regtest::{core_pays, elsewhere};
use support::{Custodian, Regtest, Spendable, spend};

const NOW: u64 = 1_600_000_000;

fn sync(watch: &mut Watch, source: &Source) -> Synced {
    watch
        .sync(source, NOW, &mut |_| ControlFlow::Continue(()))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The server hears of blocks and transactions a moment later than the node.
fn sync_until(
    watch: &mut Watch,
    source: &Source,
    done: impl Fn(&Watch, &Synced) -> bool,
) -> Synced {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match watch.sync(source, NOW, &mut |_| ControlFlow::Continue(())) {
            Ok(synced) if done(watch, &synced) => return synced,
            // Between two blocks of a re-organisation.
            Ok(_) | Err(WatchError::NodeBehind { .. } | WatchError::Source { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "it never happened");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The same wallet as a node shows it.
fn as_the_node_has_it(node: &Regtest, setup: &Setup) -> Watch {
    let dir = tempfile::tempdir().unwrap();
    let mut watch = Watch::create(dir.path(), setup, 0).unwrap();
    let source = Source::Bitcoind {
        url: node.url(),
        login: Login::CookieFile(node.cookie_file()),
    };
    sync(&mut watch, &source);
    watch
}

fn payment(setup: &Setup, coin: &Spendable, fee: u64) -> Transaction {
    let out = |value, script_pubkey| TxOut {
        value,
        script_pubkey,
    };
    let change = coin.txout().value - Amount::ONE_BTC - Amount::from_sat(fee);
    let outputs = vec![
        out(Amount::ONE_BTC, elsewhere()),
        out(change, setup.script(KeychainKind::Internal, 0).unwrap()),
        out(
            Amount::ZERO,
            ScriptBuf::from_bytes(RedeemIds::encode(&[5]).unwrap()),
        ),
    ];
    let signers = [&Custodian::new(1), &Custodian::new(2)];
    spend(setup, &signers, std::slice::from_ref(coin), outputs)
}

#[test]
#[ignore = "needs ElectrumX: set ORCAPOOL_ELECTRUMX"]
fn an_electrum_server_shows_what_the_node_shows() {
    let node = Regtest::with_arguments(&["-txindex"]);
    let setup = Custodian::two_of_three();
    let coinbase_script = setup.coinbase_script().unwrap();
    let first = node.mine(2, &coinbase_script)[0];
    let core = node.rich_core_wallet("rich", 1);
    // Liana issue 897, again: far beyond the usual gap.
    let far = setup.script(KeychainKind::Internal, 900).unwrap();
    core_pays(&core, &far, Amount::from_sat(100_000));
    let lost = node.mine(1, &coinbase_script)[0];
    let server = ElectrumX::start(&node);
    let source = Source::Electrum { url: server.url() };
    let top = |node: &Regtest| node.hash_at(node.height());

    let dir = node.dir().join("wallet");
    let mut watch = Watch::create(&dir, &setup, 0).unwrap();
    sync_until(&mut watch, &source, |_, synced| {
        synced.tip.hash == top(&node)
    });
    assert_eq!(source.height(Network::Regtest).unwrap(), node.height());
    assert!(source.height(Network::Signet).is_err());
    assert_eq!(watch.view(), as_the_node_has_it(&node, &setup).view());
    assert_eq!(watch.history(), as_the_node_has_it(&node, &setup).history());
    assert_eq!(watch.view().coins.len(), 4);

    // Paid, replaced.
    let coin = Spendable::of(&setup, &node.block(first).txdata[0]);
    let (cheap, dear) = (
        payment(&setup, &coin, 1_000),
        payment(&setup, &coin, 50_000),
    );
    node.send(&cheap);
    sync_until(&mut watch, &source, |_, synced| {
        synced.events.contains(&WalletEvent::Unconfirmed {
            txid: cheap.compute_txid(),
            before: None,
        })
    });
    node.send(&dear);
    sync_until(&mut watch, &source, |_, synced| {
        synced.events.contains(&WalletEvent::Replaced {
            txid: cheap.compute_txid(),
            by: dear.compute_txid(),
        })
    });
    assert_eq!(watch.view().payments.len(), 2);

    // A re-organisation takes a coinbase, and confirms the payment.
    node.invalidate(lost);
    node.mine_elsewhere(2);
    let synced = sync_until(&mut watch, &source, |_, synced| {
        synced.tip.hash == top(&node)
    });
    assert!(
        synced
            .events
            .iter()
            .any(|event| matches!(event, WalletEvent::Orphaned { .. }))
    );
    let mut ours = watch.view();
    let theirs = as_the_node_has_it(&node, &setup).view();
    // A new wallet has never seen the one that was replaced.
    ours.payments
        .retain(|payment| payment.txid != cheap.compute_txid());
    assert_eq!(ours, theirs);

    // The same folder goes on with the node itself.
    drop(watch);
    let mut watch = Watch::open(&dir).unwrap();
    let node_source = Source::Bitcoind {
        url: node.url(),
        login: Login::CookieFile(node.cookie_file()),
    };
    node.mine(1, &coinbase_script);
    sync(&mut watch, &node_source);
    assert_eq!(
        watch.view().coins,
        as_the_node_has_it(&node, &setup).view().coins
    );
}
