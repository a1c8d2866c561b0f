//! The conversation: first messages, their order, every method, and clients that do odd things.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use proptest::prelude::*;
use serde_json::{Value, json};
use stratum::{DisconnectReason, SessionSettings, feed};
use support::{Pool, Recipe, address, user};

#[test]
fn first_notify_after_set_difficulty_esp_miner_492() {
    let pool = Pool::new();
    let miner = pool.miner();
    assert_eq!(
        miner.order(0),
        ["reply", "reply", "mining.set_difficulty", "mining.notify"]
    );
    assert!(miner.job().clean, "the first job is clean");
    assert_eq!(miner.job().prev, [1; 32]);
    assert_eq!(miner.extranonce1, "00300000", "boot 3, session 0");
    assert_eq!(miner.heard[0]["result"][2], 8);
}

#[test]
fn authorize_before_subscribe_works() {
    let pool = Pool::new();
    let mut miner = pool.connection();
    let reply = miner.asks(&pool, "mining.authorize", json!([user(1, "rig"), "x"]));
    assert!(reply.is_true());
    assert!(miner.jobs.is_empty(), "no job without an extranonce1");
    miner.asks(&pool, "mining.subscribe", json!([]));
    assert_eq!(
        miner.order(0),
        ["reply", "reply", "mining.set_difficulty", "mining.notify"]
    );
    let share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
}

#[test]
fn subscribing_twice_changes_nothing() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let (extranonce1, jobs) = (miner.extranonce1.clone(), miner.jobs.len());
    miner.asks(&pool, "mining.subscribe", json!(["again", "00"]));
    assert_eq!(miner.extranonce1, extranonce1);
    assert_eq!(miner.jobs.len(), jobs);
    let share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
    assert_eq!(pool.miner().extranonce1, "00300001", "no number was spent");
}

#[test]
fn reply_always_has_error_field_esp_miner_917() {
    let pool = Pool::new();
    let mut miner = pool.connection();
    // `Miner::hear` asserts all three members of every reply.
    for method in [
        "mining.subscribe",
        "mining.authorize",
        "mining.configure",
        "mining.submit",
        "mining.suggest_difficulty",
        "mining.suggest_target",
        "mining.extranonce.subscribe",
        "mining.get_transactions",
        "mining.ping",
        "mining.no_such_thing",
    ] {
        miner.asks(&pool, method, json!([]));
        miner.asks(&pool, method, json!([Value::Null, 7]));
    }
}

#[test]
fn a_bad_user_name_is_told_what_one_looks_like() {
    let pool = Pool::new();
    let mut miner = pool.connection();
    miner.asks(&pool, "mining.subscribe", json!([]));
    for name in [json!("bc1qxyz.rig"), json!(""), json!(7), json!(null)] {
        let reply = miner.asks(&pool, "mining.authorize", json!([name, "x"]));
        assert_eq!(reply.code(), Some(24));
        assert!(reply.text().contains("<K2 address>.<worker>"));
    }
    assert!(miner.jobs.is_empty());
    let reply = miner.asks(&pool, "mining.authorize", json!([address(1).to_string()]));
    assert!(reply.is_true(), "the worker and the password are optional");
    assert_eq!(miner.jobs.len(), 1);
}

#[test]
fn one_session_one_miner_but_many_workers() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let other = miner.asks(&pool, "mining.authorize", json!([user(2, "rig"), "x"]));
    assert_eq!(other.code(), Some(24));
    let second = miner.asks(&pool, "mining.authorize", json!([user(1, "b"), "x"]));
    assert!(second.is_true());
    assert_eq!(miner.jobs.len(), 1, "no new job for a new name");
    for number in 0..100 {
        miner.asks(
            &pool,
            "mining.authorize",
            json!([user(1, &format!("w{number}")), "x"]),
        );
    }
    let stats = pool.context.stats().snapshot(pool.now.monotonic);
    assert_eq!(stats.workers.len(), 64, "bounded");
    // Beyond the bound a share still counts.
    let share = miner.finds();
    miner.submits(&pool, &user(1, "w99"), &share);
    assert_eq!(miner.recording.len(), 1);
}

#[test]
fn waiting_clients_start_with_the_first_round() {
    let mut pool = Pool::waiting_with(SessionSettings::default());
    let mut miner = pool.miner();
    assert!(miner.jobs.is_empty());
    assert_eq!(miner.order(2), ["client.show_message"]);
    pool.seconds_pass(3_600);
    miner.tick(&pool);
    assert_eq!(miner.disconnected, None, "waiting is not idling");
    pool.renew(|_| {});
    miner.hears_of_work(&pool);
    assert_eq!(miner.order(3), ["mining.set_difficulty", "mining.notify"]);
    assert!(miner.job().clean);
}

#[test]
fn clean_jobs_by_previous_block_not_by_height() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    pool.renew(|recipe| recipe.cur_time += 30);
    miner.hears_of_work(&pool);
    assert!(!miner.job().clean, "a refreshed template");
    pool.renew(|recipe| recipe.prev = 2);
    miner.hears_of_work(&pool);
    assert!(miner.job().clean, "a re-organisation at one height (para)");
    let jobs = miner.jobs.len();
    miner.hears_of_work(&pool);
    assert_eq!(miner.jobs.len(), jobs, "the same work is not sent twice");
}

#[test]
fn a_session_is_resumed_with_its_extranonce1() {
    let pool = Pool::new();
    let first = pool.miner();
    let (id, extranonce1) = (first.session_id.clone(), first.extranonce1.clone());
    let mut early = pool.connection();
    early.asks(&pool, "mining.subscribe", json!(["test", id]));
    assert_ne!(early.extranonce1, extranonce1, "the old session is alive");
    drop(first);
    let mut stranger = pool.connection();
    stranger.asks(&pool, "mining.subscribe", json!(["test", "00".repeat(16)]));
    assert_ne!(stranger.extranonce1, extranonce1);
    let mut back = pool.connection();
    back.asks(&pool, "mining.subscribe", json!(["test", id]));
    assert_eq!((back.extranonce1, back.session_id), (extranonce1, id));
}

#[test]
fn a_resumed_session_does_not_search_the_same_space_again() {
    let pool = Pool::new();
    let first = pool.miner();
    let (id, space) = (first.session_id.clone(), first.job().search_space());
    drop(first);
    let mut back = pool.connection();
    back.asks(&pool, "mining.subscribe", json!(["test", id]));
    back.asks(&pool, "mining.authorize", json!([user(1, "rig"), "x"]));
    assert_ne!(back.job().search_space(), space);
    let share = back.finds();
    assert!(back.gets(&pool, &share).is_true());
}

#[test]
fn configure_negotiates_and_extranonce_subscribe_is_granted() {
    let pool = Pool::new();
    let mut miner = pool.connection();
    let reply = miner.asks(
        &pool,
        "mining.configure",
        json!([
            ["version-rolling", "minimum-difficulty", "subscribe-extranonce"],
            {"version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 2,
             "minimum-difficulty.value": 0.5}
        ]),
    );
    assert_eq!(
        reply.result(),
        &json!({"version-rolling": true, "version-rolling.mask": "1fffe000",
                "minimum-difficulty": true, "subscribe-extranonce": true})
    );
    assert!(
        miner
            .asks(&pool, "mining.extranonce.subscribe", json!([]))
            .is_true()
    );
    assert_eq!(
        miner.asks(&pool, "mining.configure", json!([7])).code(),
        Some(20)
    );
}

fn payment(number: u8) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array([number; 32]), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1_000),
            script_pubkey: ScriptBuf::new(),
        }],
    }
}

#[test]
fn transactions_of_a_job_are_listed() {
    let mut pool = Pool::new();
    let transactions: Vec<Transaction> = (1..=3).map(payment).collect();
    pool.renew(|recipe| {
        recipe.transactions = transactions
            .iter()
            .map(bitcoin::consensus::serialize)
            .collect();
    });
    let mut miner = pool.miner();
    let id = miner.job().id.clone();
    let reply = miner.asks(&pool, "mining.get_transactions", json!([id]));
    let expected: Vec<String> = transactions
        .iter()
        .map(|transaction| transaction.compute_txid().to_string())
        .collect();
    assert_eq!(reply.result(), &json!(expected));
    let reply = miner.asks(&pool, "mining.get_transactions", json!(["ffffffff"]));
    assert_eq!(reply.code(), Some(21));
    let share = miner.finds();
    assert!(
        miner.gets(&pool, &share).is_true(),
        "a merkle branch with siblings"
    );
}

#[test]
fn unknown_methods_are_refused_and_forgiven() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    for _ in 0..100 {
        let reply = miner.asks(&pool, "mining.frobnicate", json!([]));
        assert_eq!(reply.code(), Some(-3));
    }
    assert_eq!(miner.asks(&pool, "mining.ping", json!([])).result(), "pong");
    let from = miner.heard.len();
    for reply in [
        r#"{"id":5,"result":"cgminer/4.12.1","error":null}"#,
        r#"{"id":null,"result":"pong","error":null}"#,
    ] {
        miner.says(&pool, reply);
    }
    assert_eq!(miner.heard.len(), from, "answers are not answered");
    assert_eq!(miner.disconnected, None);
}

#[test]
fn garbage_is_answered_then_sent_away() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let from = miner.heard.len();
    miner.says(
        &pool,
        "[{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}]",
    );
    assert!(
        miner.heard[from]["error"][1]
            .as_str()
            .unwrap()
            .contains("batch")
    );
    for _ in 0..20 {
        if miner.disconnected.is_none() {
            miner.says(&pool, "\u{0}\u{1}garbage");
        }
    }
    assert_eq!(miner.disconnected, Some(DisconnectReason::Garbage));
    assert_eq!(miner.heard.len(), from + 10);
    miner.says(&pool, "{\"id\":1,\"method\":\"mining.ping\"}");
    miner.tick(&pool);
    miner.hears_of_work(&pool);
    assert_eq!(miner.heard.len(), from + 10, "the session is over");
}

#[test]
fn timeouts() {
    let mut pool = Pool::new();
    let mut silent = pool.connection();
    let mut lazy = pool.miner();
    let mut idle = pool.miner_named(&user(1, "idle"));
    let mut busy = pool.miner_named(&user(1, "busy"));
    pool.seconds_pass(60);
    silent.tick(&pool);
    assert_eq!(silent.disconnected, None);
    pool.seconds_pass(1);
    silent.tick(&pool);
    assert_eq!(silent.disconnected, Some(DisconnectReason::NotAuthorized));
    // `lazy` talks but never finds a share; `idle` found one and then fell silent.
    let share = idle.finds();
    idle.submits(&pool, &user(1, "idle"), &share);
    idle.store_says(&pool, Ok(stratum::Recorded::Stored));
    for _ in 0..9 {
        pool.seconds_pass(100);
        lazy.asks(&pool, "mining.ping", json!([]));
        lazy.tick(&pool);
        idle.tick(&pool);
        pool.renew(|recipe| recipe.cur_time += 100);
        busy.hears_of_work(&pool);
        let share = busy.finds();
        busy.submits(&pool, &user(1, "busy"), &share);
        busy.store_says(&pool, Ok(stratum::Recorded::Stored));
        busy.tick(&pool);
    }
    assert_eq!(lazy.disconnected, Some(DisconnectReason::NoShares));
    assert_eq!(idle.disconnected, None);
    pool.seconds_pass(1);
    idle.tick(&pool);
    assert_eq!(idle.disconnected, Some(DisconnectReason::Idle));
    assert_eq!(busy.disconnected, None);
}

#[test]
fn a_restart_is_announced() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let lines = miner.session.on_shutdown();
    assert_eq!(lines.len(), 2);
    let stratum::Action::Send(line) = &lines[1] else {
        panic!("{lines:?}");
    };
    let line: Value = serde_json::from_slice(line).unwrap();
    assert_eq!(line["method"], "client.reconnect");
}

#[test]
fn memory_of_one_session_is_bounded() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    let first = miner.job().clone();
    let weak = std::sync::Arc::downgrade(pool.work.as_ref().unwrap());
    for number in 0..40 {
        pool.renew(|recipe| recipe.cur_time += 1 + number);
        miner.hears_of_work(&pool);
    }
    assert!(weak.upgrade().is_none(), "old templates are let go");
    let share = miner.finds_on(&first);
    assert_eq!(miner.gets(&pool, &share).code(), Some(21));
    // By age, too: a tip that is over is kept for a minute.
    let weak = std::sync::Arc::downgrade(pool.work.as_ref().unwrap());
    pool.renew(|recipe: &mut Recipe| recipe.prev = 2);
    miner.hears_of_work(&pool);
    assert!(weak.upgrade().is_some());
    pool.seconds_pass(61);
    miner.tick(&pool);
    assert!(weak.upgrade().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let pool = Pool::new();
        let mut miner = pool.miner();
        feed(&mut miner.session, &bytes, pool.now);
    }

    #[test]
    fn any_parameters_do_no_harm(
        calls in proptest::collection::vec((0_usize..9, "[\\[\\]{}\",:0-9a-f.x-]{0,80}"), 0..30),
    ) {
        const METHODS: [&str; 9] = [
            "mining.submit", "mining.subscribe", "mining.authorize", "mining.configure",
            "mining.suggest_difficulty", "mining.suggest_target", "mining.get_transactions",
            "mining.ping", "mining.extranonce.subscribe",
        ];
        let pool = Pool::new();
        let mut miner = pool.miner();
        for (method, params) in calls {
            let line = format!("{{\"id\":1,\"method\":\"{}\",\"params\":[{params}]}}", METHODS[method]);
            feed(&mut miner.session, line.as_bytes(), pool.now);
        }
    }
}
