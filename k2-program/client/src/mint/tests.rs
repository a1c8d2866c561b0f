#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, transaction,
};
use k2_interface::state::{Config, MAX_REORG, RING, Relay};
use zerocopy::FromZeros as _;

use super::payment::{Candidate, Origin, Standing, candidates, standing};
use crate::prove::tests::block;

fn script(tag: u8) -> ScriptBuf {
    let mut script = vec![0, 20];
    script.extend([tag; 20]);
    ScriptBuf::from_bytes(script)
}

fn packed(tag: u8) -> [u8; 35] {
    let mut packed = [0; 35];
    packed[0] = 22;
    packed[1..23].copy_from_slice(script(tag).as_bytes());
    packed
}

fn pay(inputs: &[OutPoint], outputs: &[(u64, u8)]) -> Transaction {
    let input = |outpoint: &OutPoint| TxIn {
        previous_output: *outpoint,
        script_sig: ScriptBuf::from_bytes(vec![0x51; 8]),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    let output = |(value, tag): &(u64, u8)| TxOut {
        value: Amount::from_sat(*value),
        script_pubkey: script(*tag),
    };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs.iter().map(input).collect(),
        output: outputs.iter().map(output).collect(),
    }
}

fn outpoints(count: u32) -> Vec<OutPoint> {
    let txid = Txid::from_byte_array([4; 32]);
    (0..count).map(|vout| OutPoint::new(txid, vout)).collect()
}

/// Coinbases to script 1, deposits to 2; before height 100 to 3 and 4.
fn config() -> Config {
    let mut config = Config::new_zeroed();
    config.custody.active.coinbase = packed(1);
    config.custody.active.deposit = packed(2);
    config.custody.previous.coinbase = packed(3);
    config.custody.previous.deposit = packed(4);
    config.custody.previous_until = 100.into();
    config.parameters.deposit_confirmations = 6.into();
    config.parameters.mint_horizon = 1000.into();
    config
}

fn relay(tip: u32) -> Relay {
    let mut relay = Relay::new_zeroed();
    relay.tip_height = tip.into();
    relay.oldest_height = (tip + 1).saturating_sub(RING as u32).into();
    relay
}

fn found(height: u32, coinbase: &[(u64, u8)], payment: &[(u64, u8)]) -> Vec<Candidate> {
    let txdata = vec![
        pay(&[OutPoint::null()], coinbase),
        pay(&outpoints(2), payment),
    ];
    candidates(&block(txdata), height, &config())
}

#[test]
fn custody_is_paid_by_scripts_of_their_purpose_and_time() {
    let all = [(1000, 1), (2000, 2), (3000, 3), (4000, 4), (5000, 9)];
    let values = |height| -> Vec<(Origin, u64)> {
        let found = found(height, &all, &all);
        let pair = |c: &Candidate| (c.payment.origin, c.payment.value);
        found.iter().map(pair).collect()
    };
    let (coinbase, deposit) = (Origin::Coinbase, Origin::Deposit);
    assert_eq!(values(101), [(coinbase, 1000), (deposit, 2000)]);
    assert_eq!(
        values(100),
        [
            (coinbase, 1000),
            (coinbase, 3000),
            (deposit, 2000),
            (deposit, 4000)
        ]
    );
}

#[test]
fn a_payment_knows_its_place() {
    let found = found(500, &[(7, 9), (1000, 1), (2000, 1)], &[(3000, 2)]);
    let places: Vec<(usize, u32)> = found
        .iter()
        .map(|candidate| (candidate.payment.index, candidate.payment.vout))
        .collect();
    assert_eq!(places, [(0, 1), (0, 2), (1, 0)]);
    assert_eq!(found[2].spends.len(), 2);
    assert_ne!(found[0].payment.txid, found[2].payment.txid);
}

/// No script is nobody's, not the empty script's.
#[test]
fn without_a_deposit_script_nothing_is_a_deposit() {
    let mut config = config();
    config.custody.active.deposit = [0; 35];
    let mut empty = pay(&outpoints(1), &[(1000, 2)]);
    empty.output[0].script_pubkey = ScriptBuf::new();
    let txdata = vec![pay(&[OutPoint::null()], &[(1000, 1)]), empty];
    assert_eq!(candidates(&block(txdata), 500, &config).len(), 1);
}

#[test]
fn maturity_is_told_by_the_height_at_which_it_comes() {
    let (config, candidate) = (config(), found(500, &[(1000, 1)], &[(1000, 2)]));
    let at = |place: usize, tip| standing(&candidate[place], &config, &relay(tip));
    assert_eq!(at(0, 598), Standing::Waiting { ready_at: 599 });
    assert_eq!(at(0, 599), Standing::Ready);
    assert_eq!(at(1, 504), Standing::Waiting { ready_at: 505 });
    assert_eq!(at(1, 505), Standing::Ready);
    // The relay has not got there.
    assert_eq!(at(0, 400), Standing::Waiting { ready_at: 599 });
}

#[test]
fn what_can_never_be_minted_is_told() {
    let config = config();
    let never = |candidate: &Candidate, tip| {
        matches!(
            standing(candidate, &config, &relay(tip)),
            Standing::Never { .. }
        )
    };
    let dust = found(500, &[(293, 1), (294, 1)], &[]);
    assert!(never(&dust[0], 700));
    assert!(!never(&dust[1], 700));
    // The horizon, as the program counts it.
    let last = 500 + 1000;
    assert!(!never(&dust[1], last));
    assert!(never(&dust[1], last + 1));
    assert!(!relay(last + 1).is_record_closable(500, 1000));
    assert!(relay(last + 1 + MAX_REORG).is_record_closable(500, 1000));

    let with = |inputs| {
        let txdata = vec![
            pay(&[OutPoint::null()], &[(1000, 9)]),
            pay(&outpoints(inputs), &[(1000, 2)]),
        ];
        candidates(&block(txdata), 500, &config).remove(0)
    };
    assert!(!never(&with(8), 700));
    assert!(never(&with(9), 700));
}
