//! No block is lost to a rule about shares, and none is worth more than one submission.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use stratum::DisconnectReason;
use support::{EASY, Miner, Pool, user};

/// Regtest: every share is a block.
fn pool() -> Pool {
    let mut pool = Pool::new();
    pool.renew(|recipe| recipe.nbits = EASY);
    pool
}

fn hash_of_last_block(miner: &Miner) -> [u8; 32] {
    *miner.blocks.last().expect("a block").hash.as_ref()
}

/// With no Bitcoin node in reach no new job comes, and nobody knows that the old one is outdated: its shares expire, but
/// the block it may become is found by nobody else.
#[test]
fn the_newest_job_can_become_a_block_however_old_it_is() {
    let mut pool = pool();
    let mut miner = pool.miner();
    for _ in 0..20 {
        pool.seconds_pass(60);
        miner.says(&pool, r#"{"id":1,"method":"mining.ping","params":[]}"#);
        miner.tick(&pool);
        assert_eq!(miner.disconnected, None);
        let share = miner.finds();
        miner.gets(&pool, &share);
        assert_eq!(hash_of_last_block(&miner), share.hash);
    }
    let share = miner.finds();
    assert_eq!(miner.gets(&pool, &share).code(), Some(21), "worth nothing");
}

/// A miner that works on what it was given last does nothing wrong, and may not be sent away or banned for it.
#[test]
fn an_outage_of_the_bitcoin_node_is_not_held_against_miners() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    pool.seconds_pass(601);
    for _ in 0..400 {
        pool.seconds_pass(1);
        let share = miner.finds();
        assert_eq!(miner.gets(&pool, &share).code(), Some(21));
    }
    assert_eq!(miner.disconnected, None);
    // On a job that was replaced it does.
    let old = miner.finds();
    pool.renew(|recipe| recipe.cur_time += 30);
    miner.hears_of_work(&pool);
    for _ in 0..200 {
        pool.seconds_pass(1);
        miner.gets(&pool, &old);
    }
    assert_eq!(miner.disconnected, Some(DisconnectReason::TooManyRejects));
}

#[test]
fn parameters_of_another_form_do_not_hide_a_block() {
    let pool = pool();
    let mut miner = pool.miner();
    let change: [fn(&mut Vec<Value>); 3] = [
        |params| params.extend([json!("00000000"), json!("surplus")]),
        |params| params[0] = Value::Null,
        |params| params.push(json!(0)),
    ];
    for (number, change) in (1..).zip(change) {
        let share = miner.finds();
        let Value::Array(mut params) = share.params(&user(1, "rig")) else {
            panic!("parameters are a list");
        };
        change(&mut params);
        let reply = miner.asks(&pool, "mining.submit", Value::Array(params));
        assert_eq!(reply.code(), Some(20));
        assert_eq!(miner.blocks.len(), number);
        assert_eq!(hash_of_last_block(&miner), share.hash);
    }
}

/// A block holds megabytes and goes to every Bitcoin node: whoever has found one must not be able to multiply it.
#[test]
fn a_block_that_is_sent_again_goes_out_once() {
    let pool = pool();
    let (mut miner, mut thief) = (pool.miner(), pool.miner());
    let share = miner.finds();
    for _ in 0..3 {
        miner.gets(&pool, &share);
        miner.submits(&pool, &user(2, "rig"), &share);
    }
    assert_eq!(miner.blocks.len(), 1);
    let other = thief.finds();
    thief.gets(&pool, &other);
    assert_eq!(thief.blocks.len(), 1, "another block is another matter");
}
