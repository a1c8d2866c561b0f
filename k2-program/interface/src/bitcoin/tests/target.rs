use std::vec::Vec;

use bitcoin::consensus::Params;
use bitcoin::hashes::Hash as _;
use proptest::prelude::*;

use super::hex;
use crate::bitcoin::target::TARGET_TIMESPAN;
use crate::bitcoin::{CompactTarget, Network, Target, TargetError};

fn theirs(network: Network) -> Params {
    Params::new(match network {
        Network::Main => bitcoin::Network::Bitcoin,
        Network::Testnet4 => bitcoin::Network::Testnet4,
        Network::Signet => bitcoin::Network::Signet,
        Network::Regtest => bitcoin::Network::Regtest,
    })
}

fn to_theirs(target: &Target) -> bitcoin::Target {
    let bytes: Vec<u8> = target
        .0
        .iter()
        .flat_map(|limb| limb.to_le_bytes())
        .collect();
    bitcoin::Target::from_le_bytes(bytes.try_into().unwrap())
}

fn from_be_hex(text: &str) -> Target {
    let mut bytes = hex(text);
    bytes.reverse();
    let (limbs, _) = bytes.as_chunks();
    Target([0, 1, 2, 3].map(|limb: usize| u64::from_le_bytes(limbs[limb])))
}

/// `bignum_SetCompact` of Bitcoin Core's `arith_uint256_tests.cpp`, and the limits of its overflow check.
#[test]
fn compact_as_in_core() {
    let expect = |bits, target: Result<&str, TargetError>| {
        let target = target.map(|text| from_be_hex(&std::format!("{text:0>64}")));
        assert_eq!(
            Target::from_compact(CompactTarget(bits)),
            target,
            "{bits:#010x}"
        );
    };
    for zero in [
        0,
        0x0012_3456,
        0x0100_3456,
        0x0200_0056,
        0x0300_0000,
        0x0400_0000,
        0x0092_3456,
        0x0180_3456,
        0x0280_0056,
        0x0380_0000,
        0x0480_0000,
        0xff00_0000,
        0xff80_0000,
    ] {
        expect(zero, Err(TargetError::Zero));
    }
    for negative in [0x01fe_dcba, 0x0492_3456, 0x0380_0001, 0xff92_3456] {
        expect(negative, Err(TargetError::Negative));
    }
    expect(0x0112_3456, Ok("12"));
    expect(0x0200_8000, Ok("80"));
    expect(0x0212_3456, Ok("1234"));
    expect(0x0312_3456, Ok("123456"));
    expect(0x0412_3456, Ok("12345600"));
    expect(0x0500_9234, Ok("92340000"));
    expect(
        0x2012_3456,
        Ok("1234560000000000000000000000000000000000000000000000000000000000"),
    );
    expect(
        0x2100_ffff,
        Ok("ffff000000000000000000000000000000000000000000000000000000000000"),
    );
    expect(
        0x2200_00ff,
        Ok("ff00000000000000000000000000000000000000000000000000000000000000"),
    );
    for overflow in [
        0xff12_3456,
        0x2101_0000,
        0x2200_0100,
        0x2300_0001,
        0x217f_ffff,
    ] {
        expect(overflow, Err(TargetError::Overflow));
    }
}

#[test]
fn compact_is_rounded_down_and_never_negative() {
    let compact = |text: &str| from_be_hex(&std::format!("{text:0>64}")).to_compact().0;
    assert_eq!(compact("0"), 0);
    assert_eq!(compact("80"), 0x0200_8000);
    assert_eq!(compact("12"), 0x0112_0000);
    assert_eq!(compact("800000"), 0x0400_8000);
    assert_eq!(compact("7fffff"), 0x037f_ffff);
    assert_eq!(compact("1234567f"), 0x0412_3456);
    assert_eq!(compact(&"f".repeat(64)), 0x2100_ffff);
}

#[test]
fn limits_are_cores() {
    for network in Network::ALL {
        let limit = network.pow_limit();
        let bits = network.pow_limit_bits();
        assert_eq!(limit.to_compact(), bits);
        // The crate keeps the limit a header can carry, Core one with its low bits set.
        let theirs = theirs(network);
        assert_eq!(
            to_theirs(&network.target(bits).unwrap()),
            theirs.max_attainable_target
        );
        assert_eq!(
            network.target(bits).unwrap().work(),
            Ok(network.pow_limit_work())
        );
        assert_eq!(network.retargets(), !theirs.no_pow_retargeting);
        assert_eq!(
            network.allows_min_difficulty(),
            theirs.allow_min_difficulty_blocks
        );
        let above = CompactTarget(0x2100_ffff);
        assert_eq!(network.target(above), Err(TargetError::AboveLimit));
    }
    assert_eq!(
        Network::Main.target(CompactTarget(0x1d01_0000)),
        Err(TargetError::AboveLimit)
    );
    assert_eq!(
        Network::Main.target(CompactTarget(0x207f_ffff)),
        Err(TargetError::AboveLimit)
    );
    // Core's powLimit, from chainparams.cpp.
    assert_eq!(
        Network::Signet.pow_limit(),
        from_be_hex("00000377ae000000000000000000000000000000000000000000000000000000")
    );
    assert_eq!(
        Network::Main.pow_limit(),
        from_be_hex("00000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffff")
    );
}

/// `pow_tests.cpp` of Bitcoin Core.
#[test]
fn retargets_as_in_core() {
    let next = |bits, first, last| {
        Target::from_compact(CompactTarget(bits))
            .unwrap()
            .retarget(first, last, &Network::Main.pow_limit())
            .0
    };
    assert_eq!(next(0x1d00_ffff, 1_261_130_161, 1_262_152_739), 0x1d00_d86a);
    assert_eq!(next(0x1d00_ffff, 1_231_006_505, 1_233_061_996), 0x1d00_ffff);
    assert_eq!(next(0x1c05_a3f4, 1_279_008_237, 1_279_297_671), 0x1c01_68fd);
    assert_eq!(next(0x1c38_7f6f, 1_263_163_443, 1_269_211_443), 0x1d00_e1fd);
}

#[test]
fn a_timespan_is_clamped_to_a_quarter_and_four_times() {
    let target = Target::from_compact(CompactTarget(0x1b04_04cb)).unwrap();
    let after = |timespan| target.retarget(0, timespan, &Network::Main.pow_limit());
    let (least, most) = (TARGET_TIMESPAN / 4, TARGET_TIMESPAN * 4);
    for short in [0, 1, least - 1] {
        assert_eq!(after(short), after(least));
    }
    for long in [most + 1, u32::MAX] {
        assert_eq!(after(long), after(most));
    }
    assert_ne!(after(least + 600), after(least));
    assert_ne!(after(most - 600), after(most));
    // A last block before the first one is a short timespan, not a huge one.
    assert_eq!(
        target.retarget(1_000_000, 1, &Network::Main.pow_limit()),
        after(least)
    );
}

/// No network retargets from so high, and no product may wrap all the same.
#[test]
fn a_product_beyond_256_bits_is_above_the_limit() {
    let limit = Network::Regtest.pow_limit();
    for top in [1 << 61, 1 << 62, 1 << 63, u64::MAX] {
        let next = Target([0, 0, 0, top]).retarget(0, u32::MAX, &limit);
        assert_eq!(next, limit.to_compact());
    }
}

#[test]
fn the_work_of_unreal_targets() {
    assert_eq!(Target([u64::MAX; 4]).work(), Ok(1));
    assert_eq!(Target([0, 0, 0, 1 << 63]).work(), Ok(1));
    assert_eq!(
        Target([u64::MAX, u64::MAX, u64::MAX, u64::MAX >> 1]).work(),
        Ok(2)
    );
    assert_eq!(Target([0, 0, 1, 0]).work(), Ok(u128::MAX));
    // A power of two above: the divisor's highest digit equals the dividend's.
    assert_eq!(
        Target([u64::MAX, u64::MAX, u64::MAX, 0]).work(),
        Ok(1 << 64)
    );
    assert_eq!(
        Target([u64::MAX, u64::MAX, 0, 0]).work(),
        Err(TargetError::WorkOverflow)
    );
    assert_eq!(Target([0; 4]).work(), Err(TargetError::WorkOverflow));
}

#[test]
fn a_hash_at_the_target_meets_it() {
    let target = Target([7, 0, 5, 1]);
    let hash = |limbs: [u64; 4]| {
        let bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        bytes.try_into().unwrap()
    };
    assert!(target.is_met_by(&hash([7, 0, 5, 1])));
    assert!(target.is_met_by(&hash([6, 0, 5, 1])));
    assert!(target.is_met_by(&hash([u64::MAX, u64::MAX, 4, 1])));
    assert!(!target.is_met_by(&hash([8, 0, 5, 1])));
    assert!(!target.is_met_by(&hash([0, 1, 5, 1])));
    assert!(!target.is_met_by(&hash([0, 0, 0, 2])));
}

/// Targets of every size, with long runs of equal bits: what breaks a division is rare among uniform numbers.
fn any_target() -> impl Strategy<Value = Target> {
    let limb = prop_oneof![
        Just(0),
        Just(u64::MAX),
        any::<u64>(),
        (0..64_u32).prop_map(|bit| 1 << bit)
    ];
    (prop::array::uniform4(limb), 0..4_usize).prop_map(|(mut limbs, zeros)| {
        for limb in limbs.iter_mut().rev().take(zeros) {
            *limb = 0;
        }
        Target(limbs)
    })
}

proptest! {
    #[test]
    fn compact_agrees_with_the_bitcoin_crate(bits: u32) {
        let theirs = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
        match Target::from_compact(CompactTarget(bits)) {
            Ok(target) => {
                prop_assert_eq!(to_theirs(&target), theirs);
                // Rounding down what is already rounded changes nothing.
                prop_assert_eq!(Target::from_compact(target.to_compact()), Ok(target));
            }
            Err(TargetError::Zero) => prop_assert_eq!(theirs, bitcoin::Target::ZERO),
            // The crate reads negative numbers as zero, except where it shifts the sign away.
            Err(TargetError::Negative) => prop_assert!(bits >> 24 < 3 || theirs == bitcoin::Target::ZERO),
            // The crate shifts the excess out.
            Err(error) => prop_assert!(error == TargetError::Overflow && bits >> 24 > 32),
        }
    }

    #[test]
    fn arithmetic_agrees_with_the_bitcoin_crate(target in any_target(), other in any_target(), hash: [u8; 32]) {
        let theirs = to_theirs(&target);
        prop_assert_eq!(target.to_compact().0, theirs.to_compact_lossy().to_consensus());
        prop_assert_eq!(target.cmp(&other), theirs.cmp(&to_theirs(&other)));
        let block = bitcoin::BlockHash::from_byte_array(hash);
        prop_assert_eq!(target.is_met_by(&hash), theirs.is_met_by(block));
        if theirs != bitcoin::Target::ZERO {
            let work = theirs.to_work().to_be_bytes();
            let (high, low) = work.split_at(16);
            match target.work() {
                Ok(ours) => {
                    prop_assert_eq!(ours.to_be_bytes(), low);
                    prop_assert_eq!(high, [0; 16]);
                }
                Err(_) => prop_assert_ne!(high, [0; 16]),
            }
        }
    }

    #[test]
    fn retarget_agrees_with_the_bitcoin_crate(
        network in prop::sample::select(&[Network::Main, Network::Testnet4, Network::Signet][..]),
        shift in 0..160_u32,
        mantissa in 0x8000..=0x7f_ffff_u32,
        first in 0..u32::MAX,
        timespan in prop_oneof![0..u32::MAX, TARGET_TIMESPAN / 5..TARGET_TIMESPAN * 5],
    ) {
        let limit = network.pow_limit();
        let compact = CompactTarget((30 - shift / 8) << 24 | mantissa);
        let Ok(target) = network.target(compact) else {
            return Ok(());
        };
        let last = first.saturating_add(timespan);
        let expected = bitcoin::CompactTarget::from_next_work_required(
            bitcoin::CompactTarget::from_consensus(compact.0),
            u64::from(last - first),
            theirs(network),
        );
        prop_assert_eq!(target.retarget(first, last, &limit).0, expected.to_consensus());
    }
}
