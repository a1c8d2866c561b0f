//! Where the relay begins.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::CompactTarget;
use k2_interface::bitcoin::{Network, linked};
use k2_interface::state::Relay;
use k2_interface::{AccountFault, PoolError};
use k2_tests::World;
use k2_tests::bitcoin::{Chain, EASY, HARD, Template, spoil};

#[test]
fn the_checkpoint_is_eleven_headers_or_all_from_genesis() {
    let mut chain = Chain::regtest();
    chain.mine(40);
    for (height, oldest) in [(0, 0), (1, 0), (9, 0), (10, 0), (11, 1), (40, 30)] {
        let mut k2 = World::new(&format!("relay/checkpoint_at_{height}"));
        let payer_before = k2.k2.lamports(&k2.payer);
        let (args, headers) = k2.checkpoint(&chain, height);
        let initialize = k2.initialize_relay(args, &headers);
        k2.send_within(35_000, "the relay is set up", initialize.clone())
            .must_succeed();
        k2.relay_must_hold(&chain.branch(height, "best"), oldest);
        let relay = k2.relay();
        assert_eq!(relay.network, u8::from(Network::Regtest));
        let epochs = relay.epochs.iter().filter(|slot| slot.bits.get() != 0);
        assert_eq!(epochs.count(), 1);
        let rent = k2.k2.rent(size_of::<Relay>());
        assert_eq!(k2.k2.lamports(&k2.relay_key()), rent);
        assert_eq!(k2.k2.lamports(&k2.payer), payer_before - rent);

        k2.send("it is set up once", initialize)
            .must_fault("relay", AccountFault::AlreadyInitialized);
        // And it goes on from there.
        k2.relay_on(&chain);
        k2.relay_must_hold(&chain, oldest);
    }
}

#[test]
fn only_the_authority_sets_the_checkpoint() {
    let mut chain = Chain::regtest();
    chain.mine(20);
    let mut k2 = World::new("relay/checkpoint_by_others");
    let (args, headers) = k2.checkpoint(&chain, 20);
    let initialize = k2.initialize_relay(args, &headers);
    for other in [k2.guardian, k2.upgrade_authority, k2.payer] {
        k2.send(
            "somebody else tries",
            initialize.clone().with("authority", other),
        )
        .must_fail_with(PoolError::NotAuthority);
    }
    k2.send(
        "the authority did not sign",
        initialize.signed("authority", false),
    )
    .must_fault("authority", AccountFault::NotSigner);
}

#[test]
fn checkpoint_headers_must_be_a_chain() {
    let mut chain = Chain::regtest();
    chain.mine(30);
    let mut k2 = World::new("relay/checkpoint_headers");
    let (args, headers) = k2.checkpoint(&chain, 25);
    let mut refuse = |step: &str, args, headers: &[u8], error: PoolError| {
        let initialize = k2.initialize_relay(args, headers);
        k2.send(step, initialize).must_fail_with(error);
    };
    refuse("none", args, &[], PoolError::HeaderCount);
    let short = &headers[..559];
    refuse("cut short", args, short, PoolError::HeaderCount);
    refuse("cut off", args, &headers[..79], PoolError::HeaderCount);
    let whole = &chain.headers(24..=25);
    refuse("not packed", args, whole, PoolError::HeaderCount);
    let twelve = packed(&chain, 14..=25);
    refuse("twelve", args, &twelve, PoolError::HeaderCount);
    let ten = packed(&chain, 16..=25);
    refuse("ten", args, &ten, PoolError::BadCheckpoint);
    let mut low = args;
    low.height = 5;
    refuse("eleven up to 5", low, &headers, PoolError::BadCheckpoint);
    low.height = u32::MAX;
    refuse("no height", low, &headers, PoolError::BadCheckpoint);

    // A header that follows another one than the one before it was mined for another hash.
    let swapped = packed(&chain, (15..=23).chain([25, 24]));
    refuse("out of order", args, &swapped, PoolError::NotEnoughWork);
    let mut other = chain.clone().branch(24, "best");
    let mut block = other.next(Template::default());
    spoil(&mut block.header);
    other.append(block.clone());
    let unmined = packed(&other, 15..=25);
    refuse("not mined", args, &unmined, PoolError::NotEnoughWork);
    block.header.bits = CompactTarget::from_consensus(0x2100_ffff);
    let mut other = chain.branch(24, "best");
    other.append(block);
    let above = packed(&other, 15..=25);
    refuse("above the limit", args, &above, PoolError::BadTarget);
}

/// Headers as a checkpoint brings them.
fn packed(chain: &Chain, heights: impl IntoIterator<Item = u32>) -> Vec<u8> {
    linked::encode(chain.headers(heights).as_chunks().0)
}

#[test]
fn regtest_begins_with_its_own_genesis() {
    let mut foreign = Chain::starting_at(0, EASY);
    foreign.mine(20);
    let mut k2 = World::new("relay/checkpoint_genesis");
    for height in [0, 5, 10] {
        let (mut args, headers) = k2.checkpoint(&foreign, height);
        // All else is as it must be.
        args.chain_work = 2 * u128::from(height + 1);
        let initialize = k2.initialize_relay(args, &headers);
        k2.send("another first block", initialize)
            .must_fail_with(PoolError::BadCheckpoint);
    }
    let genesis = [
        (Network::Main, bitcoin::Network::Bitcoin),
        (Network::Testnet4, bitcoin::Network::Testnet4),
        (Network::Signet, bitcoin::Network::Signet),
        (Network::Regtest, bitcoin::Network::Regtest),
    ];
    for (ours, theirs) in genesis {
        use bitcoin::hashes::Hash as _;
        let block = bitcoin::constants::genesis_block(theirs);
        assert_eq!(ours.genesis_hash(), block.block_hash().to_byte_array());
    }
}

#[test]
fn checkpoint_work_must_be_possible() {
    let mut chain = Chain::regtest();
    chain.mine(30);
    let mut k2 = World::new("relay/checkpoint_work");
    // Eleven regtest blocks are 22 of work.
    for (height, work, error) in [
        (25, 0, Some(PoolError::BadCheckpoint)),
        (25, 21, Some(PoolError::BadCheckpoint)),
        (25, 22, Some(PoolError::BadCheckpoint)),
        (10, 21, Some(PoolError::BadCheckpoint)),
        (10, 23, Some(PoolError::BadCheckpoint)),
        (25, 23, None),
    ] {
        let (mut args, headers) = k2.checkpoint(&chain, height);
        args.chain_work = work;
        let initialize = k2.initialize_relay(args, &headers);
        let sent = k2.send("a checkpoint's work", initialize);
        match error {
            Some(error) => sent.must_fail_with(error),
            None => sent.must_succeed(),
        };
    }
    let relay = k2.relay();
    assert_eq!(relay.entry(25).unwrap().chain_work.get(), 23);
    assert_eq!(relay.entry(15).unwrap().chain_work.get(), 3);
}

#[test]
fn checkpoint_epoch_must_fit_its_headers() {
    let mut k2 = World::new("relay/checkpoint_epoch");
    // Block 4,032 begins an epoch.
    let mut chain = Chain::starting_at(4_020, HARD);
    chain.mine(10).mine_slowly(1).mine(20);
    let (args, headers) = k2.checkpoint(&chain, 4_041);
    let mut refuse = |step: &str, args, headers: &[u8], error| {
        let initialize = k2.initialize_relay(args, headers);
        k2.send(step, initialize).must_fail_with(error);
    };
    for (bits, error) in [
        (0, PoolError::BadTarget),
        (0x2100_ffff, PoolError::BadTarget),
        (0x201f_fffe, PoolError::BadCheckpoint),
        (EASY, PoolError::BadCheckpoint),
    ] {
        let mut args = args;
        args.epoch_bits = bits;
        refuse("other bits", args, &headers, error);
    }
    let mut late = args;
    late.epoch_start_time += 1;
    refuse("another start", late, &headers, PoolError::BadCheckpoint);

    // Easy blocks are the late ones, and all late ones are easy.
    for (step, time, bits) in [
        ("an easy block in time", 600, EASY),
        ("a hard block half an hour late", 1_800, HARD),
        ("an easy block at the limit", 1_200, EASY),
    ] {
        let mut other = chain.clone();
        let block = Template {
            time: Some(chain.time(4_051) + time),
            bits: Some(bits),
            ..Template::default()
        };
        let height = other.push(block);
        let first = height - 10;
        let mut args = args;
        args.height = height;
        args.chain_work = other.work(height);
        let headers = packed(&other, first..=height);
        refuse(step, args, &headers, PoolError::BadCheckpoint);
    }
    let mut late = chain.clone();
    late.mine_slowly(1);
    k2.relay_from(&late, 4_052);
    k2.relay_must_hold(&late, 4_042);
}

#[test]
fn a_checkpoint_may_lie_across_an_epochs_first_block() {
    let mut chain = Chain::starting_at(4_026, HARD);
    chain.mine(30);
    let mut k2 = World::new("relay/checkpoint_across_epochs");
    k2.relay_from(&chain, 4_036);
    k2.relay_must_hold(&chain, 4_026);
    // Only its last block's epoch is known, and the earlier ones are not asked for.
    let relay = k2.relay();
    assert_eq!(relay.epoch(4_031), None);
    assert_eq!(
        relay.epoch(4_032).unwrap().start_time.get(),
        chain.time(4_032)
    );
}
