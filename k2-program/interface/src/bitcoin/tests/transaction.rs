use std::vec;
use std::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Txid, Witness};
use proptest::prelude::*;

use super::sha256;
use crate::bitcoin::transaction::{MAX_MONEY, MAX_TX_LEN, MIN_TX_LEN};
use crate::bitcoin::{Transaction, TxError};

fn input(txid: [u8; 32], vout: u32, script: usize) -> bitcoin::TxIn {
    bitcoin::TxIn {
        previous_output: OutPoint {
            txid: Txid::from_byte_array(txid),
            vout,
        },
        script_sig: ScriptBuf::from_bytes(vec![0x51; script]),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    }
}

fn output(value: u64, script: usize) -> bitcoin::TxOut {
    bitcoin::TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from_bytes(vec![0x52; script]),
    }
}

fn transaction(input: Vec<bitcoin::TxIn>, output: Vec<bitcoin::TxOut>) -> bitcoin::Transaction {
    bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input,
        output,
    }
}

fn null_input() -> bitcoin::TxIn {
    input([0; 32], u32::MAX, 4)
}

fn error(transaction: &bitcoin::Transaction) -> Option<TxError> {
    Transaction::parse(&serialize(transaction)).err()
}

#[test]
fn lengths() {
    let of_length = |length: usize| {
        let scripts = length - MIN_TX_LEN;
        // From 253 bytes on a script's length takes three bytes.
        let script = if scripts < 253 { scripts } else { scripts - 2 };
        let bytes = serialize(&transaction(
            vec![input([1; 32], 0, 0)],
            vec![output(1, script)],
        ));
        assert_eq!(bytes.len(), length);
        Transaction::parse(&bytes).map(drop)
    };
    assert_eq!(of_length(60), Ok(()));
    assert_eq!(of_length(63), Ok(()));
    assert_eq!(of_length(65), Ok(()));
    assert_eq!(of_length(MAX_TX_LEN), Ok(()));
    assert_eq!(of_length(MAX_TX_LEN + 1), Err(TxError::Length));
    for length in [0, 1, 59] {
        assert_eq!(Transaction::parse(&vec![0; length]), Err(TxError::Length));
    }
}

/// A valid transaction, and refused all the same: an inner node of the merkle tree has this length.
#[test]
fn cve_2017_12842_a_transaction_of_64_bytes_is_refused() {
    let bytes = serialize(&transaction(vec![input([1; 32], 0, 0)], vec![output(1, 4)]));
    assert_eq!(bytes.len(), 64);
    assert_eq!(Transaction::parse(&bytes), Err(TxError::NodeLength));
}

#[test]
fn the_witness_form_is_refused() {
    let mut with_witness = transaction(vec![input([1; 32], 0, 0)], vec![output(1, 22)]);
    with_witness.input[0].witness.push([7; 64]);
    let bytes = serialize(&with_witness);
    assert_eq!(bytes[4..6], [0, 1]);
    assert_eq!(Transaction::parse(&bytes), Err(TxError::Witness));
    with_witness.input[0].witness.clear();
    assert_eq!(error(&with_witness), None);
}

#[test]
fn inputs_and_outputs_are_there() {
    let mut bytes = serialize(&transaction(
        vec![input([2; 32], 0, 40)],
        vec![output(1, 40)],
    ));
    bytes[4] = 0;
    assert_eq!(Transaction::parse(&bytes), Err(TxError::NoInputs));
    let no_outputs = transaction(vec![input([1; 32], 0, 40)], vec![]);
    assert_eq!(error(&no_outputs), Some(TxError::NoOutputs));
}

#[test]
fn values_are_money() {
    let with = |values: &[u64]| {
        let outputs = values.iter().map(|value| output(*value, 22)).collect();
        error(&transaction(vec![input([1; 32], 0, 0)], outputs))
    };
    assert_eq!(MAX_MONEY, Amount::MAX_MONEY.to_sat());
    assert_eq!(with(&[MAX_MONEY]), None);
    assert_eq!(with(&[MAX_MONEY + 1]), Some(TxError::Value));
    assert_eq!(with(&[u64::MAX]), Some(TxError::Value));
    assert_eq!(with(&[MAX_MONEY - 1, 1, 0]), None);
    assert_eq!(with(&[MAX_MONEY, 1]), Some(TxError::Value));
    assert_eq!(with(&[1, u64::MAX]), Some(TxError::Value));
}

/// The value overflow incident of block 74638: two outputs whose sum wraps to less than the input.
#[test]
fn cve_2010_5139_a_sum_that_wraps_is_refused() {
    let huge = 9_223_372_036_854_277_039;
    let twice = transaction(
        vec![input([1; 32], 0, 80)],
        vec![output(huge, 25), output(huge, 25)],
    );
    assert_eq!(error(&twice), Some(TxError::Value));
}

#[test]
fn a_null_input_stands_alone() {
    let outputs = || vec![output(1, 22)];
    let parse = |inputs| {
        let bytes = serialize(&transaction(inputs, outputs()));
        Transaction::parse(&bytes).map(|transaction| transaction.is_coinbase())
    };
    assert_eq!(parse(vec![null_input()]), Ok(true));
    assert_eq!(parse(vec![input([1; 32], 0, 0)]), Ok(false));
    // Only both together are null.
    assert_eq!(parse(vec![input([0; 32], 0, 0)]), Ok(false));
    assert_eq!(parse(vec![input([1; 32], u32::MAX, 0)]), Ok(false));
    assert_eq!(
        parse(vec![null_input(), input([1; 32], 0, 0)]),
        Err(TxError::NullInput)
    );
    assert_eq!(
        parse(vec![input([1; 32], 0, 0), null_input()]),
        Err(TxError::NullInput)
    );
    assert_eq!(
        parse(vec![null_input(), null_input()]),
        Err(TxError::NullInput)
    );
}

#[test]
fn lengths_are_in_their_shortest_form() {
    let bytes = serialize(&transaction(
        vec![input([1; 32], 0, 9)],
        vec![output(1, 22)],
    ));
    // Number of inputs, length of the input's script, number of outputs, length of the output's script.
    for at in [4, 41, 55, 64] {
        let value = bytes[at];
        assert!(value < 0xfd);
        for longer in [
            vec![0xfd, value, 0],
            vec![0xfe, value, 0, 0, 0],
            vec![0xff, value, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let mut padded = bytes.clone();
            padded.splice(at..=at, longer);
            assert_eq!(Transaction::parse(&padded), Err(TxError::CompactSize));
            assert!(deserialize::<bitcoin::Transaction>(&padded).is_err());
        }
    }
}

#[test]
fn what_is_announced_is_there() {
    let bytes = serialize(&transaction(
        vec![input([1; 32], 0, 9)],
        vec![output(1, 22)],
    ));
    for at in [4, 41, 55, 64] {
        for huge in [
            vec![0xfc],
            vec![0xfd, 0xff, 0xff],
            vec![0xfe, 0, 0, 0, 0x80],
            vec![0xff; 9],
        ] {
            let mut announced = bytes.clone();
            announced.splice(at..=at, huge);
            assert_eq!(Transaction::parse(&announced), Err(TxError::Truncated));
        }
    }
}

/// Any script and value, any number of inputs and outputs, coinbases among them.
fn any_transaction() -> impl Strategy<Value = bitcoin::Transaction> {
    let script = || prop_oneof![0..40_usize, 240..270_usize];
    let inputs = prop_oneof![
        1 => Just(vec![null_input()]),
        4 => prop::collection::vec(
            (any::<[u8; 32]>(), any::<u32>(), script(), any::<u32>()).prop_map(|(txid, vout, script, sequence)| {
                let mut input = input(txid, vout, script);
                input.sequence = Sequence(sequence);
                input
            }),
            1..6,
        ),
    ];
    let outputs = prop::collection::vec(
        (0..=MAX_MONEY / 6, script()).prop_map(|(value, script)| output(value, script)),
        1..6,
    );
    (inputs, outputs, any::<i32>(), any::<u32>()).prop_map(|(input, output, version, lock_time)| {
        bitcoin::Transaction {
            version: bitcoin::transaction::Version(version),
            lock_time: LockTime::from_consensus(lock_time),
            input,
            output,
        }
    })
}

proptest! {
    #[test]
    fn everything_is_read_as_the_bitcoin_crate_reads_it(theirs in any_transaction()) {
        let bytes = serialize(&theirs);
        prop_assume!(bytes.len() != 64);
        let ours = Transaction::parse(&bytes).unwrap();
        prop_assert_eq!(ours.as_bytes(), &bytes[..]);
        prop_assert_eq!(ours.version(), theirs.version.0);
        prop_assert_eq!(ours.lock_time(), theirs.lock_time.to_consensus_u32());
        prop_assert_eq!(ours.is_coinbase(), theirs.is_coinbase());
        prop_assert_eq!(ours.txid(sha256), theirs.compute_txid().to_byte_array());
        prop_assert_eq!(ours.inputs().len(), theirs.input.len());
        for (ours, theirs) in ours.inputs().zip(&theirs.input) {
            prop_assert_eq!(*ours.txid, theirs.previous_output.txid.to_byte_array());
            prop_assert_eq!(ours.vout, theirs.previous_output.vout);
            prop_assert_eq!(ours.script_sig, theirs.script_sig.as_bytes());
            prop_assert_eq!(ours.sequence, theirs.sequence.0);
            prop_assert_eq!(ours.is_null(), theirs.previous_output.is_null());
        }
        prop_assert_eq!(ours.outputs().len(), theirs.output.len());
        for (vout, (output, theirs)) in ours.outputs().zip(&theirs.output).enumerate() {
            prop_assert_eq!(output.value, theirs.value.to_sat());
            prop_assert_eq!(output.script, theirs.script_pubkey.as_bytes());
            prop_assert_eq!(ours.output(vout as u32), Some(output));
        }
        prop_assert_eq!(ours.outputs().count(), theirs.output.len());
        prop_assert_eq!(ours.output(theirs.output.len() as u32), None);
        prop_assert_eq!(ours.output(u32::MAX), None);
    }

    #[test]
    fn nothing_is_missing_and_nothing_follows(theirs in any_transaction(), extra: u8) {
        let mut bytes = serialize(&theirs);
        for end in 0..bytes.len() {
            prop_assert!(Transaction::parse(&bytes[..end]).is_err());
        }
        bytes.push(extra);
        let expected = if bytes.len() == 64 { TxError::NodeLength } else { TxError::Trailing };
        prop_assert_eq!(Transaction::parse(&bytes), Err(expected));
    }

    /// One changed byte: accepted exactly where the `bitcoin` crate accepts it and the rules it does not have hold.
    #[test]
    fn mutations_are_judged_as_the_bitcoin_crate_judges_them(theirs in any_transaction(), at: prop::sample::Index, byte: u8) {
        let mut bytes = serialize(&theirs);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let ours = Transaction::parse(&bytes);
        let theirs = deserialize::<bitcoin::Transaction>(&bytes);
        let expected = theirs.as_ref().is_ok_and(|theirs| serialize(theirs) == bytes && stricter(theirs));
        prop_assert_eq!(ours.is_ok(), expected, "{:?} {:?}", ours, theirs);
    }
}

/// The rules `bitcoin::Transaction` does not check when it is read.
fn stricter(theirs: &bitcoin::Transaction) -> bool {
    let length = theirs.total_size();
    let sum = theirs
        .output
        .iter()
        .try_fold(0_u64, |sum, output| sum.checked_add(output.value.to_sat()));
    let nulls = theirs
        .input
        .iter()
        .filter(|input| input.previous_output.is_null())
        .count();
    (MIN_TX_LEN..=MAX_TX_LEN).contains(&length)
        && length != 64
        && theirs.input.iter().all(|input| input.witness.is_empty())
        && !theirs.input.is_empty()
        && !theirs.output.is_empty()
        && theirs
            .output
            .iter()
            .all(|output| output.value <= Amount::MAX_MONEY)
        && sum.is_some_and(|sum| sum <= MAX_MONEY)
        && (nulls == 0 || theirs.input.len() == 1)
}
