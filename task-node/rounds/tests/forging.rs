//! The forging matrix: every field of a bundle is a place to lie in, and every lie is found.
//!
//! Shares are real. A lie is told as a forger would: all hashes, links, sums and orders fit, the submission says what
//! the forged root says, and only the lie itself is left.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/forger.rs"]
mod forger;
mod support;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use cid::Cid;
use forger::{Draft, Map, from_cbor, map, number, one_byte_lies, seal_root, to_cbor};
use ipld_core::ipld::Ipld;
use pow::{NBits, ShareDifficulty};
use rounds::{
    AuditFailure, BundleError, ChunkError, EncodedBundle, Part, PoolRules, SeenInRound,
    encode_chunk,
};
use support::*;
use work::{
    CreditedShare, Extranonce, JobTemplate, PayoutScript, RejectReason, RoundNumber, UnixTime,
};

static SHARES: LazyLock<Vec<CreditedShare>> = LazyLock::new(honest_shares);
static HONEST: LazyLock<EncodedBundle> = LazyLock::new(|| bundle_of(head(), &SHARES));

fn draft() -> Draft {
    Draft::of(&HONEST)
}

fn verdict(cid: &Cid, blocks: &Blocks) -> Result<(), AuditFailure> {
    audit_blocks(cid, blocks, node()).map(|_| ())
}

/// The audit of a forged draft must fail; the reason is what people see.
#[track_caller]
fn refused(draft: &Draft, what: &str) -> AuditFailure {
    let (cid, blocks) = draft
        .seal()
        .unwrap_or_else(|| panic!("{what}: could not be forged"));
    let failure = verdict(&cid, &blocks).expect_err(what);
    assert!(!failure.to_string().is_empty());
    failure
}

fn rejected(failure: &AuditFailure) -> Option<&RejectReason> {
    match failure {
        AuditFailure::Share { reason, .. } => Some(reason),
        _ => None,
    }
}

#[test]
fn the_honest_bundle_is_valid() {
    let summary = audit_blocks(&HONEST.cid, &Blocks::of(&HONEST), node()).unwrap();
    assert_eq!(summary.totals.shares, SHARES.len() as u64);
    assert_eq!(summary.totals.work, work_of(&SHARES));
    let blocks: Vec<_> = SHARES.iter().filter(|share| share.is_block()).collect();
    assert_eq!(summary.blocks.len(), blocks.len());
    assert!(!blocks.is_empty(), "the round should have a block in it");
    assert!(
        summary
            .blocks
            .iter()
            .all(|block| block.value.to_sat() == VALUE)
    );
}

#[test]
fn the_workshop_changes_nothing_by_itself() {
    let mut draft = draft();
    draft.rebase();
    draft.sort();
    assert_eq!(draft.seal().unwrap().0, HONEST.cid);
}

#[test]
fn every_byte_of_every_block() {
    let honest = Blocks::of(&HONEST);
    for (cid, bytes) in &honest.0 {
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0x10;
            let mut blocks = honest.clone();
            blocks.0.insert(*cid, Bytes::from(flipped));
            assert!(verdict(&HONEST.cid, &blocks).is_err(), "byte {at} of {cid}");
        }
    }
}

#[test]
fn every_byte_of_tables_and_chunk_with_fitting_hashes() {
    let draft = draft();
    let encode_table = |entries: &[Map]| {
        to_cbor(&Ipld::List(
            entries.iter().cloned().map(Ipld::Map).collect(),
        ))
    };
    let base_times: Vec<u32> = draft
        .jobs
        .iter()
        .map(|job| number(&job["mintime"]) as u32)
        .collect();
    let pieces = [
        encode_table(&draft.jobs),
        encode_table(&draft.claims),
        encode_chunk(&draft.shares, &base_times).unwrap(),
    ];
    let totals = HONEST.root.totals();
    for piece in 0..3 {
        for at in 0..pieces[piece].len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut forged = pieces.clone();
                forged[piece][at] ^= bit;
                let [jobs, claims, chunk] = forged;
                let (cid, blocks) = draft
                    .seal_blocks(jobs, claims, chunk, totals.shares, totals.work)
                    .unwrap();
                assert!(
                    verdict(&cid, &blocks).is_err(),
                    "bit {bit:02x} of byte {at} of piece {piece}"
                );
            }
        }
    }
}

/// Whether a lie about the times makes the round narrower than it was, and says nothing else.
fn narrower(name: &str, honest: &Ipld, lie: &Ipld) -> bool {
    let at = |moment: &Ipld| number(&map(moment.clone())["at"]);
    match name {
        "opened" => {
            (OPENED_AT as i128..CLOSED_AT as i128).contains(&at(lie)) && at(lie) != at(honest)
        }
        "closed" => {
            (OPENED_AT as i128..CLOSED_AT as i128).contains(&at(lie)) && at(lie) != at(honest)
        }
        _ => false,
    }
}

#[test]
fn the_times_of_a_round() {
    // Said to have been wider than the auditor saw it: refused beyond the tolerance. Narrower: a node that joined late
    // or was asked early says so honestly, and gains nothing if it lies.
    for (opened, closed, valid) in [
        (OPENED_AT - 120, CLOSED_AT + 120, true),
        (OPENED_AT - 121, CLOSED_AT, false),
        (OPENED_AT, CLOSED_AT + 121, false),
        (OPENED_AT + 128, CLOSED_AT, true),
        (OPENED_AT + 300, CLOSED_AT - 128, true),
    ] {
        let mut head = head();
        (head.opened.at, head.closed.at) = (UnixTime(opened), UnixTime(closed));
        let bundle = bundle_of(head, &SHARES);
        match verdict(&bundle.cid, &Blocks::of(&bundle)) {
            Ok(()) => assert!(valid, "{opened} {closed}"),
            Err(failure) => assert!(
                !valid && matches!(failure, AuditFailure::Clock { .. }),
                "{failure}"
            ),
        }
    }
}

#[test]
fn every_field_of_the_root() {
    let honest = draft();
    let blocks = Blocks::of(&HONEST);
    for (name, value) in &honest.root {
        // 128 seconds are beyond the tolerance of 120: less is no lie that could be told from a slow clock.
        let lies = one_byte_lies(value, if name == "round" { 6 } else { 4 }, 0x80);
        assert!(!lies.is_empty(), "{name}");
        for (index, lie) in lies.into_iter().enumerate() {
            if narrower(name, value, &lie) {
                continue;
            }
            let mut root = honest.root.clone();
            root.insert(name.clone(), lie);
            let (cid, blocks) = seal_root(&root, blocks.clone());
            assert!(verdict(&cid, &blocks).is_err(), "{name}, lie {index}");
        }
    }
    for name in honest.root.keys() {
        let mut root = honest.root.clone();
        root.remove(name);
        let (cid, blocks) = seal_root(&root, blocks.clone());
        assert!(verdict(&cid, &blocks).is_err(), "without {name}");
    }
    let mut root = honest.root;
    root.insert("more".to_owned(), Ipld::Null);
    let (cid, blocks) = seal_root(&root, blocks);
    assert!(verdict(&cid, &blocks).is_err());
}

#[test]
fn every_field_of_every_job() {
    for job in 0..draft().jobs.len() {
        for (name, value) in draft().jobs[job].clone() {
            if name == "mintime" || name == "curtime" || name == "commitment" {
                continue; // below
            }
            for (index, lie) in one_byte_lies(&value, 4, 0x01).into_iter().enumerate() {
                let mut forged = draft();
                forged.jobs[job].insert(name.clone(), lie);
                forged.sort();
                refused(&forged, &format!("{name} of job {job}, lie {index}"));
            }
        }
        // A witness commitment where none was hashed.
        let mut forged = draft();
        forged.jobs[job].insert("commitment".to_owned(), Ipld::Bytes(vec![0; 32]));
        forged.sort();
        refused(&forged, "commitment");
    }
}

#[test]
fn times_of_a_job() {
    for job in 0..draft().jobs.len() {
        for shift in 0..4 {
            // Both times and with them every share's.
            let mut forged = draft();
            for share in forged
                .shares
                .iter_mut()
                .filter(|share| share.job as usize == job)
            {
                share.ntime ^= 1 << (8 * shift);
            }
            forged.rebase();
            forged.sort();
            refused(&forged, "shifted times");
        }
        // A lower base with the same shares: the same round under another name.
        let mut forged = draft();
        let base = number(&forged.jobs[job]["mintime"]) - 1;
        for name in ["mintime", "curtime"] {
            forged.jobs[job].insert(name.to_owned(), Ipld::Integer(base));
        }
        forged.sort();
        let failure = refused(&forged, "lower base time");
        assert!(matches!(failure, AuditFailure::BaseTime(_)), "{failure}");
        // The two times apart.
        for name in ["mintime", "curtime"] {
            let mut forged = draft();
            let lie = number(&forged.jobs[job][name]) + if name == "mintime" { -1 } else { 1 };
            forged.jobs[job].insert(name.to_owned(), Ipld::Integer(lie));
            forged.sort();
            let failure = refused(&forged, name);
            assert!(
                matches!(failure, AuditFailure::Bundle(BundleError::JobForm(_))),
                "{failure}"
            );
        }
    }
}

#[test]
fn every_field_of_every_claim() {
    for claim in 0..draft().claims.len() {
        for (name, value) in draft().claims[claim].clone() {
            for (index, lie) in one_byte_lies(&value, 4, 0x01).into_iter().enumerate() {
                let mut forged = draft();
                forged.claims[claim].insert(name.clone(), lie);
                forged.sort();
                refused(&forged, &format!("{name} of claim {claim}, lie {index}"));
            }
        }
        let mut forged = draft();
        forged.claims[claim].insert("extension".to_owned(), Ipld::Bytes(vec![9]));
        forged.sort();
        refused(&forged, "another extension");
    }
}

#[test]
fn every_field_of_every_share() {
    for share in 0..draft().shares.len() {
        let mut lies = Vec::new();
        let honest = draft().shares[share];
        for job in 0..draft().jobs.len() as u32 {
            lies.push(rounds::PackedShare { job, ..honest });
        }
        for claim in 0..draft().claims.len() as u32 {
            lies.push(rounds::PackedShare { claim, ..honest });
        }
        for at in 0..Extranonce::BYTES {
            let mut bytes = *honest.extranonce.as_bytes();
            bytes[at] ^= 1;
            lies.push(rounds::PackedShare {
                extranonce: Extranonce::from_bytes(bytes),
                ..honest
            });
        }
        for at in 0..4 {
            lies.push(rounds::PackedShare {
                ntime: honest.ntime ^ 1 << (8 * at),
                ..honest
            });
            lies.push(rounds::PackedShare {
                nonce: honest.nonce ^ 1 << (8 * at),
                ..honest
            });
        }
        for bit in 13..29 {
            lies.push(rounds::PackedShare {
                version_bits: honest.version_bits ^ 1 << bit,
                ..honest
            });
        }
        for lie in lies.into_iter().filter(|lie| *lie != honest) {
            let mut forged = draft();
            forged.shares[share] = lie;
            forged.rebase();
            forged.sort();
            refused(&forged, &format!("{honest:?} as {lie:?}"));
        }
    }
}

#[test]
fn links_counts_and_work() {
    let honest = draft();
    let blocks = Blocks::of(&HONEST);
    let chunk = encode_chunk(
        &honest.shares,
        &honest
            .jobs
            .iter()
            .map(|job| number(&job["mintime"]) as u32)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    let totals = HONEST.root.totals();
    // Sums and root fit, the shares do not.
    for delta in 1..=2 {
        for (shares, work) in [
            (totals.shares + delta, totals.work),
            (totals.shares - delta, totals.work),
            (
                totals.shares,
                totals.work + pow::Work::from_hashes(u128::from(delta)),
            ),
            (
                totals.shares,
                totals
                    .work
                    .saturating_sub(pow::Work::from_hashes(u128::from(delta))),
            ),
        ] {
            let (cid, blocks) = honest.seal_with(chunk.clone(), shares, work).unwrap();
            assert!(verdict(&cid, &blocks).is_err(), "{shares} {work}");
        }
    }
    // A table link to another table of the same kind, and to a block nobody has.
    for name in ["jobs", "claims", "shares"] {
        for other in ["jobs", "claims", "shares"]
            .into_iter()
            .filter(|other| *other != name)
        {
            let mut root = honest.root.clone();
            root.insert(name.to_owned(), honest.root[other].clone());
            let (cid, blocks) = seal_root(&root, blocks.clone());
            assert!(verdict(&cid, &blocks).is_err(), "{name} is {other}");
        }
    }
    // A link left out.
    for name in ["jobs", "claims", "shares"] {
        let mut root = honest.root.clone();
        root.insert(name.to_owned(), Ipld::List(Vec::new()));
        let (cid, blocks) = seal_root(&root, blocks.clone());
        assert!(verdict(&cid, &blocks).is_err(), "no {name}");
    }
}

#[test]
fn a_block_that_is_not_served() {
    for block in &HONEST.blocks {
        let mut blocks = Blocks::of(&HONEST);
        blocks.0.remove(block.cid());
        assert!(verdict(&HONEST.cid, &blocks).is_err());
    }
}

#[test]
fn a_table_cut_elsewhere() {
    // The jobs table in two blocks where one would do.
    let honest = draft();
    let mut blocks = Blocks::of(&HONEST);
    let links = honest
        .jobs
        .iter()
        .map(|job| {
            let bytes = to_cbor(&Ipld::List(vec![Ipld::Map(job.clone())]));
            let block = content::Block::new(content::Codec::DagCbor, Bytes::from(bytes)).unwrap();
            blocks.0.insert(*block.cid(), block.bytes().clone());
            Ipld::List(vec![Ipld::Link(*block.cid()), Ipld::Integer(1)])
        })
        .collect();
    let mut root = honest.root;
    root.insert("jobs".to_owned(), Ipld::List(links));
    let (cid, blocks) = seal_root(&root, blocks);
    assert_eq!(
        verdict(&cid, &blocks),
        Err(AuditFailure::Bundle(BundleError::TableCut(Part::Jobs)))
    );
}

// The cases everybody asks about, by name.

#[test]
fn re_assigned_miner() {
    let mut forged = draft();
    forged.claims[0].insert("miner".to_owned(), Ipld::Bytes(vec![0xee; 32]));
    forged.sort();
    let failure = refused(&forged, "re-assigned miner");
    assert_eq!(
        rejected(&failure),
        Some(&RejectReason::LowDifficulty),
        "{failure}"
    );
}

#[test]
fn re_used_share_of_another_round() {
    let mut claim = claim(1);
    claim.round = RoundNumber::new(4).unwrap();
    let old = mine(&template(FIRST_TIP), claim, 1, OPENED_AT as u32);
    let bundle = bundle_of(head(), &[old]);
    let failure = verdict(&bundle.cid, &Blocks::of(&bundle)).unwrap_err();
    assert_eq!(
        rejected(&failure),
        Some(&RejectReason::LowDifficulty),
        "{failure}"
    );
}

#[test]
fn a_whole_bundle_of_another_round() {
    let mut old = head();
    old.round = RoundNumber::new(4).unwrap();
    let bundle = bundle_of(old, &SHARES);
    assert_eq!(
        verdict(&bundle.cid, &Blocks::of(&bundle)),
        Err(AuditFailure::Round(old.round))
    );
}

#[test]
fn another_nodes_share() {
    let thief = address(0xbb);
    let mut stolen = head();
    stolen.node = thief;
    let bundle = bundle_of(stolen, &SHARES);
    let failure = audit_blocks(&bundle.cid, &Blocks::of(&bundle), thief).unwrap_err();
    assert_eq!(
        rejected(&failure),
        Some(&RejectReason::LowDifficulty),
        "{failure}"
    );
    // Or the honest bundle, submitted by the thief as it is.
    assert_eq!(
        audit_blocks(&HONEST.cid, &Blocks::of(&HONEST), thief).unwrap_err(),
        AuditFailure::Node(node())
    );
}

#[test]
fn claimed_higher_difficulty() {
    let mut forged = draft();
    let bits = NBits::from_consensus(number(&forged.claims[0]["bits"]) as u32).unwrap();
    let harder = ShareDifficulty::try_from(bits).unwrap().harder();
    forged.claims[0].insert(
        "bits".to_owned(),
        Ipld::Integer(i128::from(harder.nbits().to_consensus())),
    );
    forged.sort();
    let failure = refused(&forged, "higher difficulty");
    assert_eq!(
        rejected(&failure),
        Some(&RejectReason::LowDifficulty),
        "{failure}"
    );
    // A target nobody can have been told, between two steps.
    let mut forged = draft();
    forged.claims[0].insert("bits".to_owned(), Ipld::Integer(0x1e12_3456));
    forged.sort();
    let failure = refused(&forged, "no step of the ladder");
    assert!(
        matches!(
            failure,
            AuditFailure::Bundle(BundleError::Table {
                part: Part::Claims,
                ..
            })
        ),
        "{failure}"
    );
}

#[test]
fn stale_previous_block() {
    // One block of grace on either side of the tips; two are too many.
    for (tip, valid) in [
        (FIRST_TIP - 2, false),
        (FIRST_TIP - 1, true),
        (FIRST_TIP + 2, true),
        (FIRST_TIP + 3, false),
    ] {
        let share = mine(&template(tip), claim(1), 1, OPENED_AT as u32);
        let bundle = bundle_of(head(), &[share]);
        match verdict(&bundle.cid, &Blocks::of(&bundle)) {
            Ok(()) => assert!(valid, "{tip}"),
            Err(failure) => {
                assert!(
                    !valid && matches!(failure, AuditFailure::StalePrevious { job: 0, .. }),
                    "{tip}: {failure}"
                );
            }
        }
    }
    let share = mine(&template(FIRST_TIP + 50), claim(1), 1, OPENED_AT as u32);
    let bundle = bundle_of(head(), &[share]);
    let failure = verdict(&bundle.cid, &Blocks::of(&bundle)).unwrap_err();
    assert!(
        matches!(failure, AuditFailure::UnknownPrevious { job: 0, .. }),
        "{failure}"
    );
}

#[test]
fn pool_script_swap() {
    let own = PayoutScript::parse(
        "wpkh(02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5)",
        bitcoin::Network::Regtest,
    )
    .unwrap();
    // Mined so: a pool that works for its operator's own purse.
    let share = mine(
        &template_paying(&parts(FIRST_TIP), &own),
        claim(1),
        1,
        OPENED_AT as u32,
    );
    let bundle = bundle_of(head(), &[share]);
    assert_eq!(
        verdict(&bundle.cid, &Blocks::of(&bundle)),
        Err(AuditFailure::Payout { job: 0, output: 0 })
    );
    // Swapped afterwards, for a script the rules allow too: the coinbase that was hashed is another.
    let mut parts = rules_parts();
    parts.payout_scripts.push(own.as_script().to_owned());
    let both = PoolRules::new(parts).unwrap();
    let mut forged = draft();
    forged
        .root
        .insert("rules".to_owned(), Ipld::Bytes(both.digest().0.to_vec()));
    let Ipld::List(payouts) = forged.jobs[0]["payouts"].clone() else {
        panic!("payouts")
    };
    let Ipld::List(mut output) = payouts[0].clone() else {
        panic!("output")
    };
    output[1] = Ipld::Bytes(own.as_script().to_bytes());
    forged.jobs[0].insert("payouts".to_owned(), Ipld::List(vec![Ipld::List(output)]));
    forged.sort();
    let (cid, blocks) = forged.seal().unwrap();
    let failure = audit_with(
        &cid,
        &blocks,
        node(),
        &both,
        &facts(),
        &mut SeenInRound::new(1000),
    )
    .unwrap_err();
    assert_eq!(
        rejected(&failure),
        Some(&RejectReason::LowDifficulty),
        "{failure}"
    );
}

/// A job template with one field changed, as no honest node would make it.
fn bent(template: &JobTemplate, field: &str, value: Ipld) -> Arc<JobTemplate> {
    let mut fields = map(from_cbor(&template.encode().unwrap()));
    fields.insert(field.to_owned(), value);
    Arc::new(JobTemplate::decode(&to_cbor(&Ipld::Map(fields))).unwrap())
}

fn mined_on(template: &Arc<JobTemplate>) -> EncodedBundle {
    bundle_of(head(), &[mine(template, claim(1), 1, OPENED_AT as u32)])
}

#[test]
fn below_subsidy_coinbase() {
    let script = Ipld::Bytes(payout().as_script().to_bytes());
    for (value, valid) in [(2_500_000_000_i128, true), (2_499_999_999, false)] {
        let payouts = Ipld::List(vec![Ipld::List(vec![Ipld::Integer(value), script.clone()])]);
        let bundle = mined_on(&bent(&template(FIRST_TIP), "payouts", payouts));
        match verdict(&bundle.cid, &Blocks::of(&bundle)) {
            Ok(()) => assert!(valid),
            Err(failure) => assert!(
                !valid && matches!(failure, AuditFailure::BelowSubsidy { job: 0, .. }),
                "{failure}"
            ),
        }
    }
}

#[test]
fn jobs_mined_on_a_chain_that_is_not() {
    type Expected = fn(&AuditFailure) -> bool;
    let cases: [(&str, i128, Expected); 4] = [
        ("bits", i128::from(NETWORK_BITS) - 1, |f| {
            matches!(f, AuditFailure::Bits { job: 0, .. })
        }),
        ("version", 2, |f| {
            matches!(f, AuditFailure::Version { job: 0, .. })
        }),
        ("version", 0x8000_0004, |f| {
            matches!(f, AuditFailure::Version { job: 0, .. })
        }),
        ("height", 201, |f| {
            matches!(
                f,
                AuditFailure::Height {
                    job: 0,
                    said: 201,
                    height: 200
                }
            )
        }),
    ];
    for (field, value, expected) in cases {
        let bundle = mined_on(&bent(&template(FIRST_TIP), field, Ipld::Integer(value)));
        let failure = verdict(&bundle.cid, &Blocks::of(&bundle)).unwrap_err();
        assert!(expected(&failure), "{field}: {failure}");
    }
}

#[test]
fn times_no_block_can_have() {
    // Mined on a template that allows more than the chain does.
    let lax = bent(&template(FIRST_TIP), "mintime", Ipld::Integer(0));
    for (ntime, valid) in [(MEDIAN_TIME, false), (MEDIAN_TIME + 1, true)] {
        let bundle = bundle_of(head(), &[mine(&lax, claim(1), 1, ntime)]);
        match verdict(&bundle.cid, &Blocks::of(&bundle)) {
            Ok(()) => assert!(valid),
            Err(failure) => assert!(
                !valid && matches!(failure, AuditFailure::TimeTooOld { job: 0, .. }),
                "{failure}"
            ),
        }
    }
    // Two hours ahead of the round's close, and as much more as header times may be off: a miner can send a share with
    // the latest time allowed in the second after its node took down the close, and must not spoil the node's round.
    let limit = 7200 + u64::from(rules().time_grace_seconds());
    for (ahead, valid) in [(7201, true), (limit, true), (limit + 1, false)] {
        let share = mine(&template(FIRST_TIP), claim(1), 1, CLOSED_AT as u32 + 7201);
        let mut head = head();
        head.closed.at = UnixTime(u64::from(share.fields().ntime) - ahead);
        let bundle = bundle_of(head, &[share]);
        match verdict(&bundle.cid, &Blocks::of(&bundle)) {
            Ok(()) => assert!(valid),
            Err(failure) => assert!(
                !valid && rejected(&failure) == Some(&RejectReason::NtimeTooNew),
                "{failure}"
            ),
        }
    }
}

#[test]
fn duplicate_within_a_bundle() {
    // Twice in the chunk: no order in which it would be readable.
    let honest = draft();
    let one = [honest.shares[0]];
    let base_times: Vec<u32> = honest
        .jobs
        .iter()
        .map(|job| number(&job["mintime"]) as u32)
        .collect();
    let mut chunk = encode_chunk(&one, &base_times).unwrap();
    chunk[0] = 2;
    let offset = one[0].ntime - base_times[one[0].job as usize];
    assert!(offset < 128);
    chunk.extend([0, 0, 0, offset as u8]);
    chunk.extend(one[0].nonce.to_be_bytes());
    chunk.extend(((one[0].version_bits >> 13) as u16).to_be_bytes());
    let work = pow::Work::from_hashes(1);
    let (cid, blocks) = honest.seal_with(chunk, 2, work).unwrap();
    assert_eq!(
        verdict(&cid, &blocks),
        Err(AuditFailure::Bundle(BundleError::Chunk {
            index: 0,
            source: ChunkError::Order(1)
        }))
    );
}

#[test]
fn duplicate_by_a_second_job_or_claim() {
    // The same work on a second template that differs only where no hash looks.
    let mut forged = draft();
    let mut job = forged.jobs[0].clone();
    job.insert(
        "version".to_owned(),
        Ipld::Integer(number(&job["version"]) | 1 << 13),
    );
    forged.jobs.push(job);
    let copy = rounds::PackedShare {
        job: forged.jobs.len() as u32 - 1,
        ..forged.shares[0]
    };
    forged.shares.push(copy);
    forged.rebase();
    forged.sort();
    let failure = refused(&forged, "second job");
    assert!(
        matches!(failure, AuditFailure::Bundle(BundleError::JobForm(_))),
        "{failure}"
    );
    // The job itself a second time.
    let mut forged = draft();
    forged.jobs.push(forged.jobs[0].clone());
    let failure = refused(&forged, "job twice");
    assert!(
        matches!(
            failure,
            AuditFailure::Bundle(BundleError::TableOrder {
                part: Part::Jobs,
                ..
            })
        ),
        "{failure}"
    );
}

#[test]
fn duplicate_across_bundles_of_a_round() {
    let mut seen = SeenInRound::new(1000);
    let audit = |bundle: &EncodedBundle, seen: &mut SeenInRound| {
        audit_with(
            &bundle.cid,
            &Blocks::of(bundle),
            node(),
            &rules(),
            &facts(),
            seen,
        )
    };
    audit(&HONEST, &mut seen).unwrap();
    // The same again is the same verdict.
    audit(&HONEST, &mut seen).unwrap();
    assert_eq!(seen.len(), SHARES.len());
    // One of its shares in a second bundle.
    let second = bundle_of(head(), &SHARES[..1]);
    let failure = audit(&second, &mut seen).unwrap_err();
    assert_eq!(
        rejected(&failure),
        Some(&RejectReason::Duplicate),
        "{failure}"
    );
}

#[test]
fn a_forgery_does_not_shadow_the_honest_bundle() {
    let mut seen = SeenInRound::new(1000);
    // Honest shares first, one bad one last.
    let mut forged = draft();
    let last = forged.shares.len() - 1;
    forged.shares[last].nonce ^= 1;
    forged.sort();
    let (cid, blocks) = forged.seal().unwrap();
    audit_with(&cid, &blocks, node(), &rules(), &facts(), &mut seen).unwrap_err();
    assert!(seen.is_empty());
    audit_with(
        &HONEST.cid,
        &Blocks::of(&HONEST),
        node(),
        &rules(),
        &facts(),
        &mut seen,
    )
    .unwrap();
}

#[test]
fn a_full_memory_does_not_save_a_forgery_from_its_verdict() {
    // Whoever fills the auditor's memory with cheap but valid shares must not thereby silence it about a lie.
    let mut forged = draft();
    let last = forged.shares.len() - 1;
    forged.shares[last].nonce ^= 1;
    forged.sort();
    let (cid, blocks) = forged.seal().unwrap();
    let audit = |cid, blocks, seen: &mut SeenInRound| {
        audit_with(cid, blocks, node(), &rules(), &facts(), seen).unwrap_err()
    };
    let mut full = SeenInRound::new(1);
    let failure = audit(&cid, &blocks, &mut full);
    assert_eq!(
        rejected(&failure),
        Some(&RejectReason::LowDifficulty),
        "{failure}"
    );
    // What is valid but for the memory gets no verdict, and leaves nothing behind.
    let failure = audit(&HONEST.cid, &Blocks::of(&HONEST), &mut full);
    assert!(failure.is_own_trouble(), "{failure}");
    assert!(full.is_empty());
}

#[test]
fn unused_table_entries() {
    for part in [Part::Jobs, Part::Claims] {
        let mut forged = draft();
        if part == Part::Jobs {
            let mut job = forged.jobs[0].clone();
            job.insert("tag".to_owned(), Ipld::Bytes(b"/other/".to_vec()));
            forged.jobs.push(job);
        } else {
            let mut claim = forged.claims[0].clone();
            claim.insert("miner".to_owned(), Ipld::Bytes(vec![0xff; 32]));
            forged.claims.push(claim);
        }
        forged.sort();
        let failure = refused(&forged, "unused");
        assert!(
            matches!(failure, AuditFailure::Unused { part: found, .. } if found == part),
            "{failure}"
        );
    }
}

#[test]
fn other_rules_are_named() {
    let mut parts = rules_parts();
    parts.pplns_multiple = 3;
    let other = PoolRules::new(parts).unwrap();
    let failure = audit_with(
        &HONEST.cid,
        &Blocks::of(&HONEST),
        node(),
        &other,
        &facts(),
        &mut SeenInRound::new(1000),
    )
    .unwrap_err();
    assert!(matches!(failure, AuditFailure::Rules { .. }), "{failure}");
}

#[test]
fn an_empty_round_is_valid() {
    let empty = bundle_of(head(), &[]);
    assert_eq!(empty.blocks.len(), 1);
    let summary = audit_blocks(&empty.cid, &Blocks::of(&empty), node()).unwrap();
    assert_eq!((summary.totals.shares, summary.checked), (0, 0));
}

#[test]
fn a_stale_sibling_counts() {
    // Another block at the tip's height that lost: known, not on the best chain.
    let mut parts = parts(FIRST_TIP);
    parts.prev_hash = [0x77; 32];
    let share = mine(
        &template_paying(&parts, &payout()),
        claim(1),
        1,
        OPENED_AT as u32,
    );
    let bundle = bundle_of(head(), &[share]);
    let mut facts = facts();
    let sibling = facts.headers[&block_hash(FIRST_TIP)];
    let audit = |facts: &rounds::ChainFacts| {
        audit_with(
            &bundle.cid,
            &Blocks::of(&bundle),
            node(),
            &rules(),
            facts,
            &mut SeenInRound::new(10),
        )
    };
    assert!(matches!(
        audit(&facts),
        Err(AuditFailure::UnknownPrevious { .. })
    ));
    facts
        .headers
        .insert(bitcoin::hashes::Hash::from_byte_array([0x77; 32]), sibling);
    audit(&facts).unwrap();
}

#[test]
fn a_sample_is_audited_like_the_whole() {
    // Only what was opened is checked; a lie in it is found, and the sums of the root hold either way.
    let audit = |cid: &Cid, blocks: &Blocks| {
        let root = rounds::BundleRoot::decode(&blocks.get(cid).unwrap())?;
        let chunks = rounds::chunks_to_open(cid, &root, &[1; 32], 3)?;
        let bundle = rounds::Bundle::read_parts(cid, root, &chunks, &mut |cid| blocks.get(cid))?;
        let rules = rules();
        let expectation = rounds::Expectation {
            rules: &rules,
            round: round(),
            node: node(),
            submitted: submission(cid, &bundle),
            window: None,
        };
        rounds::audit_parts(&bundle, &expectation, &facts(), &mut SeenInRound::new(1000))
    };
    let summary = audit(&HONEST.cid, &Blocks::of(&HONEST)).unwrap();
    assert_eq!(summary.checked, SHARES.len() as u64);
    let mut forged = draft();
    forged.shares[7].nonce ^= 1;
    forged.sort();
    let (cid, blocks) = forged.seal().unwrap();
    assert!(rejected(&audit(&cid, &blocks).unwrap_err()).is_some());
}
