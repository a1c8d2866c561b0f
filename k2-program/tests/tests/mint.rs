//! Minting coinbases: outputs, blocks, caps, rotation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::bitcoin::CoinbaseProof;
use k2_interface::state::{PackedScript, Pause, Record};
use k2_interface::{AccountFault, PoolError};
use k2_tests::bitcoin::{Chain, Proof, Template, output, payment, somebodys_coin, stripped};
use k2_tests::minting::{MINT_COINBASE_UNITS, REWARD, deposit};
use k2_tests::{BTC, World, scripts};

#[test]
fn a_coinbase_is_minted_once() {
    let (mut k2, chain) = World::matured("mint/coinbase");
    let before = k2.config();
    let lamports = k2.k2.lamports(&k2.payer);
    let proof = chain.coinbase_proof(21);
    let mint = k2.mint_coinbase(&proof);
    k2.send_within(MINT_COINBASE_UNITS, "it is minted", mint.clone())
        .must_succeed();
    k2.must_have_minted(&before, REWARD);
    k2.must_be_recorded(&proof, REWARD);
    let config = k2.config();
    assert_eq!(config.window.minted.get(), REWARD);
    assert_eq!(config.window.start_height.get(), 0);
    let rent = k2.k2.rent(size_of::<Record>());
    assert_eq!(k2.k2.lamports(&k2.payer), lamports - rent);

    k2.must_refuse("again", mint, PoolError::AlreadyUsed);
    let other = k2.somebody("other payer");
    let again = k2.mint_coinbase(&proof).with("payer", other);
    k2.must_refuse("again by somebody else", again, PoolError::AlreadyUsed);
    k2.must_have_minted(&before, REWARD);
}

#[test]
fn a_coinbase_needs_100_confirmations() {
    let mut chain = Chain::regtest();
    chain.mine(20).pay_coinbase(&scripts::coinbase(), REWARD);
    chain.mine(98);
    let mut k2 = World::new("mint/immature");
    k2.relay_from(&chain, 0);
    let mint = k2.mint_coinbase(&chain.coinbase_proof(21));
    k2.must_refuse("99 confirmations", mint.clone(), PoolError::Immature);
    chain.mine(1);
    k2.must_refuse(
        "nobody relayed the 100th",
        mint.clone(),
        PoolError::Immature,
    );
    k2.relay_on(&chain);
    k2.send("100 confirmations", mint).must_succeed();
}

#[test]
fn only_outputs_to_custody_count() {
    let mut chain = Chain::regtest();
    let outputs = vec![
        output(&scripts::deposit(), BTC),
        output(&scripts::p2wsh("somebody"), BTC),
        output(&scripts::coinbase(), 329),
        output(&scripts::coinbase(), 330),
        output(&scripts::coinbase(), BTC),
    ];
    chain.push(Template {
        coinbase: outputs,
        ..Template::default()
    });
    chain.mine(99);
    let mut k2 = World::new("mint/outputs");
    k2.relay_from(&chain, 0);
    let before = k2.config();
    let proof = chain.coinbase_proof(1);
    for (vout, error) in [
        (0, PoolError::ForeignScript),
        (1, PoolError::ForeignScript),
        (2, PoolError::Dust),
        (5, PoolError::NoSuchOutput),
        (u32::MAX, PoolError::NoSuchOutput),
    ] {
        let mint = k2.mint_coinbase(&proof.clone().vout(vout));
        k2.must_refuse("another output", mint, error);
    }
    for (vout, sats) in [(3, 330), (4, BTC)] {
        let proof = proof.clone().vout(vout);
        let mint = k2.mint_coinbase(&proof);
        k2.send("an output to custody", mint).must_succeed();
        k2.must_be_recorded(&proof, sats);
    }
    k2.must_have_minted(&before, BTC + 330);
}

#[test]
fn the_record_is_the_outputs() {
    let (mut k2, chain) = World::matured("mint/record");
    let proof = chain.coinbase_proof(21);
    let mint = k2.mint_coinbase(&proof);
    let others = [
        k2.deposit_key(&proof.txid, 1),
        k2.deposit_key(&[7; 32], 0),
        k2.payout_key(&proof.txid, 0),
        k2.config_key(),
        k2.vault_key(),
    ];
    for other in others {
        k2.send("another address", mint.clone().with("deposit", other))
            .must_fault("deposit", AccountFault::WrongAddress);
    }
    // Lamports that somebody sends there stop nothing.
    let record = mint.key("deposit");
    k2.k2.fund(record, 1);
    k2.send("it is minted", mint).must_succeed();
    k2.must_be_recorded(&proof, REWARD);
}

#[test]
fn the_block_must_be_on_the_best_chain() {
    let (mut k2, mut chain) = World::matured("mint/blocks");
    let proof = chain.coinbase_proof(21);
    for (height, error) in [
        (20, PoolError::UnknownBlock),
        (22, PoolError::UnknownBlock),
        (0, PoolError::UnknownBlock),
        (121, PoolError::BlockNotInRing),
        (u32::MAX, PoolError::BlockNotInRing),
    ] {
        let mint = k2.mint_coinbase(&proof.clone().height(height));
        k2.must_refuse("another height", mint, error);
    }
    // The same reward in a block nobody built on.
    let mut branch = chain.branch(20, "stale");
    branch.pay_coinbase(&scripts::coinbase(), REWARD);
    let stale = branch.coinbase_proof(21);
    assert_ne!(stale.txid, proof.txid);
    let mint = k2.mint_coinbase(&stale);
    k2.must_refuse("a stale block", mint, PoolError::UnknownBlock);

    // 193 blocks above it the ring has forgotten it.
    chain.mine(93);
    k2.relay_on(&chain);
    assert_eq!(k2.relay().oldest_height.get(), 22);
    let mint = k2.mint_coinbase(&proof);
    k2.must_refuse("left the ring", mint, PoolError::BlockNotInRing);
}

#[test]
fn another_networks_block_is_unknown() {
    let (mut k2, _) = World::matured("mint/network");
    // Mainnet's first block.
    let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin);
    let header = bitcoin::consensus::serialize(&genesis.header)
        .try_into()
        .unwrap();
    let coinbase = stripped(&genesis.txdata[0]);
    let bytes = CoinbaseProof::encode(&header, &coinbase, &[]).unwrap();
    let proof = Proof::new(0, &genesis.txdata[0], bytes);
    let mint = k2.mint_coinbase(&proof);
    k2.must_refuse("mainnet's genesis", mint, PoolError::UnknownBlock);
}

#[test]
fn no_more_than_the_windows_cap() {
    let (mut k2, mut chain) = World::matured_with("mint/window", |rules| {
        rules.mint_window_cap = 2 * REWARD - 1;
        rules.mint_window_blocks = 50;
    });
    for _ in 0..4 {
        chain.pay_coinbase(&scripts::coinbase(), REWARD);
    }
    chain.mine(99);
    k2.relay_on(&chain);
    let tip = chain.tip();
    assert_eq!(tip, 223);
    let mint = |k2: &World, height| k2.mint_coinbase(&chain.coinbase_proof(height));
    let first = mint(&k2, 121);
    k2.send("the window begins", first).must_succeed();
    assert_eq!(k2.config().window.start_height.get(), tip);
    let second = mint(&k2, 122);
    k2.must_refuse("one sat too many", second.clone(), PoolError::WindowCap);

    let mut longer = chain.clone();
    longer.mine(49);
    k2.relay_on(&longer);
    k2.must_refuse("its last block", second.clone(), PoolError::WindowCap);
    longer.mine(1);
    k2.relay_on(&longer);
    k2.send("the next window", second).must_succeed();
    let window = k2.config().window;
    assert_eq!(window.start_height.get(), tip + 50);
    assert_eq!(window.minted.get(), REWARD);
    assert_eq!(k2.config().totals.proved_in.get(), 2 * REWARD);
}

#[test]
fn no_more_than_the_supply_cap() {
    let (mut k2, mut chain) = World::matured_with("mint/supply_cap", |rules| {
        rules.supply_cap = 2 * REWARD - 1;
    });
    chain.pay_coinbase(&scripts::coinbase(), REWARD - 1);
    chain.pay_coinbase(&scripts::coinbase(), REWARD);
    chain.mine(99);
    k2.relay_on(&chain);
    let mint = |k2: &World, height| k2.mint_coinbase(&chain.coinbase_proof(height));
    k2.walk_down(0, &chain, 21);
    let first = k2.mint_coinbase(&chain.coinbase_proof(21).at_cursor(0));
    k2.send("one", first).must_succeed();
    let beyond = mint(&k2, 122);
    k2.must_refuse("one sat beyond it", beyond, PoolError::SupplyCap);
    let exact = mint(&k2, 121);
    k2.send("exactly up to it", exact).must_succeed();
    assert_eq!(k2.config().totals.proved_in.get(), 2 * REWARD - 1);
}

#[test]
fn minting_can_be_paused() {
    let (mut k2, chain) = World::matured("mint/paused");
    let pause = k2.pause(k2.guardian, Pause::Mint as u8);
    k2.send("minting is paused", pause).must_succeed();
    let mint = k2.mint_coinbase(&chain.coinbase_proof(21));
    k2.must_refuse("a coinbase", mint.clone(), PoolError::Paused);
    let mut longer = chain;
    let height = longer.include(vec![deposit(BTC)]);
    longer.mine(5);
    k2.relay_on(&longer);
    let other = k2.mint_deposit(&longer.payment_proof(height, 1));
    k2.must_refuse("a deposit", other.clone(), PoolError::Paused);
    let resume = k2.resume(k2.authority, Pause::Mint as u8);
    k2.send("it is resumed", resume).must_succeed();
    let pause = k2.pause(k2.guardian, Pause::ALL & !(Pause::Mint as u8));
    k2.send("all else is paused", pause).must_succeed();
    k2.send("a coinbase", mint).must_succeed();
    k2.send("a deposit", other).must_succeed();
}

#[test]
fn scripts_are_honoured_for_a_grace_after_their_rotation() {
    let (mut k2, mut chain) = World::matured("mint/rotation");
    let (coinbase, deposit_script) = (
        scripts::p2tr("new coinbases"),
        scripts::p2wpkh("new deposits"),
    );
    let propose = k2.propose_custody(coinbase, deposit_script);
    k2.send("a rotation is proposed", propose).must_succeed();
    k2.wait(1_001);
    let activate = k2.activate_custody();
    k2.send("it is put in force", activate).must_succeed();
    let until = chain.tip() + 10;
    assert_eq!(k2.config().custody.previous_until.get(), until);

    let spends = |name: &str, script: &PackedScript| {
        payment(&[somebodys_coin(name)], vec![output(script, BTC)])
    };
    let mut blocks = Vec::new();
    for height in [until - 1, until, until + 1] {
        while chain.tip() + 1 < height {
            chain.mine(1);
        }
        let old = output(&scripts::coinbase(), BTC);
        let new = output(&coinbase, BTC);
        let name = height.to_string();
        let transactions = vec![
            spends(&format!("old {name}"), &scripts::deposit()),
            spends(&format!("new {name}"), &deposit_script),
        ];
        blocks.push(chain.push(Template {
            coinbase: vec![old, new],
            transactions,
            ..Template::default()
        }));
    }
    assert_eq!(blocks, [until - 1, until, until + 1]);
    chain.mine(99);
    k2.relay_on(&chain);
    for height in blocks {
        let old = [
            k2.mint_coinbase(&chain.coinbase_proof(height)),
            k2.mint_deposit(&chain.payment_proof(height, 1)),
        ];
        for mint in old {
            let sent = k2.send("to the old scripts", mint);
            if height <= until {
                sent.must_succeed();
            } else {
                sent.must_fail_with(PoolError::ForeignScript);
            }
        }
        let new = [
            k2.mint_coinbase(&chain.coinbase_proof(height).vout(1)),
            k2.mint_deposit(&chain.payment_proof(height, 2)),
        ];
        for mint in new {
            k2.send("to the new scripts", mint).must_succeed();
        }
    }
    // What matured before the rotation is still the pool's.
    let mint = k2.mint_coinbase(&chain.coinbase_proof(21));
    k2.must_refuse("it left the ring", mint, PoolError::BlockNotInRing);
    k2.walk_down(0, &chain, 21);
    let mint = k2.mint_coinbase(&chain.coinbase_proof(21).at_cursor(0));
    k2.send("before the rotation", mint).must_succeed();
}
