//! Settling redemptions by the proof of their payout.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::{Transaction, TxOut};
use k2_interface::bitcoin::RedeemIds;
use k2_interface::bitcoin::transaction::MAX_TX_LEN;
use k2_interface::state::{Kind, MAX_PROOF, MAX_REORG, PackedScript, Record, RedemptionState};
use k2_interface::{AccountFault, PoolError};
use k2_tests::bitcoin::{
    Chain, Proof, Template, data_output, output, payment, somebodys_coin, stripped,
};
use k2_tests::minting::REWARD;
use k2_tests::redeeming::{EACH, MAX_FEE, padding};
use k2_tests::rewards::address;
use k2_tests::{BTC, World, scripts};
use solana_pubkey::Pubkey;

/// What a settlement may cost in Solana 1.14.
const SETTLE: u64 = 30_000;

/// What a redemption of one BTC pays at least.
const LEAST: u64 = BTC - MAX_FEE;

/// Where the owner wants its BTC.
fn destination() -> PackedScript {
    scripts::p2wpkh("owner's wallet")
}

/// The owner redeems one BTC.
#[track_caller]
fn request(k2: &mut World, owner: Pubkey) -> u64 {
    let id = k2.config().totals.redemptions.get();
    let request = k2.request_redeem(owner, BTC, MAX_FEE, destination());
    k2.send("a redemption is requested", request).must_succeed();
    id
}

/// The same with a payout for redemption 0 that has six confirmations.
fn paid(story: &str, transaction: Transaction) -> (World, Chain, Pubkey, Proof) {
    let (mut k2, mut chain, owner) = World::redeemable(story);
    assert_eq!(request(&mut k2, owner), 0);
    let height = chain.include(vec![transaction]);
    chain.mine(5);
    k2.relay_on(&chain);
    let proof = chain.payment_proof(height, 1);
    (k2, chain, owner, proof)
}

/// A transaction of custody's.
fn payout(outputs: Vec<TxOut>) -> Transaction {
    payment(&[somebodys_coin("custody's")], outputs)
}

/// An output that names redemptions.
fn names(ids: &[u64]) -> TxOut {
    data_output(RedeemIds::encode(ids).unwrap())
}

#[test]
fn a_payout_burns_what_was_redeemed() {
    let change = output(&scripts::p2wsh("change"), 7 * BTC);
    let outputs = vec![output(&destination(), LEAST), change, names(&[0])];
    let (mut k2, _, _, proof) = paid("settle/payout", payout(outputs));
    let (before, open) = (k2.config(), k2.redemption(0));
    assert_eq!(k2.k2.token_balance(&k2.escrow_key()), BTC);
    let lamports = k2.k2.lamports(&k2.payer);

    let settle = k2.settle(0, &proof);
    k2.send_within(SETTLE, "it is settled", settle.clone())
        .must_succeed();
    let mut wanted = open;
    wanted.state = RedemptionState::Settled as u8;
    wanted.payout_txid = proof.txid;
    wanted.payout_vout = 0.into();
    wanted.paid = LEAST.into();
    assert_eq!(k2.redemption(0), wanted);
    let mut wanted = before;
    wanted.totals.burned = BTC.into();
    wanted.totals.escrowed = 0.into();
    assert_eq!(k2.config(), wanted);
    assert_eq!(k2.k2.token_balance(&k2.escrow_key()), 0);
    assert_eq!(k2.k2.mint_supply(&k2.mint_key()), REWARD - BTC);
    assert_eq!(k2.config().supply(), Some(REWARD - BTC));
    let record: Record = k2.read(k2.payout_key(&proof.txid, 0), Kind::Payout);
    assert_eq!(record.payer, address(k2.payer));
    assert_eq!(record.txid, proof.txid);
    assert_eq!(record.vout.get(), 0);
    assert_eq!(record.height.get(), proof.height);
    assert_eq!(record.value.get(), LEAST);
    let rent = k2.k2.rent(size_of::<Record>());
    assert_eq!(k2.k2.lamports(&k2.payer), lamports - rent);

    k2.must_refuse("again", settle, PoolError::RedemptionNotOpen);
}

#[test]
fn the_output_must_be_what_was_asked_for() {
    let outputs = vec![
        output(&destination(), LEAST - 1),
        output(&scripts::p2wpkh("somebody else"), BTC),
        names(&[0]),
        output(&destination(), 2 * BTC),
    ];
    let (mut k2, _, _, proof) = paid("settle/outputs", payout(outputs));
    for (vout, error) in [
        (0, PoolError::Underpaid),
        (1, PoolError::WrongDestination),
        (2, PoolError::WrongDestination),
        (4, PoolError::NoSuchOutput),
        (u32::MAX, PoolError::NoSuchOutput),
    ] {
        let settle = k2.settle(0, &proof.clone().vout(vout));
        k2.must_refuse("another output", settle, error);
    }
    // Custody may pay more; that is not the owner's loss.
    let settle = k2.settle(0, &proof.vout(3));
    k2.send("more than was asked for", settle).must_succeed();
    let settled = k2.redemption(0);
    assert_eq!(settled.paid.get(), 2 * BTC);
    assert_eq!(settled.payout_vout.get(), 3);
    assert_eq!(k2.config().totals.burned.get(), BTC);
}

#[test]
fn the_payout_must_name_the_redemption() {
    let mut unknown = RedeemIds::encode(&[0]).unwrap();
    unknown[6] = 2;
    let mut long = RedeemIds::encode(&[0]).unwrap();
    long.push(0);
    let pays = || output(&destination(), LEAST);
    let transactions = [
        ("nothing is named", vec![pays()]),
        ("another one is", vec![pays(), names(&[1])]),
        ("others are", vec![pays(), names(&[1, 3, 500])]),
        ("in another version", vec![pays(), data_output(unknown)]),
        ("in another form", vec![pays(), data_output(long)]),
        ("by no data", vec![pays(), data_output(vec![0x6a])]),
    ];
    let (mut k2, mut chain, owner) = World::redeemable("settle/names");
    request(&mut k2, owner);
    let mut all: Vec<_> = transactions
        .iter()
        .map(|(_, outputs)| payout(outputs.clone()))
        .collect();
    // Any of its outputs may do so.
    all.push(payout(vec![names(&[7]), pays(), names(&[0, 2])]));
    let height = chain.include(all);
    chain.mine(5);
    k2.relay_on(&chain);
    for ((step, _), index) in transactions.iter().zip(1..) {
        let settle = k2.settle(0, &chain.payment_proof(height, index));
        k2.must_refuse(step, settle, PoolError::IdNotNamed);
    }
    let last = chain.payment_proof(height, 7).vout(1);
    let settle = k2.settle(0, &last);
    k2.send("it is named", settle).must_succeed();
}

#[test]
fn a_payout_needs_its_confirmations() {
    let (mut k2, mut chain, owner) = World::redeemable("settle/confirmations");
    request(&mut k2, owner);
    let outputs = vec![output(&destination(), LEAST), names(&[0])];
    let height = chain.include(vec![payout(outputs)]);
    chain.mine(4);
    k2.relay_on(&chain);
    let settle = k2.settle(0, &chain.payment_proof(height, 1));
    k2.must_refuse("5 confirmations", settle.clone(), PoolError::Immature);
    chain.mine(1);
    k2.relay_on(&chain);
    k2.send("6 confirmations", settle).must_succeed();
}

#[test]
fn what_was_paid_before_the_request_is_not_for_it() {
    let (mut k2, mut chain, owner) = World::redeemable("settle/before_request");
    let outputs = vec![output(&destination(), LEAST), names(&[0])];
    let first = chain.include(vec![payout(outputs.clone())]);
    let second = chain.include(vec![payment(&[somebodys_coin("another")], outputs.clone())]);
    k2.relay_on(&chain);
    request(&mut k2, owner);
    assert_eq!(k2.redemption(0).requested_height.get(), second);
    let third = chain.include(vec![payment(&[somebodys_coin("a third")], outputs)]);
    chain.mine(5);
    k2.relay_on(&chain);
    for height in [first, second] {
        let settle = k2.settle(0, &chain.payment_proof(height, 1));
        k2.must_refuse("paid before", settle, PoolError::PaidTooEarly);
    }
    let settle = k2.settle(0, &chain.payment_proof(third, 1));
    k2.send("in the block after it", settle).must_succeed();
}

#[test]
fn a_coinbase_is_no_payout() {
    let (mut k2, mut chain, owner) = World::redeemable("settle/coinbase");
    request(&mut k2, owner);
    let other = payment(
        &[somebodys_coin("any")],
        vec![output(&destination(), 1_000)],
    );
    let height = chain.push(Template {
        coinbase: vec![output(&destination(), BTC), names(&[0])],
        transactions: vec![other],
        ..Template::default()
    });
    chain.mine(5);
    k2.relay_on(&chain);
    let coinbase = chain.coinbase_proof(height);
    let settle = k2.settle(0, &coinbase);
    k2.must_refuse("a coinbase proof", settle, PoolError::IsCoinbase);
    let underpaid = k2.settle(0, &chain.payment_proof(height, 1));
    k2.must_refuse("the other one", underpaid, PoolError::Underpaid);
}

#[test]
fn the_payouts_block_must_be_on_the_best_chain() {
    let outputs = vec![output(&destination(), LEAST), names(&[0])];
    let (mut k2, chain, _, proof) = paid("settle/blocks", payout(outputs));
    for (height, error) in [
        (proof.height - 1, PoolError::UnknownBlock),
        (proof.height + 1, PoolError::UnknownBlock),
        (chain.tip() + 1, PoolError::BlockNotInRing),
    ] {
        let settle = k2.settle(0, &proof.clone().height(height));
        k2.must_refuse("another height", settle, error);
    }
    let mut branch = chain.branch(proof.height - 1, "other");
    branch.mine(chain.tip() + 2 - proof.height);
    k2.relay_branch(proof.height - 1, &branch);
    let settle = k2.settle(0, &proof);
    k2.must_refuse("it was taken back", settle, PoolError::UnknownBlock);
}

#[test]
fn a_redemption_is_settled_until_it_is_refunded() {
    let outputs = vec![output(&destination(), LEAST), names(&[0, 1])];
    let (mut k2, mut chain, owner) = World::redeemable("settle/expiry");
    for id in [0, 1] {
        assert_eq!(request(&mut k2, owner), id);
    }
    let expires = k2.redemption(0).expires_height.get();
    let height = chain.include(vec![payout(outputs)]);
    chain.mine(expires + 5 - chain.tip());
    k2.relay_on(&chain);
    let proof = chain.payment_proof(height, 1);
    let refund = k2.refund_redeem(1, owner);
    k2.send("one is refunded", refund).must_succeed();
    let settle = k2.settle(1, &proof);
    k2.must_refuse("it cannot be settled", settle, PoolError::RedemptionNotOpen);
    let settle = k2.settle(0, &proof);
    k2.send("the other one can, though it has expired", settle)
        .must_succeed();
    let refund = k2.refund_redeem(0, owner);
    k2.must_refuse(
        "and is not refunded then",
        refund,
        PoolError::RedemptionNotOpen,
    );
    assert_eq!(k2.k2.token_balance(&k2.escrow_key()), 0);
    assert_eq!(k2.k2.token_balance(&k2.associated(owner).0), BTC);
    assert_eq!(k2.config().totals.burned.get(), BTC);
}

#[test]
fn one_output_settles_one_redemption() {
    let outputs = vec![
        output(&destination(), LEAST),
        names(&[0, 1]),
        output(&destination(), LEAST),
    ];
    let (mut k2, mut chain, owner) = World::redeemable("settle/batch");
    for id in [0, 1] {
        assert_eq!(request(&mut k2, owner), id);
    }
    let height = chain.include(vec![payout(outputs)]);
    chain.mine(5);
    k2.relay_on(&chain);
    let proof = chain.payment_proof(height, 1);
    let settle = k2.settle(0, &proof);
    k2.send("the first one", settle).must_succeed();
    let same = k2.settle(1, &proof);
    k2.must_refuse("by the same output", same, PoolError::OtherPayout);
    let second = proof.vout(2);
    let settle = k2.settle(1, &second);
    k2.send("by its own", settle).must_succeed();
    assert_eq!(k2.config().totals.burned.get(), 2 * BTC);
    assert_eq!(k2.config().totals.escrowed.get(), 0);
}

#[test]
fn accounts_are_the_redemptions() {
    let outputs = vec![output(&destination(), LEAST), names(&[0])];
    let (mut k2, _, _, proof) = paid("settle/accounts", payout(outputs));
    let settle = k2.settle(0, &proof);
    let others = [
        k2.payout_key(&proof.txid, 1),
        k2.deposit_key(&proof.txid, 0),
        k2.config_key(),
    ];
    for other in others {
        k2.send("another address", settle.clone().with("payout", other))
            .must_fault("payout", AccountFault::WrongAddress);
    }
    let vault = k2.vault_key();
    k2.send("out of the vault", settle.clone().with("escrow", vault))
        .must_fault("escrow", AccountFault::WrongAddress);
    let other = k2.somebody("other payer");
    k2.send("anybody may settle", settle.with("payer", other))
        .must_succeed();
}

/// Custody pays late, and nobody settles for days: cursor and buffer.
#[test]
fn an_old_payout_and_its_record() {
    let outputs = vec![output(&destination(), LEAST), names(&[0])];
    let (mut k2, mut chain, _, proof) = paid("settle/old", payout(outputs));
    let horizon = k2.config().parameters.mint_horizon.get();
    chain.mine(proof.height + horizon - chain.tip());
    k2.relay_on(&chain);
    k2.fill_buffer(0, &proof.bytes);
    k2.walk_down(0, &chain, proof.height);
    let there = proof.clone().at_cursor(0).in_buffer(0);
    let ring = k2.settle(0, &proof);
    k2.must_refuse("it left the ring", ring, PoolError::BlockNotInRing);
    let settle = k2.settle(0, &there);
    k2.send_within(SETTLE, "at the last moment", settle)
        .must_succeed();

    let record = k2.payout_key(&proof.txid, 0);
    let payer = k2.payer;
    let other = k2.somebody("other payer");
    let close = k2.close_payout(record, payer);
    for blocks in [0, 1, MAX_REORG - 1] {
        chain.mine(blocks);
        k2.relay_on(&chain);
        k2.must_refuse("too early", close.clone(), PoolError::AboveHorizon);
    }
    chain.mine(1);
    k2.relay_on(&chain);
    let theirs = k2.close_payout(record, other);
    k2.send("the rent is its payer's", theirs)
        .must_fault("rent_receiver", AccountFault::WrongAddress);
    let as_deposit = k2.close_deposit(record, payer);
    k2.send("it is no deposit", as_deposit)
        .must_fault("deposit", AccountFault::WrongKind);
    let (lamports, rent) = (k2.k2.lamports(&payer), k2.k2.lamports(&record));
    k2.send("25 blocks below the horizon", close.clone())
        .must_succeed();
    assert!(k2.is_gone(record));
    assert_eq!(k2.k2.lamports(&payer), lamports + rent);
    k2.send("once", close)
        .must_fault("payout", AccountFault::Uninitialized);
}

#[test]
fn one_block_below_the_horizon_is_too_late() {
    let outputs = vec![output(&destination(), LEAST), names(&[0])];
    let (mut k2, mut chain, _, proof) = paid("settle/below_horizon", payout(outputs));
    let horizon = k2.config().parameters.mint_horizon.get();
    chain.mine(proof.height + horizon + 1 - chain.tip());
    k2.relay_on(&chain);
    k2.walk_down(0, &chain, proof.height);
    let settle = k2.settle(0, &proof.at_cursor(0));
    k2.must_refuse("too late", settle, PoolError::BelowHorizon);
}

/// A redemption that is paid in a block whose coinbase has so many outputs, of 34 bytes each; and the proof.
fn paid_beside(story: &str, outputs: usize) -> (World, Proof) {
    let (mut k2, mut chain, owner) = World::redeemable(story);
    assert_eq!(request(&mut k2, owner), 0);
    let height = chain.push(Template {
        coinbase: padding(outputs),
        transactions: vec![payout(vec![output(&destination(), LEAST), names(&[0])])],
        ..Template::default()
    });
    chain.mine(5);
    k2.relay_on(&chain);
    let proof = chain.payment_proof(height, 1).in_buffer(0);
    (k2, proof)
}

/// Whoever finds the block with a payout chooses how long its coinbase is. If that made the payout unprovable, the holder would
/// have his bitcoin and be refunded.
#[test]
fn a_coinbase_of_12_kb_hides_no_payout() {
    let (mut k2, proof) = paid_beside("settle/long_coinbase", 350);
    assert!(proof.bytes.len() > 12_000);
    k2.fill_buffer(0, &proof.bytes);
    // Where the coinbase stands: the last sibling follows it.
    let coinbase_at = proof.bytes.len() - 32 - 350 * 34 - 60;
    for (at, error) in [
        (4, PoolError::NotCoinbase),
        (40, PoolError::NotCoinbase),
        (0, PoolError::WrongMerkleRoot),
        (6_000, PoolError::WrongMerkleRoot),
    ] {
        let mut bytes = proof.bytes.clone();
        bytes[coinbase_at + at] ^= 1;
        k2.place_buffer(1, &bytes, bytes.len());
        let settle = k2.settle(0, &proof.clone().in_buffer(1));
        k2.must_refuse("another coinbase", settle, error);
        let close = k2.close_buffer(1);
        k2.send("its buffer is closed", close).must_succeed();
    }
    let settle = k2.settle(0, &proof);
    k2.send_within(2 * SETTLE, "it is settled", settle)
        .must_succeed();
    assert_eq!(k2.config().totals.burned.get(), BTC);
}

/// The proof of the last redemption of a batch stands in its buffer but for 500 bytes. It is written to its end, and used.
#[track_caller]
fn must_settle_beside(mut k2: World, proof: &Proof, id: u64) {
    assert!(proof.bytes.len() <= MAX_PROOF as usize);
    k2.place_buffer(0, &proof.bytes, proof.bytes.len() - 500);
    let settle = k2.settle(id, proof);
    k2.must_refuse("not all of it", settle.clone(), PoolError::BufferIncomplete);
    k2.write_on(0, &proof.bytes);
    let step = k2.k2.step("it is settled").instruction(settle.into());
    // A transaction can have 1,400,000.
    let step = step.compute_limit(1_400_000).ceiling(1_150_000);
    step.send().must_succeed();
    let settled = k2.redemption(id).state;
    assert_eq!(settled, RedemptionState::Settled as u8);
    let close = k2.close_buffer(0);
    k2.send("the buffer is closed", close).must_succeed();
}

#[test]
fn a_coinbase_of_900_kb_hides_no_payout() {
    let (k2, proof) = paid_beside("settle/coinbase_of_900_kb", 26_500);
    assert!(proof.bytes.len() > 901_000);
    must_settle_beside(k2, &proof, 0);
}

/// The largest block there is: the longest payment that can be proved, and a coinbase that takes all the rest.
#[test]
fn a_block_of_two_transactions_hides_no_payout() {
    let (k2, chain, height) = World::paid_in_one("settle/largest_block", 100, 136, padding(29_114));
    let block = chain.block(height);
    let length = |index: usize| stripped(&block.txdata[index]).len();
    assert!((9_900..=MAX_TX_LEN).contains(&length(1)), "{}", length(1));
    let stripped = 80 + 1 + length(0) + length(1);
    assert!((999_900..=1_000_000).contains(&stripped), "{stripped}");
    let proof = chain.payment_proof(height, 1).vout(99).in_buffer(0);
    must_settle_beside(k2, &proof, 99);
}

/// The payouts of one transaction have one proof: it is written once, and each transaction settles as many as fit.
#[test]
fn a_hundred_redemptions_are_settled_from_one_buffer() {
    // A client, whose payer pays the fee too, has room for one more.
    const FIT: usize = 7;
    let (mut k2, chain, height) = World::paid_in_one("settle/hundred", 100, 50, vec![]);
    let ids: Vec<u64> = (0..100).collect();
    let proof = chain.payment_proof(height, 1).in_buffer(0);
    let before = k2.config().totals;
    k2.fill_buffer(0, &proof.bytes);
    let mut transactions = 0;
    for some in ids.chunks(FIT) {
        let settle = |id: &u64| k2.settle(*id, &proof.clone().vout(*id as u32)).into();
        let settles: Vec<_> = some.iter().map(settle).collect();
        let step = k2.k2.step("some are settled").instructions(settles);
        let step = step.compute_limit(1_400_000).ceiling(52_000 * FIT as u64);
        step.send().must_succeed();
        transactions += 1;
    }
    assert_eq!(transactions, 15);
    let close = k2.close_buffer(0);
    k2.send("the buffer is closed", close).must_succeed();
    for id in ids {
        let redemption = k2.redemption(id);
        assert_eq!(redemption.state, RedemptionState::Settled as u8);
        assert_eq!(redemption.payout_vout.get(), id as u32);
    }
    let after = k2.config().totals;
    assert_eq!(after.burned.get(), before.burned.get() + 100 * EACH);
    assert_eq!(after.escrowed.get(), 0);
}
