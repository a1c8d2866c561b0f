//! Proof of reserves on a real node: made, signed by the custodians, verified by somebody who has nothing but public data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "reserves/by_esplora.rs"]
mod by_esplora;
#[path = "reserves/forgery.rs"]
mod forgery;
#[path = "reserves/in_flight.rs"]
mod in_flight;
#[path = "reserves/signing.rs"]
mod signing;
mod support;
#[path = "reserves/world.rs"]
mod world;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, TxOut};
use orcapool_custody::reserves::{File, MAX_AGE_SLOTS, VerifyError, verify};
use serde_json::{Value, json};
use support::regtest::elsewhere;
use world::{COINBASE, World, forged, restated};

#[test]
fn a_single_key_proves_its_reserves() {
    let world = World::single();
    let report = world.verify(&world.proof(&[1])).unwrap();
    assert_eq!(report.then, report.now);
    assert_eq!(report.now.supply, COINBASE * 2);
    assert_eq!(report.now.reserves, COINBASE * 2);
    assert_eq!(report.now.immature, COINBASE);
    assert_eq!(report.now.ratio_ppm(), Some(1_000_000));
    assert!(report.now.is_backed() && report.spent.is_empty());
    let [script] = report.scripts.as_slice() else {
        panic!("{:?}", report.scripts);
    };
    assert!(script.registered);
    assert_eq!((script.coins, script.amount), (3, COINBASE * 3));
}

#[test]
fn each_pair_of_three_proves_the_same() {
    let world = World::two_of_three();
    for pair in [[1, 2], [2, 3], [3, 1]] {
        let proof = world.proof(&pair);
        let report = world.verify(&proof).unwrap();
        assert!(report.now.is_backed(), "{pair:?}");
        let facts = world.chain().facts(proof.claim()).unwrap();
        let report = verify(&proof, &facts, &world.k2, Some(&world.setup)).unwrap();
        assert_eq!(report.of_descriptor, Some(true));
        let File::Proof(read) = File::parse(&File::Proof(proof.clone()).encode().unwrap()).unwrap()
        else {
            panic!("a proof is a proof");
        };
        assert_eq!(read, proof);
    }
}

/// Change is reserve as well; it is at a script K2 does not know, so it is told apart.
#[test]
fn change_counts_and_is_told_apart() {
    let mut world = World::single();
    let coin = *world
        .view()
        .coins
        .values()
        .next()
        .map(|c| &c.outpoint)
        .unwrap();
    let coin = world
        .view()
        .coins
        .values()
        .find(|coin| coin.is_spendable(world.node.height()))
        .map_or(coin, |coin| coin.outpoint);
    let left = Amount::from_sat(49_0000_0000);
    world.spend(&[coin], vec![world.change(3, left)]);
    world.k2.proved_in = COINBASE + left;
    let report = world.verify(&world.proof(&[1])).unwrap();
    assert!(report.now.is_backed());
    let told: Vec<_> = report
        .scripts
        .iter()
        .map(|script| (script.registered, script.amount))
        .collect();
    assert_eq!(told, [(true, COINBASE * 2), (false, left)]);
}

#[test]
fn below_the_supply_it_says_what_is_missing() {
    let mut world = World::single();
    world.k2.proved_in += Amount::from_sat(1);
    let report = world.verify(&world.proof(&[1])).unwrap();
    assert!(!report.then.is_backed() && !report.now.is_backed());
    assert_eq!(report.now.missing(), Amount::from_sat(1));
    assert_eq!(report.now.ratio_ppm(), Some(999_999));
}

/// Coinbases that were immature count once they are mature, so a proof covers what is minted of them later.
#[test]
fn what_matures_later_is_proved_already() {
    let mut world = World::single();
    let proof = world.proof(&[1]);
    world.node.mine_elsewhere(100);
    world.k2.slot += 1;
    world.k2.proved_in += COINBASE;
    let report = world.verify(&proof).unwrap();
    assert_eq!(report.then.reserves, COINBASE * 2);
    assert_eq!(report.now.reserves, COINBASE * 3);
    assert!(report.now.is_backed());
}

#[test]
fn a_coin_spent_since_is_found_out() {
    let world = World::two_of_three();
    let proof = world.proof(&[1, 2]);
    let coin = world
        .view()
        .coins
        .values()
        .find(|coin| coin.is_spendable(world.node.height()))
        .unwrap()
        .outpoint;
    world.node.mine_elsewhere(2);
    let out = TxOut {
        value: Amount::from_sat(49_9999_0000),
        script_pubkey: elsewhere(),
    };
    let thief = world.spend(&[coin], vec![out]);
    world.node.mine_elsewhere(1);
    let report = world.verify(&proof).unwrap();
    assert!(report.then.is_backed(), "it was there");
    assert!(!report.now.is_backed(), "it is gone");
    assert_eq!(report.now.reserves, COINBASE);
    let [spent] = report.spent.as_slice() else {
        panic!("{:?}", report.spent);
    };
    assert_eq!(spent.outpoint, coin);
    assert_eq!(spent.by, thief.compute_txid());
    assert_eq!(spent.height, proof.claim().statement().height + 3);
    assert!(spent.redemptions.is_empty());
}

#[test]
fn a_coin_spent_before_is_refused() {
    let world = World::single();
    let early = world.proof(&[1]);
    let coin = world
        .view()
        .coins
        .values()
        .find(|coin| coin.is_spendable(world.node.height()))
        .unwrap()
        .outpoint;
    world.spend(&[coin], vec![world.change(0, COINBASE)]);
    let late = restated(&early, |statement| {
        (statement.height, statement.block) = world.tip();
    });
    let error = world.verify(&forged(late, &[&early])).unwrap_err();
    assert!(
        matches!(error, VerifyError::Coin { outpoint, .. } if outpoint == coin),
        "{error}"
    );
}

#[test]
fn a_block_that_was_given_up_is_no_proof() {
    let world = World::single();
    let proof = world.proof(&[1]);
    world.node.mine_elsewhere(1);
    assert!(world.verify(&proof).is_ok());
    world.node.invalidate(proof.claim().statement().block);
    world.node.mine_elsewhere(3);
    let error = world.verify(&proof).unwrap_err();
    assert!(matches!(error, VerifyError::Block(_)) && error.is_refusal());
}

#[test]
fn who_is_behind_cannot_judge() {
    let mut world = World::single();
    let proof = world.proof(&[1]);
    world.k2.slot -= 1;
    let error = world.verify(&proof).unwrap_err();
    assert!(matches!(error, VerifyError::EndpointBehind { .. }) && !error.is_refusal());
    world.k2.slot += MAX_AGE_SLOTS * 100;
    assert!(world.verify(&proof).is_ok(), "a verifier may come late");
    world.node.invalidate(proof.claim().statement().block);
    let error = world.verify(&proof).unwrap_err();
    assert!(matches!(error, VerifyError::NodeBehind { .. }) && !error.is_refusal());
}

/// BIP127: the challenge "ensures that this transaction is invalid and can never be confirmed".
#[test]
fn no_node_takes_the_transaction() {
    let world = World::single();
    let proof = world.proof(&[1]);
    // Its coinbases mature, so that nothing else keeps it out.
    world.node.mine_elsewhere(100);
    let raw = serialize_hex(proof.transaction());
    let answer: Value = world
        .node
        .call("testmempoolaccept", &[json!([raw]), json!(0)]);
    assert_eq!(answer[0]["allowed"], false);
    // Standard or not is each node's own policy; what a block may hold is not.
    let descriptor = format!("raw({})", elsewhere().to_hex_string());
    let mined: Result<Value, _> = world
        .node
        .try_call("generateblock", &[json!(descriptor), json!([raw])]);
    let refused = mined.unwrap_err().to_string();
    assert!(
        refused.contains("bad-txns-inputs-missingorspent"),
        "{refused}"
    );
}
