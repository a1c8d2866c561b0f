//! THE share check: its order, its reasons, and bugs of other pools as tests named after them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use pow::{NBits, ShareDifficulty};
use proptest::prelude::*;
use work::{
    Extranonce, Extranonce1, FieldError, Freshness, RejectReason, ShareContext, ShareFields,
    UnixTime, Verdict, VersionMask,
};

fn bits(bits: u32) -> NBits {
    NBits::from_consensus(bits).unwrap()
}

#[test]
fn a_good_share_is_credited_with_the_job_s_work_and_nothing_more() {
    let job = share_job();
    let share = find_share(&job, &fields(0), VersionMask::NONE);
    let checked = check(&context(&job), &share, &mut filter());
    assert!(checked.block.is_none());
    let Verdict::Credited(credited) = checked.verdict else {
        panic!("{:?}", checked.verdict)
    };
    assert_eq!(credited.work(), ShareDifficulty::MIN.work());
    assert_eq!(credited.hash(), checked.hash);
    assert!(!credited.is_block());
    assert_eq!(
        credited.fields(),
        &ShareFields {
            version_bits: Some(0),
            ..share
        }
    );
}

/// Step 3 comes before every other: the block is handed out whatever is wrong with the share.
#[test]
fn a_block_is_handed_out_whatever_else_is_wrong() {
    // The share difficulty is far above the network's: no block here meets the share target (public-pool looked for
    // blocks only among shares that had passed).
    let job = block_job(ShareDifficulty::ONE);
    let good = find_block(&job, &fields(0), VersionMask::NONE);

    let low = check(&context(&job), &good, &mut filter());
    assert_eq!(reason(&low), Some(RejectReason::LowDifficulty));
    let found = low.block.unwrap();
    assert_eq!(found.hash, low.hash);
    assert_eq!(found.header, job.header(&good, VersionMask::NONE));
    assert_eq!(found.coinbase, job.coinbase(&good.extranonce));

    let stale = ShareContext {
        freshness: Freshness::Stale,
        ..context(&job)
    };
    let checked = check(&stale, &good, &mut filter());
    assert_eq!(reason(&checked), Some(RejectReason::Stale));
    assert_eq!(checked.block.unwrap(), found);

    for (ntime, expected) in [
        (MIN_TIME - 1, RejectReason::NtimeTooOld),
        (NOW + 7_201, RejectReason::NtimeTooNew),
    ] {
        let base = ShareFields { ntime, ..fields(0) };
        let share = find_block(&job, &base, VersionMask::NONE);
        let checked = check(&context(&job), &share, &mut filter());
        assert_eq!(reason(&checked), Some(expected));
        assert!(checked.block.is_some());
    }

    let base = ShareFields {
        version_bits: Some(0x0000_2000),
        ..fields(0)
    };
    let share = find_block(&job, &base, VersionMask::NONE);
    let checked = check(&context(&job), &share, &mut filter());
    assert_eq!(reason(&checked), Some(RejectReason::VersionBits));
    let block = checked.block.unwrap();
    assert_eq!(block.header[..4], 0x2000_2000_u32.to_le_bytes());
}

#[test]
fn duplicate_check_missed_when_share_is_a_block_sri_2096() {
    let job = block_job(ShareDifficulty::MIN);
    // Block and share target are both two hashes wide: the harder of the two is met by both.
    let harder = if job.template().nbits().target() < ShareDifficulty::MIN.target() {
        job.template().nbits()
    } else {
        ShareDifficulty::MIN.nbits()
    };
    let share = find(&job, &fields(0), VersionMask::NONE, harder, true);
    let mut seen = filter();
    let first = check(&context(&job), &share, &mut seen);
    assert!(matches!(&first.verdict, Verdict::Credited(credited) if credited.is_block()));
    let second = check(&context(&job), &share, &mut seen);
    assert_eq!(reason(&second), Some(RejectReason::Duplicate));
    assert_eq!(second.block, first.block);
    assert!(second.block.is_some());
}

/// Every later fault is present in every case, so the reason shows which check came first.
#[test]
fn reasons_come_in_the_order_of_the_house() {
    let job = share_job();
    let miss = |base: &ShareFields| {
        let bits = job.claim().difficulty.nbits();
        find(&job, base, VersionMask::NONE, bits, false)
    };
    let bad_bits = Some(0x8000_0000);
    let too_old = ShareFields {
        ntime: MIN_TIME - 1,
        version_bits: bad_bits,
        ..fields(0)
    };
    let too_new = ShareFields {
        ntime: NOW + 7_201,
        ..too_old
    };
    let in_time = ShareFields {
        ntime: NOW,
        ..too_old
    };
    let mut seen = filter();
    let stale = ShareContext {
        freshness: Freshness::Stale,
        ..context(&job)
    };
    for (context, share, expected) in [
        (stale, miss(&too_old), RejectReason::Stale),
        (context(&job), miss(&too_old), RejectReason::NtimeTooOld),
        (context(&job), miss(&too_new), RejectReason::NtimeTooNew),
        (context(&job), miss(&in_time), RejectReason::VersionBits),
        (context(&job), miss(&fields(0)), RejectReason::LowDifficulty),
    ] {
        assert_eq!(reason(&check(&context, &share, &mut seen)), Some(expected));
    }
    assert!(seen.is_empty(), "a rejected share was remembered");
}

#[test]
fn rejected_shares_do_not_shadow_good_ones_p2poolv2() {
    // p2poolv2 filled its duplicate set before the target check. The same header, refused for each reason that can
    // pass, must still count once the reason is gone.
    let job = share_job();
    let share = find_share(&job, &fields(0), VersionMask::NONE);
    let mut seen = filter();
    let stale = ShareContext {
        freshness: Freshness::Stale,
        ..context(&job)
    };
    let early = ShareContext {
        now: UnixTime(u64::from(NOW) - 7_201),
        ..context(&job)
    };
    for (context, expected) in [
        (stale, RejectReason::Stale),
        (early, RejectReason::NtimeTooNew),
    ] {
        assert_eq!(reason(&check(&context, &share, &mut seen)), Some(expected));
    }
    // Rolled without having negotiated, then with.
    let rolled = ShareFields {
        version_bits: Some(0x0000_4000),
        ..share
    };
    let rolled = find_share(&job, &rolled, VersionMask::BIP320);
    let refused = check(&context(&job), &rolled, &mut seen);
    assert_eq!(reason(&refused), Some(RejectReason::VersionBits));
    let negotiated = ShareContext {
        version_mask: VersionMask::BIP320,
        ..context(&job)
    };
    assert_eq!(reason(&check(&negotiated, &rolled, &mut seen)), None);
    assert_eq!(reason(&check(&context(&job), &share, &mut seen)), None);
}

#[test]
fn every_reason_has_its_stratum_code() {
    for (reason, code) in [
        (RejectReason::Stale, 21),
        (RejectReason::Duplicate, 22),
        (RejectReason::LowDifficulty, 23),
        (RejectReason::NtimeTooOld, 20),
        (RejectReason::NtimeTooNew, 20),
        (RejectReason::VersionBits, 20),
        (RejectReason::TooManyShares, 20),
        (RejectReason::Field(FieldError::Extranonce2), 20),
        (RejectReason::Field(FieldError::Ntime), 20),
        (RejectReason::Field(FieldError::Nonce), 20),
        (RejectReason::Field(FieldError::VersionBits), 20),
    ] {
        assert_eq!(reason.stratum_code(), code, "{reason}");
        // The text goes onto the wire: one line, nothing to escape.
        let text = reason.to_string();
        assert!(!text.is_empty() && text.is_ascii() && !text.contains(['"', '\\', '\n']));
    }
}

#[test]
fn hex_case_duplicate_miningcore_710() {
    let job = share_job();
    let share = find_share(
        &job,
        &ShareFields {
            extranonce: Extranonce::join(
                Extranonce1::from_u32(7),
                [0xab, 0xcd, 0xef, 0xab, 0xcd, 0xef, 0xab, 0xcd],
            ),
            ..fields(0)
        },
        VersionMask::NONE,
    );
    let submit = |upper: bool| {
        let case = |text: String| if upper { text.to_uppercase() } else { text };
        ShareFields::parse(
            Extranonce1::from_u32(7),
            &case("abcdefabcdefabcd".to_owned()),
            &case(format!("{:08x}", share.ntime)),
            &case(format!("{:08x}", share.nonce)),
            None,
        )
        .unwrap()
    };
    let mut seen = filter();
    assert_eq!(
        reason(&check(&context(&job), &submit(false), &mut seen)),
        None
    );
    assert_eq!(
        reason(&check(&context(&job), &submit(true), &mut seen)),
        Some(RejectReason::Duplicate)
    );
}

#[test]
fn duplicate_key_lacks_version_bits_miningcore() {
    // Two headers that differ in version only are two shares.
    let job = share_job();
    let negotiated = ShareContext {
        version_mask: VersionMask::BIP320,
        ..context(&job)
    };
    let target = job.claim().difficulty.target();
    let rolls = |bits: u32, nonce: u32| ShareFields {
        version_bits: Some(bits),
        ..fields(nonce)
    };
    let met = |share: &ShareFields| {
        let header = job.header(share, VersionMask::BIP320);
        target.is_met_by_le(&<pow::Sha256d as pow::Algorithm>::hash(&header))
    };
    let nonce = (0..)
        .find(|nonce| met(&rolls(0x2000, *nonce)) && met(&rolls(0x4000, *nonce)))
        .unwrap();
    let mut seen = filter();
    for bits in [0x2000, 0x4000] {
        assert_eq!(
            reason(&check(&negotiated, &rolls(bits, nonce), &mut seen)),
            None
        );
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn duplicate_after_a_change_of_mask_digibyte_419() {
    // One header, described first as unrolled and then, under a mask, by the bits it has anyway.
    let job = share_job();
    let share = find_share(&job, &fields(0), VersionMask::NONE);
    let mut seen = filter();
    assert_eq!(reason(&check(&context(&job), &share, &mut seen)), None);
    let negotiated = ShareContext {
        version_mask: VersionMask::BIP320,
        ..context(&job)
    };
    let again = ShareFields {
        version_bits: Some(0),
        ..share
    };
    assert_eq!(
        reason(&check(&negotiated, &again, &mut seen)),
        Some(RejectReason::Duplicate)
    );
}

#[test]
fn bits_outside_the_mask_are_refused_not_masked_p2poolv2() {
    let job = share_job();
    let narrow = VersionMask::negotiate(0x0000_6000);
    let negotiated = ShareContext {
        version_mask: narrow,
        ..context(&job)
    };
    for bits in [
        0x0000_8000,
        0x2000_0000,
        0x8000_0000,
        1,
        u32::MAX,
        0x0000_a000,
    ] {
        let base = ShareFields {
            version_bits: Some(bits),
            ..fields(0)
        };
        let share = find_share(&job, &base, narrow);
        assert_eq!(
            reason(&check(&negotiated, &share, &mut filter())),
            Some(RejectReason::VersionBits),
            "{bits:08x}"
        );
    }
}

#[test]
fn version_bits_without_mining_configure_datum_214() {
    // Such a miner sends bits unasked. Its share is refused, but a block it finds is the block it really hashed.
    // The job signals with bits of its own inside BIP320: the miner's replace them.
    let mut template = parts(200, REGTEST_BITS, &[]);
    template.version = 0x2010_2000;
    let job = std::sync::Arc::new(live(&template).job(claim(ShareDifficulty::MIN)));
    let base = ShareFields {
        version_bits: Some(0x1234_6000),
        ..fields(0)
    };
    let share = find_block(&job, &base, VersionMask::NONE);
    let checked = check(&context(&job), &share, &mut filter());
    assert_eq!(reason(&checked), Some(RejectReason::VersionBits));
    assert_eq!(
        checked.block.unwrap().header[..4],
        0x3234_6000_u32.to_le_bytes()
    );
    // No bits at all is what a miner without version rolling sends, and zero bits ask for nothing either.
    let job = share_job();
    for version_bits in [None, Some(0)] {
        let base = ShareFields {
            version_bits,
            ..fields(0)
        };
        let share = find_share(&job, &base, VersionMask::NONE);
        assert_eq!(reason(&check(&context(&job), &share, &mut filter())), None);
    }
}

#[test]
fn rolling_a_job_whose_version_has_bits_inside_bip320() {
    // A node that signals with bit 13 and 20, a miner that may roll 13 and 14 only.
    let mut template = parts(200, HARD_BITS, &[]);
    template.version = 0x2010_2000;
    let job = std::sync::Arc::new(live(&template).job(claim(ShareDifficulty::MIN)));
    let narrow = VersionMask::negotiate(0x0000_6000);
    let negotiated = ShareContext {
        version_mask: narrow,
        ..context(&job)
    };
    for (bits, version) in [
        (None, 0x2010_2000_u32),
        (Some(0), 0x2010_0000), // inside the mask the miner's bits replace the job's: not OR, not XOR
        (Some(0x2000), 0x2010_2000),
        (Some(0x4000), 0x2010_4000),
        (Some(0x6000), 0x2010_6000),
    ] {
        let base = ShareFields {
            version_bits: bits,
            ..fields(0)
        };
        let share = find_share(&job, &base, narrow);
        let header = job.header(&share, narrow);
        assert_eq!(header[..4], version.to_le_bytes());
        let Verdict::Credited(credited) = check(&negotiated, &share, &mut filter()).verdict else {
            panic!("{bits:?}")
        };
        // An auditor knows no session: under BIP320 the stored bits give the same header.
        assert_eq!(
            credited.fields().version_bits,
            Some(version & VersionMask::BIP320.to_u32())
        );
        assert_eq!(job.header(credited.fields(), VersionMask::BIP320), header);
    }
}

#[test]
fn ntime_bounds_sri_2299_p2poolv2() {
    let job = share_job();
    for (ntime, expected) in [
        (0, Some(RejectReason::NtimeTooOld)),
        (MIN_TIME - 1, Some(RejectReason::NtimeTooOld)),
        (MIN_TIME, None),
        (NOW, None),
        (NOW + 7_200, None),
        (NOW + 7_201, Some(RejectReason::NtimeTooNew)),
        (u32::MAX, Some(RejectReason::NtimeTooNew)),
    ] {
        let share = find_share(&job, &ShareFields { ntime, ..fields(0) }, VersionMask::NONE);
        assert_eq!(
            reason(&check(&context(&job), &share, &mut filter())),
            expected,
            "{ntime}"
        );
    }
    // A clock at the end of u64 does not wrap around.
    let far = ShareContext {
        now: UnixTime(u64::MAX),
        ..context(&job)
    };
    let share = find_share(&job, &fields(0), VersionMask::NONE);
    assert_eq!(reason(&check(&far, &share, &mut filter())), None);
}

#[test]
fn a_share_just_above_the_target_earns_nothing_miningcore_tolerance() {
    // miningcore let 0.99 of the difficulty pass. Here one step below is one step too low: find hashes between the
    // job's target and that of the next easier step.
    let template = live(&parts(200, HARD_BITS, &[]));
    let difficulty = ShareDifficulty::MIN.harder().harder().harder();
    let job = std::sync::Arc::new(template.job(claim(difficulty)));
    let easier = difficulty.easier().target();
    let mut tried = 0;
    for nonce in 0..2_000 {
        let share = fields(nonce);
        let header = job.header(&share, VersionMask::NONE);
        let hash = <pow::Sha256d as pow::Algorithm>::hash(&header);
        if easier.is_met_by_le(&hash) && !difficulty.target().is_met_by_le(&hash) {
            tried += 1;
            assert_eq!(
                reason(&check(&context(&job), &share, &mut filter())),
                Some(RejectReason::LowDifficulty)
            );
        }
    }
    assert!(tried > 10);
}

#[test]
fn below_target_is_never_credited_at_the_session_s_difficulty_hydrapool() {
    // The claim fixes the difficulty before hashing: the same work under a harder claim is another header.
    let template = live(&parts(200, HARD_BITS, &[]));
    let easy = std::sync::Arc::new(template.job(claim(ShareDifficulty::MIN)));
    let hard = std::sync::Arc::new(template.job(claim(ShareDifficulty::ONE)));
    let share = find_share(&easy, &fields(0), VersionMask::NONE);
    assert_eq!(reason(&check(&context(&easy), &share, &mut filter())), None);
    assert_ne!(
        easy.header(&share, VersionMask::NONE),
        hard.header(&share, VersionMask::NONE)
    );
    assert_eq!(
        reason(&check(&context(&hard), &share, &mut filter())),
        Some(RejectReason::LowDifficulty)
    );
}

#[test]
fn a_hash_above_the_block_target_is_no_block() {
    let job = block_job(ShareDifficulty::MIN);
    let share = find(
        &job,
        &fields(0),
        VersionMask::NONE,
        bits(REGTEST_BITS),
        false,
    );
    let checked = check(&context(&job), &share, &mut filter());
    assert!(checked.block.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever a miner sends: no panic, the verdict follows the rules written down here a second time, and a
    /// credited share re-checked by an auditor has the same hash.
    #[test]
    fn any_fields(
        en1: u32, en2: [u8; 8], ntime in prop_oneof![any::<u32>(), MIN_TIME..NOW + 7_200], nonce: u32,
        version_bits in prop::option::of(prop_oneof![any::<u32>(), any::<u32>().prop_map(|bits| bits & 0x1fff_e000)]),
        wanted_mask: u32, stale: bool,
    ) {
        let job = share_job();
        let mask = VersionMask::negotiate(wanted_mask);
        let share = ShareFields {
            extranonce: Extranonce::join(Extranonce1::from_u32(en1), en2), ntime, nonce, version_bits,
        };
        let context = ShareContext {
            freshness: if stale { Freshness::Stale } else { Freshness::Current },
            version_mask: mask,
            ..context(&job)
        };
        let checked = check(&context, &share, &mut filter());
        let bits_fine = version_bits.is_none_or(|bits| bits & !mask.to_u32() == 0);
        let expected = if stale {
            Some(RejectReason::Stale)
        } else if ntime < MIN_TIME {
            Some(RejectReason::NtimeTooOld)
        } else if ntime > NOW + 7_200 {
            Some(RejectReason::NtimeTooNew)
        } else if !bits_fine {
            Some(RejectReason::VersionBits)
        } else if !job.claim().difficulty.target().is_met_by_le(checked.hash.as_ref()) {
            Some(RejectReason::LowDifficulty)
        } else {
            None
        };
        prop_assert_eq!(reason(&checked), expected);
        if let Verdict::Credited(credited) = checked.verdict {
            let auditor = ShareContext { version_mask: VersionMask::BIP320, ..context };
            let again = check(&auditor, credited.fields(), &mut filter());
            prop_assert_eq!(again.hash, credited.hash());
            prop_assert_eq!(reason(&again), None);
        }
    }
}
