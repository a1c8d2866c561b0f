//! Redemptions: wrapped sats into escrow, and back after the expiry. Their settlement has tests of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::state::{Kind, Pause, Redemption, RedemptionState};
use k2_interface::{AccountFault, PoolError, pda};
use k2_tests::rewards::address;
use k2_tests::{World, scripts};
use solana_pubkey::Pubkey;
use spl_token_interface::instruction::approve;

/// A pool whose people hold wrapped sats, at relay height 101.
fn pool<const N: usize>(story: &str, names: [&str; N]) -> (World, [Pubkey; N]) {
    let mut k2 = World::new(story);
    k2.operators_named(["ann", "bob"]);
    k2.earn(1);
    let owners = names.map(|name| k2.holder(name));
    k2.give(&owners.map(|owner| (owner, 1_000_000)));
    assert_eq!(k2.relay().tip_height.get(), 101);
    (k2, owners)
}

fn redemption(k2: &World, id: u64) -> Redemption {
    k2.read(k2.redemption_key(id), Kind::Redemption)
}

#[test]
fn a_request_and_its_refund() {
    let (mut k2, [mia]) = pool("redeem/story", ["mia"]);
    let before = k2.config();
    let script = scripts::p2tr("mia's");
    let request = k2.request_redeem(mia, 50_000, 2_000, script);
    k2.send("mia asks for BTC", request).must_succeed();
    let mut wanted = redemption(&k2, 0);
    assert_eq!(wanted.head.bump, k2.bump(&[pda::REDEMPTION, &[0; 8]]));
    assert_eq!(wanted.id.get(), 0);
    assert_eq!(wanted.owner, address(mia));
    assert_eq!(wanted.payer, address(k2.payer));
    assert_eq!(wanted.amount.get(), 50_000);
    assert_eq!(wanted.max_fee.get(), 2_000);
    assert_eq!(wanted.requested_height.get(), 101);
    assert_eq!(wanted.expires_height.get(), 131);
    assert_eq!(wanted.payout_txid, [0; 32]);
    assert_eq!(wanted.paid.get(), 0);
    assert_eq!(wanted.payout_vout.get(), 0);
    assert_eq!(wanted.script, script);
    assert_eq!(wanted.state, RedemptionState::Open as u8);
    let mut config = before;
    config.totals.redemptions = 1.into();
    config.totals.escrowed = 50_000.into();
    assert_eq!(k2.config(), config);
    assert_eq!(k2.balance(mia), 950_000);
    assert_eq!(k2.k2.token_balance(&k2.escrow_key()), 50_000);

    let close = k2.close_redemption(0, k2.payer);
    k2.send("it cannot be closed while it is open", close.clone())
        .must_fail_with(PoolError::RedemptionOpen);
    let refund = k2.refund_redeem(0, mia);
    k2.mine_and_relay(29);
    k2.send("a block too early", refund.clone())
        .must_fail_with(PoolError::NotExpired);
    k2.mine_and_relay(1);
    k2.send("anybody refunds it", refund.clone()).must_succeed();
    wanted.state = RedemptionState::Refunded as u8;
    assert_eq!(redemption(&k2, 0), wanted);
    config.totals.escrowed = 0.into();
    assert_eq!(k2.config(), config);
    assert_eq!(k2.balance(mia), 1_000_000);
    assert_eq!(k2.k2.token_balance(&k2.escrow_key()), 0);
    k2.send("once", refund.clone())
        .must_fail_with(PoolError::RedemptionNotOpen);

    let lamports = k2.k2.lamports(&k2.payer);
    let to_mia = k2.close_redemption(0, mia);
    k2.send("the rent is its payer's", to_mia)
        .must_fault("rent_receiver", AccountFault::WrongAddress);
    k2.send("anybody closes it", close.clone()).must_succeed();
    assert!(k2.is_gone(k2.redemption_key(0)));
    assert_eq!(
        k2.k2.lamports(&k2.payer),
        lamports + k2.k2.rent(size_of::<Redemption>())
    );
    k2.send("once", close)
        .must_fault("redemption", AccountFault::Uninitialized);
    k2.send("what is closed is not refunded", refund)
        .must_fault("redemption", AccountFault::Uninitialized);
    // Its number is never given again.
    let request = k2.request_redeem(mia, 50_000, 2_000, script);
    let again = request.clone().with("redemption", k2.redemption_key(0));
    k2.send("not under the old number", again)
        .must_fault("redemption", AccountFault::WrongAddress);
    k2.send("under the next", request).must_succeed();
    assert_eq!(redemption(&k2, 1).id.get(), 1);
}

#[test]
fn the_least_redemption() {
    let (mut k2, [mia]) = pool("redeem/least", ["mia"]);
    let script = scripts::p2wpkh("mia's");
    for (what, amount, max_fee) in [
        ("a sat below the least", 9_999, 0),
        ("below it after the fee", 10_000, 1),
        ("a fee of everything", 10_000, 10_000),
        ("a fee of more than everything", 10_000, 10_001),
        ("a fee beyond all numbers", 10_000, u64::MAX),
        ("nothing", 0, 0),
    ] {
        let request = k2.request_redeem(mia, amount, max_fee, script);
        k2.send(what, request)
            .must_fail_with(PoolError::BelowMinimum);
    }
    let request = k2.request_redeem(mia, 1_000_001, 0, script);
    k2.send("more than mia has", request)
        .must_fail_with(PoolError::TooFewTokens);
    let request = k2.request_redeem(mia, u64::MAX, 0, script);
    k2.send("more than there is", request)
        .must_fail_with(PoolError::TooFewTokens);
    for (amount, max_fee) in [(10_000, 0), (990_000, 980_000)] {
        let request = k2.request_redeem(mia, amount, max_fee, script);
        k2.send("exactly the least", request).must_succeed();
    }
    assert_eq!(k2.balance(mia), 0);
    assert_eq!(k2.config().totals.escrowed.get(), 1_000_000);
    assert_eq!(k2.config().totals.redemptions.get(), 2);
}

#[test]
fn scripts_btc_can_be_paid_to() {
    let (mut k2, [mia]) = pool("redeem/scripts", ["mia"]);
    for script in [
        scripts::p2pkh("mia's"),
        scripts::p2sh("mia's"),
        scripts::p2wpkh("mia's"),
        scripts::p2wsh("mia's"),
        scripts::p2tr("mia's"),
    ] {
        let request = k2.request_redeem(mia, 10_000, 0, script);
        let id = k2.config().totals.redemptions.get();
        k2.send("an ordinary script", request).must_succeed();
        assert_eq!(redemption(&k2, id).script, script);
    }
    let mut op_return = scripts::p2sh("mia's");
    op_return[1] = 0x6a;
    // OP_2 <32 bytes>: a witness version nobody can spend from today.
    let mut future = scripts::p2tr("mia's");
    future[1] = 0x52;
    let mut shorter = scripts::p2tr("mia's");
    shorter[0] = 33;
    let mut longer = scripts::p2tr("mia's");
    longer[0] = 35;
    let mut padded = scripts::p2wpkh("mia's");
    padded[34] = 1;
    for (what, script) in [
        ("none", scripts::NONE),
        ("OP_RETURN", op_return),
        ("a witness version of the future", future),
        ("cut short", shorter),
        ("longer than its bytes", longer),
        ("something behind it", padded),
    ] {
        let request = k2.request_redeem(mia, 10_000, 0, script);
        k2.send(what, request).must_fail_with(PoolError::BadScript);
    }
}

#[test]
fn only_the_owners_tokens() {
    let (mut k2, [mia, eve]) = pool("redeem/owner", ["mia", "eve"]);
    let script = scripts::p2wpkh("eve's");
    let mias = k2.associated(mia).0;
    let request = k2
        .request_redeem(eve, 10_000, 0, script)
        .with("source", mias);
    k2.send("eve redeems mia's tokens", request.clone())
        .must_fail_with(PoolError::NotYours);
    let allow = approve(&spl_token_interface::ID, &mias, &eve, &mia, &[], 500_000).unwrap();
    k2.k2.send("mia lets eve spend some", allow).must_succeed();
    k2.send("a delegate spends, but does not redeem", request)
        .must_fail_with(PoolError::NotYours);
    let request = k2.request_redeem(mia, 10_000, 0, script);
    k2.send("mia did not sign", request.clone().signed("owner", false))
        .must_fault("owner", AccountFault::NotSigner);
    let escrow = k2.escrow_key();
    k2.send(
        "out of the escrow itself",
        request.clone().with("source", escrow),
    )
    .must_fail_with(PoolError::NotYours);
    let vault = k2.vault_key();
    k2.send("into the vault", request.clone().with("escrow", vault))
        .must_fault("escrow", AccountFault::WrongAddress);
    k2.send("into mia's own account", request.with("escrow", mias))
        .must_fault("escrow", AccountFault::WrongAddress);
    assert_eq!(k2.config().totals.redemptions.get(), 0);
}

#[test]
fn a_refund_goes_where_the_tokens_came_from() {
    let (mut k2, [mia, eve]) = pool("redeem/refund", ["mia", "eve"]);
    for owner in [mia, eve] {
        let request = k2.request_redeem(owner, 10_000, 0, scripts::p2wpkh("hers"));
        k2.send("she asks for BTC", request).must_succeed();
    }
    k2.mine_and_relay(30);
    let refund = k2.refund_redeem(0, mia);
    let eves = k2.associated(eve).0;
    k2.send("to eve", refund.clone().with("destination", eves))
        .must_fail_with(PoolError::NotYours);
    k2.send(
        "to eve, who says it is hers",
        refund.clone().with("destination", eves).with("owner", eve),
    )
    .must_fault("owner", AccountFault::WrongAddress);
    let vault = k2.vault_key();
    k2.send("out of the vault", refund.clone().with("escrow", vault))
        .must_fault("escrow", AccountFault::WrongAddress);
    let (aside, mint) = (k2.k2.pubkey("mia's other account"), k2.mint_key());
    k2.k2.set_token_account(aside, mint, mia, 0);
    let to_other = refund.clone().with("destination", aside);
    k2.send("to another account of hers", to_other.clone())
        .must_fail_with(PoolError::NotYours);
    k2.send("which she says herself", to_other.signed("owner", true))
        .must_succeed();
    assert_eq!(k2.k2.token_balance(&aside), 10_000);
    k2.send("not twice", refund)
        .must_fail_with(PoolError::RedemptionNotOpen);
    assert_eq!(k2.k2.token_balance(&k2.escrow_key()), 10_000);
    assert_eq!(k2.config().totals.escrowed.get(), 10_000);
}

/// Who waits for custodians must not depend on the guardian as well.
#[test]
fn requests_can_be_paused_refunds_cannot() {
    let (mut k2, [mia]) = pool("redeem/paused", ["mia"]);
    let request = k2.request_redeem(mia, 10_000, 0, scripts::p2wpkh("mia's"));
    k2.send("mia asks for BTC", request).must_succeed();
    let pause = k2.pause(k2.guardian, Pause::ALL);
    k2.send("everything is paused", pause).must_succeed();
    let request = k2.request_redeem(mia, 10_000, 0, scripts::p2wpkh("mia's"));
    k2.send("no new ones", request.clone())
        .must_fail_with(PoolError::Paused);
    k2.mine_and_relay(30);
    let refund = k2.refund_redeem(0, mia);
    k2.send("a refund all the same", refund).must_succeed();
    let close = k2.close_redemption(0, k2.payer);
    k2.send("and its close", close).must_succeed();
    let resume = k2.resume(k2.authority, Pause::Redeem as u8);
    k2.send("resumed", resume).must_succeed();
    k2.send("mia asks again", request).must_succeed();
    assert_eq!(redemption(&k2, 1).expires_height.get(), 161);
}

#[test]
fn without_a_relay() {
    let mut k2 = World::new("redeem/no_relay");
    let mia = k2.holder("mia");
    let request = k2.request_redeem(mia, 10_000, 0, scripts::p2wpkh("mia's"));
    k2.send("there is no height to count from", request)
        .must_fault("relay", AccountFault::Uninitialized);
}
