//! Durable inserts: how many shares a second reach the disk with 1, 16 and 256 miners waiting for their answer.
//!
//! Run with `cargo bench -p orcapool-store`. What one submitter reaches is the disk's flushes per second; group commit
//! shows in the rest.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use store::conformance::fixture;
use store::{NewShare, OpenOutcome, Recorded, ShareStore, SqliteStore};
use tokio::runtime::Runtime;
use work::Job;

fn inserts(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("bench"), fixture::identity()).unwrap();
    let store: Arc<dyn ShareStore> = Arc::new(store);
    let round = fixture::round(1);
    let opened = runtime.block_on(store.open_round(round, fixture::mark(0)));
    assert_eq!(opened.unwrap(), OpenOutcome::Opened);
    let claim = fixture::claim(round, fixture::miner(1));
    let job = Arc::new(Job::new(fixture::job_template(1), claim).unwrap());
    let extranonce = AtomicU32::new(0);

    let mut group = criterion.benchmark_group("durable_inserts");
    for submitters in [1_u64, 16, 256] {
        group.throughput(Throughput::Elements(submitters));
        group.bench_function(BenchmarkId::from_parameter(submitters), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    // Mining is not what is measured.
                    let shares: Vec<_> = (0..submitters)
                        .map(|_| NewShare {
                            share: fixture::mine(&job, extranonce.fetch_add(1, Ordering::Relaxed)),
                            worker: "rig".to_owned(),
                            at: fixture::START,
                        })
                        .collect();
                    let start = Instant::now();
                    runtime.block_on(submit(&store, shares));
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// One share per submitter, all at once.
async fn submit(store: &Arc<dyn ShareStore>, shares: Vec<NewShare>) {
    let mut tasks = tokio::task::JoinSet::new();
    for share in shares {
        let store = Arc::clone(store);
        tasks.spawn(async move { store.record_share(share).await.unwrap() });
    }
    while let Some(answer) = tasks.join_next().await {
        assert_eq!(answer.unwrap(), Recorded::Stored);
    }
}

criterion_group!(benches, inserts);
criterion_main!(benches);
