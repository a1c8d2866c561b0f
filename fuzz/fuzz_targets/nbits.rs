//! Compact targets: the accepted ones mean what rust-bitcoin says they mean, and have one form.
#![no_main]

use bitcoin::{CompactTarget, Target as BitcoinTarget};
use libfuzzer_sys::fuzz_target;
use pow::{NBits, Target};

fuzz_target!(|input: (u32, [u8; 32])| {
    let (bits, hash) = input;
    if let Ok(nbits) = NBits::from_consensus(bits) {
        let theirs = BitcoinTarget::from_compact(CompactTarget::from_consensus(bits));
        assert_eq!(nbits.target().to_be_bytes(), theirs.to_be_bytes());
        assert_eq!(theirs.to_compact_lossy().to_consensus(), bits);
        assert_eq!(NBits::at_most(nbits.target()), Ok(nbits));
        assert!(nbits.work().to_hashes() > 0);
        assert_eq!(
            nbits.target().is_met_by_le(&hash),
            BitcoinTarget::from_le_bytes(hash) <= theirs
        );
    }
    let target = Target::from_be_bytes(hash);
    if let Ok(below) = NBits::at_most(target) {
        assert!(below.target() <= target);
    }
});
