#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use bitcoin::absolute::LockTime;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, transaction,
};
use k2_interface::bitcoin::{Network, RedeemIds};
use k2_interface::state::{Config, Pause, Redemption, RedemptionState};
use proptest::prelude::*;
use zerocopy::FromZeros as _;

use super::payout::{Payout, naming, payouts};
use super::{RedeemError, Request};
use crate::pda::Outpoint;
use crate::prove::tests::block;

fn script(tag: u8) -> Vec<u8> {
    let mut script = vec![0, 20];
    script.extend([tag; 20]);
    script
}

fn redemption(id: u64, amount: u64, tag: u8) -> Redemption {
    let mut redemption = Redemption::new_zeroed();
    redemption.id = id.into();
    redemption.amount = amount.into();
    redemption.max_fee = 100.into();
    redemption.requested_height = 50.into();
    redemption.script[0] = 22;
    redemption.script[1..23].copy_from_slice(&script(tag));
    redemption
}

/// A payout that names these ids.
fn transaction(ids: &[u64], outputs: &[(u64, u8)]) -> Transaction {
    let mut transaction = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::from_bytes(vec![0x51; 8]),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![],
    };
    if !ids.is_empty() {
        transaction.output.push(TxOut {
            value: Amount::ZERO,
            script_pubkey: ScriptBuf::from_bytes(RedeemIds::encode(ids).unwrap()),
        });
    }
    transaction
        .output
        .extend(outputs.iter().map(|(value, tag)| TxOut {
            value: Amount::from_sat(*value),
            script_pubkey: ScriptBuf::from_bytes(script(*tag)),
        }));
    transaction
}

fn find(
    transactions: Vec<Transaction>,
    height: u32,
    open: &[Redemption],
    used: &HashSet<Outpoint>,
) -> Vec<Payout> {
    let mut txdata = vec![transaction(&[], &[(50, 9)])];
    txdata.extend(transactions);
    let block = block(txdata);
    payouts(&naming(&block), (height, block.block_hash()), open, used)
}

fn pairs(found: &[Payout]) -> Vec<(u64, u32)> {
    found
        .iter()
        .map(|payout| (payout.redemption, payout.vout))
        .collect()
}

#[test]
fn a_payout_names_its_redemption_and_pays_it_enough() {
    let open = [redemption(7, 1000, 1)];
    let none = HashSet::new();
    let found = |ids: &[u64], outputs: &[(u64, u8)], height| {
        pairs(&find(vec![transaction(ids, outputs)], height, &open, &none))
    };
    assert_eq!(found(&[7], &[(900, 1)], 51), [(7, 1)]);
    assert_eq!(found(&[3, 7], &[(5, 2), (2000, 1)], 51), [(7, 2)]);
    assert_eq!(found(&[7], &[(899, 1)], 51), [], "too little");
    assert_eq!(found(&[7], &[(900, 2)], 51), [], "another script");
    assert_eq!(found(&[8], &[(900, 1)], 51), [], "another id");
    assert_eq!(found(&[], &[(900, 1)], 51), [], "no id");
    assert_eq!(found(&[7], &[(900, 1)], 50), [], "before the request");
}

#[test]
fn a_coinbase_settles_nothing() {
    let block = block(vec![transaction(&[7], &[(900, 1)])]);
    assert!(naming(&block).is_empty());
}

#[test]
fn what_is_settled_is_left_alone() {
    let mut settled = redemption(7, 1000, 1);
    settled.state = RedemptionState::Settled as u8;
    let paid = vec![transaction(&[7], &[(900, 1)])];
    assert_eq!(find(paid, 51, &[settled], &HashSet::new()), []);
}

/// Two redemptions to one script need two outputs, each at its redemption's place.
#[test]
fn an_output_is_taken_once() {
    let open = [redemption(7, 1000, 1), redemption(8, 1000, 1)];
    let found = |ids: &[u64], outputs: &[(u64, u8)]| {
        pairs(&find(
            vec![transaction(ids, outputs)],
            51,
            &open,
            &HashSet::new(),
        ))
    };
    assert_eq!(found(&[7, 8], &[(5000, 1)]), [(7, 1)]);
    assert_eq!(found(&[7, 8], &[(5000, 1), (900, 1)]), [(7, 1), (8, 2)]);
    assert_eq!(found(&[7, 8], &[(899, 1), (5000, 1)]), [(8, 2)]);
    assert_eq!(found(&[7, 8], &[(5, 2), (5000, 1)]), [(8, 2)]);
    assert_eq!(found(&[6, 8], &[(5000, 1), (900, 1)]), [(8, 2)]);
    // Where only one is named any sufficient output is its own, and the smallest is taken.
    assert_eq!(found(&[8], &[(899, 1), (5000, 1), (900, 1)]), [(8, 3)]);
}

/// Redemption 7 has been settled by one of two equal outputs: 8 takes the other one.
#[test]
fn an_output_that_was_used_before_leaves_the_others() {
    let open = [redemption(8, 1000, 1)];
    let paid = transaction(&[7, 8], &[(900, 1), (900, 1)]);
    let used = HashSet::from([Outpoint::from(OutPoint::new(paid.compute_txid(), 1))]);
    assert_eq!(pairs(&find(vec![paid], 51, &open, &used)), [(8, 2)]);
}

#[test]
fn a_request_is_for_an_address_of_the_pools_network() {
    let mut config = Config::new_zeroed();
    config.network = Network::Regtest.into();
    config.parameters.redeem_min = 1000.into();
    let request = |amount, fee, address| Request::to_address(amount, fee, address, &config);
    let regtest = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202";
    let good = request(1100, 100, regtest).unwrap();
    assert!(good.check(&config).is_ok());
    for (amount, fee) in [(1099, 100), (100, 101), (0, 0)] {
        let small = request(amount, fee, regtest).unwrap();
        assert!(matches!(small.check(&config), Err(RedeemError::Rule(_))));
    }
    for bad in [
        "",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "not an address\n",
        "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku203",
    ] {
        let error = request(1100, 100, bad).unwrap_err();
        assert!(matches!(error, RedeemError::Address { .. }), "{bad}");
        assert!(!error.to_string().contains('\n'));
    }
    config.paused = Pause::Redeem as u8;
    assert!(good.check(&config).is_err());
}

proptest! {
    /// Whatever a batch pays: a redemption is settled exactly if its own output is enough.
    #[test]
    fn each_redemption_of_a_batch_has_its_own_output(
        payments in prop::collection::vec((200_u64..260, 80_u64..180), 2..6),
    ) {
        let open: Vec<Redemption> =
            (0..).zip(&payments).map(|(id, (amount, _))| redemption(id, *amount, 1)).collect();
        let ids: Vec<u64> = (0..payments.len() as u64).collect();
        let outputs: Vec<(u64, u8)> = payments.iter().map(|(_, value)| (*value, 1)).collect();
        let found = find(vec![transaction(&ids, &outputs)], 51, &open, &HashSet::new());
        let wanted: Vec<(u64, u32)> = (0..)
            .zip(&payments)
            .filter(|(_, (amount, value))| *value >= amount - 100)
            .map(|(id, _)| (id, id as u32 + 1))
            .collect();
        prop_assert_eq!(pairs(&found), wanted);
    }
}
