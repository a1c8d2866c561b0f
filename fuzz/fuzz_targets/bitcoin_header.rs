//! Block headers: the fields, the hash and the proof of work rust-bitcoin sees.
#![no_main]

use bitcoin::block::Header as BitcoinHeader;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use k2_interface::bitcoin::{Hash, Header, Target, headers};
use libfuzzer_sys::fuzz_target;

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut engine = sha256::Hash::engine();
    parts.iter().for_each(|part| engine.input(part));
    sha256::Hash::from_engine(engine).to_byte_array()
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(Header::parse(bytes).is_ok(), bytes.len() == 80);
    let Ok(headers) = headers(bytes) else {
        return assert!(bytes.is_empty() || !bytes.len().is_multiple_of(80));
    };
    assert_eq!(headers.len() * 80, bytes.len());
    for (ours, bytes) in headers.zip(bytes.chunks(80)) {
        let theirs: BitcoinHeader = deserialize(bytes).unwrap();
        assert_eq!(ours.as_bytes(), bytes);
        assert_eq!(ours.version(), theirs.version.to_consensus());
        assert_eq!(*ours.prev_hash(), theirs.prev_blockhash.to_byte_array());
        assert_eq!(*ours.merkle_root(), theirs.merkle_root.to_byte_array());
        assert_eq!(ours.time(), theirs.time);
        assert_eq!(ours.bits().0, theirs.bits.to_consensus());
        assert_eq!(ours.nonce(), theirs.nonce);
        let hash = ours.hash(sha256);
        assert_eq!(hash, theirs.block_hash().to_byte_array());
        if let Ok(target) = Target::from_compact(ours.bits()) {
            let proven = theirs.validate_pow(theirs.target()).is_ok();
            assert_eq!(target.is_met_by(&hash), proven);
        }
    }
});
