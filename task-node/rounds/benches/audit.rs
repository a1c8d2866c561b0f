//! What a round costs: sealing and auditing 100,000 shares.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pow::ShareDifficulty;
use rounds::{Bundle, BundleBuilder, EncodedBundle, Expectation, SeenInRound, audit};
use support::*;
use work::{
    CreditedShare, DuplicateFilter, Extranonce, Extranonce1, Freshness, Job, ShareContext,
    ShareFields, UnixTime, Verdict, VersionMask, check_share,
};

const SHARES: usize = 100_000;
/// A thousand miners, one session each, over both tips of the round.
const MINERS: usize = 1000;

fn shares() -> Vec<CreditedShare> {
    let templates = [template(FIRST_TIP), template(FIRST_TIP + 1)];
    let mut seen = DuplicateFilter::new(usize::MAX);
    let mut shares = Vec::with_capacity(SHARES);
    for miner in 0..MINERS {
        let template = &templates[miner % templates.len()];
        let mut claim = claim(0);
        let mut address = [0; 32];
        address[..8].copy_from_slice(&(miner as u64).to_be_bytes());
        claim.miner = work::K2Address::from_bytes(address);
        // About two hashes a share: the audit does not care how lucky they were.
        claim.difficulty = ShareDifficulty::MIN;
        let job = Arc::new(Job::new(Arc::clone(template), claim).unwrap());
        let context = ShareContext {
            job: &job,
            freshness: Freshness::Current,
            version_mask: VersionMask::BIP320,
            now: UnixTime(CLOSED_AT),
        };
        let until = shares.len() + SHARES / MINERS;
        let mut nonce = 0_u32;
        while shares.len() < until {
            nonce += 1;
            let fields = ShareFields {
                extranonce: Extranonce::join(
                    Extranonce1::from_u32(miner as u32),
                    u64::from(nonce / 16).to_be_bytes(),
                ),
                ntime: OPENED_AT as u32 + nonce / 4,
                nonce: nonce.wrapping_mul(0x9e37_79b9),
                version_bits: Some((nonce & 0xffff) << 13),
            };
            if let Verdict::Credited(share) = check_share(&context, &fields, &mut seen).verdict {
                shares.push(share);
            }
        }
    }
    shares
}

fn seal(shares: &[CreditedShare]) -> EncodedBundle {
    let mut builder = BundleBuilder::new(head());
    let mut handles = std::collections::HashMap::new();
    for share in shares {
        let claim = share.job().claim();
        let job = handles
            .entry(share.job().template_id())
            .or_insert_with(|| builder.job(share.job().template()).unwrap());
        builder
            .push(
                *job,
                claim.miner,
                claim.difficulty,
                &claim.extension,
                share.fields(),
                share.is_block(),
            )
            .unwrap();
    }
    builder.finish().unwrap()
}

fn bench(c: &mut Criterion) {
    let shares = shares();
    let sealed = seal(&shares);
    let blocks = Blocks::of(&sealed);
    let (rules, facts) = (rules(), facts());
    let mut group = c.benchmark_group("round of 100,000 shares");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(SHARES as u64));
    group.bench_function("seal", |b| b.iter(|| seal(&shares)));
    group.bench_function("read and audit", |b| {
        b.iter_batched(
            || SeenInRound::new(2 * SHARES),
            |mut seen| {
                let root = blocks.get(&sealed.cid).unwrap();
                let bundle = Bundle::read(&sealed.cid, &root, |cid| blocks.get(cid)).unwrap();
                let expectation = Expectation {
                    rules: &rules,
                    round: round(),
                    node: node(),
                    submitted: submission(&sealed.cid, &bundle),
                    window: None,
                };
                audit(&bundle, &expectation, &facts, &mut seen).unwrap()
            },
            BatchSize::PerIteration,
        )
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
