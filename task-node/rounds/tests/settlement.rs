//! A round is divided for good once its blocks are decided, and then alike on every node.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{Amount, BlockHash};
use ledger::{RewardList, Window};
use rounds::{
    AcceptedBundle, AcceptedRound, BlockShare, Bundle, ChainTip, DecidedRound, EncodedBundle,
    MissingHeight, PayoutTerms, Settlement, SettlementError, SettlementTerms, Undecided,
    distribute, payout_window,
};
use support::*;
use work::{CreditedShare, K2Address, PayoutScript, RoundNumber, UnixTime};

fn n(number: u64) -> RoundNumber {
    RoundNumber::new(number).unwrap()
}

fn tip(height: u32) -> ChainTip {
    ChainTip {
        height,
        time: UnixTime(OPENED_AT),
        now: UnixTime(OPENED_AT),
    }
}

/// A share of `miner` that found a block on `tip`, paying `payout`.
fn block(round: u64, tip: u32, miner: u8, payout: &PayoutScript) -> CreditedShare {
    let mut claim = claim(miner);
    (claim.round, claim.node) = (n(round), address(0xa0));
    let template = template_paying(&parts(tip), payout);
    (0..)
        .map(|session| mine(&template, claim.clone(), session, OPENED_AT as u32))
        .find(CreditedShare::is_block)
        .unwrap()
}

fn accepted(round: u64, shares: &[CreditedShare]) -> AcceptedRound {
    let mut head = head();
    (head.round, head.node) = (n(round), address(0xa0));
    let bundle: EncodedBundle = bundle_of(head, shares);
    let blocks = Blocks::of(&bundle);
    let root = blocks.get(&bundle.cid).unwrap();
    let read = Bundle::read(&bundle.cid, &root, |cid| blocks.get(cid)).unwrap();
    let bundle = AcceptedBundle::new(Arc::new(read), &rules()).unwrap();
    AcceptedRound::new(n(round), vec![bundle]).unwrap()
}

/// A chain on which `found` stands, and nothing else of ours.
fn chain(found: &[&CreditedShare], heights: &DecidedRound<'_>) -> BTreeMap<u32, BlockHash> {
    let mut chain: BTreeMap<u32, BlockHash> = heights
        .heights()
        .into_iter()
        .map(|height| (height, block_hash(height)))
        .collect();
    for share in found {
        chain.insert(share.job().template().height(), share.hash());
    }
    chain
}

fn matured(round: &AcceptedRound, tip_height: u32, found: &[&CreditedShare]) -> Vec<BlockShare> {
    let decided = DecidedRound::new(round, &tip(tip_height)).unwrap();
    decided.matured(&chain(found, &decided)).unwrap()
}

#[test]
fn the_last_confirmation_of_the_last_block_decides_a_round() {
    let (first, second) = (block(5, 199, 1, &payout()), block(5, 203, 1, &payout()));
    let round = accepted(5, &[first.clone(), second.clone()]);
    for (tip_height, confirmations) in [(150, 0), (204, 1), (299, 96), (302, 99)] {
        let undecided = DecidedRound::new(&round, &tip(tip_height)).unwrap_err();
        assert_eq!(
            undecided,
            Undecided {
                round: n(5),
                hash: second.hash(),
                height: 204,
                confirmations
            },
            "tip {tip_height}"
        );
        let message = undecided.to_string();
        let expected = format!("{confirmations} of 100 confirmations");
        assert!(message.contains(&expected), "{message}");
        assert!(message.contains(&second.hash().to_string()), "{message}");
    }
    assert_eq!(matured(&round, 303, &[&first, &second]).len(), 2);
}

/// The provisional pot counted both; before the first one was buried the chain went another way.
#[test]
fn an_orphan_is_decided_like_any_other_block_and_pays_nothing() {
    let (orphan, block) = (block(5, 199, 1, &payout()), block(5, 200, 2, &payout()));
    let round = accepted(5, &[orphan.clone(), block.clone()]);
    let provisional = round.pot(|_| true).unwrap();
    assert_eq!(provisional, Amount::from_sat(2 * VALUE));

    // Depth 99 decides nothing, also about a block that has lost for the time being; depth 100 does.
    let lone = accepted(5, std::slice::from_ref(&orphan));
    DecidedRound::new(&lone, &tip(200 + 98)).unwrap_err();
    assert_eq!(matured(&lone, 200 + 99, &[]), []);
    assert_eq!(matured(&lone, 200 + 99, &[&orphan]).len(), 1);

    for tip_height in [300, 301, 5000] {
        let counted = matured(&round, tip_height, &[&block]);
        let [only] = &counted[..] else {
            panic!("{counted:?}")
        };
        assert_eq!((only.hash, only.height), (block.hash(), 201));
        assert_eq!(only.value, Amount::from_sat(VALUE));
    }
}

#[test]
fn a_height_that_was_not_looked_up_is_no_orphan() {
    let found = block(5, 199, 1, &payout());
    let round = accepted(5, std::slice::from_ref(&found));
    let decided = DecidedRound::new(&round, &tip(1000)).unwrap();
    assert_eq!(decided.heights().into_iter().collect::<Vec<_>>(), [200]);
    let nothing = decided.matured(&BTreeMap::new());
    assert_eq!(nothing, Err(MissingHeight(200)));
}

/// Koii lets submissions pass that no auditor drew: they must neither stop a round from settling nor put money into it that
/// nobody can mint.
#[test]
fn what_no_auditor_opened_holds_up_nothing_and_pays_nothing() {
    let honest = block(5, 199, 1, &payout());
    let made_up_height = block(5, 2_000_000_000, 2, &payout());
    let own_pocket = PayoutScript::parse(
        "wpkh(02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5)",
        bitcoin::Network::Regtest,
    );
    let to_itself = block(5, 198, 3, &own_pocket.unwrap());
    let shares = [honest.clone(), made_up_height, to_itself.clone()];
    let round = accepted(5, &shares);
    assert_eq!(round.blocks().count(), 3);
    DecidedRound::new(&round, &tip(298)).unwrap_err();
    let counted = matured(&round, 299, &[&honest, &to_itself]);
    let paid: Vec<_> = counted
        .iter()
        .map(|block| (block.height, block.value.to_sat()))
        .collect();
    assert_eq!(paid, [(199, 0), (200, VALUE)], "its own block is not ours");
}

fn empty_window() -> Window {
    Window::new(difficulty().work()).unwrap()
}

fn window_of(round: &AcceptedRound) -> Window {
    payout_window(&rules(), round.round(), round.round(), |_| Some(round)).unwrap()
}

const PROGRAM: K2Address = K2Address::from_bytes([0xcc; 32]);

fn settle(
    number: u64,
    window: &Window,
    blocks: &[BlockShare],
    previous: Option<&Settlement>,
) -> Result<Settlement, SettlementError> {
    let terms = SettlementTerms {
        program: PROGRAM,
        blocks,
        previous,
    };
    Settlement::compute(&rules(), n(number), window, &terms)
}

#[test]
fn nodes_that_saw_different_chains_for_a_while_settle_alike() {
    let (lost, won) = (block(5, 199, 1, &payout()), block(5, 200, 2, &payout()));
    let round = accepted(5, &[lost.clone(), won.clone()]);
    let window = window_of(&round);
    // What each of them answered Koii: one saw the first block, the other one the second.
    let provisional = [&lost, &won].map(|seen| {
        let terms = PayoutTerms {
            program: PROGRAM,
            bounty: 1000,
            pot: round.pot(|hash| *hash == seen.hash()).unwrap(),
            previous: None,
        };
        distribute(&rules(), n(5), &window, &terms).unwrap()
    });
    assert_eq!(provisional[0].koii_list(), provisional[1].koii_list());

    // They ask at different times.
    let settled = [300, 417].map(|tip| {
        let blocks = matured(&round, tip, &[&won]);
        settle(5, &window, &blocks, None).unwrap()
    });
    assert_eq!(settled[0], settled[1]);
    let bytes = settled[0].to_bytes().unwrap();
    assert_eq!(bytes, settled[1].to_bytes().unwrap());
    assert_eq!(Settlement::from_bytes(&bytes).unwrap(), settled[0]);

    let settled = &settled[0];
    let record = settled.distribution().record();
    assert_eq!(record.pot, Amount::from_sat(VALUE));
    assert_eq!(record.miners.total(), record.pot);
    assert_eq!(settled.maturity_height(), Some(300));
    assert_eq!(settled.distribution().koii_list(), BTreeMap::new());
    let list = RewardList::from_distribution(settled.distribution());
    assert_eq!(list.unwrap().unwrap().total(), record.pot);
}

#[test]
fn rounds_settle_one_after_the_other_and_nothing_is_lost_in_between() {
    let found = block(5, 199, 1, &payout());
    let round = accepted(5, std::slice::from_ref(&found));
    let blocks = matured(&round, 299, &[&found]);
    // Money without anybody to earn it is carried to the next round.
    let first = settle(4, &empty_window(), &blocks, None).unwrap();
    assert_eq!(first.distribution().record().undistributed.to_sat(), VALUE);
    assert_eq!(first.carried(), Amount::ZERO);
    let list = RewardList::from_distribution(first.distribution()).unwrap();
    assert_eq!(list, None);

    let second = settle(5, &window_of(&round), &blocks, Some(&first)).unwrap();
    assert_eq!(second.carried().to_sat(), VALUE);
    assert_eq!(second.distribution().record().pot.to_sat(), 2 * VALUE);
    let again = Settlement::from_bytes(&second.to_bytes().unwrap()).unwrap();
    assert_eq!(again, second);
    // Without blocks there is nothing to wait for, and nobody loses anything.
    let third = settle(6, &empty_window(), &[], Some(&second)).unwrap();
    assert_eq!(third.maturity_height(), None);
    assert_eq!(
        third.distribution().record().miners,
        second.distribution().record().miners
    );

    for (number, previous) in [(4, &first), (6, &first), (3, &first), (5, &third)] {
        let order = settle(number, &empty_window(), &[], Some(previous));
        assert!(
            matches!(order, Err(SettlementError::Order { .. })),
            "{number}: {order:?}"
        );
    }
    let twice = [blocks[0], blocks[0]];
    assert!(matches!(
        settle(4, &empty_window(), &twice, None),
        Err(SettlementError::BlockOrder)
    ));
}

/// What cannot be told from the record alone (which hash a block has) may differ; who is owed what may not.
#[test]
fn no_changed_byte_of_a_settlement_changes_who_is_owed_what() {
    let found = block(5, 199, 1, &payout());
    let round = accepted(5, std::slice::from_ref(&found));
    let blocks = matured(&round, 299, &[&found]);
    let settled = settle(5, &window_of(&round), &blocks, None).unwrap();
    let bytes = settled.to_bytes().unwrap();
    let owed = |settlement: &Settlement| {
        let record = settlement.distribution().record().clone();
        (record.program, record.pot, record.miners, record.root)
    };
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        match Settlement::from_bytes(&other) {
            Ok(read) => {
                assert_eq!(owed(&read), owed(&settled), "byte {at}");
                assert_eq!(read.to_bytes().unwrap(), other, "byte {at}");
            }
            Err(_) => refused += 1,
        }
        assert!(Settlement::from_bytes(&bytes[..at]).is_err(), "{at} bytes");
    }
    assert!(
        refused > bytes.len() / 2,
        "{refused} of {} refused",
        bytes.len()
    );
}
