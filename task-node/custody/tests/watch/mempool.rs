//! What waits for a block: replaced, dropped, sent again.

use std::collections::BTreeSet;

use bitcoin::Txid;
use orcapool_custody::watch::WalletEvent;

use super::*;

fn payments(watch: &Watch) -> BTreeSet<Txid> {
    let view = watch.view();
    view.payments.iter().map(|payment| payment.txid).collect()
}

#[test]
fn a_replacement_is_seen_and_the_replaced_one_is_remembered() {
    let mut funded = Funded::new(1);
    let first = funded.payment(&funded.coins, &[1], 1_000);
    let second = funded.payment(&funded.coins, &[1], 20_000);
    funded.node.send(&first);
    let synced = funded.sync();
    let (before, after) = (first.compute_txid(), second.compute_txid());
    assert!(synced.events.contains(&WalletEvent::Unconfirmed {
        txid: before,
        before: None
    }));

    funded.node.send(&second);
    let synced = funded.sync();
    assert!(
        synced.events.contains(&WalletEvent::Replaced {
            txid: before,
            by: after
        }),
        "{:?}",
        synced.events
    );
    assert_eq!(payments(&funded.watch), BTreeSet::from([before, after]));
    let coins = funded.watch.utxos();
    let spent: Vec<_> = coins.iter().filter_map(|coin| coin.spent_by).collect();
    assert_eq!(spent, [after]);

    // Both are still known to the next process.
    let path = funded.watch.dir().path().to_owned();
    drop(funded.watch);
    let watch = Watch::open(&path).unwrap();
    assert_eq!(payments(&watch), BTreeSet::from([before, after]));
    assert_eq!(watch.utxos(), coins);
}

#[test]
fn a_dropped_payment_frees_its_coin_and_may_come_back() {
    let mut funded = Funded::new(1);
    let paid = funded.payment(&funded.coins, &[1], 1_000);
    let txid = funded.node.send(&paid);
    funded.sync();
    assert!(!funded.watch.utxos().iter().any(|coin| coin.spendable));

    // The node starts with an empty mempool.
    funded.node.restart();
    assert!(funded.node.mempool().is_empty());
    funded.node.mine_elsewhere(1);
    let synced = funded.sync();
    assert!(
        synced.events.contains(&WalletEvent::Dropped { txid }),
        "{:?}",
        synced.events
    );
    assert!(funded.watch.utxos().iter().any(|coin| coin.spendable));
    assert_eq!(payments(&funded.watch), BTreeSet::from([txid]));

    // Its clock has not moved; it is seen again all the same.
    funded.node.send(&paid);
    let synced = funded.sync();
    let back = WalletEvent::Unconfirmed { txid, before: None };
    assert!(synced.events.contains(&back), "{:?}", synced.events);
    funded.node.mine_elsewhere(1);
    funded.sync();
    assert_eq!(funded.watch.view().payments[0].height, Some(103));
}

#[test]
fn a_payment_is_known_before_any_node_has_it() {
    let mut funded = Funded::new(1);
    let paid = funded.payment(&funded.coins, &[1], 1_000);
    funded.watch.insert_payment(paid.clone(), NOW).unwrap();
    let leaving = funded.watch.balances().coinbases.leaving;
    assert_eq!(leaving, Amount::from_int_btc(50));

    // It was never sent: the node does not have it.
    let synced = funded.sync();
    let txid = paid.compute_txid();
    assert!(synced.events.contains(&WalletEvent::Dropped { txid }));
    assert_eq!(payments(&funded.watch), BTreeSet::from([txid]));

    funded.watch.insert_payment(paid.clone(), NOW).unwrap();
    funded.node.send(&paid);
    let synced = funded.sync();
    assert_eq!(synced.events, []);
    assert!(!funded.watch.utxos().iter().any(|coin| coin.spendable));
}

#[test]
fn what_spends_unconfirmed_change_is_found_too() {
    let mut funded = Funded::new(1);
    let parent = funded.payment(&funded.coins, &[1], 1_000);
    let change = Spendable {
        funding: parent.clone(),
        vout: 1,
        keychain: KeychainKind::Internal,
        index: 0,
    };
    let child = funded.payment(&[change], &[2], 1_000);
    funded.node.send(&parent);
    funded.node.send(&child);
    funded.sync();
    assert_eq!(
        payments(&funded.watch),
        BTreeSet::from([parent.compute_txid(), child.compute_txid()])
    );
    funded.node.mine_elsewhere(1);
    funded.sync();
    assert_eq!(funded.watch.view(), fresh_view(&funded.node, &funded.setup));
}
