//! Bugs of other pools, each a test named after it. Those that belong to a subject stand with it in the other files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use support::{Miner, Pool, Recipe, address, difficulty, easy, user};

/// powerpool #128, NOMP #430: the duplicate check compared texts, so a share was paid once for each way of writing the
/// hex of its time and nonce.
#[test]
fn one_letter_in_the_other_case_powerpool_128_nomp_430() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    // A share with letters in it, or there would be only one way to write it.
    let share = loop {
        let share = miner.finds();
        if share
            .nonce
            .contains(|digit: char| digit.is_ascii_alphabetic())
        {
            break share;
        }
    };
    assert!(miner.gets(&pool, &share).is_true());
    for (at, digit) in share.nonce.char_indices() {
        let mut again = share.clone();
        let other = digit.to_ascii_uppercase().to_string();
        again.nonce.replace_range(at..=at, &other);
        assert_eq!(
            miner.gets(&pool, &again).code(),
            Some(22),
            "{}",
            again.nonce
        );
    }
    let row = &pool.context.stats().snapshot(pool.now.monotonic).workers[0];
    assert_eq!((row.accepted, row.work), (1, easy(0).work()));
}

/// miningcore #1549, #1577: NiceHash hung up on a reply to `mining.configure` that had no `error` member, and S9s with it.
#[test]
fn configure_as_nicehash_asks_for_it_miningcore_1549() {
    let pool = Pool::new();
    let mut miner = pool.connection();
    let asked = json!([["version-rolling"], {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2}]);
    let reply = miner.asks(&pool, "mining.configure", asked);
    let members = reply.0.as_object().unwrap();
    assert_eq!(members.get("error"), Some(&json!(null)));
    assert_eq!(reply.result()["version-rolling"], json!(true));
    assert_eq!(reply.result()["version-rolling.mask"], json!("1fffe000"));
    miner.asks(&pool, "mining.subscribe", json!(["NiceHash/1.0.0", null]));
    let reply = miner.asks(&pool, "mining.authorize", json!([user(1, "rig"), "x"]));
    assert!(reply.is_true());
    let job = miner.job().clone();
    let rolled = job.search(&miner.extranonce1, 1, Some(0x0fff_e000), |hash| {
        difficulty(job.difficulty).target().is_met_by_le(hash)
    });
    assert!(miner.gets(&pool, &rolled).is_true());
}

/// p2poolv2 v0.11.2 (over 90 % rejects at a low hash rate), ESP-Miner #203 (10 % on public-pool): a miner that takes
/// minutes for a share sends it on a job several templates old.
#[test]
fn a_slow_miner_is_not_rejected_p2poolv2_v0_11_2_esp_miner_203() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    for _ in 0..12 {
        let job = miner.job().clone();
        // Five minutes for one share; a template every half a minute, vardiff with each.
        for _ in 0..10 {
            pool.seconds_pass(30);
            pool.renew(|recipe| recipe.cur_time += 30);
            miner.hears_of_work(&pool);
            miner.tick(&pool);
        }
        let share = miner.finds_on(&job);
        assert!(miner.gets(&pool, &share).is_true());
    }
    assert_eq!(miner.disconnected, None);
}

/// ESP-Miner #212 (rejects after each difficulty change on ckpool): what was being hashed when the difficulty changed
/// counts at the difficulty it was hashed for, however often that happens.
#[test]
fn shares_under_way_outlive_difficulty_changes_esp_miner_212() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    for step in 1..5 {
        let wanted = easy(step).announced();
        miner.asks(&pool, "mining.suggest_difficulty", json!([wanted]));
    }
    let jobs = miner.jobs.clone();
    assert_eq!(jobs.len(), 5);
    for (step, job) in (0..).zip(&jobs) {
        let share = miner.finds_on(job);
        assert!(miner.submits(&pool, &user(1, "rig"), &share).is_none());
        let (_, credited, _) = miner.recording.last().unwrap();
        assert_eq!(credited.work(), easy(step).work());
        assert!(
            miner
                .store_says(&pool, Ok(stratum::Recorded::Stored))
                .is_true()
        );
    }
}

/// SRI #2254, p2poolv2 (jobs lived a quarter of an hour whatever the tip): a job of the old tip earns nothing more, also
/// where the new tip has the same height.
#[test]
fn jobs_end_with_their_tip_sri_2254_p2poolv2() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    let old = miner.job().clone();
    pool.renew(|recipe: &mut Recipe| recipe.prev = 2);
    miner.hears_of_work(&pool);
    assert!(miner.job().clean);
    let share = miner.finds_on(&old);
    assert_eq!(miner.gets(&pool, &share).code(), Some(21));
    let share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
}

/// SRI #2262, #2289: jobs piled up in a channel for as long as it was open.
#[test]
fn jobs_do_not_pile_up_sri_2262_2289() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    let templates: Vec<_> = (0..200)
        .map(|_| {
            pool.renew(|recipe| recipe.cur_time += 1);
            miner.hears_of_work(&pool);
            std::sync::Arc::downgrade(pool.work.as_ref().unwrap())
        })
        .collect();
    let alive = templates.iter().filter(|work| work.strong_count() > 0);
    assert!(
        alive.count() <= 40,
        "200 templates within one job's lifetime"
    );
}

/// ckpool pads a short extranonce2 and cuts a long one: two texts for one share.
#[test]
fn extranonce2_is_neither_padded_nor_cut_ckpool() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let job = miner.job().clone();
    // What padding at either end would make of the short ones is a good share.
    let share = job.search(&miner.extranonce1, 0, None, |hash| {
        easy(0).target().is_met_by_le(hash)
    });
    for wrong in ["00", "00000000000000", "000000000000000000"] {
        let mut bad = share.clone();
        bad.extranonce2 = wrong.to_owned();
        assert_eq!(miner.gets(&pool, &bad).code(), Some(20), "{wrong}");
    }
    assert!(miner.gets(&pool, &share).is_true());
}

/// public-pool asked whether a hash is a block only after it was found to be a share, and in floating point.
#[test]
fn the_block_question_comes_before_the_share_question_public_pool() {
    let mut pool = Pool::new();
    // The network is a little harder than the session, and the job is of a tip that is over.
    pool.renew(|recipe| recipe.nbits = 0x2000_ffff);
    let mut miner = pool.miner();
    let block = block_of(&miner);
    pool.renew(|recipe| recipe.prev = 2);
    miner.hears_of_work(&pool);
    assert_eq!(miner.gets(&pool, &block).code(), Some(21));
    assert_eq!(miner.blocks.len(), 1);
}

fn block_of(miner: &Miner) -> support::Share {
    let target = pow::NBits::from_consensus(0x2000_ffff).unwrap().target();
    let job = miner.job().clone();
    job.search(&miner.extranonce1, 1, None, |hash| {
        target.is_met_by_le(hash)
    })
}

/// public-pool #109, #132 (zettahashes on the dashboard), DATUM #131 (best share and hash rate disagree), p2pool #403: a
/// lucky hash is no hash rate.
#[test]
fn luck_is_no_hash_rate_public_pool_109_132_datum_131() {
    let pool = Pool::new();
    let mut lucky = pool.miner_named(&user(1, "lucky"));
    let mut plain = pool.miner_named(&user(2, "plain"));
    let job = lucky.job().clone();
    let share = job.search(&lucky.extranonce1, 1, None, |hash| {
        easy(14).target().is_met_by_le(hash)
    });
    let name = user(1, "lucky");
    lucky.submits(&pool, &name, &share);
    assert!(
        lucky
            .store_says(&pool, Ok(stratum::Recorded::Stored))
            .is_true()
    );
    let share = plain.finds();
    let name = user(2, "plain");
    plain.submits(&pool, &name, &share);
    assert!(
        plain
            .store_says(&pool, Ok(stratum::Recorded::Stored))
            .is_true()
    );
    let rows = pool.context.stats().snapshot(pool.now.monotonic).workers;
    let rate = |n: u8| {
        let row = rows.iter().find(|row| row.miner == address(n)).unwrap();
        (row.work, row.hash_rate.to_bits())
    };
    assert_eq!(rate(1), rate(2));
}

/// para (CHANGELOG: user name mismatch): the name in a submit is not who is paid.
#[test]
fn another_user_s_name_in_a_submit_is_refused_para() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    let reply = miner.submits(&pool, &user(9, "rig"), &share).unwrap();
    assert_eq!(reply.code(), Some(24));
    assert!(miner.recording.is_empty(), "nobody is credited");
}

/// sv2-apps #382 (bitaxes do not get connected), para #608 (a stall at the start): what a bitaxe asks first, in its order
/// and without waiting for answers, with something no pool knows in between.
#[test]
fn a_bitaxe_that_asks_everything_at_once_gets_its_job_sv2_apps_382_para_608() {
    let pool = Pool::new();
    let mut miner = pool.connection();
    let from = miner.heard.len();
    for request in [
        json!({"id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}),
        json!({"id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.7.0"]}),
        json!({"id": 3, "method": "mining.suggest_difficulty", "params": [easy(2).announced()]}),
        json!({"id": 4, "method": "mining.extranonce.subscribe", "params": []}),
        json!({"id": 5, "method": "mining.nobody_knows", "params": []}),
        json!({"id": 6, "method": "mining.authorize", "params": [user(1, "bitaxe"), "x"]}),
    ] {
        miner.says(&pool, &request.to_string());
    }
    let replies = miner.heard[from..]
        .iter()
        .filter_map(|line| line["id"].as_u64());
    assert_eq!(replies.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        miner.job().difficulty.to_bits(),
        easy(2).announced().to_bits()
    );
    let share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
}
