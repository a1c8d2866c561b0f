//! Cursors: down from the ring's oldest block.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::state::{Cursor, Kind, Pause};
use k2_interface::{AccountFault, PoolError};
use k2_tests::bitcoin::{Chain, HARD};
use k2_tests::rewards::address;
use k2_tests::{Call, World};

/// What a cursor's step over ten headers may cost in Solana 1.14.
const TEN_HEADERS: u64 = 6_000;

/// A pool whose relay has followed a chain from its genesis.
fn relayed(story: &str, blocks: u32) -> (World, Chain) {
    let mut chain = Chain::regtest();
    chain.mine(blocks);
    let mut k2 = World::new(story);
    k2.relay_from(&chain, blocks.saturating_sub(20));
    (k2, chain)
}

#[track_caller]
fn must_stand_on(k2: &World, id: u32, chain: &Chain, height: u32) {
    let cursor: Cursor = k2.read(k2.cursor_key(k2.payer, id), Kind::Cursor);
    assert_eq!(cursor.payer, address(k2.payer));
    assert_eq!(cursor.id.get(), id);
    assert_eq!(cursor.height.get(), height);
    assert_eq!(cursor.hash, chain.hash(height));
}

#[track_caller]
fn must_refuse(k2: &mut World, step: &str, call: Call, error: PoolError) {
    k2.send(step, call).must_fail_with(error);
}

#[test]
fn a_cursor_walks_down_to_genesis() {
    let (mut k2, chain) = relayed("cursor/to_genesis", 55);
    let oldest = k2.relay().oldest_height.get();
    assert_eq!(oldest, 25);
    let lamports = k2.k2.lamports(&k2.payer);
    let open = k2.open_cursor(7);
    k2.send_within(15_000, "a cursor is opened", open.clone())
        .must_succeed();
    must_stand_on(&k2, 7, &chain, 25);
    let rent = k2.k2.rent(size_of::<Cursor>());
    assert_eq!(k2.k2.lamports(&k2.payer), lamports - rent);
    k2.send("it is open", open)
        .must_fault("cursor", AccountFault::AlreadyInitialized);

    let ten = k2.advance_cursor(7, &chain.headers((16..=25).rev()));
    k2.send_within(TEN_HEADERS, "ten down", ten.clone())
        .must_succeed();
    must_stand_on(&k2, 7, &chain, 15);
    must_refuse(&mut k2, "again", ten, PoolError::CursorHeader);
    let one = k2.advance_cursor(7, &chain.headers([15]));
    k2.send("one down", one).must_succeed();
    must_stand_on(&k2, 7, &chain, 14);

    let rising = k2.advance_cursor(7, &chain.headers(13..=14));
    must_refuse(&mut k2, "from below", rising, PoolError::CursorHeader);
    let skipped = k2.advance_cursor(7, &chain.headers([13]));
    must_refuse(&mut k2, "one is skipped", skipped, PoolError::CursorHeader);
    let gap = k2.advance_cursor(7, &chain.headers([14, 12]));
    must_refuse(&mut k2, "one is left out", gap, PoolError::CursorHeader);
    let mut other = chain.branch(10, "other");
    other.mine(10);
    let foreign = k2.advance_cursor(7, &other.headers([14]));
    must_refuse(&mut k2, "another chain's", foreign, PoolError::CursorHeader);
    let mut flipped = chain.headers([14]);
    flipped[76] ^= 1;
    let flipped = k2.advance_cursor(7, &flipped);
    must_refuse(
        &mut k2,
        "a bit is flipped",
        flipped,
        PoolError::CursorHeader,
    );
    let none = k2.advance_cursor(7, &[]);
    must_refuse(&mut k2, "none", none, PoolError::HeaderCount);
    let short = k2.advance_cursor(7, &chain.headers([14])[..79]);
    must_refuse(&mut k2, "cut short", short, PoolError::HeaderCount);
    must_stand_on(&k2, 7, &chain, 14);

    let ten = k2.advance_cursor(7, &chain.headers((5..=14).rev()));
    k2.send("ten down", ten).must_succeed();
    let past = k2.advance_cursor(7, &chain.headers((0..=4).rev()));
    must_refuse(&mut k2, "past genesis", past, PoolError::CursorAtGenesis);
    let last = k2.advance_cursor(7, &chain.headers((1..=4).rev()));
    k2.send("to genesis", last).must_succeed();
    must_stand_on(&k2, 7, &chain, 0);
    let past = k2.advance_cursor(7, &chain.headers([0]));
    must_refuse(&mut k2, "past genesis", past, PoolError::CursorAtGenesis);

    let close = k2.close_cursor(7);
    k2.send("it is closed", close.clone()).must_succeed();
    assert!(k2.is_gone(k2.cursor_key(k2.payer, 7)));
    assert_eq!(k2.k2.lamports(&k2.payer), lamports);
    k2.send("once", close)
        .must_fault("cursor", AccountFault::Uninitialized);
}

#[test]
fn cursors_are_their_payers() {
    let (mut k2, chain) = relayed("cursor/payers", 55);
    for id in [0, u32::MAX] {
        let open = k2.open_cursor(id);
        k2.send("a cursor is opened", open).must_succeed();
        must_stand_on(&k2, id, &chain, 25);
    }
    let other = k2.somebody("other payer");
    let advance = k2.advance_cursor(0, &chain.headers([25]));
    must_refuse(
        &mut k2,
        "somebody else's",
        advance.with("payer", other),
        PoolError::NotPayer,
    );
    let close = k2.close_cursor(0).with("payer", other);
    must_refuse(&mut k2, "somebody else's", close, PoolError::NotPayer);
    let elsewhere = k2.open_cursor(1).with("payer", other);
    k2.send("another's address", elsewhere)
        .must_fault("cursor", AccountFault::WrongAddress);
    let id = k2.cursor_key(k2.payer, 2);
    let elsewhere = k2.open_cursor(1).with("cursor", id);
    k2.send("another id's address", elsewhere)
        .must_fault("cursor", AccountFault::WrongAddress);
    must_stand_on(&k2, 0, &chain, 25);
}

/// Whatever the relay does, what a cursor has reached stays an ancestor of the best chain.
#[test]
fn a_cursor_stays_an_ancestor() {
    let mut chain = Chain::starting_at(100_000, HARD);
    chain.mine(10);
    let mut k2 = World::new("cursor/ancestor");
    k2.relay_from(&chain, 100_010);
    // Right at the checkpoint, where the ring is shorter than the deepest re-organisation.
    let open = k2.open_cursor(0);
    k2.send("opened at the checkpoint's oldest", open)
        .must_succeed();
    must_stand_on(&k2, 0, &chain, 100_000);
    chain.mine_slowly(5);
    k2.relay_on(&chain);
    let mut branch = chain.branch(100_010, "other");
    branch.mine(2);
    k2.relay_branch(100_010, &branch);
    assert_eq!(k2.relay().oldest_height.get(), 100_000);

    branch.mine_slowly(200);
    k2.relay_on(&branch);
    let oldest = branch.tip() - 191;
    let open = k2.open_cursor(1);
    k2.send("opened with a full ring", open).must_succeed();
    must_stand_on(&k2, 1, &branch, oldest);
    // As deep as it goes, again and again: the tip falls, the oldest block stays.
    for name in ["first", "second", "third"] {
        let base = branch.tip() - 24;
        let mut deeper = branch.branch(base, name);
        while deeper.work(deeper.tip()) <= branch.work(branch.tip()) {
            deeper.mine(1);
        }
        k2.relay_branch(base, &deeper);
        branch = deeper;
        k2.relay_must_hold(&branch, oldest);
    }
    must_stand_on(&k2, 1, &branch, oldest);
    must_stand_on(&k2, 0, &branch, 100_000);
    let down = k2.advance_cursor(1, &branch.headers((oldest - 9..=oldest).rev()));
    k2.send("and walks on", down).must_succeed();
    must_stand_on(&k2, 1, &branch, oldest - 10);
}

#[test]
fn cursors_are_never_paused() {
    let (mut k2, chain) = relayed("cursor/paused", 55);
    let pause = k2.pause(k2.guardian, Pause::ALL);
    k2.send("everything is paused", pause).must_succeed();
    k2.walk_down(3, &chain, 4);
    must_stand_on(&k2, 3, &chain, 4);
    let close = k2.close_cursor(3);
    k2.send("it is closed", close).must_succeed();
}
