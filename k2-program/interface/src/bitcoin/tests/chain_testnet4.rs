//! What testnet4 does differently: the twenty-minute exception and BIP94.

use super::chain::{BITS, Fields, MIDDLE, accepted, context, extend, next, refused};
use crate::bitcoin::network::RETARGET_INTERVAL;
use crate::bitcoin::{CompactTarget, HeaderError, Network};

const LIMIT: CompactTarget = Network::Testnet4.pow_limit_bits();

#[test]
fn after_twenty_minutes_the_easiest_target_is_the_only_one() {
    let context = context(Network::Testnet4, MIDDLE, BITS);
    let prompt = Fields {
        time: context.time + 1200,
        ..next(&context)
    };
    let late = Fields {
        time: context.time + 1201,
        ..next(&context)
    };
    accepted(&context, prompt);
    refused(
        &context,
        Fields {
            bits: LIMIT,
            ..prompt
        },
        HeaderError::Bits,
    );
    refused(&context, late, HeaderError::Bits);
    let easy = accepted(
        &context,
        Fields {
            bits: LIMIT,
            ..late
        },
    );
    assert_eq!(
        easy.chain_work,
        context.chain_work + Network::Testnet4.pow_limit_work()
    );
    assert_eq!(easy.epoch, context.epoch);
    // The next one, if prompt, is back at the epoch's bits.
    accepted(&easy, next(&easy));
    refused(
        &easy,
        Fields {
            bits: LIMIT,
            ..next(&easy)
        },
        HeaderError::Bits,
    );
}

#[test]
fn the_first_block_of_an_epoch_is_no_exception() {
    let context = context(Network::Testnet4, 10 * RETARGET_INTERVAL - 1, BITS);
    let late = Fields {
        time: context.time + 5000,
        ..next(&context)
    };
    refused(
        &context,
        Fields {
            bits: LIMIT,
            ..late
        },
        HeaderError::Bits,
    );
    accepted(&context, late);
}

/// Testnet 3 lost its difficulty whenever the last block of an epoch was one of the easiest target.
#[test]
fn bip94_retargets_from_the_first_blocks_bits() {
    let mut context = context(Network::Testnet4, 10 * RETARGET_INTERVAL - 2, BITS);
    let easy = Fields {
        time: context.time + 1201,
        bits: LIMIT,
        ..next(&context)
    };
    extend(&mut context, &easy).unwrap();
    let first = next(&context);
    assert_eq!(first.bits.0 >> 24, BITS >> 24);
    extend(&mut context, &first).unwrap();
}

#[test]
fn bip94_forbids_the_timewarp() {
    for network in Network::ALL {
        let bits = if network == Network::Regtest {
            0x207f_ffff
        } else {
            0x1c03_0ecd
        };
        let context = context(network, 10 * RETARGET_INTERVAL - 1, bits);
        let back = |seconds| Fields {
            time: context.time - seconds,
            ..next(&context)
        };
        accepted(&context, back(600));
        if network == Network::Testnet4 {
            refused(&context, back(601), HeaderError::TimeWarp);
        } else {
            accepted(&context, back(601));
        }
    }
    // Within an epoch only the median counts.
    let context = context(Network::Testnet4, MIDDLE, BITS);
    accepted(
        &context,
        Fields {
            time: context.time - 601,
            ..next(&context)
        },
    );
}
