//! The Bitcoin header relay: extension, re-organisation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::PoolError;
use k2_interface::state::{EpochSlot, Kind, Pause, RING, Relay};
use k2_tests::World;
use k2_tests::bitcoin::{Chain, EASY, HARD, Template, header_bytes, spoil};
use solana_account::Account;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// What ten headers may cost in Solana 1.14, all included.
const TEN_HEADERS: u64 = 15_000;

/// A pool whose relay is at the chain's tip, having begun at its genesis.
fn relayed(story: &str, blocks: u32) -> (World, Chain) {
    let mut chain = Chain::regtest();
    chain.mine(blocks);
    let mut k2 = World::new(story);
    k2.relay_from(&chain, 0);
    (k2, chain)
}

/// A pool whose relay begins at block 100,010 of a chain of harder blocks.
fn hard(story: &str) -> (World, Chain) {
    let mut chain = Chain::starting_at(100_000, HARD);
    chain.mine(10);
    let mut k2 = World::new(story);
    k2.relay_from(&chain, 100_010);
    (k2, chain)
}

#[track_caller]
fn must_refuse(k2: &mut World, step: &str, headers: &[u8], error: PoolError) {
    let submit = k2.submit_headers(headers);
    k2.send(step, submit).must_fail_with(error);
}

// ---- extension -------------------------------------------------------------------------------------------------------

#[test]
fn ten_headers_a_transaction() {
    let (mut k2, mut chain) = relayed("relay/ten_headers", 15);
    chain.mine(11);
    let submit = k2.submit_headers(&chain.headers(16..=25));
    k2.send_within(TEN_HEADERS, "ten headers", submit)
        .must_succeed();
    k2.relay_must_hold(&chain.branch(25, "best"), 0);
    let submit = k2.submit_headers(&chain.headers([26]));
    k2.send_within(3_500, "one header", submit).must_succeed();
    k2.relay_must_hold(&chain, 0);

    chain.mine(11);
    must_refuse(&mut k2, "none", &[], PoolError::HeaderCount);
    let eleven = chain.headers(27..=37);
    must_refuse(&mut k2, "eleven", &eleven, PoolError::HeaderCount);
    for cut in [1, 79, 81, 799] {
        must_refuse(&mut k2, "cut short", &eleven[..cut], PoolError::HeaderCount);
    }
}

#[test]
fn the_ring_keeps_the_last_192() {
    let mut chain = Chain::regtest();
    chain.mine(500);
    let mut k2 = World::new("relay/ring");
    k2.relay_from(&chain.branch(0, "best"), 0);
    for tip in (10..=500).step_by(10) {
        let submit = k2.submit_headers(&chain.headers(tip - 9..=tip));
        k2.send_within(TEN_HEADERS, "ten headers", submit)
            .must_succeed();
        k2.relay_must_hold(&chain.branch(tip, "best"), tip.saturating_sub(191));
    }
}

#[test]
fn headers_must_continue_a_known_block() {
    let (mut k2, mut chain) = relayed("relay/parents", 20);
    chain.mine(5);
    let next = chain.headers([22]);
    must_refuse(&mut k2, "one is skipped", &next, PoolError::UnknownParent);
    let gap = chain.headers([21, 23]);
    must_refuse(&mut k2, "one is left out", &gap, PoolError::NotLinked);
    let swapped = chain.headers([21, 23, 22]);
    must_refuse(&mut k2, "out of order", &swapped, PoolError::NotLinked);
    let twice = chain.headers([21, 21]);
    must_refuse(&mut k2, "one twice", &twice, PoolError::NotLinked);
    let main = header_bytes(&bitcoin::constants::genesis_block(
        bitcoin::Network::Bitcoin,
    ));
    must_refuse(
        &mut k2,
        "another network's",
        &main,
        PoolError::UnknownParent,
    );
}

#[test]
fn every_header_keeps_the_rules() {
    let (mut k2, chain) = relayed("relay/rules", 20);
    let now = u32::try_from(k2.k2.clock().unix_timestamp).unwrap();
    let median = chain.time(15);
    let with = |change: fn(&mut Template, u32), value: u32| {
        let mut template = Template::default();
        change(&mut template, value);
        chain.next(template)
    };
    let time: fn(&mut Template, u32) = |template, value| template.time = Some(value);
    let version: fn(&mut Template, u32) = |template, value| template.version = Some(value as i32);
    let bits: fn(&mut Template, u32) = |template, value| template.bits = Some(value);
    let bad = [
        (
            "at the median time",
            with(time, median),
            PoolError::TimeTooOld,
        ),
        ("long ago", with(time, 0), PoolError::TimeTooOld),
        (
            "four hours and a second ahead",
            with(time, now + 4 * 3_600 + 1),
            PoolError::TimeTooNew,
        ),
        ("of version 3", with(version, 3), PoolError::OldVersion),
        ("of version 0", with(version, 0), PoolError::OldVersion),
        ("negative", with(version, 1 << 31), PoolError::OldVersion),
        ("harder", with(bits, 0x207f_fffe), PoolError::WrongBits),
        ("much harder", with(bits, HARD), PoolError::WrongBits),
    ];
    for (step, block, error) in &bad {
        must_refuse(&mut k2, step, &header_bytes(block), *error);
    }
    let mut unmined = chain.next(Template::default());
    spoil(&mut unmined.header);
    let unmined = header_bytes(&unmined);
    must_refuse(&mut k2, "not mined", &unmined, PoolError::NotEnoughWork);

    for (number, block) in [
        ("a second after the median", with(time, median + 1)),
        ("four hours ahead", with(time, now + 4 * 3_600)),
        ("of version 4", with(version, 4)),
    ]
    .into_iter()
    .enumerate()
    {
        let (step, block) = block;
        let mut k2 = World::new(&format!("relay/rules_kept_{number}"));
        k2.relay_from(&chain, 0);
        let submit = k2.submit_headers(&header_bytes(&block));
        k2.send(step, submit).must_succeed();
        let mut longer = chain.clone();
        longer.append(block);
        k2.relay_must_hold(&longer, 0);
    }
}

#[test]
fn one_bad_header_spoils_the_batch() {
    let (mut k2, mut chain) = relayed("relay/one_bad", 20);
    chain.mine(9);
    let mut last = chain.next(Template::default());
    spoil(&mut last.header);
    let batch = [chain.headers(21..=29), header_bytes(&last)].concat();
    must_refuse(
        &mut k2,
        "the tenth is bad",
        &batch,
        PoolError::NotEnoughWork,
    );
    k2.relay_must_hold(&chain.branch(20, "best"), 0);
}

#[test]
fn easy_blocks_are_the_late_ones() {
    let (mut k2, chain) = hard("relay/easy_blocks");
    let parent = chain.time(chain.tip());
    for (seconds, bits) in [(1_200, EASY), (1_201, HARD), (600, EASY), (3_600, HARD)] {
        let block = chain.next(Template {
            time: Some(parent + seconds),
            bits: Some(bits),
            ..Template::default()
        });
        must_refuse(
            &mut k2,
            "the other target",
            &header_bytes(&block),
            PoolError::WrongBits,
        );
    }
    let mut chain = chain;
    for seconds in [1_200, 1_201, 1_200] {
        let time = Some(chain.time(chain.tip()) + seconds);
        chain.push(Template {
            time,
            ..Template::default()
        });
    }
    k2.relay_on(&chain);
    k2.relay_must_hold(&chain, 100_000);
    // 8, 2 and 8 of work: the epoch's target is still what it was.
    assert_eq!(chain.work(100_013) - chain.work(100_010), 18);
}

#[test]
fn work_does_not_overflow() {
    let (mut k2, mut chain) = relayed("relay/overflow", 20);
    let mut relay = k2.relay();
    relay.ring[20].chain_work = (u128::MAX - 3).into();
    put(&mut k2, &relay);
    chain.mine(2);
    let headers = chain.headers(21..=22);
    must_refuse(&mut k2, "2^128 of work", &headers, PoolError::Overflow);
}

#[test]
fn the_relay_is_never_paused() {
    let (mut k2, mut chain) = relayed("relay/paused", 20);
    let pause = k2.pause(k2.guardian, Pause::ALL);
    k2.send("everything is paused", pause).must_succeed();
    chain.mine(3);
    k2.relay_on(&chain);
    k2.relay_must_hold(&chain, 0);
}

// ---- re-organisation -------------------------------------------------------------------------------------------------

#[test]
fn the_chain_with_more_work_counts_up_to_24_deep() {
    for depth in 1..=25 {
        // Easy blocks are 2 of work, hard ones 8: so a branch of at most seven takes back up to 24.
        let (mut k2, mut chain) = hard(&format!("relay/reorg_{depth:02}_deep"));
        chain.mine_slowly(40);
        k2.relay_on(&chain);
        let base = chain.tip() - depth;
        let mut branch = chain.branch(base, "other");
        branch.mine(2 * depth / 8);
        if branch.tip() > base {
            let error = if depth == 25 {
                PoolError::ReorgTooDeep
            } else {
                PoolError::NotMoreWork
            };
            let short = branch.headers(base + 1..=branch.tip());
            must_refuse(&mut k2, "no more work yet", &short, error);
        }
        branch.mine(1);
        let headers = branch.headers(base + 1..=branch.tip());
        if depth == 25 {
            must_refuse(&mut k2, "25 deep", &headers, PoolError::ReorgTooDeep);
            k2.relay_must_hold(&chain, 100_000);
            continue;
        }
        let submit = k2.submit_headers(&headers);
        k2.send_within(TEN_HEADERS, "more work", submit)
            .must_succeed();
        k2.relay_must_hold(&branch, 100_000);
        let back = chain.headers(base + 1..=chain.tip().min(base + 10));
        must_refuse(
            &mut k2,
            "the old end has less",
            &back,
            PoolError::NotMoreWork,
        );
    }
}

#[test]
fn of_equal_work_the_first_stays() {
    let (mut k2, chain) = relayed("relay/equal_work", 20);
    let mut branch = chain.branch(18, "other");
    branch.mine(2);
    let equal = branch.headers(19..=20);
    must_refuse(&mut k2, "as much work", &equal, PoolError::NotMoreWork);
    branch.mine(1);
    let submit = k2.submit_headers(&branch.headers(19..=21));
    k2.send("more work", submit).must_succeed();
    k2.relay_must_hold(&branch, 0);
}

#[test]
fn replays_change_nothing() {
    let (mut k2, mut chain) = relayed("relay/replays", 30);
    for heights in [30..=30, 21..=30, 15..=20, 7..=16] {
        let known = chain.headers(heights);
        must_refuse(&mut k2, "known headers", &known, PoolError::NotMoreWork);
    }
    let too_old = chain.headers(6..=10);
    must_refuse(&mut k2, "old ones", &too_old, PoolError::ReorgTooDeep);
    // Two relayers at once: some of what the second one brings is known.
    chain.mine(4);
    let submit = k2.submit_headers(&chain.headers(28..=34));
    k2.send("known headers and new ones", submit).must_succeed();
    k2.relay_must_hold(&chain, 0);
}

#[test]
fn the_checkpoint_is_final() {
    let (mut k2, mut chain) = hard("relay/checkpoint_final");
    chain.mine_slowly(5);
    k2.relay_on(&chain);
    let mut branch = chain.branch(100_009, "other");
    branch.mine(6);
    let headers = branch.headers(100_010..=100_015);
    must_refuse(
        &mut k2,
        "the checkpoint's block",
        &headers,
        PoolError::CheckpointFinal,
    );
    let mut branch = chain.branch(100_010, "other");
    branch.mine(2);
    let submit = k2.submit_headers(&branch.headers(100_011..=100_012));
    k2.send("the block after it", submit).must_succeed();
    k2.relay_must_hold(&branch, 100_000);
}

#[test]
fn from_genesis_on_everything_but_genesis_can_be_taken_back() {
    let (mut k2, chain) = relayed("relay/genesis_final", 5);
    let mut branch = chain.branch(0, "other");
    branch.mine(6);
    let submit = k2.submit_headers(&branch.headers(1..=6));
    k2.send("all of it", submit).must_succeed();
    k2.relay_must_hold(&branch, 0);
}

/// A full ring whose tip falls and rises again: what is below the ring stays below it.
#[test]
fn the_oldest_block_never_changes_back() {
    let (mut k2, mut chain) = hard("relay/falling_tip");
    chain.mine_slowly(240);
    k2.relay_on(&chain);
    let oldest = chain.tip() - 191;
    k2.relay_must_hold(&chain, oldest);
    let mut highest = chain.tip();
    for round in 0..4 {
        // Each time one block more takes the place of 24.
        let base = chain.tip() - 24;
        let mut branch = chain.branch(base, &format!("branch {round}"));
        while branch.work(branch.tip()) <= chain.work(chain.tip()) {
            branch.mine(1);
        }
        k2.relay_branch(base, &branch);
        chain = branch;
        k2.relay_must_hold(&chain, oldest);
    }
    assert!(chain.tip() < highest - 40, "{} {highest}", chain.tip());
    while chain.tip() < highest + 10 {
        chain.mine(1);
        k2.relay_on(&chain);
        k2.relay_must_hold(&chain, oldest.max(chain.tip() - 191));
    }
    highest = chain.tip();
    assert_eq!(k2.relay().oldest_height.get(), highest - RING as u32 + 1);
}

// ---- epochs ----------------------------------------------------------------------------------------------------------

#[test]
fn epochs_are_those_of_the_branch() {
    let mut chain = Chain::starting_at(4_010, HARD);
    chain.mine(12).mine_slowly(9);
    let mut k2 = World::new("relay/epochs");
    k2.relay_from(&chain, 4_020);
    chain.mine(1);
    let start = chain.tip();
    assert_eq!(start, 4_032);
    chain.mine_slowly(8);
    k2.relay_on(&chain);
    k2.relay_must_hold(&chain, 4_010);

    // Another first block of the epoch.
    let mut branch = chain.branch(4_031, "other");
    branch.push(Template {
        time: Some(chain.time(start) + 60),
        ..Template::default()
    });
    branch.mine(3);
    let submit = k2.submit_headers(&branch.headers(4_032..=4_035));
    k2.send("a branch into the new epoch", submit)
        .must_succeed();
    k2.relay_must_hold(&branch, 4_010);
    assert_ne!(branch.time(start), chain.time(start));

    // And a branch that does not reach it.
    let mut branch = branch.branch(4_021, "third");
    branch.mine(8);
    assert_eq!(branch.tip(), 4_029);
    let submit = k2.submit_headers(&branch.headers(4_022..=4_029));
    k2.send("a branch in the old epoch", submit).must_succeed();
    k2.relay_must_hold(&branch, 4_010);
    assert_eq!(k2.relay().epoch(4_032), None);

    branch.mine(2_020);
    k2.relay_on(&branch);
    k2.relay_must_hold(&branch, branch.tip() - 191);
}

/// It cannot come to this, since a branch leaves at most 24 blocks below the tip and never below the checkpoint.
#[test]
fn an_epoch_that_is_not_known_is_not_guessed() {
    let (mut k2, mut chain) = relayed("relay/epoch_unknown", 20);
    let mut relay = k2.relay();
    relay.epochs[0] = EpochSlot::new_zeroed();
    put(&mut k2, &relay);
    chain.mine(1);
    let next = chain.headers([21]);
    must_refuse(&mut k2, "no epoch", &next, PoolError::EpochUnknown);
}

/// Puts a relay in place.
fn put(k2: &mut World, relay: &Relay) {
    let data = relay.as_bytes().to_vec();
    let account = Account {
        lamports: k2.k2.rent(data.len()),
        data,
        owner: k2.program,
        ..Account::default()
    };
    k2.k2.set_account(k2.relay_key(), account);
    let _: Relay = k2.read(k2.relay_key(), Kind::Relay);
}
