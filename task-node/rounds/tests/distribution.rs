//! Accepted bundles become exactly what the ledger divides, the same on every node.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::Amount;
use ledger::Share;
use pow::{NBits, Work};
use rounds::{
    AcceptedBundle, AcceptedRound, Bundle, DistributeError, EncodedBundle, PayoutTerms, PoolRules,
    distribute, payout_window,
};
use support::*;
use work::{CreditedShare, K2Address, RoundNumber};

fn n(number: u64) -> RoundNumber {
    RoundNumber::new(number).unwrap()
}

fn accepted(bundle: &EncodedBundle) -> AcceptedBundle {
    let blocks = Blocks::of(bundle);
    let root = blocks.get(&bundle.cid).unwrap();
    let read = Bundle::read(&bundle.cid, &root, |cid| blocks.get(cid)).unwrap();
    AcceptedBundle::new(Arc::new(read), &rules()).unwrap()
}

/// What one miner of one node found in one round.
fn mined(round: u64, node: K2Address, miner: u8, count: u32) -> Vec<CreditedShare> {
    let mut claim = claim(miner);
    (claim.round, claim.node) = (n(round), node);
    let template = template(FIRST_TIP);
    (0..count)
        .map(|session| mine(&template, claim.clone(), session, OPENED_AT as u32))
        .collect()
}

fn bundle(round: u64, node: K2Address, shares: &[CreditedShare]) -> AcceptedBundle {
    let mut head = head();
    (head.round, head.node) = (n(round), node);
    accepted(&bundle_of(head, shares))
}

/// A window of exactly `shares` shares of the tests' difficulty, whatever the network's work.
fn rules_for(shares: u64) -> PoolRules {
    let mut parts = rules_parts();
    parts.pplns_multiple = 1;
    let network = NBits::from_consensus(NETWORK_BITS).unwrap().work();
    parts.pplns_floor = network.max(difficulty().work().saturating_mul(shares));
    PoolRules::new(parts).unwrap()
}

#[test]
fn shares_come_out_as_they_were_mined() {
    let (a, b) = (address(0xa0), address(0xb0));
    let (of_a, of_b) = (mined(5, a, 1, 3), mined(5, b, 2, 2));
    let round = AcceptedRound::new(n(5), vec![bundle(5, b, &of_b), bundle(5, a, &of_a)]).unwrap();
    let mut found: Vec<Share> = round.shares().collect();
    let mut expected: Vec<Share> = of_a
        .iter()
        .chain(&of_b)
        .map(|share| Share {
            round: n(5),
            height: FIRST_TIP + 1,
            hash: *share.hash().as_ref(),
            work: share.work(),
            miner: share.job().claim().miner,
            node: share.job().claim().node,
        })
        .collect();
    found.sort_by_key(|share| share.hash);
    expected.sort_by_key(|share| share.hash);
    assert_eq!(found, expected);
    // The ledger walks a round twice.
    let shares = round.shares();
    assert_eq!(shares.clone().count(), shares.count());
    let blocks = of_a
        .iter()
        .chain(&of_b)
        .filter(|share| share.is_block())
        .count();
    assert_eq!(round.blocks().count(), blocks);
}

#[test]
fn the_window_reaches_back_until_it_is_full() {
    let node = address(0xa0);
    let rounds: BTreeMap<u64, AcceptedRound> = [(3, 1, 4), (4, 2, 4), (5, 3, 4)]
        .map(|(round, miner, count)| {
            let bundle = bundle(round, node, &mined(round, node, miner, count));
            (round, AcceptedRound::new(n(round), vec![bundle]).unwrap())
        })
        .into();
    let rules = rules_for(6);
    let window = payout_window(&rules, n(5), n(0), |round| rounds.get(&round.get())).unwrap();
    assert!(window.is_full());
    assert_eq!(window.size(), difficulty().work().saturating_mul(6));
    assert_eq!(window.oldest_round(), Some(n(4)), "round 3 is not needed");
    let by_miner: BTreeMap<_, _> = window
        .counted()
        .iter()
        .map(|(earner, work)| (earner.miner, *work))
        .collect();
    assert_eq!(by_miner[&address(3)], difficulty().work().saturating_mul(4));
    assert_eq!(by_miner[&address(2)], difficulty().work().saturating_mul(2));

    // A longer window needs a round that is not here, and says which.
    let error =
        payout_window(&rules_for(13), n(5), n(0), |round| rounds.get(&round.get())).unwrap_err();
    assert!(
        matches!(error, DistributeError::MissingRound { round, reached, .. }
            if round == n(2) && reached == difficulty().work().saturating_mul(12)),
        "{error}"
    );
    // Unless there never was one: the pool is young.
    let window =
        payout_window(&rules_for(13), n(5), n(3), |round| rounds.get(&round.get())).unwrap();
    assert_eq!(window.reached(), difficulty().work().saturating_mul(12));
}

#[test]
fn rounds_without_shares_are_passed_over() {
    let node = address(0xa0);
    let work = AcceptedRound::new(n(0), vec![bundle(0, node, &mined(0, node, 1, 2))]).unwrap();
    let empty = AcceptedRound::new(n(1), vec![bundle(1, node, &[])]).unwrap();
    let none = AcceptedRound::new(n(2), Vec::new()).unwrap();
    let get = |round: RoundNumber| match round.get() {
        0 => Some(&work),
        1 => Some(&empty),
        2 => Some(&none),
        _ => None,
    };
    let window = payout_window(&rules_for(2), n(2), n(0), get).unwrap();
    assert_eq!(window.reached(), difficulty().work().saturating_mul(2));
    // Nobody worked at all: a window of the floor, with nothing in it.
    let window = payout_window(&rules_for(2), n(2), n(1), get).unwrap();
    assert_eq!(window.reached(), Work::ZERO);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let node = address(0xa0);
    let one = bundle(5, node, &[]);
    assert!(matches!(
        AcceptedRound::new(n(6), vec![one.clone()]),
        Err(DistributeError::OtherRound { .. })
    ));
    assert!(matches!(
        AcceptedRound::new(n(5), vec![one.clone(), one]),
        Err(DistributeError::TwoBundles(_))
    ));
}

#[test]
fn every_node_distributes_alike_and_to_the_last_sat() {
    let (a, b) = (address(0xa0), address(0xb0));
    let shares = [mined(5, a, 1, 3), mined(5, b, 2, 2)];
    let bundles = || vec![bundle(5, a, &shares[0]), bundle(5, b, &shares[1])];
    let one = AcceptedRound::new(n(5), bundles()).unwrap();
    let other = AcceptedRound::new(n(5), bundles().into_iter().rev().collect()).unwrap();
    // Say that every other block found made it.
    let best: Vec<_> = one.blocks().map(|block| block.hash).step_by(2).collect();
    let pot = one.pot(|hash| best.contains(hash)).unwrap();
    assert_eq!(pot, Amount::from_sat(VALUE * best.len() as u64));
    let rules = rules_for(100);
    // Whether or not the few shares here hold a block: something odd to divide.
    let terms = PayoutTerms {
        program: address(0xcc),
        bounty: 1_000_003,
        pot: pot + Amount::from_sat(777_777),
        previous: None,
    };
    let bytes = [&one, &other].map(|round| {
        let window = payout_window(&rules, n(5), n(5), |_| Some(round)).unwrap();
        let distribution = distribute(&rules, n(5), &window, &terms).unwrap();
        let record = distribution.record();
        assert_eq!(record.miners.total(), terms.pot);
        assert_eq!(record.fee, rules.operator_fee());
        assert_eq!(distribution.koii_list().values().sum::<i64>(), 1_000_003);
        distribution.to_bytes().unwrap()
    });
    assert_eq!(bytes[0], bytes[1]);
}
