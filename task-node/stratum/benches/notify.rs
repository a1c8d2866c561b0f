//! What a new block costs: a job and its notify line for each of 1,000 clients.
#![allow(missing_docs)] // criterion's macros make public items
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use stratum::Action;
use support::{Miner, Pool, user};

const CLIENTS: usize = 1_000;

fn new_block(criterion: &mut Criterion) {
    let mut pool = Pool::new();
    let mut miners: Vec<Miner> = (0..CLIENTS)
        .map(|number| pool.miner_named(&user(1, &format!("w{number}"))))
        .collect();
    let now = pool.now;
    let mut prev = 1_u8;
    criterion.bench_function("notify_1000_clients", |bencher| {
        bencher.iter_batched(
            || {
                prev = prev.wrapping_add(1);
                pool.renew(|recipe| recipe.prev = prev);
                pool.work.clone().unwrap()
            },
            |work| {
                for miner in &mut miners {
                    for action in miner.session.on_work(&work, now) {
                        if let Action::Send(line) = action {
                            black_box(line);
                        }
                    }
                }
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, new_block);
criterion_main!(benches);
