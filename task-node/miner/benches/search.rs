//! Hashes a second of one thread.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use miner::{Kernel, PortableKernel, PreparedHeader};
use pow::{Algorithm, Sha256d, Target};

const NONCES: u32 = 10_000;

fn benches(criterion: &mut Criterion) {
    let header = PreparedHeader::new(&[7; 80]);
    let mut group = criterion.benchmark_group("search");
    group.throughput(Throughput::Elements(u64::from(NONCES)));
    group.bench_function(PortableKernel.name(), |bencher| {
        bencher.iter(|| {
            PortableKernel.search(
                black_box(&header),
                black_box(&Target::from_be_bytes([0; 32])),
                0..=NONCES - 1,
            )
        });
    });
    // What a loop without midstate would do.
    group.bench_function("whole_header", |bencher| {
        bencher.iter(|| {
            let mut header = [7; 80];
            for nonce in 0..NONCES {
                header[76..].copy_from_slice(&nonce.to_le_bytes());
                black_box(Sha256d::hash(black_box(&header)));
            }
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
