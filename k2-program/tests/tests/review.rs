//! What a review of the whole program found, each as the attack it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::TxOut;
use k2_interface::PoolError;
use k2_interface::bitcoin::{Network, RedeemIds};
use k2_interface::instruction::Initialize;
use k2_interface::state::{Kind, PackedScript, Pause, Redemption, RedemptionState};
use k2_tests::bitcoin::{Chain, Proof, data_output, output, payment, somebodys_coin};
use k2_tests::{BTC, World, scripts};
use solana_pubkey::Pubkey;

const MAX_FEE: u64 = 10_000;
/// Above the least redemption.
const LITTLE: u64 = BTC / 100;

fn destination() -> PackedScript {
    scripts::p2wpkh("owner's wallet")
}

#[track_caller]
fn request(k2: &mut World, owner: Pubkey, amount: u64) -> u64 {
    let id = k2.config().totals.redemptions.get();
    let request = k2.request_redeem(owner, amount, MAX_FEE, destination());
    k2.send("a redemption is requested", request).must_succeed();
    id
}

fn names(ids: &[u64]) -> TxOut {
    data_output(RedeemIds::encode(ids).unwrap())
}

fn pays(sats: u64) -> TxOut {
    output(&destination(), sats)
}

/// A payout with these outputs that has six confirmations.
fn paid(k2: &mut World, chain: &mut Chain, outputs: Vec<TxOut>) -> Proof {
    let height = chain.include(vec![payment(&[somebodys_coin("custody's")], outputs)]);
    chain.mine(5);
    k2.relay_on(chain);
    chain.payment_proof(height, 1)
}

fn state(k2: &World, id: u64) -> u8 {
    let redemption: Redemption = k2.read(k2.redemption_key(id), Kind::Redemption);
    redemption.state
}

/// A little and a large redemption to one script, paid in one transaction. Whoever settled the little one by the large
/// output left the large one an output that was not enough: it was paid, and after its expiry refunded as well.
#[test]
fn the_large_payout_cannot_be_spent_on_the_little_redemption() {
    for little_first in [true, false] {
        let story = format!("review/swapped_payouts_{little_first}");
        let (mut k2, mut chain, owner) = World::redeemable(&story);
        let amounts = if little_first {
            [LITTLE, BTC]
        } else {
            [BTC, LITTLE]
        };
        for (id, amount) in (0..).zip(amounts) {
            assert_eq!(request(&mut k2, owner, amount), id);
        }
        let outputs = vec![
            pays(amounts[0] - MAX_FEE),
            names(&[0, 1]),
            pays(amounts[1] - MAX_FEE),
            output(&scripts::p2wsh("change"), 7 * BTC),
        ];
        let proof = paid(&mut k2, &mut chain, outputs);
        let own = [proof.clone(), proof.vout(2)];
        let (little, large) = if little_first { (0, 1) } else { (1, 0) };
        let swapped = k2.settle(little, &own[large as usize]);
        k2.must_refuse("by the other's output", swapped, PoolError::OtherPayout);
        for (id, proof) in (0..).zip(&own) {
            let settle = k2.settle(id, proof);
            k2.send("by its own", settle).must_succeed();
            assert_eq!(state(&k2, id), RedemptionState::Settled as u8);
        }
        assert_eq!(k2.config().totals.escrowed.get(), 0);
        assert_eq!(k2.config().totals.burned.get(), BTC + LITTLE);
    }
}

/// Two lists of ids give one output to two redemptions: it is one payment all the same.
#[test]
fn an_output_given_to_two_redemptions_settles_one() {
    let (mut k2, mut chain, owner) = World::redeemable("review/two_lists");
    for id in [0, 1] {
        assert_eq!(request(&mut k2, owner, LITTLE), id);
    }
    let proof = paid(
        &mut k2,
        &mut chain,
        vec![names(&[0]), pays(BTC), names(&[1])],
    )
    .vout(1);
    let settle = k2.settle(0, &proof);
    k2.send("the first one", settle).must_succeed();
    let again = k2.settle(1, &proof);
    k2.must_refuse("the second one", again, PoolError::AlreadyUsed);
}

/// A guardian who stopped settlements until the expiry let the redemptions that had been paid be refunded as well, and
/// refunds cannot be stopped.
#[test]
fn a_pause_does_not_let_what_was_paid_be_refunded() {
    let (mut k2, mut chain, owner) = World::redeemable("review/paused_settlement");
    assert_eq!(request(&mut k2, owner, BTC), 0);
    let pause = k2.pause(k2.guardian, Pause::ALL);
    k2.send("everything is paused", pause).must_succeed();
    let proof = paid(&mut k2, &mut chain, vec![pays(BTC - MAX_FEE), names(&[0])]);
    let settle = k2.settle(0, &proof);
    k2.send("what was paid is settled", settle).must_succeed();
    let redemption: Redemption = k2.read(k2.redemption_key(0), Kind::Redemption);
    chain.mine(redemption.expires_height.get() - chain.tip());
    k2.relay_on(&chain);
    let refund = k2.refund_redeem(0, owner);
    k2.must_refuse("and never refunded", refund, PoolError::RedemptionNotOpen);
    assert_eq!(k2.k2.token_balance(&k2.associated(owner).0), BTC);
    assert_eq!(k2.config().totals.burned.get(), BTC);
}

/// A coinbase above a cap, or behind the horizon after a pause of two days, could never be minted; and all later rounds would
/// have waited for it. The rules are set once.
#[test]
fn main_has_no_rules_by_which_rewards_get_stuck() {
    let mut k2 = World::deployed("review/rules_of_main");
    let good = Initialize {
        network: Network::Main.into(),
        mint_horizon: 2_016,
        mint_window_cap: 100 * BTC,
        supply_cap: 100 * BTC,
        redeem_expiry_blocks: 144,
        challenge_slots: 9_000,
        custody_delay_slots: 216_000,
        unbonding_slots: 216_000,
        ..k2.rules()
    };
    let stuck = [
        Initialize {
            mint_horizon: 2_015,
            ..good
        },
        Initialize {
            mint_window_cap: 100 * BTC - 1,
            ..good
        },
        Initialize {
            supply_cap: 100 * BTC - 1,
            ..good
        },
    ];
    for rules in stuck {
        let initialize = k2.initialize(rules);
        k2.send("rewards could get stuck", initialize)
            .must_fail_with(PoolError::BadArgument);
    }
    let initialize = k2.initialize(good);
    k2.send("they cannot", initialize).must_succeed();
}
