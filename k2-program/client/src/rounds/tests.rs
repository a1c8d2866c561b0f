#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use k2_interface::instruction::Instruction as Call;
use k2_interface::state::{
    Config, Kind, Operator, OperatorSet, OperatorSlot, Pause, Proposal, ProposalState,
};
use k2_interface::{K2Address, PoolError};
use zerocopy::FromZeros as _;

use super::{Missing, Root, RoundError, Rounds, missing};
use crate::keypair::Keypair;
use crate::testing::Shelf;

const LAST: [u8; 32] = [8; 32];

fn root(tag: u8) -> Root {
    Root {
        round: 10,
        root: [tag; 32],
        list: [tag; 32],
        total: 5000,
        leaf_count: 3,
    }
}

fn proposal(root: &Root, proposer: K2Address, votes: u32) -> Proposal {
    let mut proposal = Proposal::new_zeroed();
    proposal.round = root.round.into();
    proposal.proposer = proposer;
    proposal.root = root.root;
    proposal.previous_root = LAST;
    proposal.list = root.list;
    proposal.total = root.total.into();
    proposal.leaf_count = root.leaf_count.into();
    proposal.proposed_slot = 100.into();
    proposal.votes = votes.into();
    proposal
}

/// Three operators, a quorum of two, round 9 in force.
struct Pool {
    keys: Vec<Keypair>,
    config: Config,
    operators: OperatorSet,
}

fn pool() -> Pool {
    let keys: Vec<Keypair> = (1..=3).map(|tag| Keypair::from_seed([tag; 32])).collect();
    let mut config = Config::new_zeroed();
    config.quorum = 2;
    config.parameters.challenge_slots = 50.into();
    config.totals.proved_in = 5000.into();
    config.rewards.finalized = 1.into();
    config.rewards.round = 9.into();
    config.rewards.total = 4000.into();
    config.rewards.root = LAST;
    let mut operators = OperatorSet::new_zeroed();
    operators.count = 3;
    for (slot, key) in operators.slots.iter_mut().zip(&keys) {
        *slot = OperatorSlot {
            operator: key.address(),
            joined_slot: 5.into(),
        };
    }
    Pool {
        keys,
        config,
        operators,
    }
}

impl Pool {
    fn shelf(&self, proposals: &[Proposal]) -> Arc<Shelf> {
        let (shelf, program) = (Arc::new(Shelf::default()), Shelf::program());
        shelf.at_slot(120);
        shelf.put(program.config(), Kind::Config, self.config);
        shelf.put(program.operators(), Kind::Operators, self.operators);
        for (index, key) in (0..).zip(&self.keys) {
            let mut bond = Operator::new_zeroed();
            bond.operator = key.address();
            bond.joined_slot = 5.into();
            bond.index = index;
            let address = program.operator(&key.address()).address;
            shelf.put(address, Kind::Operator, bond);
        }
        for proposal in proposals {
            let address = program.proposal(proposal.round.get(), &proposal.proposer);
            shelf.put(address.address, Kind::Proposal, *proposal);
        }
        shelf
    }

    fn missing(&self, proposal: &Proposal, slot: u64) -> Vec<Missing> {
        missing(&self.config, &self.operators, proposal, slot)
    }
}

#[test]
fn a_proposal_lacks_votes_then_time_then_nothing() {
    let pool = pool();
    let mut some = proposal(&root(1), pool.keys[0].address(), 0b001);
    let votes = Missing::Votes {
        votes: 1,
        quorum: 2,
    };
    assert_eq!(pool.missing(&some, 120), [votes]);
    some.votes = 0b101.into();
    some.quorum_slot = 110.into();
    let challenge = Missing::Challenge {
        slots: 1,
        until: 160,
    };
    assert_eq!(pool.missing(&some, 159), [challenge]);
    assert_eq!(pool.missing(&some, 160), []);
    // An operator that has left takes its vote along.
    let mut fewer = self::pool();
    fewer.operators.slots[2] = OperatorSlot::new_zeroed();
    assert_eq!(fewer.missing(&some, 160), [votes]);
}

#[test]
fn sats_that_are_not_minted_are_counted() {
    let mut pool = pool();
    pool.config.totals.proved_in = 4999.into();
    pool.config.paused = Pause::Rounds as u8;
    let mut some = proposal(&root(1), pool.keys[0].address(), 0b011);
    some.quorum_slot = 100.into();
    assert_eq!(
        pool.missing(&some, 999),
        [Missing::Paused, Missing::Coverage { short: 1 }]
    );
}

#[test]
fn what_can_never_be_finalized_says_so_alone() {
    let pool = pool();
    let good = proposal(&root(1), pool.keys[0].address(), 0);
    let mut vetoed = good;
    vetoed.state = ProposalState::Vetoed as u8;
    let mut past = good;
    past.round = 9.into();
    let mut stale = good;
    stale.previous_root = [1; 32];
    let mut less = good;
    less.total = 3999.into();
    let mut finalized = good;
    finalized.state = ProposalState::Finalized as u8;
    for (proposal, wanted) in [
        (vetoed, vec![Missing::Vetoed]),
        (past, vec![Missing::Past { finalized: 9 }]),
        (stale, vec![Missing::Stale]),
        (less, vec![Missing::TotalFalls]),
        (finalized, vec![]),
    ] {
        assert_eq!(pool.missing(&proposal, 120), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_attests_every_proposal_of_its_own_root_once() {
    let pool = pool();
    let [one, two, three] = &pool.keys[..] else {
        panic!()
    };
    let shelf = pool.shelf(&[
        proposal(&root(1), one.address(), 0b001),
        proposal(&root(1), two.address(), 0b110),
        proposal(&root(2), three.address(), 0b000),
    ]);
    let client = shelf.client();
    let attested = Rounds::new(&client).attest(three, &root(1)).await.unwrap();
    // Two's carries its vote already, three's says something else.
    assert_eq!(attested.len(), 1);
    assert_eq!(attested[0].0, one.address());
    let sent = shelf.sent();
    let data = &sent[0].message.instructions.last().unwrap().data;
    let Call::AttestRound { args } = Call::parse(data).unwrap() else {
        panic!()
    };
    assert_eq!(args, root(1).args(LAST));
}

/// The program takes both signatures, and anybody may then burn the bond.
#[tokio::test(start_paused = true)]
async fn a_second_root_of_one_round_is_never_signed() {
    let pool = pool();
    let [one, two, three] = &pool.keys[..] else {
        panic!()
    };
    let signed = proposal(&root(1), one.address(), 0b011);
    let other = proposal(&root(2), three.address(), 0b100);
    let shelf = pool.shelf(&[signed, other]);
    let client = shelf.client();
    let rounds = Rounds::new(&client);
    for error in [
        rounds.attest(two, &root(2)).await.unwrap_err(),
        rounds.propose(two, &root(2)).await.unwrap_err(),
    ] {
        let RoundError::WouldEquivocate { proposer, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(proposer, one.address());
    }
    assert_eq!(shelf.sent(), []);
    // What was vetoed costs no bond; another round's signature is no second one.
    for harmless in [
        Proposal {
            state: ProposalState::Vetoed as u8,
            ..signed
        },
        Proposal {
            round: 11.into(),
            ..signed
        },
        Proposal {
            // Before this bond was made: its place's earlier owner signed.
            proposed_slot: 5.into(),
            ..signed
        },
    ] {
        let shelf = pool.shelf(&[harmless, other]);
        let client = shelf.client();
        Rounds::new(&client).attest(two, &root(2)).await.unwrap();
        assert_eq!(shelf.sent().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_program_would_refuse_costs_no_fee() {
    let pool = pool();
    let shelf = pool.shelf(&[]);
    let client = shelf.client();
    let rounds = Rounds::new(&client);
    let stranger = Keypair::from_seed([77; 32]);
    let good = root(1);
    for (key, root, wanted) in [
        (&stranger, good, PoolError::NotOperator),
        (
            &pool.keys[0],
            Root { round: 9, ..good },
            PoolError::OldRound,
        ),
        (
            &pool.keys[0],
            Root {
                total: 3999,
                ..good
            },
            PoolError::TotalFalls,
        ),
        (
            &pool.keys[0],
            Root {
                root: [0; 32],
                ..good
            },
            PoolError::NullRoot,
        ),
        (
            &pool.keys[0],
            Root {
                leaf_count: 0,
                ..good
            },
            PoolError::BadLeafCount,
        ),
    ] {
        let error = rounds.propose(key, &root).await.unwrap_err();
        assert!(
            matches!(error, RoundError::Rule { rule, .. } if rule == wanted),
            "{error}"
        );
    }
    let error = rounds.attest(&pool.keys[0], &good).await.unwrap_err();
    assert!(
        matches!(error, RoundError::NotProposed { round: 10 }),
        "{error}"
    );
    assert_eq!(shelf.sent(), []);
    rounds.propose(&pool.keys[0], &good).await.unwrap();
    assert_eq!(shelf.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_proposal_that_is_ready_is_finalized() {
    let pool = pool();
    let [one, two, _] = &pool.keys[..] else {
        panic!()
    };
    let waiting = proposal(&root(1), one.address(), 0b001);
    let mut ready = proposal(&root(1), two.address(), 0b011);
    ready.quorum_slot = 70.into();
    let shelf = pool.shelf(&[waiting, ready]);
    let client = shelf.client();
    let rounds = Rounds::new(&client);
    assert!(rounds.finalize(one, 10).await.unwrap().is_some());
    let sent = shelf.sent();
    let wanted = rounds.finalize_draft(one.address(), 10, two.address());
    let key = wanted.instructions[0].accounts.last().unwrap().pubkey;
    assert!(sent[0].message.account_keys.contains(&key));

    let shelf = pool.shelf(&[waiting]);
    let client = shelf.client();
    let error = Rounds::new(&client).finalize(one, 10).await.unwrap_err();
    assert!(error.to_string().contains("1 of 2"), "{error}");
    let error = Rounds::new(&client).finalize(one, 11).await.unwrap_err();
    assert!(
        matches!(error, RoundError::NotProposed { round: 11 }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_status_names_who_attests() {
    let pool = pool();
    let shelf = pool.shelf(&[proposal(&root(1), pool.keys[0].address(), 0b101)]);
    let client = shelf.client();
    let status = Rounds::new(&client).status(10).await.unwrap().remove(0);
    assert_eq!((status.votes, status.quorum), (2, 2));
    assert_eq!(
        status.attested_by,
        [pool.keys[0].address(), pool.keys[2].address()]
    );
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["proposal"]["state"], "open");
    assert_eq!(json["missing"][0]["missing"], "votes");
}
