//! Buffers: proofs in pieces. What reads them is tested with minting.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::state::{Buffer, Kind, MAX_PROOF, Pause};
use k2_interface::{AccountFault, PoolError};
use k2_tests::bitcoin::sha256;
use k2_tests::rewards::address;
use k2_tests::{Call, World};

/// A proof of that many bytes, so to speak.
fn bytes(length: u32) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

/// The buffer announces these bytes and holds so many of them.
#[track_caller]
fn must_hold(k2: &World, id: u32, bytes: &[u8], written: usize) {
    let key = k2.buffer_key(k2.payer, id);
    let buffer: Buffer = k2.read(key, Kind::Buffer);
    assert_eq!(buffer.payer, address(k2.payer));
    assert_eq!(buffer.id.get(), id);
    assert_eq!(buffer.length.get() as usize, bytes.len());
    assert_eq!(buffer.written.get() as usize, written);
    assert_eq!(buffer.sha256, sha256(&[bytes]));
    assert_eq!(k2.k2.data(&key)[size_of::<Buffer>()..], bytes[..written]);
    // What is to be written is paid for.
    let rent = k2.k2.rent(size_of::<Buffer>() + bytes.len());
    assert!(k2.k2.lamports(&key) >= rent);
}

#[track_caller]
fn must_refuse(k2: &mut World, step: &str, call: Call, error: PoolError) {
    k2.send(step, call).must_fail_with(error);
}

#[test]
fn a_proof_is_written_in_order() {
    let mut k2 = World::new("buffer/in_order");
    let bytes = bytes(100);
    let lamports = k2.k2.lamports(&k2.payer);
    let open = k2.open_buffer(5, 100, sha256(&[&bytes]));
    k2.send_within(15_000, "it is announced", open.clone())
        .must_succeed();
    must_hold(&k2, 5, &bytes, 0);
    let rent = k2.k2.rent(size_of::<Buffer>() + 100);
    assert_eq!(k2.k2.lamports(&k2.payer), lamports - rent);
    k2.send("it is open", open)
        .must_fault("buffer", AccountFault::AlreadyInitialized);

    let write = |k2: &World, offset: u32, length: u32| {
        let piece = &bytes[offset as usize..(offset + length) as usize];
        k2.write_buffer(5, offset, piece)
    };
    let gap = write(&k2, 1, 9);
    must_refuse(&mut k2, "a gap", gap, PoolError::BufferRange);
    let nothing = write(&k2, 0, 0);
    must_refuse(&mut k2, "nothing", nothing, PoolError::BufferRange);
    let first = write(&k2, 0, 40);
    k2.send_within(2_000, "the first piece", first.clone())
        .must_succeed();
    must_hold(&k2, 5, &bytes, 40);
    must_refuse(&mut k2, "again", first, PoolError::BufferRange);
    let overlap = write(&k2, 39, 10);
    must_refuse(&mut k2, "an overlap", overlap, PoolError::BufferRange);
    let gap = write(&k2, 41, 10);
    must_refuse(&mut k2, "a gap", gap, PoolError::BufferRange);
    let last = write(&k2, 99, 1);
    must_refuse(&mut k2, "the end", last, PoolError::BufferRange);
    let beyond = k2.write_buffer(5, 40, &[1; 61]);
    must_refuse(&mut k2, "beyond the end", beyond, PoolError::BufferRange);
    let far = k2.write_buffer(5, u32::MAX, &[1; 2]);
    must_refuse(&mut k2, "far beyond", far, PoolError::BufferRange);
    must_hold(&k2, 5, &bytes, 40);
    let rest = write(&k2, 40, 60);
    k2.send("the rest", rest).must_succeed();
    must_hold(&k2, 5, &bytes, 100);
    let more = k2.write_buffer(5, 100, &[1]);
    must_refuse(&mut k2, "one more", more, PoolError::BufferRange);

    let close = k2.close_buffer(5);
    k2.send("it is closed", close.clone()).must_succeed();
    assert!(k2.is_gone(k2.buffer_key(k2.payer, 5)));
    assert_eq!(k2.k2.lamports(&k2.payer), lamports);
    k2.send("once", close)
        .must_fault("buffer", AccountFault::Uninitialized);
    let late = write(&k2, 0, 1);
    k2.send("too late", late)
        .must_fault("buffer", AccountFault::Uninitialized);
}

#[test]
fn a_buffer_has_a_length() {
    let mut k2 = World::new("buffer/lengths");
    for length in [0, MAX_PROOF + 1, u32::MAX] {
        let open = k2.open_buffer(0, length, [0; 32]);
        must_refuse(&mut k2, "a length", open, PoolError::BadArgument);
    }
    // Longer than what one instruction can create.
    for length in [1, 15_000] {
        let bytes = bytes(length);
        k2.fill_buffer(length, &bytes);
        must_hold(&k2, length, &bytes, bytes.len());
    }
}

/// As long as a block: it is written to its end, and gives all its rent back.
#[test]
fn a_buffer_as_long_as_a_block() {
    let mut k2 = World::new("buffer/block");
    let bytes = bytes(MAX_PROOF);
    let lamports = k2.k2.lamports(&k2.payer);
    k2.place_buffer(0, &bytes, bytes.len() - 1_000);
    must_hold(&k2, 0, &bytes, bytes.len() - 1_000);
    let rent = k2.k2.rent(size_of::<Buffer>() + bytes.len());
    assert_eq!(k2.k2.lamports(&k2.payer), lamports - rent);
    let at = MAX_PROOF - 1_000;
    let write = k2.write_buffer(0, at, &bytes[at as usize..][..800]);
    k2.send_within(1_000, "a piece", write).must_succeed();
    let beyond = k2.write_buffer(0, at + 800, &[1; 201]);
    must_refuse(&mut k2, "beyond the end", beyond, PoolError::BufferRange);
    k2.write_on(0, &bytes);
    must_hold(&k2, 0, &bytes, bytes.len());
    let close = k2.close_buffer(0);
    k2.send_within(1_000, "it is closed", close).must_succeed();
    assert!(k2.is_gone(k2.buffer_key(k2.payer, 0)));
    assert_eq!(k2.k2.lamports(&k2.payer), lamports);
}

#[test]
fn buffers_are_their_payers() {
    let mut k2 = World::new("buffer/payers");
    let bytes = bytes(10);
    let open = k2.open_buffer(0, 10, sha256(&[&bytes]));
    k2.send("it is announced", open.clone()).must_succeed();
    let other = k2.somebody("other payer");
    let write = k2.write_buffer(0, 0, &bytes).with("payer", other);
    must_refuse(&mut k2, "somebody else's", write, PoolError::NotPayer);
    let close = k2.close_buffer(0).with("payer", other);
    must_refuse(&mut k2, "somebody else's", close, PoolError::NotPayer);
    let id = k2.buffer_key(k2.payer, 2);
    k2.send("another id's address", open.with("buffer", id))
        .must_fault("buffer", AccountFault::WrongAddress);
    let elsewhere = k2.open_buffer(2, 10, [0; 32]).with("payer", other);
    k2.send("another's address", elsewhere)
        .must_fault("buffer", AccountFault::WrongAddress);
    must_hold(&k2, 0, &bytes, 0);
}

/// Lamports at an address that is to be created would stop `create_account`.
#[test]
fn an_address_that_was_paid_to_can_still_be_opened() {
    let mut k2 = World::new("buffer/paid_before");
    let bytes = bytes(10);
    let key = k2.buffer_key(k2.payer, 0);
    let rent = k2.k2.rent(size_of::<Buffer>() + 10);
    for lamports in [1, rent - 1, rent, rent + 1] {
        k2.k2.fund(key, lamports);
        let before = k2.k2.lamports(&k2.payer);
        let open = k2.open_buffer(0, 10, sha256(&[&bytes]));
        k2.send("it is announced", open).must_succeed();
        must_hold(&k2, 0, &bytes, 0);
        assert_eq!(k2.k2.lamports(&key), rent.max(lamports));
        let close = k2.close_buffer(0);
        k2.send("it is closed", close).must_succeed();
        assert!(k2.is_gone(key));
        assert_eq!(k2.k2.lamports(&k2.payer), before + lamports);
    }
}

#[test]
fn buffers_are_never_paused() {
    let mut k2 = World::new("buffer/paused");
    let pause = k2.pause(k2.guardian, Pause::ALL);
    k2.send("everything is paused", pause).must_succeed();
    let bytes = bytes(1_000);
    k2.fill_buffer(0, &bytes);
    must_hold(&k2, 0, &bytes, 1_000);
    let close = k2.close_buffer(0);
    k2.send("it is closed", close).must_succeed();
}
