//! Transactions without witness: accepted exactly where rust-bitcoin reads them back to the same bytes and the rules it
//! does not have hold; then every field and the id are the same.
#![no_main]

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::{Amount, Transaction as BitcoinTransaction};
use k2_interface::bitcoin::transaction::{MAX_MONEY, MAX_TX_LEN, MIN_TX_LEN};
use k2_interface::bitcoin::{Hash, Transaction, TxError};
use libfuzzer_sys::fuzz_target;

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut engine = sha256::Hash::engine();
    parts.iter().for_each(|part| engine.input(part));
    sha256::Hash::from_engine(engine).to_byte_array()
}

fn stricter(theirs: &BitcoinTransaction, bytes: &[u8]) -> bool {
    let nulls = theirs
        .input
        .iter()
        .filter(|input| input.previous_output.is_null())
        .count();
    let sum: u128 = theirs
        .output
        .iter()
        .map(|output| u128::from(output.value.to_sat()))
        .sum();
    (MIN_TX_LEN..=MAX_TX_LEN).contains(&bytes.len())
        && bytes.len() != 64
        && serialize(theirs) == bytes
        && theirs.input.iter().all(|input| input.witness.is_empty())
        && !theirs.input.is_empty()
        && !theirs.output.is_empty()
        && theirs
            .output
            .iter()
            .all(|output| output.value <= Amount::MAX_MONEY)
        && sum <= u128::from(MAX_MONEY)
        && (nulls == 0 || theirs.input.len() == 1)
}

fuzz_target!(|bytes: &[u8]| {
    let theirs = deserialize::<BitcoinTransaction>(bytes);
    let expected = theirs.as_ref().is_ok_and(|theirs| stricter(theirs, bytes));
    let ours = Transaction::parse(bytes);
    assert_eq!(ours.is_ok(), expected, "{ours:?}");
    // The form with witnesses is refused by name, its form without is accepted.
    if let (Err(error), Ok(theirs)) = (&ours, &theirs)
        && theirs.input.iter().any(|input| !input.witness.is_empty())
        && (MIN_TX_LEN..=MAX_TX_LEN).contains(&bytes.len())
        && bytes.len() != 64
    {
        assert_eq!(*error, TxError::Witness);
    }
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
        return;
    };
    assert_eq!(ours.version(), theirs.version.0);
    assert_eq!(ours.lock_time(), theirs.lock_time.to_consensus_u32());
    assert_eq!(ours.is_coinbase(), theirs.is_coinbase());
    assert_eq!(ours.txid(sha256), theirs.compute_txid().to_byte_array());
    assert_eq!(ours.inputs().len(), theirs.input.len());
    assert_eq!(ours.inputs().count(), theirs.input.len());
    for (ours, theirs) in ours.inputs().zip(&theirs.input) {
        assert_eq!(*ours.txid, theirs.previous_output.txid.to_byte_array());
        assert_eq!(ours.vout, theirs.previous_output.vout);
        assert_eq!(ours.script_sig, theirs.script_sig.as_bytes());
        assert_eq!(ours.sequence, theirs.sequence.0);
    }
    assert_eq!(ours.outputs().len(), theirs.output.len());
    assert_eq!(ours.outputs().count(), theirs.output.len());
    for (vout, (output, theirs)) in ours.outputs().zip(&theirs.output).enumerate() {
        assert_eq!(output.value, theirs.value.to_sat());
        assert_eq!(output.script, theirs.script_pubkey.as_bytes());
        assert_eq!(ours.output(vout as u32), Some(output));
    }
    assert_eq!(ours.output(theirs.output.len() as u32), None);
});
