//! Branches that are collected over several transactions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::state::{Fork, Kind, Pause};
use k2_interface::{AccountFault, PoolError};
use k2_tests::bitcoin::{Chain, HARD, Template, header_bytes, spoil};
use k2_tests::rewards::address;
use k2_tests::{Call, World};

/// What ten headers of a branch may cost in Solana 1.14, besides what the account's creation does; 24 blocks are put in place.
const TEN_HEADERS: u64 = 18_000;

/// A pool whose relay has followed a chain of hard blocks, 8 of work each, from its eleventh block on.
fn relayed(story: &str, blocks: u32) -> (World, Chain) {
    let mut chain = Chain::starting_at(100_000, HARD);
    chain.mine(10);
    let mut k2 = World::new(story);
    k2.relay_from(&chain, 100_010);
    chain.mine(blocks);
    k2.relay_on(&chain);
    (k2, chain)
}

fn fork(k2: &World) -> Fork {
    k2.read(k2.fork_key(k2.payer), Kind::Fork)
}

/// The account holds the blocks of this branch after its base, up to this height; and nothing else.
#[track_caller]
fn must_collect(k2: &World, branch: &Chain, base: u32, tip: u32) {
    let fork = fork(k2);
    assert_eq!(fork.payer, address(k2.payer));
    assert_eq!(fork.base_height.get(), base);
    assert_eq!(fork.base_hash, branch.hash(base));
    assert_eq!(fork.count.get(), tip - base);
    for (height, entry) in (base + 1..).zip(&fork.entries) {
        if height > tip {
            assert_eq!(entry.hash, [0; 32]);
            continue;
        }
        assert_eq!(entry.hash, branch.hash(height), "hash at {height}");
        assert_eq!(entry.time.get(), branch.time(height), "time at {height}");
        assert_eq!(
            entry.chain_work.get(),
            branch.work(height),
            "work at {height}"
        );
    }
    assert_eq!(fork.epoch.start_height.get(), tip - tip % 2_016);
    assert_eq!(fork.epoch.bits.get(), branch.bits());
}

#[track_caller]
fn must_refuse(k2: &mut World, step: &str, call: Call, error: PoolError) {
    k2.send(step, call).must_fail_with(error);
}

#[test]
fn a_branch_of_forty() {
    let (mut k2, chain) = relayed("fork/of_forty", 30);
    let base = chain.tip() - 24;
    let mut branch = chain.branch(base, "other");
    // 24 hard blocks are 192 of work; 19 easy and 21 hard ones are 206.
    branch.mine_slowly(19).mine(21);
    assert!(branch.work(base + 39) > chain.work(chain.tip()));
    assert!(branch.work(base + 30) < chain.work(chain.tip()));

    let lamports = k2.k2.lamports(&k2.payer);
    for (count, step) in [(10, "ten"), (20, "twenty"), (30, "thirty")] {
        let heights = base + count - 9..=base + count;
        let submit = k2.submit_fork(base, &branch.headers(heights));
        k2.send_within(TEN_HEADERS + 6_000, step, submit)
            .must_succeed();
        must_collect(&k2, &branch, base, base + count);
        k2.relay_must_hold(&chain, 100_000);
    }
    let rent = k2.k2.rent(size_of::<Fork>());
    assert_eq!(k2.k2.lamports(&k2.payer), lamports - rent);
    assert_eq!(fork(&k2).opened_slot.get(), k2.slot());

    let submit = k2.submit_fork(base, &branch.headers(base + 31..=base + 40));
    k2.send_within(TEN_HEADERS, "forty", submit).must_succeed();
    k2.relay_must_hold(&branch, 100_000);
    assert!(k2.is_gone(k2.fork_key(k2.payer)));
    assert_eq!(k2.k2.lamports(&k2.payer), lamports);
}

#[test]
fn every_depth_up_to_24() {
    for depth in [1, 9, 10, 11, 23, 24, 25] {
        let (mut k2, chain) = relayed(&format!("fork/{depth:02}_deep"), 30);
        let base = chain.tip() - depth;
        let mut branch = chain.branch(base, "other");
        branch.mine(depth + 1);
        if depth == 25 {
            let submit = k2.submit_fork(base, &branch.headers(base + 1..=base + 10));
            must_refuse(&mut k2, "25 deep", submit, PoolError::ReorgTooDeep);
            continue;
        }
        k2.relay_branch(base, &branch);
        k2.relay_must_hold(&branch, 100_000);
        assert!(k2.is_gone(k2.fork_key(k2.payer)));
    }
}

/// More work at once: the account comes and goes within one instruction.
#[test]
fn a_short_branch_needs_no_account() {
    let (mut k2, chain) = relayed("fork/short", 20);
    let lamports = k2.k2.lamports(&k2.payer);
    let base = chain.tip() - 3;
    let mut branch = chain.branch(base, "other");
    branch.mine(4);
    k2.relay_branch(base, &branch);
    k2.relay_must_hold(&branch, 100_000);
    assert!(k2.is_gone(k2.fork_key(k2.payer)));
    assert_eq!(k2.k2.lamports(&k2.payer), lamports);
    // The tip itself as the base: an extension.
    let mut longer = branch.clone();
    longer.mine(3);
    k2.relay_branch(branch.tip(), &longer);
    k2.relay_must_hold(&longer, 100_000);
}

#[test]
fn as_much_work_is_not_more() {
    let (mut k2, chain) = relayed("fork/equal_work", 20);
    let base = chain.tip() - 5;
    let mut branch = chain.branch(base, "other");
    branch.mine(6);
    let submit = k2.submit_fork(base, &branch.headers(base + 1..=base + 5));
    k2.send("as much", submit).must_succeed();
    must_collect(&k2, &branch, base, base + 5);
    k2.relay_must_hold(&chain, 100_000);
    let submit = k2.submit_fork(base, &branch.headers([base + 6]));
    k2.send("more", submit).must_succeed();
    k2.relay_must_hold(&branch, 100_000);
}

#[test]
fn headers_of_a_branch_keep_the_rules() {
    let (mut k2, chain) = relayed("fork/rules", 20);
    let base = chain.tip() - 5;
    let mut branch = chain.branch(base, "other");
    branch.mine_slowly(12);
    let call = |k2: &World, heights| k2.submit_fork(base, &branch.headers(heights));

    let none = k2.submit_fork(base, &[]);
    must_refuse(&mut k2, "none", none, PoolError::HeaderCount);
    let short = k2.submit_fork(base, &branch.headers([base + 1])[..79]);
    must_refuse(&mut k2, "cut short", short, PoolError::HeaderCount);
    let eleven = k2.submit_fork(base, &branch.headers(base + 1..=base + 11)[..801]);
    must_refuse(&mut k2, "not whole", eleven, PoolError::HeaderCount);
    let second = call(&k2, base + 2..=base + 3);
    must_refuse(
        &mut k2,
        "not from the base",
        second,
        PoolError::UnknownParent,
    );
    let above = k2.submit_fork(chain.tip() + 1, &branch.headers([base + 1]));
    must_refuse(&mut k2, "above the tip", above, PoolError::UnknownParent);
    let below = k2.submit_fork(99_999, &branch.headers([base + 1]));
    must_refuse(&mut k2, "below the ring", below, PoolError::ReorgTooDeep);

    let first = call(&k2, base + 1..=base + 3);
    k2.send("three", first.clone()).must_succeed();
    must_refuse(&mut k2, "again", first, PoolError::NotLinked);
    let gap = call(&k2, base + 5..=base + 6);
    must_refuse(&mut k2, "one is left out", gap, PoolError::NotLinked);

    let next = |template| branch.branch(base + 3, "bad").next(template);
    let time = Some(branch.time(base + 3) + 600);
    let mut unmined = next(Template::default());
    spoil(&mut unmined.header);
    // The median of the last eleven: three of the branch, eight before.
    let old = Some(branch.time(base - 2));
    let now = u32::try_from(k2.k2.clock().unix_timestamp).unwrap();
    let blocks = [
        ("not mined", unmined, PoolError::NotEnoughWork),
        (
            "easy though in time",
            next(Template {
                time,
                bits: Some(k2_tests::bitcoin::EASY),
                ..Template::default()
            }),
            PoolError::WrongBits,
        ),
        (
            "at the median time",
            next(Template {
                time: old,
                ..Template::default()
            }),
            PoolError::TimeTooOld,
        ),
        (
            "too far ahead",
            next(Template {
                time: Some(now + 14_401),
                ..Template::default()
            }),
            PoolError::TimeTooNew,
        ),
        (
            "of version 3",
            next(Template {
                version: Some(3),
                ..Template::default()
            }),
            PoolError::OldVersion,
        ),
    ];
    for (step, block, error) in &blocks {
        let submit = k2.submit_fork(base, &header_bytes(block));
        must_refuse(&mut k2, step, submit, *error);
    }
    must_collect(&k2, &branch, base, base + 3);
    let rest = call(&k2, base + 4..=base + 12);
    k2.send("the rest", rest).must_succeed();
    must_collect(&k2, &branch, base, base + 12);
}

#[test]
fn the_median_time_is_the_branches() {
    let (mut k2, chain) = relayed("fork/median", 20);
    let base = chain.tip() - 5;
    // Ten blocks a second apart, so that the median of the next eleven is theirs.
    let mut branch = chain.branch(base, "other");
    for _ in 0..10 {
        let time = Some(branch.time(branch.tip()) + 1_300);
        branch.push(Template {
            time,
            ..Template::default()
        });
    }
    let submit = k2.submit_fork(base, &branch.headers(base + 1..=base + 10));
    k2.send("ten", submit).must_succeed();
    let median = branch.time(base + 5);
    for (time, error) in [(median, Some(PoolError::TimeTooOld)), (median + 1, None)] {
        let block = branch.next(Template {
            time: Some(time),
            ..Template::default()
        });
        let submit = k2.submit_fork(base, &header_bytes(&block));
        let sent = k2.send("the eleventh", submit);
        match error {
            Some(error) => sent.must_fail_with(error),
            None => sent.must_succeed(),
        };
    }
    assert_eq!(fork(&k2).count.get(), 11);
}

#[test]
fn at_most_64_headers() {
    let (mut k2, chain) = relayed("fork/full", 30);
    let base = chain.tip() - 24;
    let mut branch = chain.branch(base, "other");
    branch.mine_slowly(66);
    k2.relay_branch(base, &branch.branch(base + 60, "other"));
    let five = k2.submit_fork(base, &branch.headers(base + 61..=base + 65));
    must_refuse(&mut k2, "65", five, PoolError::ForkFull);
    let four = k2.submit_fork(base, &branch.headers(base + 61..=base + 64));
    k2.send("64", four).must_succeed();
    must_collect(&k2, &branch, base, base + 64);
    let one = k2.submit_fork(base, &branch.headers([base + 65]));
    must_refuse(&mut k2, "65", one, PoolError::ForkFull);
    // It is given up, and another one begun.
    let close = k2.close_fork();
    k2.send("given up", close).must_succeed();
    assert!(k2.is_gone(k2.fork_key(k2.payer)));
    let mut other = chain.branch(base, "third");
    other.mine(25);
    k2.relay_branch(base, &other);
    k2.relay_must_hold(&other, 100_000);
}

#[test]
fn a_branch_stays_where_it_began() {
    let (mut k2, mut chain) = relayed("fork/base", 30);
    let base = chain.tip() - 5;
    let mut branch = chain.branch(base, "other");
    branch.mine_slowly(10);
    let first = k2.submit_fork(base, &branch.headers([base + 1]));
    k2.send("a branch is begun", first).must_succeed();

    let elsewhere = k2.submit_fork(base - 1, &branch.headers([base + 2]));
    must_refuse(&mut k2, "another base", elsewhere, PoolError::ForkBase);

    // The best chain goes another way below the base.
    let mut other = chain.branch(base - 2, "third");
    other.mine(8);
    let submit = k2.submit_headers(&other.headers(base - 1..=base + 6));
    k2.send("a reorg", submit).must_succeed();
    let second = k2.submit_fork(base, &branch.headers([base + 2]));
    must_refuse(&mut k2, "the base has gone", second, PoolError::ForkMoved);

    // And comes back.
    chain.mine(4);
    k2.relay_branch_by("second payer", base - 2, &chain);
    k2.relay_must_hold(&chain, 100_000);
    let second = k2.submit_fork(base, &branch.headers([base + 2]));
    k2.send("the base is back", second).must_succeed();
    must_collect(&k2, &branch, base, base + 2);

    // Until it is more than 24 below the tip, also when the branch would have more work then.
    chain.mine(15);
    assert_eq!(chain.tip(), base + 24);
    k2.relay_on(&chain);
    let third = k2.submit_fork(base, &branch.headers([base + 3]));
    k2.send("24 below the tip", third).must_succeed();
    chain.mine(1);
    k2.relay_on(&chain);
    let mut strong = branch.branch(base + 3, "other");
    strong.mine(10);
    let late = k2.submit_fork(base, &strong.headers(base + 4..=base + 13));
    must_refuse(&mut k2, "25 below the tip", late, PoolError::ReorgTooDeep);
    let close = k2.close_fork();
    k2.send("it is given up", close).must_succeed();
    k2.relay_must_hold(&chain, 100_000);
}

#[test]
fn everybody_has_a_branch_of_their_own() {
    let (mut k2, chain) = relayed("fork/payers", 20);
    let base = chain.tip() - 5;
    let mut branch = chain.branch(base, "other");
    branch.mine_slowly(10);
    let first = k2.submit_fork(base, &branch.headers([base + 1]));
    k2.send("a branch is begun", first).must_succeed();
    let payers = k2.fork_key(k2.payer);

    let other = k2.somebody("other payer");
    let theirs = k2
        .submit_fork(base, &branch.headers([base + 2]))
        .with("payer", other);
    must_refuse(
        &mut k2,
        "somebody else's",
        theirs.clone(),
        PoolError::NotPayer,
    );
    let close = k2.close_fork().with("payer", other);
    must_refuse(&mut k2, "somebody else's", close, PoolError::NotPayer);
    // An address of somebody else's that holds nothing yet.
    let free = k2.fork_key(k2.guardian);
    k2.send("another's address", theirs.with("fork", free))
        .must_fail_with(PoolError::UnknownParent);
    let begin = k2
        .submit_fork(base, &branch.headers([base + 1]))
        .with("payer", other)
        .with("fork", free);
    k2.send("another's address", begin.clone())
        .must_fault("fork", AccountFault::WrongAddress);
    let own = k2.fork_key(other);
    k2.send("their own", begin.with("fork", own)).must_succeed();
    let theirs: Fork = k2.read(own, Kind::Fork);
    assert_eq!(theirs.payer, address(other));

    let lamports = k2.k2.lamports(&k2.payer);
    let rent = k2.k2.lamports(&payers);
    let close = k2.close_fork();
    k2.send("the payer closes its own", close.clone())
        .must_succeed();
    assert!(k2.is_gone(payers));
    assert_eq!(k2.k2.lamports(&k2.payer), lamports + rent);
    k2.send("once", close)
        .must_fault("fork", AccountFault::Uninitialized);
}

#[test]
fn a_branch_brings_its_own_epoch() {
    let mut chain = Chain::starting_at(4_010, HARD);
    chain.mine(10);
    let mut k2 = World::new("fork/epochs");
    k2.relay_from(&chain, 4_020);
    chain.mine(16);
    k2.relay_on(&chain);
    assert_eq!(chain.tip(), 4_036);
    let base = 4_025;
    let mut branch = chain.branch(base, "other");
    branch.mine(4);
    // Two blocks later than on the best chain.
    let time = Some(branch.time(branch.tip()) + 1_199);
    branch.push(Template {
        time,
        ..Template::default()
    });
    branch.mine(7);
    assert_ne!(branch.time(4_032), chain.time(4_032));

    let six = k2.submit_fork(base, &branch.headers(4_026..=4_031));
    k2.send("up to the epoch's end", six).must_succeed();
    must_collect(&k2, &branch, base, 4_031);
    let one = k2.submit_fork(base, &branch.headers([4_032]));
    k2.send("the next epoch's first", one).must_succeed();
    must_collect(&k2, &branch, base, 4_032);
    assert_eq!(fork(&k2).epoch.start_time.get(), branch.time(4_032));
    k2.relay_must_hold(&chain, 4_010);
    let rest = k2.submit_fork(base, &branch.headers(4_033..=4_037));
    k2.send("more work", rest).must_succeed();
    k2.relay_must_hold(&branch, 4_010);
}

#[test]
fn branches_are_never_paused() {
    let (mut k2, chain) = relayed("fork/paused", 20);
    let pause = k2.pause(k2.guardian, Pause::ALL);
    k2.send("everything is paused", pause).must_succeed();
    let base = chain.tip() - 5;
    let mut branch = chain.branch(base, "other");
    branch.mine(6);
    k2.relay_branch(base, &branch);
    k2.relay_must_hold(&branch, 100_000);
}
