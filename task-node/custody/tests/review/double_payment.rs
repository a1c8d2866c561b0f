//! Whatever a coordinator asks of custodians who know different things: a redemption is never paid twice.

use std::collections::BTreeSet;

use bitcoin::{Amount, OutPoint, Psbt};
use orcapool_custody::Payment;
use orcapool_custody::payment::{History, Reason, Rule, plan, review};
use orcapool_custody::view::BURIED;
use proptest::prelude::*;

use crate::world::{TIP, World, paid};

/// Plans as one who knows nothing of what was signed before.
fn forgetful(world: &World, avoiding: &[&Payment]) -> Option<Psbt> {
    let mut other = world.clone();
    other.signed.clear();
    other.bitcoin.payments.clear();
    other.born = 0;
    for payment in avoiding {
        other.reserved.extend(&payment.inputs);
    }
    Some(other.plan().payment?.psbt().clone())
}

#[test]
fn a_second_payment_from_other_coins_is_refused() {
    let mut world = World::with(&[5_000_000, 4_000_000], &[(1_000_000, 9_000)]);
    let first = world.payment();
    let first = world.sign(&first);
    let second = forgetful(&world, &[&first]).unwrap();
    let refused = review(&second, &world.known()).unwrap_err();
    assert_eq!(refused.rule, Rule::MissingConflict);
    // What only the node has seen counts as much.
    world.signed.clear();
    world.bitcoin.payments.push(first);
    let refused = review(&second, &world.known()).unwrap_err();
    assert_eq!(refused.rule, Rule::MissingConflict);
}

#[test]
fn paying_anew_shares_a_coin_with_every_live_payment() {
    let mut world = World::with(
        &[5_000_000, 4_000_000],
        &[(1_000_000, 9_000), (1_000_000, 9_000)],
    );
    let first = world.payment();
    let old = world.sign(&first);
    world.edit(2).expires = TIP + 1;
    world.again = BTreeSet::from([1]);
    world.replaced_fee = first.fee();
    let anew = world.payment();
    assert_eq!(paid(&anew).into_keys().collect::<Vec<_>>(), [1]);
    assert!(!anew.payment().unwrap().inputs.is_disjoint(&old.inputs));
    assert_eq!(anew.replaces(), &BTreeSet::from([old.txid]));
    // The coin in common is spent by something else, which is not buried: the old payment is not dead yet.
    let coin = *old.inputs.first().unwrap();
    world.bitcoin.coins.remove(&coin);
    let by = bitcoin::hashes::Hash::from_byte_array([5; 32]);
    let spent = orcapool_custody::view::Spent { by, height: TIP };
    world.bitcoin.spent.insert(coin, spent);
    let plan = world.plan();
    assert_eq!(plan.payment, None);
    assert_eq!(plan.waiting[0].reason, Reason::Conflict(old.txid));
    world.bitcoin.tip += BURIED - 1;
    assert_eq!(paid(&world.payment()).len(), 1, "it is dead");
}

/// A re-organisation confirms a payment's bump instead of it, and what spent the payment's change would wait for ever, its
/// redemptions and the coordinator with it.
#[test]
fn what_spends_the_change_of_a_dead_payment_is_dead() {
    let mut world = World::with(&[5_000_000], &[(1_000_000, 9_000), (1_000_000, 9_000)]);
    world.edit(2).expires = TIP + 1;
    let parent = world.payment();
    let before = world.clone();
    world.confirm(&parent, 0);
    world.edit(2).expires = TIP + 144;
    let child = world.payment();
    assert_eq!(paid(&child).into_keys().collect::<Vec<_>>(), [2]);
    assert_eq!(
        child.psbt().unsigned_tx.input[0].previous_output.txid,
        parent.txid()
    );

    let mut world = before;
    world.edit(2).expires = TIP + 144;
    world.k2.redemptions.remove(&1);
    world.coinbase(3_000_000, 10);
    let coin = parent.psbt().unsigned_tx.input[0].previous_output;
    world.bitcoin.coins.remove(&coin);
    let by = bitcoin::hashes::Hash::from_byte_array([5; 32]);
    let spent = orcapool_custody::view::Spent { by, height: TIP };
    world.bitcoin.spent.insert(coin, spent);
    world.bitcoin.payments.extend(parent.payment());
    world.sign(&child);
    world.again = BTreeSet::from([2]);
    assert_eq!(
        world.plan().waiting[0].reason,
        Reason::Conflict(child.txid())
    );
    world.bitcoin.tip += BURIED - 1;
    assert_eq!(paid(&world.payment()).into_keys().collect::<Vec<_>>(), [2]);
}

/// Anybody can send the pool a little and name redemptions beside it.
#[test]
fn a_strangers_list_of_ids_is_no_payment() {
    let mut world = World::with(&[5_000_000], &[(1_000_000, 9_000)]);
    world.bitcoin.payments.push(Payment {
        txid: bitcoin::hashes::Hash::from_byte_array([5; 32]),
        inputs: BTreeSet::from([OutPoint::null()]),
        ids: BTreeSet::from([1]),
        height: Some(TIP),
    });
    assert_eq!(paid(&world.payment()).len(), 1);
}

#[test]
fn a_lost_journal_is_fenced_by_all_coins_of_its_time() {
    let mut world = World::with(&[5_000_000, 4_000_000, 3_000_000], &[(1_000_000, 9_000)]);
    world.born = TIP - 5;
    world.edit(1).requested = TIP - 5;
    let payment = world.payment();
    assert_eq!(payment.psbt().inputs.len(), 3, "all coins that were there");
    world.edit(1).requested = TIP - 4;
    assert_eq!(
        world.payment().psbt().inputs.len(),
        1,
        "a newer redemption cannot have been signed before"
    );
    // A coinbase that was immature then cannot have been spent then.
    world.edit(1).requested = TIP - 5;
    world.coinbase(2_000_000, TIP - 103);
    assert_eq!(world.payment().psbt().inputs.len(), 3);
}

/// The coin a forgotten payment spends is spent by another transaction that a re-organisation could undo.
#[test]
fn a_fence_waits_for_spends_that_are_not_buried() {
    let mut world = World::with(
        &[5_000_000, 4_000_000],
        &[(4_500_000, 9_000), (1_000_000, 9_000)],
    );
    world.born = TIP + 30;
    world.edit(2).expires = TIP + 36;
    let first = world.payment();
    world.confirm(&first, 0);
    world.edit(2).expires = TIP + 144;
    world.k2.redemptions.remove(&1);
    // Its change is spent with it, so that it falls with that payment.
    let second = world.payment();
    assert_eq!(paid(&second).into_keys().collect::<Vec<_>>(), [2]);
    let spends = second.payment().unwrap().inputs;
    assert!(spends.iter().any(|input| input.txid == first.txid()));
    // Without that change there is nothing that ties them, until the spend is buried.
    let change = world
        .bitcoin
        .coins
        .keys()
        .find(|coin| coin.txid == first.txid());
    let change = *change.unwrap();
    world.bitcoin.coins.remove(&change);
    world.coinbase(3_000_000, TIP - 50);
    world.bitcoin.tip += BURIED - 2;
    let mut late = world.clone();
    late.born = TIP - 900;
    for coin in late.bitcoin.coins.values_mut() {
        coin.height = coin.height.map(|_| TIP - 800);
    }
    late.edit(2).requested = TIP - 900;
    assert!(
        matches!(late.plan().waiting[0].reason, Reason::Fence(_)),
        "{:?}",
        late.plan()
    );
    late.bitcoin.tip += 1;
    assert_eq!(paid(&late.payment()).len(), 1);
}

/// What a coordinator that wants to pay twice may do.
#[derive(Debug, Clone)]
enum Move {
    /// Plans honestly and shows it to these custodians.
    Honest([bool; 3]),
    /// Plans as if nothing had been signed, away from the coins of the last payment.
    Forgetful([bool; 3]),
    /// Plans some redemptions anew.
    Again([bool; 3]),
    /// A custodian loses its journal and starts a new one now.
    Lose(usize),
    /// Blocks are mined.
    Blocks(u32),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        any::<[bool; 3]>().prop_map(Move::Honest),
        any::<[bool; 3]>().prop_map(Move::Forgetful),
        any::<[bool; 3]>().prop_map(Move::Again),
        (0_usize..3).prop_map(Move::Lose),
        (1_u32..4).prop_map(Move::Blocks),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Three custodians, each with a journal of its own, one of whom may lose it; all transactions that two of them signed
    /// and that name one redemption exclude each other.
    #[test]
    fn two_signed_payments_of_one_redemption_always_conflict(
        coins in prop::collection::vec(900_000_u64..3_000_000, 2..6),
        moves in prop::collection::vec(moves(), 1..14),
    ) {
        let mut chain = World::with(
            &coins,
            &[(200_000, 9_000), (300_000, 9_000), (400_000, 9_000)],
        );
        let mut journals: [Vec<Payment>; 3] = Default::default();
        let mut born = [0; 3];
        let mut lost = false;
        let mut complete: Vec<Payment> = Vec::new();
        for step in moves {
            let (psbt, to) = match step {
                Move::Honest(to) => {
                    let mut world = chain.clone();
                    world.signed = journals.concat();
                    (world.plan().payment.map(|payment| payment.psbt().clone()), to)
                }
                Move::Forgetful(to) => {
                    let last: Vec<_> = complete.iter().rev().take(1).collect();
                    (forgetful(&chain, &last), to)
                }
                Move::Again(to) => {
                    let mut world = chain.clone();
                    world.signed = journals.concat();
                    world.again = BTreeSet::from([1, 3]);
                    world.replaced_fee = Amount::from_sat(500);
                    let planned = plan(&world.input()).ok().and_then(|plan| plan.payment);
                    (planned.map(|payment| payment.psbt().clone()), to)
                }
                Move::Lose(who) => {
                    // One alone: two lost journals are two custodians who cannot be trusted.
                    if !lost {
                        lost = true;
                        journals[who].clear();
                        born[who] = chain.bitcoin.tip;
                    }
                    continue;
                }
                Move::Blocks(count) => {
                    chain.bitcoin.tip += count;
                    chain.k2.relay_tip += count;
                    continue;
                }
            };
            let Some(psbt) = psbt else { continue };
            let mut signatures = 0;
            for who in 0..3 {
                let mut own = chain.clone();
                own.signed.clone_from(&journals[who]);
                own.born = born[who];
                if to[who] && review(&psbt, &own.known()).is_ok() {
                    let payment = Payment::of(&psbt.unsigned_tx, None).unwrap();
                    journals[who].push(payment);
                    signatures += 1;
                }
            }
            if signatures >= 2 {
                complete.push(Payment::of(&psbt.unsigned_tx, None).unwrap());
            }
        }
        let history = History::new(&complete, &chain.bitcoin);
        for payment in &complete {
            for id in &payment.ids {
                let exclusive = history.check_conflict(
                    &chain.bitcoin, payment.txid, &payment.inputs, *id,
                );
                prop_assert!(exclusive.is_ok(), "{exclusive:?}");
            }
        }
    }
}
