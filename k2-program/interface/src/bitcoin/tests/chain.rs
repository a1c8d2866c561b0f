//! Each header rule at its boundary. The hash function of most of these tests is one under which every header meets every
//! target (or none): what it takes to find a real one is not what they are about.

use proptest::prelude::*;

use super::sha256;
use crate::bitcoin::chain::MAX_FUTURE;
use crate::bitcoin::network::RETARGET_INTERVAL;
use crate::bitcoin::{
    Accepted, CompactTarget, Context, Epoch, Hash, Header, HeaderError, Network, TargetError,
    TimeWindow,
};

const START: u32 = 1_700_000_000;
const NOW: i64 = START as i64 + 10_000_000;

/// SHA-256 with its upper 24 bytes cleared: below every target from 2^64 on.
pub(super) fn lucky(parts: &[&[u8]]) -> Hash {
    let mut hash = sha256(parts);
    hash[8..].fill(0);
    hash
}

fn unlucky(parts: &[&[u8]]) -> Hash {
    let mut hash = sha256(parts);
    hash[24..].fill(0xff);
    hash
}

#[derive(Clone, Copy)]
pub(super) struct Fields {
    pub(super) version: i32,
    pub(super) prev_hash: Hash,
    pub(super) time: u32,
    pub(super) bits: CompactTarget,
    pub(super) nonce: u32,
}

impl Fields {
    pub(super) fn bytes(&self) -> [u8; 80] {
        let mut bytes = [0; 80];
        bytes[..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(&self.prev_hash);
        bytes[68..72].copy_from_slice(&self.time.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.bits.0.to_le_bytes());
        bytes[76..].copy_from_slice(&self.nonce.to_le_bytes());
        bytes
    }
}

/// A parent at this height with eleven blocks ten minutes apart behind it, in an epoch at these bits.
pub(super) fn context(network: Network, height: u32, bits: u32) -> Context {
    let start_height = height - height % RETARGET_INTERVAL;
    let start_time = START - (height - start_height) * 600;
    Context {
        network,
        height,
        hash: [7; 32],
        time: START,
        chain_work: 1_000_000,
        epoch: Epoch::new(network, start_height, start_time, CompactTarget(bits)).unwrap(),
        times: TimeWindow::from_oldest((0..11).rev().map(|back| START - back * 600)).unwrap(),
    }
}

/// The header that follows ten minutes later.
pub(super) fn next(context: &Context) -> Fields {
    let bits = if (context.height + 1).is_multiple_of(RETARGET_INTERVAL) {
        context.epoch.next_bits(context.network, context.time)
    } else {
        context.epoch.bits()
    };
    Fields {
        version: 0x2000_0000,
        prev_hash: context.hash,
        time: context.time + 600,
        bits,
        nonce: 0,
    }
}

pub(super) fn extend(context: &mut Context, fields: &Fields) -> Result<Accepted, HeaderError> {
    let before = *context;
    let result = context.extend(&Header::parse(&fields.bytes()).unwrap(), NOW, lucky);
    match &result {
        Ok(accepted) => {
            assert_eq!(accepted.height, before.height + 1);
            assert_eq!(accepted.height, context.height);
            assert_eq!(accepted.hash, context.hash);
            assert_eq!(accepted.time, context.time);
            assert_eq!(accepted.chain_work, context.chain_work);
            assert!(accepted.chain_work > before.chain_work);
            assert_eq!(accepted.new_epoch, before.epoch != context.epoch);
            assert!(context.epoch.contains(context.height));
        }
        Err(_) => assert_eq!(*context, before, "a refused header changes nothing"),
    }
    result
}

pub(super) fn refused(context: &Context, fields: Fields, error: HeaderError) {
    assert_eq!(extend(&mut context.clone(), &fields), Err(error));
}

pub(super) fn accepted(context: &Context, fields: Fields) -> Context {
    let mut context = *context;
    extend(&mut context, &fields).unwrap();
    context
}

pub(super) const MIDDLE: u32 = 900_000;
pub(super) const BITS: u32 = 0x1703_0ecd;

#[test]
fn work_and_height_grow() {
    let mut context = context(Network::Main, MIDDLE, BITS);
    for back in 0..30_u32 {
        let before = context;
        let fields = next(&context);
        let block = extend(&mut context, &fields).unwrap();
        assert_eq!(block.chain_work, before.chain_work + before.epoch.work());
        assert_eq!(block.time, START + 600 * (back + 1));
        assert!(!block.new_epoch);
    }
}

#[test]
fn the_parent_is_named() {
    let context = context(Network::Main, MIDDLE, BITS);
    for byte in 0..32 {
        let mut fields = next(&context);
        fields.prev_hash[byte] ^= 1;
        refused(&context, fields, HeaderError::PreviousHash);
    }
}

#[test]
fn bits_are_the_epochs() {
    let context = context(Network::Main, MIDDLE, BITS);
    for bits in [BITS - 1, BITS + 1, 0, 0x1d00_ffff, 0x0103_0ecd] {
        let bits = CompactTarget(bits);
        refused(
            &context,
            Fields {
                bits,
                ..next(&context)
            },
            HeaderError::Bits,
        );
    }
}

#[test]
fn the_main_network_knows_no_twenty_minute_exception() {
    for network in [Network::Main, Network::Signet] {
        let context = context(network, MIDDLE, 0x1c03_0ecd);
        let time = context.time + 5000;
        accepted(
            &context,
            Fields {
                time,
                ..next(&context)
            },
        );
        let bits = network.pow_limit_bits();
        refused(
            &context,
            Fields {
                time,
                bits,
                ..next(&context)
            },
            HeaderError::Bits,
        );
    }
}

#[test]
fn the_hash_meets_the_target() {
    let mut context = context(Network::Main, MIDDLE, BITS);
    let bytes = next(&context).bytes();
    let header = Header::parse(&bytes).unwrap();
    let result = context.extend(&header, NOW, unlucky);
    assert_eq!(result, Err(HeaderError::ProofOfWork));
    // One above the target, and the target itself.
    let limbs = context.epoch.target().0;
    for (excess, result) in [(1, Err(HeaderError::ProofOfWork)), (0, Ok(()))] {
        let exactly = |_: &[&[u8]]| {
            let mut hash = [0; 32];
            for (bytes, limb) in hash.chunks_mut(8).zip(limbs) {
                bytes.copy_from_slice(&limb.to_le_bytes());
            }
            hash[0] += excess;
            hash
        };
        let mut context = context;
        assert_eq!(context.extend(&header, NOW, exactly).map(drop), result);
    }
}

#[test]
fn times_are_after_the_median() {
    let context = context(Network::Main, MIDDLE, BITS);
    let median = context.times.median();
    assert_eq!(median, START - 5 * 600);
    refused(
        &context,
        Fields {
            time: median,
            ..next(&context)
        },
        HeaderError::TimeTooOld,
    );
    refused(
        &context,
        Fields {
            time: 0,
            ..next(&context)
        },
        HeaderError::TimeTooOld,
    );
    let context = accepted(
        &context,
        Fields {
            time: median + 1,
            ..next(&context)
        },
    );
    assert_eq!(context.time, median + 1);
    assert!(context.times.median() > median);
}

#[test]
fn times_are_not_far_ahead() {
    let context = context(Network::Main, MIDDLE, BITS);
    let latest = u32::try_from(NOW + MAX_FUTURE).unwrap();
    accepted(
        &context,
        Fields {
            time: latest,
            ..next(&context)
        },
    );
    refused(
        &context,
        Fields {
            time: latest + 1,
            ..next(&context)
        },
        HeaderError::TimeTooNew,
    );
    refused(
        &context,
        Fields {
            time: u32::MAX,
            ..next(&context)
        },
        HeaderError::TimeTooNew,
    );
    // A clock at either end of its range is a clock like any other.
    let bytes = next(&context).bytes();
    let header = Header::parse(&bytes).unwrap();
    for (now, result) in [(i64::MIN, Err(HeaderError::TimeTooNew)), (i64::MAX, Ok(()))] {
        let mut context = context;
        assert_eq!(context.extend(&header, now, lucky).map(drop), result);
    }
}

#[test]
fn outdated_versions_ended() {
    let of_version = |height: u32, version| {
        let mut context = context(Network::Main, height - 1, 0x1a00_ffff);
        let fields = Fields {
            version,
            ..next(&context)
        };
        extend(&mut context, &fields).map(drop)
    };
    for (height, least) in [(227_931, 2), (363_725, 3), (388_381, 4), (900_000, 4)] {
        assert_eq!(of_version(height, least), Ok(()));
        for version in [least - 1, 0, -1, i32::MIN] {
            assert_eq!(of_version(height, version), Err(HeaderError::Version));
        }
    }
    for (height, least) in [(227_930, 1), (363_724, 2), (388_380, 3)] {
        assert_eq!(of_version(height, least), Ok(()));
    }
    assert_eq!(of_version(100, -1), Ok(()));
    assert_eq!(Network::Testnet4.min_version(1), 4);
}

#[test]
fn height_and_work_do_not_wrap() {
    let mut top = context(Network::Regtest, MIDDLE, 0x207f_ffff);
    top.height = u32::MAX;
    refused(
        &top,
        next(&context(Network::Regtest, MIDDLE, 0x207f_ffff)),
        HeaderError::Overflow,
    );
    let mut heavy = context(Network::Regtest, MIDDLE, 0x207f_ffff);
    heavy.chain_work = u128::MAX - 1;
    refused(&heavy, next(&heavy), HeaderError::Overflow);
    heavy.chain_work -= 1;
    assert_eq!(accepted(&heavy, next(&heavy)).chain_work, u128::MAX);
}

#[test]
fn an_epoch_begins_at_its_boundary() {
    let last = 448 * RETARGET_INTERVAL - 1;
    let before = context(Network::Main, last, BITS);
    let bits = before.epoch.next_bits(Network::Main, before.time);
    assert_ne!(
        bits,
        CompactTarget(BITS),
        "2,015 intervals of ten minutes are less than two weeks"
    );
    refused(
        &before,
        Fields {
            bits: CompactTarget(BITS),
            ..next(&before)
        },
        HeaderError::Bits,
    );

    let after = accepted(&before, next(&before));
    assert_eq!(after.epoch.start_height(), last + 1);
    assert_eq!(after.epoch.start_time(), START + 600);
    assert_eq!(after.epoch.bits(), bits);
    assert_eq!(after.chain_work, before.chain_work + after.epoch.work());
    assert!(after.epoch.work() > before.epoch.work());
    assert_eq!(
        Epoch::from_stored(last + 1, START + 600, bits, after.epoch.work()),
        Ok(after.epoch)
    );
    // And the next header is judged by the new one.
    refused(
        &after,
        Fields {
            bits: CompactTarget(BITS),
            ..next(&after)
        },
        HeaderError::Bits,
    );
    accepted(&after, next(&after));
}

#[test]
fn epochs_hold_their_2016_blocks() {
    let epoch = context(Network::Main, MIDDLE, BITS).epoch;
    let start = epoch.start_height();
    assert!(!epoch.contains(start - 1) && epoch.contains(start));
    assert!(epoch.contains(start + 2015) && !epoch.contains(start + 2016));
    let odd = Epoch::new(Network::Main, start + 1, 0, CompactTarget(BITS)).unwrap();
    assert!(!odd.contains(start + 1));
    for bits in [0, 0x1d01_0000, 0x207f_ffff, 0x1d80_ffff, 0x1000_ffff] {
        assert!(Epoch::new(Network::Main, start, 0, CompactTarget(bits)).is_err());
    }
    assert_eq!(
        Epoch::from_stored(0, 0, CompactTarget(0), 0),
        Err(TargetError::Zero)
    );
}

#[test]
fn regtest_never_retargets() {
    let bits = 0x207f_ffff;
    let mut context = context(Network::Regtest, RETARGET_INTERVAL - 2, bits);
    for _ in 0..3 {
        let fields = Fields {
            time: context.time + 2000,
            ..next(&context)
        };
        assert_eq!(fields.bits.0, bits);
        extend(&mut context, &fields).unwrap();
    }
    assert_eq!(context.epoch.start_height(), RETARGET_INTERVAL);
    assert_eq!(context.chain_work, 1_000_006);
}

/// With the real hash function: nothing but work makes a header.
#[test]
fn regtest_headers_are_mined() {
    let mut context = context(Network::Regtest, 100, 0x207f_ffff);
    let mut refused = 0;
    for nonce in 0..200 {
        let bytes = Fields {
            nonce,
            ..next(&context)
        }
        .bytes();
        let theirs: bitcoin::block::Header = bitcoin::consensus::deserialize(&bytes).unwrap();
        let result = context.extend(&Header::parse(&bytes).unwrap(), NOW, sha256);
        assert_eq!(result.is_ok(), theirs.validate_pow(theirs.target()).is_ok());
        if result.is_err() {
            assert_eq!(result, Err(HeaderError::ProofOfWork));
            refused += 1;
        }
    }
    assert!(
        (50..150).contains(&refused),
        "half of all hashes meet this target"
    );
}

proptest! {
    /// No header is accepted under the real hash function because of luck in its fields.
    #[test]
    fn noise_is_refused(bytes in prop::array::uniform32(any::<u8>()), time in START..START + 5000, bits: u32) {
        for network in Network::ALL {
            let mut context = context(network, MIDDLE, network.pow_limit_bits().0);
            let fields = Fields { version: 4, prev_hash: bytes, time, bits: CompactTarget(bits), nonce: 1 };
            prop_assert_eq!(extend(&mut context, &fields), Err(HeaderError::PreviousHash));
        }
    }
}
