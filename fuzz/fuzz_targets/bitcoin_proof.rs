//! Proofs as bytes: one form, and what a changed proof still proves about a block is true.
#![no_main]

use arbitrary::Arbitrary;
use bitcoin::absolute::LockTime;
use bitcoin::consensus::serialize;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Witness};
use k2_interface::bitcoin::{CoinbaseProof, Hash, PaymentProof, Proven, merkle, sha256d};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Changed {
        payments: u8,
        index: u8,
        /// What follows the coinbase's null input: only a payment's proof takes any bytes there.
        rest: Option<&'a [u8]>,
        /// Position and what the byte there is changed by.
        changes: Vec<(u16, u8)>,
        cut: u8,
        add: &'a [u8],
    },
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut engine = sha256::Hash::engine();
    parts.iter().for_each(|part| engine.input(part));
    sha256::Hash::from_engine(engine).to_byte_array()
}

fn transaction(outpoint: OutPoint) -> Vec<u8> {
    serialize(&bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: outpoint,
            script_sig: ScriptBuf::from_bytes(vec![1, 2]),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::ONE_SAT,
            script_pubkey: ScriptBuf::from_bytes(vec![0x51; 22]),
        }],
    })
}

/// What both kinds of proof say about these bytes.
fn proven(bytes: &[u8]) -> Vec<Proven<'_>> {
    let mut proven = Vec::new();
    if let Ok(proof) = CoinbaseProof::parse(bytes) {
        assert!(proof.transaction().is_coinbase());
        assert_eq!(proof.header().as_bytes(), &bytes[..80]);
        proven.extend(proof.verify(sha256));
    }
    if let Ok(proof) = PaymentProof::parse(bytes) {
        assert!(!proof.transaction().is_coinbase());
        assert_eq!(proof.header().as_bytes(), &bytes[..80]);
        proven.extend(proof.verify(sha256));
    }
    for proven in &proven {
        assert_eq!(proven.block_hash, sha256d(&[&bytes[..80]], sha256));
        assert_eq!(proven.txid, proven.transaction.txid(sha256));
    }
    proven
}

fuzz_target!(|input: Input<'_>| {
    let (payments, index, rest, changes, cut, add) = match input {
        Input::Bytes(bytes) => {
            proven(bytes);
            return;
        }
        Input::Changed {
            payments,
            index,
            rest,
            changes,
            cut,
            add,
        } => (payments, index, rest, changes, cut, add),
    };
    let mut coinbase = transaction(OutPoint::null());
    // 64 bytes are no coinbase beside a payment, and less than 60 none at all.
    let rest = rest.filter(|rest| rest.len() >= 19 && rest.len() != 23);
    if let Some(rest) = rest {
        coinbase.truncate(41);
        coinbase.extend_from_slice(rest);
    }
    let mut transactions = vec![coinbase];
    transactions.extend((0..u32::from(payments % 32)).map(|vout| {
        transaction(OutPoint {
            vout,
            ..OutPoint::null()
        })
    }));
    let txids: Vec<Hash> = transactions
        .iter()
        .map(|bytes| sha256d(&[bytes], sha256))
        .collect();
    let first = merkle::branch(&txids, 0, sha256).unwrap();
    let mut header = [1; 80];
    header[36..68]
        .copy_from_slice(&merkle::root_from_branch(&txids[0], 0, &first, sha256).unwrap());

    let index = u32::from(index) % transactions.len() as u32;
    if index == 0 && rest.is_some() {
        if let Ok(bytes) = CoinbaseProof::encode(&header, &transactions[0], &first) {
            assert!(proven(&bytes).iter().all(|proven| proven.txid == txids[0]));
        }
        return;
    }
    let mut bytes = if index == 0 {
        CoinbaseProof::encode(&header, &transactions[0], &first).unwrap()
    } else {
        let siblings = merkle::branch(&txids, index, sha256).unwrap();
        PaymentProof::encode(
            &header,
            &transactions[index as usize],
            index,
            &siblings,
            &transactions[0],
            &first,
        )
        .unwrap()
    };
    assert!(
        proven(&bytes)
            .iter()
            .any(|proven| proven.txid == txids[index as usize])
    );

    let honest = bytes.clone();
    for (at, change) in changes {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= change;
    }
    bytes.truncate(bytes.len() - usize::from(cut).min(bytes.len()));
    bytes.extend_from_slice(add);
    for proven in proven(&bytes) {
        // Only the parts of the header besides the root may differ, and then it is another block's hash.
        assert!(txids.contains(&proven.txid));
        assert_eq!(bytes[80..], honest[80..]);
        assert_eq!(bytes[36..68], header[36..68]);
    }
});
