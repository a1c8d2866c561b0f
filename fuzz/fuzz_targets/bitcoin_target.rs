//! Targets of the light client: compact form, work, order and retargets as rust-bitcoin computes them.
#![no_main]

use bitcoin::consensus::Params;
use bitcoin::{CompactTarget as BitcoinCompact, Target as BitcoinTarget};
use k2_interface::bitcoin::{CompactTarget, Network, Target, TargetError};
use libfuzzer_sys::fuzz_target;

fn to_theirs(target: &Target) -> BitcoinTarget {
    let mut bytes = [0; 32];
    for (bytes, limb) in bytes.chunks_mut(8).zip(target.0) {
        bytes.copy_from_slice(&limb.to_le_bytes());
    }
    BitcoinTarget::from_le_bytes(bytes)
}

fuzz_target!(|input: (u32, [u64; 4], [u64; 4], u32, u32)| {
    let (bits, limbs, others, first, last) = input;
    let compact = BitcoinTarget::from_compact(BitcoinCompact::from_consensus(bits));
    match Target::from_compact(CompactTarget(bits)) {
        Ok(target) => {
            assert_eq!(to_theirs(&target), compact);
            assert_eq!(Target::from_compact(target.to_compact()), Ok(target));
        }
        // Core takes the sign off before it shifts; rust-bitcoin shifts it into what is left: 0x0180_0000 is zero, not 0x80.
        Err(TargetError::Zero) => {
            let unsigned = BitcoinCompact::from_consensus(bits & !0x0080_0000);
            assert_eq!(BitcoinTarget::from_compact(unsigned), BitcoinTarget::ZERO);
        }
        // rust-bitcoin reads negative numbers as zero, except where it shifts the sign away, and shifts an excess out.
        Err(TargetError::Negative) => assert!(bits >> 24 < 3 || compact == BitcoinTarget::ZERO),
        Err(error) => assert!(error == TargetError::Overflow && bits >> 24 > 32),
    }

    let target = Target(limbs);
    let theirs = to_theirs(&target);
    assert_eq!(
        target.to_compact().0,
        theirs.to_compact_lossy().to_consensus()
    );
    assert_eq!(
        target.cmp(&Target(others)),
        theirs.cmp(&to_theirs(&Target(others)))
    );
    if theirs != BitcoinTarget::ZERO {
        let work = theirs.to_work().to_be_bytes();
        let (high, low) = work.split_at(16);
        match target.work() {
            Ok(work) => assert_eq!((&[0; 16][..], &work.to_be_bytes()[..]), (high, low)),
            Err(_) => assert_ne!(high, [0; 16]),
        }
    }

    for (network, theirs) in [
        (Network::Main, bitcoin::Network::Bitcoin),
        (Network::Testnet4, bitcoin::Network::Testnet4),
        (Network::Signet, bitcoin::Network::Signet),
    ] {
        if let Ok(target) = network.target(CompactTarget(bits)) {
            let expected = BitcoinCompact::from_next_work_required(
                BitcoinCompact::from_consensus(bits),
                u64::from(last.saturating_sub(first)),
                Params::new(theirs),
            );
            let next = target.retarget(first, last, &network.pow_limit());
            assert_eq!(next.0, expected.to_consensus());
        }
    }
});
