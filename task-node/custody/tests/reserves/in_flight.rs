//! Redemptions that are paid in BTC and not settled on K2 yet: the reserves are lower already, the supply is not.

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use k2_interface::bitcoin::RedeemIds;
use k2_interface::state::RedemptionState;
use orcapool_custody::Redemption;
use orcapool_custody::reserves::{Refusal, VerifyError};

use crate::support::regtest::elsewhere;
use crate::world::{COINBASE, World, forged, restated};

const AMOUNT: Amount = Amount::from_sat(1_0000_0000);
const FEE: Amount = Amount::from_sat(1_000);

fn redemption(id: u64, requested: u32) -> (Redemption, Option<Txid>) {
    let redemption = Redemption {
        id,
        amount: AMOUNT,
        max_fee: FEE,
        script: elsewhere(),
        requested,
        expires: 10_000,
        state: RedemptionState::Open,
    };
    (redemption, None)
}

fn data(ids: &[u64]) -> TxOut {
    TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_bytes(RedeemIds::encode(ids).unwrap()),
    }
}

fn pay(world: &World, outputs: &[Amount], ids: &[u64]) -> Transaction {
    let coin: OutPoint = world
        .view()
        .coins
        .values()
        .find(|coin| coin.is_spendable(world.node.height()))
        .unwrap()
        .outpoint;
    let paid = outputs.iter().map(|value| TxOut {
        value: *value,
        script_pubkey: elsewhere(),
    });
    let mut outputs: Vec<_> = paid.collect();
    let change = COINBASE - AMOUNT * outputs.len() as u64;
    outputs.push(world.change(0, change));
    outputs.push(data(ids));
    world.spend(&[coin], outputs)
}

fn settle(world: &mut World, id: u64, by: Txid) {
    let (redemption, settled_by) = world.k2.redemptions.get_mut(&id).unwrap();
    redemption.state = RedemptionState::Settled;
    *settled_by = Some(by);
    world.k2.burned += AMOUNT;
    world.k2.slot += 1;
}

#[test]
fn what_is_paid_and_not_settled_is_not_missing() {
    let mut world = World::single();
    let requested = world.node.height();
    for id in [3, 7, 8] {
        world.k2.redemptions.insert(id, redemption(id, requested));
    }
    let least = AMOUNT - FEE;
    let payout = pay(&world, &[least, AMOUNT - FEE / 2], &[3, 7]);
    let proof = world.proof(&[1]);
    let [paid] = proof.claim().statement().paid.as_slice() else {
        panic!("{:?}", proof.claim().statement().paid);
    };
    assert_eq!(paid.txid, payout.compute_txid());
    assert_eq!(paid.ids, [3, 7], "8 is not paid");
    let report = world.verify(&proof).unwrap();
    assert_eq!(report.now.supply, COINBASE * 2);
    assert_eq!(report.now.in_flight, AMOUNT * 2);
    assert_eq!(report.now.reserves, report.now.owed());
    assert_eq!(report.now.ratio_ppm(), Some(1_000_000));

    settle(&mut world, 3, payout.compute_txid());
    let report = world.verify(&proof).unwrap();
    assert_eq!(report.then.in_flight, AMOUNT * 2, "then both were open");
    assert_eq!(
        report.now.in_flight, AMOUNT,
        "what is burned is in the supply"
    );
    assert!(report.then.is_backed() && report.now.is_backed());
    let fresh = world.proof(&[1]);
    assert_eq!(fresh.claim().statement().paid[0].ids, [7]);
    assert!(world.verify(&fresh).unwrap().now.is_backed());
}

#[test]
fn a_payout_after_the_proof_is_told_by_its_redemptions() {
    let mut world = World::single();
    let proof = world.proof(&[1]);
    let requested = world.node.height();
    world.k2.redemptions.insert(4, redemption(4, requested));
    let payout = pay(&world, &[AMOUNT - FEE], &[4]);
    settle(&mut world, 4, payout.compute_txid());
    let report = world.verify(&proof).unwrap();
    assert!(report.then.is_backed());
    assert!(!report.now.is_backed(), "its change is not in this proof");
    assert_eq!(report.spent[0].redemptions, [4].into());
}

/// Who names a payment to lower what is owed must show one that settles.
#[test]
fn a_payment_that_does_not_settle_is_not_counted() {
    let mut world = World::single();
    let requested = world.node.height();
    world.k2.redemptions.insert(3, redemption(3, requested));
    let too_little = pay(&world, &[AMOUNT - FEE - Amount::from_sat(1)], &[3]);
    assert!(world.statement().paid.is_empty());
    let height = world.node.height();
    let draft = world.draft();
    let lie = |statement: &mut orcapool_custody::reserves::Statement| {
        statement.paid = vec![orcapool_custody::reserves::Paid {
            txid: too_little.compute_txid(),
            height,
            ids: vec![3],
        }];
    };
    let proof = world.proof(&[1]);
    let error = world
        .verify(&forged(restated(&proof, lie), &[&proof]))
        .unwrap_err();
    assert_eq!(error, VerifyError::Paid(3));
    let mut psbt = draft.psbt().clone();
    let claim = restated(&proof, lie);
    psbt.unsigned_tx = claim.transaction();
    let draft = orcapool_custody::reserves::Draft::from_parts(claim, psbt).unwrap();
    assert_eq!(world.review(&draft).unwrap_err(), Refusal::Paid(3));
}

/// One output settles one redemption: a transaction with two outputs that name ids could else count it twice.
#[test]
fn one_output_does_not_pay_two_redemptions() {
    let mut world = World::single();
    let requested = world.node.height();
    for id in [3, 7] {
        world.k2.redemptions.insert(id, redemption(id, requested));
    }
    let coin = world
        .view()
        .coins
        .values()
        .find(|coin| coin.is_spendable(world.node.height()))
        .unwrap()
        .outpoint;
    let out = TxOut {
        value: AMOUNT,
        script_pubkey: elsewhere(),
    };
    let change = world.change(0, COINBASE - AMOUNT - FEE);
    world.spend(&[coin], vec![out, change, data(&[3]), data(&[7])]);
    assert!(world.statement().paid.is_empty());
}
