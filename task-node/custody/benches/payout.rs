//! How long a payout takes: planned, reviewed, signed, and held against everything that was ever paid.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    missing_docs,
    unreachable_pub
)]

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/review/world.rs"]
mod world;

use std::convert::Infallible;
use std::hint::black_box;

use bitcoin::{Network, NetworkKind};
use criterion::{Criterion, criterion_group, criterion_main};
use orcapool_custody::Setup;
use orcapool_custody::keys::{CustodianKey, Purpose};
use orcapool_custody::payment::{History, plan, review, sign};

use world::World;

const COINS: u64 = 500;
const REDEMPTIONS: u64 = 100;
/// Of one redemption, in sats, and the most of it that may go to fees.
const AMOUNT: (u64, u64) = (25_000_000, 20_000);
/// Payments in a row: a year of some six a day.
const HISTORY: u64 = 2_000;

fn key(number: u8) -> CustodianKey {
    let mut entropy = [number; 32];
    entropy[0] = 0;
    CustodianKey::generate(NetworkKind::Test, &entropy).unwrap()
}

fn setup(keys: &[CustodianKey]) -> Setup {
    let cosigners = keys.iter().map(|key| key.cosigner(Purpose::Multisig));
    let cosigners: Vec<_> = cosigners.cloned().collect();
    Setup::multisig(Network::Regtest, 2, &cosigners).unwrap()
}

/// Coins of 0.5 to 1 BTC, no two of one value, so that a batch takes some thirty of them.
fn world(setup: Setup) -> World {
    let mut world = World::new(setup);
    for coin in 0..COINS {
        world.coinbase(50_000_000 + coin * 100_003, 10);
    }
    for id in 1..=REDEMPTIONS {
        world.redemption(id, AMOUNT.0 + id, AMOUNT.1);
    }
    world
}

/// One payment after the other, each out of the change of the one before, and one that waits for its block.
fn long_history(setup: Setup) -> World {
    let mut world = World::new(setup);
    world.coinbase(HISTORY * 40_000 + 1_000_000, 10);
    for id in 1..=HISTORY {
        world.redemption(id, 30_000, 10_000);
        let tip = world.bitcoin.tip;
        world.edit(id).expires = tip + 144;
        let payment = world.payment();
        world.sign(&payment);
        world.k2.redemptions.clear();
        if id < HISTORY {
            world.confirm(&payment, 0);
        }
    }
    world
}

fn benches(criterion: &mut Criterion) {
    let keys = [1, 2, 3].map(key);
    let batch = world(setup(&keys));
    let payment = batch.payment();
    let transaction = &payment.psbt().unsigned_tx;
    let (inputs, outputs) = (transaction.input.len(), transaction.output.len());
    assert_eq!(payment.payment().unwrap().ids.len() as u64, REDEMPTIONS);
    let name =
        format!("{REDEMPTIONS} redemptions, {COINS} coins: {inputs} inputs, {outputs} outputs");
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group.bench_function("plan", |bench| {
        bench.iter(|| plan(black_box(&batch.input())).unwrap());
    });
    group.bench_function("review", |bench| {
        bench.iter(|| review(black_box(payment.psbt()), &batch.known()).unwrap());
    });
    let intended = payment.clone().intend(|_, _| Ok::<(), Infallible>(()));
    let intended = intended.unwrap();
    group.bench_function("sign with one key", |bench| {
        bench.iter(|| sign(black_box(&intended), &keys[0]).unwrap());
    });
    group.finish();

    let past = long_history(setup(&keys));
    let mut group = criterion.benchmark_group(format!("{HISTORY} payments"));
    group.sample_size(20);
    group.bench_function("which can still confirm (`Payment::is_dead`)", |bench| {
        bench.iter(|| {
            let payments = black_box(&past.bitcoin.payments).iter().chain(&past.signed);
            payments
                .filter(|payment| payment.is_dead(&past.bitcoin))
                .count()
        });
    });
    group.bench_function("conflict rule for one redemption", |bench| {
        let history = History::new(&past.signed, &past.bitcoin);
        let last = past.signed.last().unwrap();
        let id = *last.ids.first().unwrap();
        bench.iter(|| {
            history
                .check_conflict(black_box(&past.bitcoin), last.txid, &last.inputs, id)
                .unwrap();
        });
    });
    group.finish();
}

criterion_group!(payout, benches);
criterion_main!(payout);
