//! What a share goes through, and the bugs of other pools on that way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use pow::NBits;
use serde_json::{Value, json};
use stratum::{Recorded, SinkError};
use support::{EASY, Pool, difficulty, easy, user};

#[test]
fn a_share_is_true_only_once_it_is_stored() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    assert_eq!(miner.submits(&pool, &user(1, "rig"), &share), None);
    assert_eq!(miner.session.pending(), 1);
    assert!(miner.store_says(&pool, Ok(Recorded::Stored)).is_true());
    assert_eq!(miner.session.pending(), 0);
}

#[test]
fn a_share_the_store_failed_on_may_come_again() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    miner.submits(&pool, &user(1, "rig"), &share);
    let again = miner.submits(&pool, &user(1, "rig"), &share).unwrap();
    assert_eq!(again.code(), Some(22), "the first one is still under way");
    let failed = miner.store_says(&pool, Err(SinkError::new("disk full")));
    assert_eq!(failed.code(), Some(20));
    assert!(failed.text().contains("submit it again"));
    assert!(
        !failed.text().contains("disk"),
        "the miner hears no internals"
    );
    assert!(miner.gets(&pool, &share).is_true());
    assert_eq!(miner.gets(&pool, &share).code(), Some(22));
}

#[test]
fn a_failed_recording_that_reached_the_disk_is_acknowledged_once() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    miner.submits(&pool, &user(1, "rig"), &share);
    miner.store_says(&pool, Err(SinkError::new("no answer")));
    miner.submits(&pool, &user(1, "rig"), &share);
    assert!(miner.store_says(&pool, Ok(Recorded::Duplicate)).is_true());
    assert_eq!(miner.gets(&pool, &share).code(), Some(22));
}

#[test]
fn the_store_is_the_final_judge_of_duplicates() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    miner.submits(&pool, &user(1, "rig"), &share);
    let reply = miner.store_says(&pool, Ok(Recorded::Duplicate));
    assert_eq!(reply.code(), Some(22));
}

#[test]
fn hex_case_duplicate_miningcore_710() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let mut share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
    share.nonce = share.nonce.to_uppercase();
    share.extranonce2 = share.extranonce2.to_uppercase();
    share.ntime = share.ntime.to_uppercase();
    share.job = share.job.to_uppercase();
    assert_eq!(miner.gets(&pool, &share).code(), Some(22));
}

#[test]
fn over_long_extranonce2_p2poolv2() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    for wrong in [
        "",
        "00",
        "00000000000000000",
        "0000000000000001ff",
        "000000000000000",
    ] {
        let mut bad = share.clone();
        bad.extranonce2 = wrong.to_owned();
        let reply = miner.gets(&pool, &bad);
        assert_eq!(reply.code(), Some(20), "{wrong}");
        assert!(reply.text().contains("extranonce2"));
    }
    assert!(miner.gets(&pool, &share).is_true());
}

#[test]
fn hex_that_is_none_node_stratum_pool_16() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    for field in 0..4 {
        let mut bad = share.clone();
        match field {
            0 => bad.extranonce2 = "000000000000000g".to_owned(),
            1 => bad.ntime = "0x6b49d2".to_owned(),
            2 => bad.nonce = "+0000000".to_owned(),
            _ => bad.version_bits = Some("0000".to_owned()),
        }
        assert_eq!(miner.gets(&pool, &bad).code(), Some(20), "field {field}");
    }
}

#[test]
fn below_target_share_is_never_credited_p2poolv2() {
    let mut pool = Pool::new();
    pool.start = easy(4);
    let mut miner = pool.miner();
    let job = miner.job().clone();
    let low = job.search(&miner.extranonce1, 7, None, |hash| {
        !difficulty(job.difficulty).target().is_met_by_le(hash)
    });
    assert_eq!(miner.gets(&pool, &low).code(), Some(23));
    assert!(miner.recording.is_empty());
    // And a share that was refused does not shadow one that is good (para: poisoned duplicate cache).
    assert_eq!(miner.gets(&pool, &low).code(), Some(23));
}

#[test]
fn bits_outside_mask_are_rejected_bip310_p2poolv2() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let reply = miner.asks(
        &pool,
        "mining.configure",
        json!([["version-rolling"], {"version-rolling.mask": "0000e000"}]),
    );
    assert_eq!(reply.result()["version-rolling.mask"], "0000e000");
    let job = miner.job().clone();
    let meets = |hash: &[u8; 32]| difficulty(job.difficulty).target().is_met_by_le(hash);
    let inside = job.search(&miner.extranonce1, 1, Some(0x0000_6000), meets);
    assert!(miner.gets(&pool, &inside).is_true());
    let outside = job.search(&miner.extranonce1, 2, Some(0x0001_6000), meets);
    let reply = miner.gets(&pool, &outside);
    assert_eq!(reply.code(), Some(20));
    assert!(reply.text().contains("version bits"));
}

#[test]
fn version_bits_without_configure_datum_214() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let job = miner.job().clone();
    let meets = |hash: &[u8; 32]| difficulty(job.difficulty).target().is_met_by_le(hash);
    let rolled = job.search(&miner.extranonce1, 1, Some(0x0000_2000), meets);
    assert_eq!(miner.gets(&pool, &rolled).code(), Some(20));
    // Some firmware always sends the field; rolling nothing is fine.
    let plain = job.search(&miner.extranonce1, 2, Some(0), meets);
    assert!(miner.gets(&pool, &plain).is_true());
}

#[test]
fn duplicate_after_mask_change_digibyte_419() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
    miner.asks(&pool, "mining.configure", json!([["version-rolling"], {}]));
    let mut again = share;
    again.version_bits = Some("00000000".to_owned());
    assert_eq!(miner.gets(&pool, &again).code(), Some(22));
}

#[test]
fn ntime_is_bounded_both_ways_sri_2299() {
    let mut pool = Pool::new();
    pool.seconds_pass(30);
    let mut miner = pool.miner();
    let job = miner.job().clone();
    let now = u32::try_from(pool.now.wall.0).unwrap();
    for (ntime, good) in [
        (job.ntime - 601, false),
        (job.ntime - 600, true),
        (now + 7_200, true),
        (now + 7_201, false),
    ] {
        let meets = |hash: &[u8; 32]| difficulty(job.difficulty).target().is_met_by_le(hash);
        let share = job.search_at(&miner.extranonce1, u64::from(ntime), None, ntime, meets);
        let reply = miner.gets(&pool, &share);
        assert_eq!(reply.is_true(), good, "{ntime}: {reply:?}");
    }
}

#[test]
fn a_block_goes_out_first_also_from_a_bad_share_sri_2096() {
    let mut pool = Pool::new();
    pool.renew(|recipe| recipe.nbits = EASY);
    let mut miner = pool.miner();
    let share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
    assert_eq!(miner.blocks.len(), 1);
    // A block is in the memory of shares like any other.
    assert_eq!(miner.gets(&pool, &share).code(), Some(22));
    // Stale: another block came first, perhaps not for long.
    let late = miner.finds();
    pool.renew(|recipe| recipe.prev = 2);
    miner.hears_of_work(&pool);
    let before = miner.blocks.len();
    assert_eq!(miner.gets(&pool, &late).code(), Some(21));
    assert_eq!(miner.blocks.len(), before + 1);
    assert_eq!(miner.blocks.last().unwrap().header.len(), 80);
    // Rolled without leave: earns nothing, is a block all the same.
    let job = miner.job().clone();
    let network = NBits::from_consensus(EASY).unwrap().target();
    let rolled = job.search(&miner.extranonce1, 99, Some(0x2000), |hash| {
        network.is_met_by_le(hash)
    });
    assert_eq!(miner.gets(&pool, &rolled).code(), Some(20));
    assert_eq!(miner.blocks.len(), before + 2);
}

#[test]
fn a_block_goes_out_whatever_else_is_wrong_with_its_share() {
    let mut pool = Pool::new();
    pool.renew(|recipe| recipe.nbits = EASY);
    let mut miner = pool.miner();
    let share = miner.finds();
    let foreign = miner.submits(&pool, &user(2, "rig"), &share).unwrap();
    assert_eq!((foreign.code(), miner.blocks.len()), (Some(24), 1));
    assert!(
        miner.gets(&pool, &share).is_true(),
        "it may come again under its name"
    );
    while miner.session.wants_lines() {
        let share = miner.finds();
        assert_eq!(miner.submits(&pool, &user(1, "rig"), &share), None);
    }
    let (blocks, share) = (miner.blocks.len(), miner.finds());
    let full = miner.submits(&pool, &user(1, "rig"), &share).unwrap();
    assert_eq!((full.code(), miner.blocks.len()), (Some(20), blocks + 1));
    assert_eq!(
        miner.blocks.last().unwrap().hash.as_ref() as &[u8],
        share.hash
    );
}

#[test]
fn shares_on_the_old_tip_are_stale_and_unknown_jobs_too() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    let old = miner.finds();
    let mut unknown = miner.finds();
    unknown.job = "deadbeef".to_owned();
    assert_eq!(miner.gets(&pool, &unknown).code(), Some(21));
    unknown.job = "not a job".to_owned();
    assert_eq!(miner.gets(&pool, &unknown).code(), Some(21));
    pool.renew(|recipe| recipe.prev = 2);
    miner.hears_of_work(&pool);
    assert_eq!(miner.gets(&pool, &old).code(), Some(21));
}

#[test]
fn jobs_of_a_refreshed_template_stay_good_until_they_expire() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    let old = miner.job().clone();
    pool.seconds_pass(30);
    pool.renew(|recipe| recipe.cur_time += 30);
    miner.hears_of_work(&pool);
    assert_ne!(miner.job().id, old.id);
    assert!(!miner.job().clean);
    let share = miner.finds_on(&old);
    assert!(miner.gets(&pool, &share).is_true());
    pool.seconds_pass(571);
    let expired = miner.finds_on(&old);
    assert_eq!(miner.gets(&pool, &expired).code(), Some(21));
    let newer = miner.finds();
    assert!(miner.gets(&pool, &newer).is_true());
}

#[test]
fn an_old_round_s_job_counts_until_the_store_says_closed() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    let old = miner.job().clone();
    pool.renew(|recipe| recipe.round = 2);
    miner.hears_of_work(&pool);
    assert!(!miner.job().clean, "the same block: no work is thrown away");
    let share = miner.finds_on(&old);
    miner.submits(&pool, &user(1, "rig"), &share);
    assert_eq!(miner.recording[0].1.job().claim().round.get(), 1);
    assert!(miner.store_says(&pool, Ok(Recorded::Stored)).is_true());
    let late = miner.finds_on(&old);
    miner.submits(&pool, &user(1, "rig"), &late);
    let reply = miner.store_says(&pool, Ok(Recorded::RoundClosed));
    assert_eq!(reply.code(), Some(21));
    assert!(reply.text().contains("round"));
    let new = miner.finds();
    miner.submits(&pool, &user(1, "rig"), &new);
    assert_eq!(miner.recording[0].1.job().claim().round.get(), 2);
    // A full round is told apart from a closed one: no other job helps.
    let full = miner.store_says(&pool, Ok(Recorded::RoundFull));
    assert_eq!(full.code(), Some(20));
    assert!(full.text().contains("no more shares"));
}

#[test]
fn another_session_s_share_is_worth_nothing_here() {
    let pool = Pool::new();
    let mut alice = pool.miner();
    let mut bob = pool.miner_named(&user(2, "rig"));
    assert_ne!(alice.extranonce1, bob.extranonce1);
    let share = alice.finds();
    let reply = bob.submits(&pool, &user(2, "rig"), &share).unwrap();
    assert_eq!(
        reply.code(),
        Some(21),
        "job ids are unique over all sessions"
    );
    assert!(alice.gets(&pool, &share).is_true());
}

#[test]
fn the_claim_names_who_authorized_not_who_submits() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    let reply = miner.submits(&pool, &user(2, "rig"), &share).unwrap();
    assert_eq!(reply.code(), Some(24));
    // Another worker of the same address is no reason to lose a share.
    miner.submits(&pool, &user(1, "other"), &share);
    assert_eq!(&*miner.recording[0].2, "other");
    assert_eq!(
        miner.recording[0].1.job().claim().miner,
        support::address(1)
    );
    assert!(miner.store_says(&pool, Ok(Recorded::Stored)).is_true());
}

#[test]
fn submit_needs_subscribe_and_authorize_and_texts() {
    let pool = Pool::new();
    let mut miner = pool.connection();
    let params = json!([user(1, "rig"), "1", "0", "0", "0"]);
    let reply = miner.asks(&pool, "mining.submit", params.clone());
    assert_eq!(reply.code(), Some(25));
    miner.asks(&pool, "mining.subscribe", json!([]));
    assert_eq!(miner.asks(&pool, "mining.submit", params).code(), Some(24));
    miner.asks(&pool, "mining.authorize", json!([user(1, "rig"), "x"]));
    for params in [
        json!([]),
        json!([user(1, "rig"), "1", "0", "0"]),
        json!([user(1, "rig"), 1, "0", "0", "0"]),
        json!([user(1, "rig"), "1", "0", "0", "0", 7]),
        json!([user(1, "rig"), "1", "0", "0", "0", "0", "0"]),
        json!([Value::Null, {}, [], true, 1.5]),
    ] {
        let reply = miner.asks(&pool, "mining.submit", params.clone());
        assert_eq!(reply.code(), Some(20), "{params}");
    }
}

#[test]
fn too_many_shares_under_way_are_asked_to_wait() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let job = miner.job().clone();
    while miner.session.wants_lines() {
        let share = miner.finds_on(&job);
        assert_eq!(miner.submits(&pool, &user(1, "rig"), &share), None);
    }
    let share = miner.finds_on(&job);
    let reply = miner.submits(&pool, &user(1, "rig"), &share).unwrap();
    assert!(reply.text().contains("again"));
    miner.store_says(&pool, Ok(Recorded::Stored));
    assert_eq!(
        miner.submits(&pool, &user(1, "rig"), &share),
        None,
        "not a duplicate"
    );
}

#[test]
fn nothing_but_rejects_ends_the_session_but_a_burst_does_not() {
    let mut pool = Pool::new();
    let mut miner = pool.miner();
    let mut stale = miner.finds();
    stale.job = "00000000".to_owned();
    for _ in 0..300 {
        assert_eq!(miner.gets(&pool, &stale).code(), Some(21));
    }
    assert_eq!(miner.disconnected, None);
    let good = miner.finds();
    assert!(miner.gets(&pool, &good).is_true());
    for _ in 0..199 {
        miner.gets(&pool, &stale);
        pool.seconds_pass(1);
    }
    assert_eq!(miner.disconnected, None);
    miner.gets(&pool, &stale);
    assert_eq!(
        miner.disconnected,
        Some(stratum::DisconnectReason::TooManyRejects)
    );
}

#[test]
fn statistics_tell_what_happened() {
    let pool = Pool::new();
    let mut miner = pool.miner();
    let share = miner.finds();
    assert!(miner.gets(&pool, &share).is_true());
    miner.gets(&pool, &share);
    let stats = pool.context.stats().snapshot(pool.now.monotonic);
    let row = &stats.workers[0];
    assert_eq!(
        (row.miner, row.worker.as_str()),
        (support::address(1), "rig")
    );
    assert_eq!(row.user_agent, "test/1.0");
    assert_eq!(
        (row.accepted, row.rejected.duplicate, row.sessions),
        (1, 1, 1)
    );
    assert_eq!(row.work, easy(0).work());
    assert_eq!(row.last_share, Some(pool.now.wall));
    assert_eq!(row.difficulty, Some(easy(0)));
    assert!(row.hash_rate > 0.0);
    drop(miner);
    assert_eq!(
        pool.context.stats().snapshot(pool.now.monotonic).workers[0].sessions,
        0
    );
}
