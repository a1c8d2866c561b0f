//! Every rule at its boundary, and the `bitcoin` crate as a second opinion. Real blocks: `tests/bitcoin_vectors.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod chain;
mod chain_model;
mod chain_testnet4;
mod merkle;
mod proof;
mod redeem_ids;
mod script;
mod target;
mod time_window;
mod transaction;

use std::vec::Vec;

use sha2::{Digest as _, Sha256};

use super::{
    Hash, HeaderError, MerkleError, Network, ParseHeaderError, RedeemIdsError, ScriptError,
    TargetError, TxError, headers,
};

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn hex(text: &str) -> Vec<u8> {
    bitcoin::hex::FromHex::from_hex(text).unwrap()
}

#[test]
fn headers_are_whole() {
    let bytes: Vec<u8> = (0..=255).cycle().take(800).collect();
    for length in 0..=bytes.len() {
        let read = headers(&bytes[..length]).map(|headers| {
            assert_eq!(headers.len(), length / 80);
            headers
                .map(|header| header.as_bytes().to_vec())
                .collect::<Vec<_>>()
                .concat()
        });
        match length {
            0 => assert_eq!(read, Err(ParseHeaderError::Empty)),
            _ if length % 80 == 0 => assert_eq!(read.unwrap(), bytes[..length]),
            _ => assert_eq!(read, Err(ParseHeaderError::Length)),
        }
        assert_eq!(super::Header::parse(&bytes[..length]).is_ok(), length == 80);
    }
}

#[test]
fn header_fields_are_bitcoins() {
    let bytes: Vec<u8> = (100..180).collect();
    let ours = super::Header::parse(&bytes).unwrap();
    let theirs: bitcoin::block::Header = bitcoin::consensus::deserialize(&bytes).unwrap();
    assert_eq!(ours.version(), theirs.version.to_consensus());
    assert_eq!(
        ours.prev_hash(),
        AsRef::<[u8; 32]>::as_ref(&theirs.prev_blockhash)
    );
    assert_eq!(
        ours.merkle_root(),
        AsRef::<[u8; 32]>::as_ref(&theirs.merkle_root)
    );
    assert_eq!(ours.time(), theirs.time);
    assert_eq!(ours.bits().0, theirs.bits.to_consensus());
    assert_eq!(ours.nonce(), theirs.nonce);
    assert_eq!(
        &ours.hash(sha256),
        AsRef::<[u8; 32]>::as_ref(&theirs.block_hash())
    );
}

/// Whoever reads a number in an old log must find its meaning.
#[test]
fn error_numbers_stay() {
    assert_eq!(ParseHeaderError::Empty.code(), 2);
    assert_eq!(TargetError::Negative.code(), 1);
    assert_eq!(TargetError::WorkOverflow.code(), 5);
    assert_eq!(HeaderError::PreviousHash.code(), 1);
    assert_eq!(HeaderError::Overflow.code(), 8);
    assert_eq!(TxError::Length.code(), 1);
    assert_eq!(TxError::Value.code(), 10);
    assert_eq!(MerkleError::Duplicate.code(), 3);
    assert_eq!(ScriptError::Empty.code(), 3);
    assert_eq!(RedeemIdsError::Span.code(), 9);
    assert_eq!(super::proof::ProofError::Unencodable.code(), 7);
    assert_eq!(
        super::proof::ProofError::Transaction(TxError::Length).code(),
        33
    );
    assert_eq!(
        super::proof::ProofError::Coinbase(TxError::Value).code(),
        74
    );
    assert_eq!(
        super::proof::ProofError::Branch(MerkleError::Depth).code(),
        97
    );
}

#[test]
fn networks_have_one_byte() {
    for byte in 0..=255 {
        match Network::try_from(byte) {
            Ok(network) => assert_eq!(u8::from(network), byte),
            Err(error) => assert!(byte > 3 && error.0 == byte),
        }
    }
    assert_eq!(Network::ALL.map(u8::from), [0, 1, 2, 3]);
}

#[test]
fn genesis_hashes_are_bitcoins() {
    use bitcoin::Network::{Bitcoin, Regtest, Signet, Testnet4};
    for (ours, theirs) in Network::ALL
        .into_iter()
        .zip([Bitcoin, Testnet4, Signet, Regtest])
    {
        let genesis = bitcoin::constants::genesis_block(theirs).block_hash();
        assert_eq!(&ours.genesis_hash(), AsRef::<[u8; 32]>::as_ref(&genesis));
    }
}
