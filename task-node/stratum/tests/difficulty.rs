//! Difficulty: what is announced, what a share is worth, and how it changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::HashSet;

use pow::ShareDifficulty;
use proptest::prelude::*;
use serde_json::json;
use stratum::SessionSettings;
use support::{EASY, Pool, difficulty, easy, user};

#[test]
fn new_difficulty_comes_with_a_new_job_esp_miner_1587() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let from = miner.heard.len();
    miner.asks(
        &pool,
        "mining.suggest_difficulty",
        json!([easy(3).announced()]),
    );
    assert_eq!(
        miner.order(from),
        ["reply", "mining.set_difficulty", "mining.notify"]
    );
    assert_ne!(miner.jobs[0].id, miner.jobs[1].id);
    assert_ne!(miner.jobs[0].search_space(), miner.jobs[1].search_space());
    assert!(!miner.jobs[1].clean, "no work is thrown away");
}

#[test]
fn share_at_old_difficulty_counts_at_old_difficulty_ckpool() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let old = miner.job().clone();
    miner.asks(
        &pool,
        "mining.suggest_difficulty",
        json!([easy(4).announced()]),
    );
    let share = old.search(&miner.extranonce1, 1, None, |hash| {
        difficulty(old.difficulty).target().is_met_by_le(hash)
            && !easy(4).target().is_met_by_le(hash)
    });
    miner.submits(&pool, &user(1, "rig"), &share);
    assert_eq!(miner.recording[0].1.work(), easy(0).work());
    // And never more than its own job says, however lucky the hash.
    let lucky = old.search(&miner.extranonce1, 2, None, |hash| {
        easy(8).target().is_met_by_le(hash)
    });
    miner.submits(&pool, &user(1, "rig"), &lucky);
    assert_eq!(miner.recording[1].1.work(), easy(0).work());
    let new = miner.finds();
    miner.submits(&pool, &user(1, "rig"), &new);
    assert_eq!(miner.recording[2].1.work(), easy(4).work());
}

#[test]
fn announced_difficulty_is_the_enforced_one_para() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    // 1.9 is no step: the miner hears which one it got, and that one is enforced.
    let wanted = 1.9 * easy(3).announced();
    miner.asks(&pool, "mining.suggest_difficulty", json!([wanted]));
    let heard = miner.job().difficulty;
    assert_eq!(difficulty(heard).announced().to_bits(), heard.to_bits());
    let job = miner.job().clone();
    let step = difficulty(heard);
    let just = job.search(&miner.extranonce1, 1, None, |hash| {
        step.target().is_met_by_le(hash) && !step.harder().target().is_met_by_le(hash)
    });
    assert!(miner.gets(&pool, &just).is_true());
}

#[test]
fn low_suggest_difficulty_is_honoured_public_pool_152() {
    let mut pool = Pool::new();
    pool.start = difficulty(1_024.0);
    let mut miner = pool.connection();
    miner.asks(&pool, "mining.subscribe", json!([]));
    assert!(
        miner
            .asks(&pool, "mining.suggest_difficulty", json!([0.001]))
            .is_true()
    );
    miner.asks(&pool, "mining.authorize", json!([user(1, "rig"), "x"]));
    assert_eq!(
        miner.job().difficulty.to_bits(),
        difficulty(0.001).announced().to_bits()
    );
    // As a text, as a target, and below anything there is.
    miner.asks(&pool, "mining.suggest_difficulty", json!(["0.25"]));
    assert_eq!(miner.difficulty, Some(0.25));
    let target = hex::encode(easy(2).target().to_be_bytes());
    miner.asks(&pool, "mining.suggest_target", json!([target]));
    assert_eq!(miner.difficulty, Some(easy(2).announced()));
    miner.asks(&pool, "mining.suggest_difficulty", json!([1e-300]));
    assert_eq!(miner.difficulty, Some(ShareDifficulty::MIN.announced()));
}

#[test]
fn nonsense_suggestions_are_refused() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    for params in [
        json!([]),
        json!([0]),
        json!([-1]),
        json!(["nan"]),
        json!([[]]),
    ] {
        let reply = miner.asks(&pool, "mining.suggest_difficulty", params);
        assert_eq!(reply.code(), Some(20));
    }
    for params in [
        json!([]),
        json!(["00".repeat(32)]),
        json!(["ff"]),
        json!([7]),
    ] {
        let reply = miner.asks(&pool, "mining.suggest_target", params);
        assert_eq!(reply.code(), Some(20));
    }
    assert_eq!(miner.jobs.len(), 1);
}

#[test]
fn password_sets_the_start() {
    let pool = Pool::new();
    for password in ["d=0.5", "x,diff=0.5"] {
        let mut miner = pool.connection();
        miner.asks(&pool, "mining.subscribe", json!([]));
        miner.asks(&pool, "mining.authorize", json!([user(1, "rig"), password]));
        assert_eq!(miner.difficulty, Some(0.5));
    }
}

#[test]
fn minimum_difficulty_of_client_and_server_hold() {
    let settings = SessionSettings {
        min_difficulty: easy(2),
        ..SessionSettings::default()
    };
    let mut pool = Pool::with(settings);
    let mut miner = pool.miner();
    assert_eq!(
        miner.difficulty,
        Some(easy(2).announced()),
        "the server's floor"
    );
    let options = json!({"minimum-difficulty.value": easy(5).announced()});
    miner.asks(
        &pool,
        "mining.configure",
        json!([["minimum-difficulty"], options]),
    );
    assert_eq!(miner.difficulty, Some(easy(5).announced()));
    miner.asks(&pool, "mining.suggest_difficulty", json!([1e-12]));
    assert_eq!(miner.difficulty, Some(easy(5).announced()));
    for _ in 0..20 {
        pool.seconds_pass(40);
        miner.tick(&pool);
    }
    assert_eq!(
        miner.difficulty,
        Some(easy(5).announced()),
        "silence goes no lower"
    );
}

#[test]
fn a_minimum_harder_than_the_block_is_declined_up_to_the_floor() {
    let settings = SessionSettings {
        min_difficulty: easy(2),
        ..SessionSettings::default()
    };
    let mut pool = Pool::with(settings);
    pool.renew(|recipe| recipe.nbits = EASY);
    let mut miner = pool.miner();
    for (wanted, granted) in [(easy(2), true), (easy(3), false)] {
        let options = json!({"minimum-difficulty.value": wanted.announced()});
        let reply = miner.asks(
            &pool,
            "mining.configure",
            json!([["minimum-difficulty"], options]),
        );
        assert_eq!(
            reply.result()["minimum-difficulty"] == json!(true),
            granted,
            "{wanted}"
        );
        assert_eq!(miner.difficulty, Some(easy(2).announced()));
    }
}

#[test]
fn no_share_is_harder_than_the_block() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    miner.asks(&pool, "mining.suggest_difficulty", json!([1e15]));
    assert_eq!(miner.difficulty, Some(1.0), "the template's difficulty");
    // A network difficulty that is no step: the step below it.
    let mut odd = Pool::new();
    odd.renew(|recipe| recipe.nbits = 0x1c2a_c4af);
    let mut miner = odd.miner();
    miner.asks(&odd, "mining.suggest_difficulty", json!([1e15]));
    assert_eq!(miner.difficulty, Some(5.0), "of 5.985");
    // Regtest's blocks are easier than any share: there the floor counts.
    let mut pool = Pool::new();
    pool.renew(|recipe| recipe.nbits = EASY);
    let mut miner = pool.miner();
    miner.asks(&pool, "mining.suggest_difficulty", json!([1e15]));
    assert_eq!(miner.difficulty, Some(ShareDifficulty::MIN.announced()));
}

#[test]
fn vardiff_rises_with_a_burst_of_shares() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let job = miner.job().clone();
    for _ in 0..8 {
        let share = miner.finds_on(&job);
        assert!(miner.gets(&pool, &share).is_true());
    }
    assert_eq!(miner.jobs.len(), 2);
    assert_eq!(miner.difficulty, Some(easy(4).announced()), "sixteen times");
}

#[test]
fn vardiff_falls_in_silence_sri_2154() {
    let mut pool = Pool::new();
    pool.start = difficulty(1.0);
    let mut miner = pool.miner();
    let mut fallen = 0;
    while miner.difficulty > Some(ShareDifficulty::MIN.announced()) {
        pool.seconds_pass(2);
        if pool.now.wall.0.is_multiple_of(30) {
            pool.renew(|recipe| recipe.cur_time += 30);
            miner.hears_of_work(&pool);
        }
        let before = miner.difficulty;
        miner.asks(&pool, "mining.ping", json!([]));
        miner.tick(&pool);
        fallen += usize::from(miner.difficulty < before);
        assert_eq!(miner.disconnected, None, "in time for the first share");
    }
    assert!(fallen >= 8, "{fallen}");
    let share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
}

#[test]
fn silence_without_work_is_not_held_against_a_miner() {
    let mut pool = Pool::new();
    pool.start = difficulty(1.0);
    let mut miner = pool.miner();
    pool.seconds_pass(20);
    miner.tick(&pool);
    // The node is gone for eleven minutes: no new job, and the old one expires.
    pool.seconds_pass(660);
    pool.renew(|recipe| recipe.prev = 2);
    miner.hears_of_work(&pool);
    miner.tick(&pool);
    assert_eq!(miner.difficulty, Some(1.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// A difficulty that goes up and down on one template would bring the same coinbase again, and a miner that starts over
    /// on it would find the same shares.
    #[test]
    fn no_search_space_is_given_out_twice(steps in proptest::collection::vec(0_u32..4, 1..20)) {
        let pool = Pool::new();
        let mut miner = pool.miner();
        for step in steps {
            miner.asks(&pool, "mining.suggest_difficulty", json!([easy(step).announced()]));
        }
        let spaces: HashSet<_> = miner.jobs.iter().map(support::HeardJob::search_space).collect();
        prop_assert_eq!(spaces.len(), miner.jobs.len());
        let ids: HashSet<_> = miner.jobs.iter().map(|job| &job.id).collect();
        prop_assert_eq!(ids.len(), miner.jobs.len());
    }
}
