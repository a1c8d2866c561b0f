//! Blocks below the ring, and when records of used outputs are closed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::state::MAX_REORG;
use k2_interface::{AccountFault, PoolError};
use k2_tests::minting::{MINT_COINBASE_UNITS, REWARD, deposit};
use k2_tests::{BTC, World, scripts};

#[test]
fn a_reward_is_not_lost_with_the_ring() {
    let (mut k2, mut chain) = World::matured("mint/cursor");
    chain.mine(201);
    k2.relay_on(&chain);
    assert_eq!(chain.tip() - 21, 300);
    let before = k2.config();
    let proof = chain.coinbase_proof(21);
    let late = k2.mint_coinbase(&proof);
    k2.must_refuse("it left the ring", late, PoolError::BlockNotInRing);
    let mint = k2.mint_coinbase(&proof.clone().at_cursor(4));
    k2.send("no cursor", mint.clone())
        .must_fault("cursor", AccountFault::Uninitialized);
    k2.walk_down(4, &chain, 22);
    k2.must_refuse("a block too high", mint.clone(), PoolError::UnknownBlock);
    let other_height = k2.mint_coinbase(&proof.clone().at_cursor(4).height(22));
    k2.must_refuse(
        "another block's header",
        other_height,
        PoolError::UnknownBlock,
    );
    let step = k2.advance_cursor(4, &chain.headers([22]));
    k2.send("down to it", step).must_succeed();
    let other_height = k2.mint_coinbase(&proof.clone().at_cursor(4).height(22));
    k2.must_refuse("another height", other_height, PoolError::UnknownBlock);

    let other = k2.somebody("other payer");
    let theirs = mint.clone().with("payer", other);
    k2.must_refuse("somebody else's cursor", theirs, PoolError::NotPayer);
    k2.send_within(MINT_COINBASE_UNITS, "it is minted", mint.clone())
        .must_succeed();
    k2.must_have_minted(&before, REWARD);
    k2.must_be_recorded(&proof, REWARD);
    k2.must_refuse("again", mint, PoolError::AlreadyUsed);
}

/// Cursor and buffer together, and a record that is closed when its output can never be proved again.
#[test]
fn a_record_stays_as_long_as_its_block_can_be_proved() {
    let (mut k2, mut chain) = World::matured("mint/horizon");
    let horizon = k2.config().parameters.mint_horizon.get();
    let minted = k2.mint_coinbase(&chain.coinbase_proof(21));
    k2.send("it is minted", minted.clone()).must_succeed();
    let record = minted.key("deposit");
    let rent = k2.k2.lamports(&record);
    let payer = k2.payer;
    let other = k2.somebody("other payer");

    // A second one, that nobody mints until the last moment.
    let mut chain2 = chain.clone();
    let late = chain2.pay_coinbase(&scripts::coinbase(), BTC);
    chain = chain2;
    let last_tip = late + horizon;
    chain.mine(last_tip - chain.tip());
    k2.relay_on(&chain);
    k2.walk_down(0, &chain, late);
    let proof = chain.coinbase_proof(late).at_cursor(0).in_buffer(0);
    k2.fill_buffer(0, &proof.bytes);
    let mint = k2.mint_coinbase(&proof);

    // The first one's horizon was 100 blocks ago.
    let close = k2.close_deposit(record, payer);
    let other_receiver = k2.close_deposit(record, other);
    assert!(21 + horizon + MAX_REORG < chain.tip());
    k2.send("the rent is its payer's", other_receiver)
        .must_fault("rent_receiver", AccountFault::WrongAddress);
    let lamports = k2.k2.lamports(&payer);
    k2.send("the first record is closed", close.clone())
        .must_succeed();
    assert!(k2.is_gone(record));
    assert_eq!(k2.k2.lamports(&payer), lamports + rent);
    k2.send("once", close)
        .must_fault("deposit", AccountFault::Uninitialized);
    // Its coinbase is behind the horizon for good.
    k2.walk_down(1, &chain, 21);
    let again = k2.mint_coinbase(&chain.coinbase_proof(21).at_cursor(1));
    k2.must_refuse("again", again, PoolError::BelowHorizon);

    k2.send("at the last moment", mint).must_succeed();
    let record = k2.deposit_key(&proof.txid, 0);
    let close = k2.close_deposit(record, payer);
    for tip in [last_tip, last_tip + 1, last_tip + MAX_REORG] {
        chain.mine(tip - chain.tip());
        k2.relay_on(&chain);
        k2.must_refuse("too early", close.clone(), PoolError::AboveHorizon);
    }
    chain.mine(1);
    k2.relay_on(&chain);
    k2.send("25 blocks below the horizon", close).must_succeed();
    let again = k2.mint_coinbase(&proof);
    k2.must_refuse("again", again, PoolError::BelowHorizon);
}

#[test]
fn one_block_below_the_horizon_is_too_late() {
    let (mut k2, mut chain) = World::matured("mint/below_horizon");
    let horizon = k2.config().parameters.mint_horizon.get();
    chain.mine(21 + horizon + 1 - chain.tip());
    k2.relay_on(&chain);
    k2.walk_down(0, &chain, 21);
    let mint = k2.mint_coinbase(&chain.coinbase_proof(21).at_cursor(0));
    k2.must_refuse("too late", mint, PoolError::BelowHorizon);
}

/// Records of spent outputs are closed like the others.
#[test]
fn records_of_spent_outputs_are_closed_too() {
    let (mut k2, mut chain, height) = World::deposited("mint/close_spent", vec![deposit(BTC)]);
    let proof = chain.payment_proof(height, 1);
    let mint = k2.mint_deposit(&proof);
    k2.send("it is minted", mint.clone()).must_succeed();
    let horizon = k2.config().parameters.mint_horizon.get();
    let records = [mint.key("deposit"), mint.key("spent")];
    let payer = k2.payer;
    chain.mine(height + horizon + MAX_REORG - chain.tip());
    k2.relay_on(&chain);
    for record in records {
        let close = k2.close_deposit(record, payer);
        k2.must_refuse("too early", close, PoolError::AboveHorizon);
    }
    chain.mine(1);
    k2.relay_on(&chain);
    for record in records {
        let as_payout = k2.close_payout(record, payer);
        k2.send("it is no payout", as_payout)
            .must_fault("payout", AccountFault::WrongKind);
        let close = k2.close_deposit(record, payer);
        k2.send("it is closed", close).must_succeed();
        assert!(k2.is_gone(record));
    }
}
