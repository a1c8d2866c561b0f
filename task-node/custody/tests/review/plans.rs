//! What the coordinator plans: who is paid, who waits and why, and that every signer agrees.

use std::collections::BTreeSet;

use bitcoin::consensus::serialize;
use bitcoin::{Amount, FeeRate, Transaction, TxIn, TxOut};
use k2_interface::bitcoin::PaymentProof;
use k2_interface::state::{MAX_PROOF, RedemptionState};
use orcapool_custody::payment::{
    self, Limits, MAX_PROVABLE, PlanError, Purpose, Reason, Reviewed, Rule, bump, cancel, review,
    sweep,
};
use proptest::prelude::*;

use crate::support::Custodian;
use crate::support::regtest::elsewhere;
use crate::world::{TIP, World, paid};

fn waiting(world: &World) -> Vec<(u64, Reason)> {
    let waiting = world.plan().waiting.into_iter();
    waiting
        .map(|waiting| (waiting.id, waiting.reason))
        .collect()
}

fn change(reviewed: &Reviewed) -> u64 {
    match reviewed.purpose() {
        Purpose::Payout { change, .. } => change.map_or(0, |change| change.amount.to_sat()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_pools_coins_fall_by_what_k2_burns() {
    let world = World::with(
        &[5_000_000, 3_000_000],
        &[(1_000_000, 9_000), (2_500_000, 9_000)],
    );
    let payment = world.payment();
    assert_eq!(change(&payment), 5_000_000 - 3_500_000);
    let paid: u64 = paid(&payment).values().sum();
    assert_eq!(paid + payment.fee().to_sat(), 3_500_000);
}

#[test]
fn an_exact_sum_leaves_no_change() {
    let world = World::with(
        &[1_000_000, 2_500_000],
        &[(1_000_000, 9_000), (2_500_000, 9_000)],
    );
    let payment = world.payment();
    assert_eq!((change(&payment), payment.psbt().outputs.len()), (0, 3));
}

#[test]
fn nothing_to_pay_is_no_error() {
    let plan = World::with(&[5_000_000], &[]).plan();
    assert_eq!((plan.payment, plan.waiting), (None, vec![]));
}

#[test]
fn whoever_cannot_be_paid_holds_up_nobody() {
    let mut world = World::with(
        &[5_000_000],
        &[
            (1_000_000, 9_000),
            (80_000_000, 9_000),
            (700_000, 30),
            (700, 700),
            (800_000, 9_000),
            (400_000, 9_000),
        ],
    );
    world.edit(6).expires = TIP + 36;
    world.redemption(7, 300_000, 9_000);
    world.edit(7).state = RedemptionState::Settled;
    world.redemption(8, 300, 300);
    assert_eq!(
        paid(&world.payment()).into_keys().collect::<Vec<_>>(),
        [1, 4, 5]
    );
    assert_eq!(
        waiting(&world),
        [
            (2, Reason::Funds(Amount::from_sat(5_000_000))),
            (
                3,
                Reason::MaxFee {
                    share: Amount::from_sat(86),
                    most: Amount::from_sat(30)
                }
            ),
            (6, Reason::Expiring(TIP + 36)),
            (8, Reason::Dust),
        ]
    );
}

#[test]
fn whoever_bears_least_waits_where_all_together_bear_too_little() {
    // Both of them take two coins, at some 700 sat; the second alone takes one, at some 430 sat.
    let world = World::with(&[1_000_000, 920_000], &[(950_000, 64), (900_000, 560)]);
    assert_eq!(paid(&world.payment()).into_keys().collect::<Vec<_>>(), [2]);
    let reasons = waiting(&world);
    assert!(
        matches!(reasons[..], [(1, Reason::MaxFee { .. })]),
        "{reasons:?}"
    );
    let world = World::with(&[1_000_000, 920_000], &[(950_000, 400), (900_000, 560)]);
    assert_eq!(paid(&world.payment()).len(), 2);
}

/// A crowd that bears no fee must not fill the batch.
#[test]
fn a_hundred_poor_redemptions_are_passed_over() {
    let poor: Vec<_> = (0..150).map(|_| (100_000, 1)).collect();
    let mut world = World::with(&[50_000_000], &poor);
    world.redemption(151, 1_000_000, 9_000);
    assert_eq!(
        paid(&world.payment()).into_keys().collect::<Vec<_>>(),
        [151]
    );
    assert_eq!(world.plan().waiting.len(), 150);
}

#[test]
fn a_payment_takes_a_hundred_within_512_ids() {
    let many: Vec<_> = (0..101).map(|_| (100_000, 9_000)).collect();
    let world = World::with(&[50_000_000], &many);
    assert_eq!(paid(&world.payment()).len(), 100);
    assert_eq!(waiting(&world), [(101, Reason::NextBatch)]);
    let mut world = World::with(&[50_000_000], &[(100_000, 9_000)]);
    world.redemption(512, 100_000, 9_000);
    world.redemption(513, 100_000, 9_000);
    assert_eq!(
        paid(&world.payment()).into_keys().collect::<Vec<_>>(),
        [1, 512]
    );
    assert_eq!(waiting(&world), [(513, Reason::NextBatch)]);
}

/// K2 parses transactions of 10,000 bytes. What is longer could be paid and never settled, and would be refunded on top.
#[test]
fn a_payment_can_always_be_proved() {
    let mut world = World::new(Custodian::two_of_three());
    for _ in 0..150 {
        world.coinbase(100_000, 10);
    }
    // 100 outputs to scripts of the longest form, which take 100 coins: the most of both.
    for id in 0..100 {
        world.redemption(4 * id + 3, 99_500, 9_000);
    }
    let payment = world.payment();
    assert_eq!(paid(&payment).len(), 100);
    let whole = &payment.psbt().unsigned_tx;
    assert_eq!(whole.input.len(), 100);
    let length = whole.base_size();
    assert!((8_000..=MAX_PROVABLE).contains(&length), "{length}");
    // In the deepest tree, and beside a coinbase that fills the block.
    let branch = [[7; 32]; 15];
    let output = TxOut {
        value: Amount::ZERO,
        script_pubkey: vec![0x51; 34].into(),
    };
    let coinbase = Transaction {
        input: vec![TxIn {
            script_sig: vec![1; 100].into(),
            ..TxIn::default()
        }],
        output: vec![output; (1_000_000 - MAX_PROVABLE - 300) / 43],
        ..whole.clone()
    };
    let proof = PaymentProof::encode(
        &[0; 80],
        &serialize(whole),
        1,
        &branch,
        &serialize(&coinbase),
        &branch,
    );
    assert!(proof.unwrap().len() <= MAX_PROOF as usize);

    // One that takes more coins than fit waits until a sweep has joined them.
    let mut world = World::new(Custodian::two_of_three());
    for _ in 0..150 {
        world.coinbase(100_000, 10);
    }
    world.redemption(1, 12_000_000, 90_000);
    assert_eq!(
        waiting(&world),
        [(1, Reason::Funds(Amount::from_sat(10_000_000)))]
    );
    let swept = sweep(&world.input(), &world.k2.scripts[0].clone()).unwrap();
    assert_eq!(swept.psbt().inputs.len(), 150);
}

/// The relay is ahead of this node: a payment could come into a block that is no later than the request, after a
/// re-organisation, and K2 would not take it.
#[test]
fn a_redemption_waits_for_its_block() {
    let mut world = World::with(&[5_000_000], &[(1_000_000, 9_000)]);
    world.edit(1).requested = TIP + 1;
    assert_eq!(waiting(&world), [(1, Reason::TooEarly(TIP + 1))]);
    world.bitcoin.tip += 1;
    let lock_time = world.payment().psbt().unsigned_tx.lock_time;
    assert_eq!(lock_time.to_consensus_u32(), TIP + 1);
}

#[test]
fn immature_unconfirmed_and_reserved_coins_stay() {
    let mut world = World::with(&[], &[(1_000_000, 9_000)]);
    world.coinbase(2_000_000, TIP - 98);
    world.change(2_000_000, None, 0);
    let reserved = world.coinbase(2_000_000, 10);
    world.reserved.insert(reserved);
    assert_eq!(waiting(&world), [(1, Reason::Funds(Amount::ZERO))]);
    world.coinbase(1_500_000, TIP - 99);
    assert_eq!(change(&world.payment()), 500_000);
}

#[test]
fn a_rate_or_fee_above_the_caps_is_refused() {
    let mut world = World::with(&[5_000_000], &[(1_000_000, 900_000)]);
    world.rate = FeeRate::from_sat_per_vb_u32(51);
    let error = payment::plan(&world.input()).unwrap_err();
    assert!(
        matches!(
            error,
            PlanError::FeeRate {
                asked: 12_750,
                cap: 12_500
            }
        ),
        "{error}"
    );
    world.rate = FeeRate::from_sat_per_vb_u32(50);
    world.limits = Limits {
        max_fee: Amount::from_sat(5_000),
        ..Limits::default()
    };
    let error = payment::plan(&world.input()).unwrap_err();
    assert!(matches!(error, PlanError::Fee { .. }), "{error}");
}

#[test]
fn a_bump_pays_more_for_the_same() {
    let mut world = World::with(
        &[5_000_000, 3_000_000],
        &[(1_000_000, 9_000), (2_500_000, 9_000)],
    );
    let old = world.payment();
    world.sign(&old);
    world.bitcoin.tip += 3;
    world.rate = FeeRate::from_sat_per_vb_u32(6);
    let new = bump(&world.input(), old.psbt()).unwrap();
    assert_eq!(new.payment().unwrap().inputs, old.payment().unwrap().inputs);
    assert_eq!(change(&new), change(&old));
    assert_eq!(new.replaces(), &BTreeSet::from([old.txid()]));
    assert_eq!(new.fee().to_sat(), old.fee().to_sat() * 3);
    for (id, old) in paid(&old) {
        assert!(paid(&new)[&id] < old);
    }
    // BIP125 rules 3 and 4, though the rate asked for is lower.
    world.rate = FeeRate::BROADCAST_MIN;
    let least = bump(&world.input(), old.psbt()).unwrap();
    let vbytes = old.weight().to_vbytes_ceil();
    assert!(least.fee().to_sat() >= old.fee().to_sat() + vbytes - 1);
}

#[test]
fn a_bump_nobody_can_bear_is_refused() {
    let mut world = World::with(&[5_000_000], &[(1_000_000, 1_000)]);
    let old = world.payment();
    world.sign(&old);
    world.rate = FeeRate::from_sat_per_vb_u32(20);
    let error = bump(&world.input(), old.psbt()).unwrap_err();
    assert!(matches!(error, PlanError::Fee { .. }), "{error}");
    let gone = old.psbt().unsigned_tx.input[0].previous_output;
    world.bitcoin.coins.remove(&gone);
    let error = bump(&world.input(), old.psbt()).unwrap_err();
    assert!(
        matches!(error, PlanError::CoinGone(coin) if coin == gone),
        "{error}"
    );
}

#[test]
fn a_sweep_takes_all_that_is_worth_its_fee() {
    let mut world = World::with(&[5_000_000, 3_000_000, 150], &[]);
    world.coinbase(2_000_000, TIP - 98);
    let to = Custodian::single_setup().coinbase_script().unwrap();
    let refused = sweep(&world.input(), &to).unwrap_err();
    assert!(
        matches!(&refused, PlanError::Refused(refused) if refused.rule == Rule::UnregisteredSweep),
        "{refused}"
    );
    world.k2.scripts.push(to.clone());
    let swept = sweep(&world.input(), &to).unwrap();
    assert_eq!(swept.psbt().inputs.len(), 2);
    let amount = Amount::from_sat(8_000_000) - swept.fee();
    assert_eq!(swept.purpose(), &Purpose::Sweep { to, amount });
    assert_eq!(swept.payment(), None);
    // A sweep can be bumped too.
    world.rate = FeeRate::from_sat_per_vb_u32(5);
    let bumped = bump(&world.input(), swept.psbt()).unwrap();
    assert!(bumped.fee() > swept.fee());
}

#[test]
fn a_sweep_leaves_payments_alone() {
    let mut world = World::with(&[5_000_000, 3_000_000], &[(4_000_000, 9_000)]);
    let payment = world.payment();
    world.sign(&payment);
    let to = world.k2.scripts[0].clone();
    let swept = sweep(&world.input(), &to).unwrap();
    assert!(swept.replaces().is_empty());
    assert_eq!(swept.psbt().inputs.len(), 1);
}

#[test]
fn cancelling_frees_the_redemptions() {
    let mut world = World::with(
        &[5_000_000, 3_000_000],
        &[(1_000_000, 9_000), (2_000_000, 9_000)],
    );
    let old = world.payment();
    world.sign(&old);
    assert_eq!(waiting(&world)[0].1, Reason::InPayment(old.txid()));
    world.replaced_fee = old.fee();
    let cancelled = cancel(&world.input(), &BTreeSet::from([2])).unwrap();
    let Purpose::Cancel { ids, change } = cancelled.purpose() else {
        panic!("{:?}", cancelled.purpose());
    };
    assert_eq!(
        ids,
        &BTreeSet::from([1, 2]),
        "its other redemptions are cancelled with it"
    );
    assert_eq!(change.amount, Amount::from_sat(3_000_000) - cancelled.fee());
    assert!(cancelled.fee() > old.fee());
    world.replaced_fee = Amount::ZERO;
    world.confirm(&cancelled, 22);
    let reason = &waiting(&world)[0].1;
    assert_eq!(
        *reason,
        Reason::InPayment(old.txid()),
        "22 blocks above it do not bury it"
    );
    world.bitcoin.tip += 1;
    assert_eq!(paid(&world.payment()).len(), 2, "23 do");
    let nothing = cancel(&world.input(), &BTreeSet::from([1])).unwrap_err();
    assert!(matches!(nothing, PlanError::Nothing(_)), "{nothing}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// Every plan passes the review of a signer, exactly one of whose coins and redemptions it uses, and is the same one
    /// whenever it is made.
    #[test]
    fn every_plan_passes_review(
        single in any::<bool>(),
        coins in prop::collection::vec((300_u64..5_000_000, any::<bool>()), 0..12),
        redemptions in prop::collection::vec(
            (200_u64..2_000_000, 0_u64..6_000, 1_u64..40), 0..20,
        ),
        rate in 250_u64..4_000,
        born in prop_oneof![Just(0_u32), Just(TIP - 200), Just(TIP)],
    ) {
        let mut world = World::new(match single {
            true => Custodian::single_setup(),
            false => Custodian::two_of_three(),
        });
        for (value, is_change) in coins {
            match is_change {
                true => world.change(value, Some(TIP - 30), 2),
                false => world.coinbase(value, 10),
            };
        }
        let mut id = 0;
        for (amount, max_fee, step) in redemptions {
            id += step;
            world.redemption(id, amount, max_fee);
        }
        world.rate = FeeRate::from_sat_per_kwu(rate);
        world.born = born;
        let plan = world.plan();
        prop_assert_eq!(&world.plan(), &plan);
        let mut seen: BTreeSet<u64> = plan.waiting.iter().map(|waiting| waiting.id).collect();
        prop_assert_eq!(seen.len(), plan.waiting.len());
        if let Some(payment) = plan.payment {
            // The signer knows the same of the chain, and nothing of the coordinator's journal.
            let again = review(payment.psbt(), &world.known()).unwrap();
            prop_assert_eq!(&again, &payment);
            let paid = paid(&payment);
            prop_assert!(!paid.is_empty());
            for (id, sats) in &paid {
                prop_assert!(seen.insert(*id), "paid and waiting");
                let redemption = &world.k2.redemptions[id];
                prop_assert!(*sats <= redemption.amount.to_sat());
                prop_assert!(*sats + redemption.max_fee.to_sat() >= redemption.amount.to_sat());
            }
            let rate = payment.fee() / payment.weight().to_vbytes_ceil();
            prop_assert!(rate.to_sat() * 250 <= world.rate.to_sat_per_kwu() + 250);
        }
        prop_assert_eq!(seen, world.k2.redemptions.keys().copied().collect());
    }

    #[test]
    fn a_sweep_to_nowhere_is_refused(value in 10_000_u64..1_000_000) {
        let world = World::with(&[value], &[]);
        prop_assert!(sweep(&world.input(), &elsewhere()).is_err());
    }
}
