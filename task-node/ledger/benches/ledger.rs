//! How long a window of a million shares, its division and its tree take.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use bitcoin::Amount;
use criterion::{Criterion, criterion_group, criterion_main};
use k2_interface::K2Address;
use ledger::{Distribution, DistributionInput, Fee, Share, Window};
use pow::Work;
use work::RoundNumber;

const SHARES: u64 = 1_000_000;
const MINERS: u64 = 10_000;

/// A number spread over 32 bytes (splitmix64).
fn spread(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (step, chunk) in (1_u64..).zip(bytes.chunks_exact_mut(8)) {
        let mut word = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(word ^ (word >> 31)).to_be_bytes());
    }
    bytes
}

fn shares() -> Vec<Share> {
    (0..SHARES)
        .map(|number| Share {
            round: RoundNumber::ZERO,
            height: 900_000 + (number % 6) as u32,
            hash: spread(number),
            work: Work::from_hashes(1 << 44),
            // A bundle is sorted, so a miner's shares follow each other.
            miner: K2Address::from_bytes(spread(number * MINERS / SHARES)),
            node: K2Address::from_bytes(spread(number * 50 / SHARES)),
        })
        .collect()
}

fn fill(size: Work, shares: &[Share]) -> Window {
    let mut window = Window::new(size).unwrap();
    window
        .add_round(RoundNumber::ZERO, shares.iter().copied())
        .unwrap();
    window
}

fn benches(criterion: &mut Criterion) {
    let shares = shares();
    let all = Work::from_hashes(u128::from(SHARES) << 44);
    let half = Work::from_hashes(u128::from(SHARES) << 43);
    let mut group = criterion.benchmark_group("1,000,000 shares of 10,000 miners");
    group.sample_size(10);
    group.bench_function("window takes all", |bench| {
        bench.iter(|| fill(all, black_box(&shares)));
    });
    group.bench_function("window ends in the round", |bench| {
        bench.iter(|| fill(half, black_box(&shares)));
    });
    let window = fill(all, &shares);
    group.bench_function("distribution of the window", |bench| {
        bench.iter(|| {
            Distribution::compute(&DistributionInput {
                program: K2Address::from_bytes([1; 32]),
                round: RoundNumber::ZERO,
                window: black_box(&window),
                fee: Fee::from_ppm(10_000).unwrap(),
                bounty: 1_000_000_000,
                pot: Amount::from_sat(312_500_000),
                leaf_minimum: Amount::from_sat(1000),
                previous: None,
            })
            .unwrap()
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
