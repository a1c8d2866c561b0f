//! Minting deposits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::{Amount, OutPoint};
use k2_interface::instruction::MAX_DEPOSIT_INPUTS;
use k2_interface::state::Record;
use k2_interface::{AccountFault, PoolError};
use k2_tests::bitcoin::{Chain, output, payment, somebodys_coin};
use k2_tests::minting::{REWARD, deposit};
use k2_tests::rewards::address;
use k2_tests::{BTC, World, scripts};

#[test]
fn a_deposit_is_minted_once_and_so_are_its_coins() {
    let coins = ["one", "two"].map(somebodys_coin);
    let outputs = vec![
        output(&scripts::p2wpkh("change"), 5 * BTC),
        output(&scripts::deposit(), 2 * BTC),
        output(&scripts::deposit(), BTC),
    ];
    let (mut k2, chain, height) = World::deposited("mint/deposit", vec![payment(&coins, outputs)]);
    let before = k2.config();
    let lamports = k2.k2.lamports(&k2.payer);
    let proof = chain.payment_proof(height, 1);
    let change = k2.mint_deposit(&proof);
    k2.must_refuse("the change", change, PoolError::ForeignScript);
    let first = proof.clone().vout(1);
    let mint = k2.mint_deposit(&first);
    k2.send_within(40_000, "it is minted", mint.clone())
        .must_succeed();
    k2.must_have_minted(&before, 2 * BTC);
    k2.must_be_recorded(&first, 2 * BTC);
    // What it spends counts as used, and was not minted.
    for (txid, vout) in &proof.spent {
        let spent = k2.deposit_record(txid, *vout);
        assert_eq!(spent.txid, *txid);
        assert_eq!(spent.vout.get(), *vout);
        assert_eq!(spent.height.get(), height);
        assert_eq!(spent.value.get(), 0);
        assert_eq!(spent.payer, address(k2.payer));
    }
    let rent = k2.k2.rent(size_of::<Record>());
    assert_eq!(k2.k2.lamports(&k2.payer), lamports - 3 * rent);
    k2.must_refuse("again", mint, PoolError::AlreadyUsed);

    let second = proof.vout(2);
    let mint = k2.mint_deposit(&second);
    k2.send("its other output", mint.clone()).must_succeed();
    k2.must_have_minted(&before, 3 * BTC);
    k2.must_be_recorded(&second, BTC);
    assert_eq!(k2.k2.lamports(&k2.payer), lamports - 4 * rent);
    k2.must_refuse("again", mint, PoolError::AlreadyUsed);
}

#[test]
fn a_deposit_needs_its_confirmations() {
    let mut chain = Chain::regtest();
    let height = chain.mine(20).include(vec![deposit(BTC)]);
    chain.mine(4);
    let mut k2 = World::new("mint/deposit_immature");
    k2.relay_from(&chain, 0);
    let mint = k2.mint_deposit(&chain.payment_proof(height, 1));
    k2.must_refuse("5 confirmations", mint.clone(), PoolError::Immature);
    chain.mine(1);
    k2.relay_on(&chain);
    k2.send("6 confirmations", mint).must_succeed();
}

#[test]
fn deposits_are_those_to_the_deposit_script() {
    let outputs = vec![
        output(&scripts::coinbase(), BTC),
        output(&scripts::deposit(), 329),
        output(&scripts::deposit(), 330),
    ];
    let spends = payment(&[somebodys_coin("a coin")], outputs);
    let (mut k2, chain, height) = World::deposited("mint/deposit_outputs", vec![spends]);
    let proof = chain.payment_proof(height, 1);
    for (vout, error) in [
        (0, PoolError::ForeignScript),
        (1, PoolError::Dust),
        (3, PoolError::NoSuchOutput),
    ] {
        let mint = k2.mint_deposit(&proof.clone().vout(vout));
        k2.must_refuse("another output", mint, error);
    }
    let mint = k2.mint_deposit(&proof.clone().vout(2));
    k2.send("an output to custody", mint).must_succeed();
    let coinbase = k2.mint_coinbase(&proof.vout(2));
    k2.must_refuse("it is no coinbase", coinbase, PoolError::NotCoinbase);
}

#[test]
fn a_pool_may_take_no_deposits() {
    let mut chain = Chain::regtest();
    let height = chain.mine(20).include(vec![deposit(BTC)]);
    chain.mine(5);
    let mut k2 = World::with_rules("mint/deposits_disabled", |rules| {
        rules.deposit_script = scripts::NONE;
    });
    k2.relay_from(&chain, 0);
    let mint = k2.mint_deposit(&chain.payment_proof(height, 1));
    k2.must_refuse("a deposit", mint, PoolError::DepositsDisabled);
}

/// Custody's own coins, moved to its deposit script: neither order of the two proofs counts them twice.
#[test]
fn coins_of_custody_do_not_count_twice() {
    for (story, coinbase_first) in [("mint/coinbase_first", true), ("mint/deposit_first", false)] {
        let (mut k2, mut chain) = World::matured(story);
        let moved = payment(
            &[somebodys_coin("a fee"), chain.outpoint(21, 0, 0)],
            vec![output(&scripts::deposit(), REWARD)],
        );
        let height = chain.include(vec![moved]);
        chain.mine(5);
        k2.relay_on(&chain);
        let before = k2.config();
        let coinbase = k2.mint_coinbase(&chain.coinbase_proof(21));
        let deposit = k2.mint_deposit(&chain.payment_proof(height, 1));
        if coinbase_first {
            k2.send("the coinbase", coinbase).must_succeed();
            k2.must_refuse("the same coins", deposit, PoolError::SpendsMinted);
        } else {
            k2.send("the deposit", deposit).must_succeed();
            k2.must_refuse("the same coins", coinbase, PoolError::AlreadyUsed);
        }
        k2.must_have_minted(&before, REWARD);
    }
}

#[test]
fn a_deposit_names_what_it_spends() {
    let coins = ["one", "two"].map(somebodys_coin);
    let spends = payment(&coins, vec![output(&scripts::deposit(), BTC)]);
    let (mut k2, chain, height) = World::deposited("mint/spent_accounts", vec![spends]);
    let proof = chain.payment_proof(height, 1);
    let mint = k2.mint_deposit(&proof);
    let first = mint.place("spent");

    let mut fewer = mint.clone();
    fewer.accounts.pop();
    k2.send("one too few", fewer)
        .must_fail_with(AccountFault::Missing.at(first + 1));
    let mut none = mint.clone();
    none.accounts.truncate(first);
    k2.send("none", none)
        .must_fail_with(AccountFault::Missing.at(first));
    let mut more = mint.clone();
    let one = more.accounts[first].clone();
    more.accounts.push(one);
    k2.send("one too many", more)
        .must_fail_with(AccountFault::Extra.at(first + 2));
    let mut swapped = mint.clone();
    swapped.accounts.swap(first, first + 1);
    k2.send("out of order", swapped)
        .must_fail_with(AccountFault::WrongAddress.at(first));
    let mut twice = mint.clone();
    twice.accounts[first + 1] = twice.accounts[first].clone();
    k2.send("one twice", twice)
        .must_fail_with(AccountFault::WrongAddress.at(first + 1));
    let stranger = k2.deposit_key(&[9; 32], 0);
    k2.send(
        "another output's record",
        mint.clone().with("spent", stranger),
    )
    .must_fault("spent", AccountFault::WrongAddress);
    let own = mint.key("deposit");
    k2.send("its own record", mint.clone().with("spent", own))
        .must_fault("spent", AccountFault::WrongAddress);
    let config = k2.config_key();
    k2.send("the configuration", mint.clone().with("spent", config))
        .must_fault("spent", AccountFault::WrongAddress);
    let mut read_only = mint.clone();
    read_only.accounts[first].1.is_writable = false;
    k2.send("not writable", read_only)
        .must_fail_with(AccountFault::NotWritable.at(first));
    // Lamports that somebody sends there stop nothing.
    k2.k2.fund(mint.key("spent"), 1);
    k2.send("as it should be", mint).must_succeed();
}

#[test]
fn a_deposit_has_at_most_eight_inputs() {
    let coins: Vec<OutPoint> = (0..=MAX_DEPOSIT_INPUTS)
        .map(|number| somebodys_coin(&format!("coin {number}")))
        .collect();
    let eight = payment(
        &coins[..MAX_DEPOSIT_INPUTS],
        vec![output(&scripts::deposit(), BTC)],
    );
    let nine = payment(&coins, vec![output(&scripts::deposit(), BTC)]);
    let (mut k2, chain, height) = World::deposited("mint/inputs", vec![eight, nine]);
    let proofs = [1, 2].map(|index| chain.payment_proof(height, index).in_buffer(index));
    for proof in &proofs {
        k2.fill_buffer(proof.buffer.unwrap(), &proof.bytes);
    }
    let nine = k2.mint_deposit(&proofs[1]);
    k2.must_refuse("nine inputs", nine, PoolError::TooManyInputs);
    let eight = k2.mint_deposit(&proofs[0]);
    k2.send_within(90_000, "eight inputs", eight).must_succeed();
    k2.must_be_recorded(&proofs[0], BTC);
}

/// What six confirmations are trusted for is the deposit itself. Mined again after a re-organisation it does not count again.
#[test]
fn a_deposit_that_is_mined_again_is_minted_once() {
    let (mut k2, chain, height) = World::deposited("mint/reorg", vec![deposit(BTC)]);
    let before = k2.config();
    let proof = chain.payment_proof(height, 1);
    let mint = k2.mint_deposit(&proof);
    k2.send("it is minted", mint.clone()).must_succeed();
    let mut branch = chain.branch(height - 1, "other");
    branch.mine(2);
    let again = branch.include(vec![deposit(BTC)]);
    branch.mine(6);
    k2.relay_branch(height - 1, &branch);
    assert_ne!(again, height);
    k2.must_refuse("its block has gone", mint, PoolError::UnknownBlock);
    let proof = branch.payment_proof(again, 1);
    let mint = k2.mint_deposit(&proof);
    k2.must_refuse("mined again", mint, PoolError::AlreadyUsed);
    k2.must_have_minted(&before, BTC);
}

/// 10,000 bytes are the most of a transaction.
#[test]
fn a_long_deposit_goes_through_a_buffer() {
    let mut outputs = vec![output(&scripts::deposit(), BTC)];
    for number in 0..220 {
        let mut other = output(&scripts::p2wpkh(&number.to_string()), 1_000);
        other.value = Amount::from_sat(1_000 + number);
        outputs.push(other);
    }
    let long = payment(&[somebodys_coin("a coin")], outputs);
    let (mut k2, chain, height) = World::deposited("mint/long_deposit", vec![long]);
    let proof = chain.payment_proof(height, 1).in_buffer(1);
    assert!(proof.bytes.len() > 6_900, "{}", proof.bytes.len());
    k2.fill_buffer(1, &proof.bytes);
    let mint = k2.mint_deposit(&proof);
    k2.send_within(50_000, "it is minted", mint).must_succeed();
    k2.must_be_recorded(&proof, BTC);
}
