//! The share check: what one submitted share costs the pool, and one stored share the auditor.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::sync::Arc;

use common::*;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pow::ShareDifficulty;
use work::{DuplicateFilter, Job, JobId, VersionMask};

fn benches(criterion: &mut Criterion) {
    // About as many transactions as a mainnet block has: twelve levels of merkle branch.
    let mut template = parts(840_000, HARD_BITS, &[]);
    let one = bitcoin::consensus::serialize(&transaction(1, false));
    template.transactions = vec![one; 2_500];
    template.witness_commitment_script = None;
    let live = live(&template);
    let job = Arc::new(live.job(claim(ShareDifficulty::MIN)));
    let share = find_share(&job, &fields(0), VersionMask::NONE);
    let miss = find(
        &job,
        &fields(0),
        VersionMask::NONE,
        job.claim().difficulty.nbits(),
        false,
    );
    let context = context(&job);

    let mut group = criterion.benchmark_group("check_share");
    group.throughput(Throughput::Elements(1));
    group.bench_function("credited", |bencher| {
        bencher.iter_batched_ref(
            || DuplicateFilter::new(1),
            |seen| black_box(check(&context, black_box(&share), seen)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("low_difficulty", |bencher| {
        let mut seen = filter();
        bencher.iter(|| black_box(check(&context, black_box(&miss), &mut seen)));
    });
    group.finish();

    criterion.bench_function("job_of_a_claim", |bencher| {
        bencher.iter(|| black_box(live.job(claim(ShareDifficulty::MIN))));
    });
    criterion.bench_function("job_for_an_auditor", |bencher| {
        bencher.iter(|| {
            black_box(
                Job::new(Arc::clone(live.job_template()), claim(ShareDifficulty::MIN)).unwrap(),
            )
        });
    });
    criterion.bench_function("notify_line", |bencher| {
        bencher.iter(|| black_box(live.notify().line(JobId(1), job.claim_hash(), true)));
    });
}

criterion_group!(all, benches);
criterion_main!(all);
