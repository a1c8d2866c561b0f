//! Blocks come, and go.

use bdk_bitcoind_rpc::bitcoincore_rpc::RpcApi as _;
use bitcoin::{Amount, OutPoint};
use orcapool_custody::view::Spent;
use orcapool_custody::watch::WalletEvent;
use serde_json::{Value, json};

use super::*;

#[test]
fn any_two_custodians_can_move_a_coin_of_the_setup() {
    let node = Regtest::start();
    let setup = Custodian::two_of_three();
    let hash = mine_own(&node, &setup, 1)[0];
    node.mine_elsewhere(100);
    let coin = Spendable::of(&setup, &coinbase(node.block(hash)));
    let out = TxOut {
        value: Amount::from_sat(49_9999_0000),
        script_pubkey: elsewhere(),
    };
    let all = [1, 2, 3].map(Custodian::new);
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        let signers = [&all[a], &all[b]];
        let paid = spend(
            &setup,
            &signers,
            std::slice::from_ref(&coin),
            vec![out.clone()],
        );
        let hex = bitcoin::consensus::encode::serialize_hex(&paid);
        let answer: Value = node.call("testmempoolaccept", &[json!([hex])]);
        assert_eq!(answer[0]["allowed"], true, "{answer}");
    }
}

#[test]
fn coinbases_mature_as_bitcoin_core_says() {
    let node = Regtest::start();
    let setup = Custodian::two_of_three();
    let core = node.core_wallet("watching", false);
    let imports: Vec<Value> = [KeychainKind::External, KeychainKind::Internal]
        .map(|keychain| {
            json!({
                "desc": setup.keychain(keychain).to_string(),
                "active": true,
                "internal": keychain == KeychainKind::Internal,
                "timestamp": 0,
                "range": 100,
            })
        })
        .into();
    let imported: Value = core.call("importdescriptors", &[json!(imports)]).unwrap();
    assert!(
        imported
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["success"] == true)
    );

    let mut watch = create(&node.dir().join("wallet"), &setup);
    mine_own(&node, &setup, 3);
    node.mine_elsewhere(96);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let synced = sync(&mut watch, &node);
        assert_eq!(synced.tip.height, node.height());
        assert_eq!(synced.tip.hash, node.hash_at(node.height()));
        let coinbases = watch.balances().coinbases;
        ours.push((coinbases.immature, coinbases.mature));
        let answer: Value = core.call("getbalances", &[]).unwrap();
        let part = |name: &str| Amount::from_btc(answer["mine"][name].as_f64().unwrap()).unwrap();
        theirs.push((part("immature"), part("trusted")));
        node.mine_elsewhere(1);
    }
    // Core's wallet waits one block longer than consensus does (`GetTxBlocksToMaturity`).
    assert_eq!(ours[..4], theirs[1..]);
    let btc = Amount::from_int_btc;
    assert_eq!((ours[0], ours[4]), ((btc(150), btc(0)), (btc(0), btc(150))));

    // The same addresses, too.
    for (keychain, method, arguments) in [
        (
            KeychainKind::External,
            "getnewaddress",
            vec![json!(""), json!("bech32")],
        ),
        (
            KeychainKind::Internal,
            "getrawchangeaddress",
            vec![json!("bech32")],
        ),
    ] {
        // Core starts after what it has seen used.
        let theirs: String = core.call(method, &arguments).unwrap();
        let first = u32::from(keychain == KeychainKind::External);
        let ours = setup.address(keychain, first).unwrap();
        assert_eq!(theirs, ours.to_string());
    }
}

#[test]
fn what_counts_as_spendable_is_what_a_node_accepts() {
    let node = Regtest::start();
    let setup = Custodian::single_setup();
    let hash = mine_own(&node, &setup, 1)[0];
    let coin = Spendable::of(&setup, &coinbase(node.block(hash)));
    let out = TxOut {
        value: Amount::from_sat(49_9999_0000),
        script_pubkey: elsewhere(),
    };
    let spent = spend(&setup, &[&Custodian::new(1)], &[coin], vec![out]);
    let hex = bitcoin::consensus::encode::serialize_hex(&spent);
    let mut watch = create(&node.dir().join("wallet"), &setup);
    node.mine_elsewhere(97);
    let mut accepted = Vec::new();
    for _ in 0..3 {
        node.mine_elsewhere(1);
        sync(&mut watch, &node);
        let answer: Value = node.call("testmempoolaccept", &[json!([hex])]);
        let coin = watch.utxos().remove(0);
        assert_eq!(answer[0]["allowed"], coin.spendable, "{answer}");
        accepted.push(coin.spendable);
    }
    assert_eq!(accepted, [false, true, true]);
}

#[test]
fn a_coinbase_that_is_reorganised_away_is_no_coin_any_more() {
    let node = Regtest::start();
    let setup = Custodian::single_setup();
    node.mine_elsewhere(5);
    let lost = mine_own(&node, &setup, 1)[0];
    let txid = coinbase(node.block(lost)).compute_txid();
    let mut watch = create(&node.dir().join("wallet"), &setup);
    sync(&mut watch, &node);
    assert_eq!(watch.view().coins.len(), 1);

    node.invalidate(lost);
    node.mine_elsewhere(2);
    let synced = sync(&mut watch, &node);
    let orphaned = WalletEvent::Orphaned { txid, before: 6 };
    assert!(synced.events.contains(&orphaned), "{:?}", synced.events);
    assert_eq!(watch.view().tip, 7);
    assert!(watch.view().coins.is_empty());
    assert_eq!(watch.view(), fresh_view(&node, &setup));

    // And back again: the first chain wins after all.
    node.reconsider(lost);
    mine_on(&node, lost, 2);
    let synced = sync(&mut watch, &node);
    let confirmed = WalletEvent::Confirmed {
        txid,
        height: 6,
        before: None,
    };
    assert!(synced.events.contains(&confirmed), "{:?}", synced.events);
    assert_eq!(watch.view(), fresh_view(&node, &setup));
}

/// Makes a block's branch the longest.
fn mine_on(node: &Regtest, block: BlockHash, blocks: u32) {
    let other = node.hash_at(6);
    if other != block {
        node.invalidate(other);
    }
    node.mine_elsewhere(blocks);
    if other != block {
        node.reconsider(other);
    }
}

#[test]
fn a_payout_that_is_reorganised_away_waits_again_and_confirms_again() {
    let mut funded = Funded::new(1);
    let paid = funded.payment(&funded.coins, &[3, 4], 10_000);
    let txid = funded.node.send(&paid);
    let block = funded.node.mine_elsewhere(1)[0];
    funded.sync();
    let coin = funded.coins[0].outpoint();
    let confirmed = funded.watch.view();
    assert_eq!(
        confirmed.spent[&coin],
        Spent {
            by: txid,
            height: 102
        }
    );
    assert_eq!(confirmed.payments[0].height, Some(102));

    funded.node.invalidate(block);
    // Empty blocks: the payout waits in the mempool.
    for tag in 1..=2_u8 {
        funded
            .node
            .mine_exactly(&ScriptBuf::from_bytes(vec![0x51, tag, 0x51]), &[]);
    }
    let synced = funded.sync();
    let waits = WalletEvent::Unconfirmed {
        txid,
        before: Some(102),
    };
    assert!(synced.events.contains(&waits), "{:?}", synced.events);
    let view = funded.watch.view();
    assert!(view.coins.contains_key(&coin) && view.spent.is_empty());
    assert_eq!(view.payments[0].height, None);
    let leaving = funded.watch.balances().coinbases.leaving;
    assert_eq!(leaving, Amount::from_int_btc(50));

    funded.node.mine_elsewhere(1);
    let synced = funded.sync();
    let again = WalletEvent::Confirmed {
        txid,
        height: 104,
        before: None,
    };
    assert!(synced.events.contains(&again), "{:?}", synced.events);
    assert_eq!(funded.watch.view(), fresh_view(&funded.node, &funded.setup));
}

#[test]
fn change_goes_to_the_internal_keychain_and_to_a_new_script_each_time() {
    let mut funded = Funded::new(2);
    let (index, script) = funded.watch.change_script().unwrap();
    assert_eq!(index, 0);
    assert_eq!(
        script,
        funded.setup.script(KeychainKind::Internal, 0).unwrap()
    );
    assert_eq!(
        funded.watch.change_script().unwrap().0,
        0,
        "nothing pays it yet"
    );
    let paid = funded.payment(&funded.coins[..1], &[1], 10_000);
    funded.node.send(&paid);
    funded.node.mine_elsewhere(1);
    funded.sync();
    assert_eq!(funded.watch.change_script().unwrap().0, 1);
    let change = OutPoint::new(paid.compute_txid(), 1);
    let coin = &funded.watch.view().coins[&change];
    assert_eq!((coin.keychain, coin.index), (KeychainKind::Internal, 0));
    assert_eq!(funded.watch.balances().change.mature, coin.txout.value);
    assert_eq!(
        funded.watch.find(&script),
        Some((KeychainKind::Internal, 0))
    );
    assert_eq!(funded.watch.find(&elsewhere()), None);
}
