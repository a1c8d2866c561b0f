//! The part of `orcapool k2 keep` that votes: attests what the own node computed too, proposes where nobody did, and puts
//! in force what has everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use k2_client::rounds::{Missing, Root, RoundError, Rounds, missing};
use k2_client::{Client, Keypair};
use k2_interface::state::{Config, OperatorSet, Proposal, ProposalState};
use k2_interface::{K2Address, PoolError};
use work::RoundNumber;

use super::super::settlement;

/// Transactions of one turn.
const MAX_ACTS: usize = 16;

/// Votes for one operator.
pub(super) struct Voter<'a> {
    client: &'a Client,
    keypair: &'a Keypair,
    /// The own task node.
    node: &'a str,
    /// What was said of each proposal last: the same every few seconds would fill the log.
    told: Mutex<BTreeMap<K2Address, String>>,
}

/// An open proposal that can still be put in force, of a root that the own node computed too.
#[derive(Debug, Clone)]
struct Candidate {
    address: K2Address,
    proposer: K2Address,
    root: Root,
    vote: Vote,
    missing: Vec<Missing>,
}

/// The own vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vote {
    Given,
    ToGive,
    /// It was proposed before the operator joined.
    Impossible,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Finalize(usize),
    Attest(usize),
    Propose,
    Wait,
}

/// What to do about the candidates, by their rounds, and the newest settled round where it can be proposed.
///
/// A root in force makes all others stale, so none is proposed while one only waits for its challenge. One that lacks votes
/// is not waited for: if an operator is gone, or the quorum fell to the votes it has, it may never get them, and a later
/// round contains it.
fn next(candidates: &[Candidate], proposable: Option<u64>) -> Act {
    let has_quorum =
        |c: &&Candidate| !(c.missing.iter()).any(|lack| matches!(lack, Missing::Votes { .. }));
    if let Some(ready) = candidates.iter().position(|c| c.missing.is_empty()) {
        return Act::Finalize(ready);
    }
    // The newest first: the others are contained in it.
    if let Some(open) = candidates.iter().rposition(|c| c.vote == Vote::ToGive) {
        return Act::Attest(open);
    }
    let is_voted =
        |round| (candidates.iter()).any(|c| c.root.round >= round && c.vote == Vote::Given);
    match proposable {
        Some(round) if !candidates.iter().any(|c| has_quorum(&c)) && !is_voted(round) => {
            Act::Propose
        }
        _ => Act::Wait,
    }
}

/// Whether it may pass; what is left can never be put in force.
const fn can_come(missing: &Missing) -> bool {
    matches!(
        missing,
        Missing::Votes { .. }
            | Missing::Challenge { .. }
            | Missing::Coverage { .. }
            | Missing::Paused
    )
}

/// Which kind it is: the slots to go change all the time, and are not worth a line.
const fn kind(missing: &Missing) -> &'static str {
    match missing {
        Missing::Votes { .. } => "votes",
        Missing::Challenge { .. } => "challenge",
        Missing::Coverage { .. } => "coverage",
        Missing::Paused => "paused",
        _ => "never",
    }
}

fn vote(operators: &OperatorSet, place: usize, proposal: &Proposal) -> Vote {
    let proposed = proposal.proposed_slot.get();
    let bit = 1_u32 << (place & 31);
    if operators.count_votes(bit, proposed) == 0 {
        Vote::Impossible
    } else if proposal.votes.get() & bit == 0 {
        Vote::ToGive
    } else {
        Vote::Given
    }
}

fn root_of(proposal: &Proposal) -> Root {
    Root {
        round: proposal.round.get(),
        root: proposal.root,
        list: proposal.list,
        total: proposal.total.get(),
        leaf_count: proposal.leaf_count.get(),
    }
}

fn is_past(config: &Config, round: u64) -> bool {
    config.rewards.finalized.get() > 0 && round <= config.rewards.round.get()
}

/// Whether it is worth a proposal: somebody has earned since, nobody has vetoed it, and the operator has not used up its one
/// proposal for the round.
fn is_proposable(
    root: &Root,
    own: K2Address,
    config: &Config,
    proposals: &[(K2Address, Proposal)],
) -> bool {
    let rewards = &config.rewards;
    let is_new = rewards.finalized.get() == 0 || root.total != rewards.total.get();
    let stands_in_the_way = |proposal: &Proposal| {
        let is_vetoed =
            proposal.state == ProposalState::Vetoed as u8 && root.is_proposed_by(proposal);
        let is_own = proposal.proposer == own && proposal.round.get() == root.round;
        is_vetoed || is_own
    };
    is_new
        && !proposals
            .iter()
            .any(|(_, proposal)| stands_in_the_way(proposal))
}

/// What stands on K2 and on the own node.
struct Table {
    candidates: Vec<Candidate>,
    proposable: Option<Root>,
}

impl<'a> Voter<'a> {
    pub(super) fn new(client: &'a Client, keypair: &'a Keypair, node: &'a str) -> Self {
        Self {
            client,
            keypair,
            node,
            told: Mutex::default(),
        }
    }

    /// Does what can be done now.
    pub(super) async fn turn(&self) -> anyhow::Result<()> {
        let (rounds, own) = (Rounds::new(self.client), self.keypair.address());
        let mut refused = BTreeSet::new();
        for _ in 0..MAX_ACTS {
            let Table {
                candidates,
                proposable,
            } = self.look(&refused).await?;
            let act = next(&candidates, proposable.map(|root| root.round));
            match (act, proposable) {
                (Act::Finalize(place), _) => {
                    let Candidate { proposer, root, .. } = &candidates[place];
                    let draft = rounds.finalize_draft(own, root.round, *proposer);
                    match self.client.send(&draft, &[self.keypair]).await {
                        Ok(_) => {
                            tracing::info!(round = root.round, total = root.total, "in force");
                        }
                        // Another keeper was first.
                        Err(error)
                            if [
                                PoolError::NotOpen,
                                PoolError::OldRound,
                                PoolError::StaleRoot,
                            ]
                            .into_iter()
                            .any(|rule| error.is(rule)) =>
                        {
                            return Ok(());
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                (Act::Attest(place), _) => {
                    let candidate = &candidates[place];
                    let (round, proposer) = (candidate.root.round, candidate.proposer);
                    match self.attest(&rounds, candidate).await {
                        Ok(()) => tracing::info!(round, %proposer, "attested"),
                        // One vote that cannot be given must not keep the operator from the others.
                        Err(error) => {
                            tracing::warn!(round, %proposer, "not attested: {error}");
                            refused.insert(candidate.address);
                        }
                    }
                }
                (Act::Propose, Some(root)) => {
                    rounds.propose(self.keypair, &root).await?;
                    tracing::info!(round = root.round, total = root.total, "proposed");
                }
                (Act::Propose | Act::Wait, _) => break,
            }
        }
        Ok(())
    }

    async fn attest(&self, rounds: &Rounds<'_>, candidate: &Candidate) -> Result<(), RoundError> {
        let (own, proposer) = (self.keypair.address(), candidate.proposer);
        let draft = rounds.attest_draft(own, proposer, &candidate.root).await?;
        self.client.send(&draft, &[self.keypair]).await?;
        Ok(())
    }

    async fn look(&self, refused: &BTreeSet<K2Address>) -> anyhow::Result<Table> {
        let (accounts, own) = (self.client.accounts(), self.keypair.address());
        let (config, operators) = (accounts.config().await?, accounts.operators().await?);
        let place = operators.index_of(&own).with_context(|| {
            format!("{own} is no operator of the pool and cannot vote: `orcapool k2 operator register` makes it one")
        })?;
        let slot = self.client.k2().slot(self.client.commitment()).await?;
        let proposals = accounts.all_proposals().await?;
        let settled = settlement::newest(self.node).await;
        let newest = settled.as_ref().ok().copied().flatten();
        let mut candidates = Vec::new();
        for (address, proposal) in &proposals {
            let missing = missing(&config, &operators, proposal, slot);
            if missing == [Missing::Vetoed] && !is_past(&config, proposal.round.get()) {
                let (round, proposer) = (proposal.round.get(), proposal.proposer);
                self.tell(*address, "vetoed", || {
                    tracing::warn!(round, %proposer, "vetoed: this root is not proposed again");
                });
            }
            if proposal.state != ProposalState::Open as u8 || !missing.iter().all(can_come) {
                continue;
            }
            let vote = match vote(&operators, place, proposal) {
                Vote::ToGive if refused.contains(address) => Vote::Impossible,
                vote => vote,
            };
            if vote != Vote::Given && newest.is_none_or(|newest| newest < proposal.round.get()) {
                continue;
            }
            // What it has attested the operator has computed.
            let root = match vote {
                Vote::Given => root_of(proposal),
                _ => match self.own(proposal.round.get()).await {
                    Ok(Some(root)) if root.is_proposed_by(proposal) => root,
                    Ok(_) => {
                        self.disagrees(*address, proposal);
                        continue;
                    }
                    Err(error) => {
                        let round = proposal.round.get();
                        self.tell(*address, &format!("{error:#}"), || {
                            tracing::warn!(round, "not compared with a proposal: {error:#}");
                        });
                        continue;
                    }
                },
            };
            self.waits(*address, &root, &missing);
            candidates.push(Candidate {
                address: *address,
                proposer: proposal.proposer,
                root,
                vote,
                missing,
            });
        }
        self.forget_all_but(&proposals);
        // Without the node what was attested is seen through all the same.
        if let Err(error) = settled
            && !candidates.iter().any(|c| c.missing.is_empty())
        {
            return Err(error);
        }
        let proposable = match newest {
            Some(round) if !is_past(&config, round) => self
                .own(round)
                .await?
                .filter(|root| is_proposable(root, own, &config, &proposals)),
            _ => None,
        };
        Ok(Table {
            candidates,
            proposable,
        })
    }

    async fn own(&self, round: u64) -> anyhow::Result<Option<Root>> {
        let round = RoundNumber::new(round).context("a round number")?;
        let settled = settlement::fetch(self.node, round).await?;
        settlement::root(&settled, self.client.program().id())
    }

    fn disagrees(&self, address: K2Address, proposal: &Proposal) {
        self.tell(address, "disagrees", || {
            tracing::error!(
                round = proposal.round.get(),
                proposer = %proposal.proposer,
                total = proposal.total.get(),
                root = hex::encode(proposal.root),
                "PROPOSED IS WHAT THIS NODE DID NOT COMPUTE: it is not attested. If this node is right, the guardian must \
                 veto it (`orcapool k2 veto`)"
            );
        });
    }

    fn waits(&self, address: K2Address, root: &Root, missing: &[Missing]) {
        let kinds: Vec<_> = missing.iter().map(kind).collect();
        self.tell(address, &kinds.join(" "), || {
            if !missing.is_empty() {
                let lacks: Vec<_> = missing.iter().map(ToString::to_string).collect();
                tracing::info!(round = root.round, "not in force yet: {}", lacks.join("; "));
            }
        });
    }

    fn tell(&self, address: K2Address, what: &str, log: impl FnOnce()) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&address).is_none_or(|before| before != what) {
            told.insert(address, what.to_owned());
            log();
        }
    }

    fn forget_all_but(&self, proposals: &[(K2Address, Proposal)]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|told, _| proposals.iter().any(|(address, _)| address == told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTES: Missing = Missing::Votes {
        votes: 1,
        quorum: 2,
    };
    const CHALLENGE: Missing = Missing::Challenge { slots: 1, until: 9 };
    const COVERAGE: Missing = Missing::Coverage { short: 1 };

    fn candidate(round: u64, vote: Vote, missing: &[Missing]) -> Candidate {
        Candidate {
            address: K2Address::from_bytes([1; 32]),
            proposer: K2Address::from_bytes([2; 32]),
            root: Root {
                round,
                root: [3; 32],
                list: [4; 32],
                total: 5,
                leaf_count: 6,
            },
            vote,
            missing: missing.to_vec(),
        }
    }

    #[test]
    fn what_nobody_has_proposed_is_proposed() {
        assert_eq!(next(&[], None), Act::Wait);
        assert_eq!(next(&[], Some(7)), Act::Propose);
    }

    #[test]
    fn one_root_at_a_time() {
        let waiting = candidate(7, Vote::Given, &[CHALLENGE, COVERAGE]);
        assert_eq!(next(&[waiting], Some(8)), Act::Wait);
        let ready = candidate(7, Vote::Given, &[]);
        assert_eq!(next(&[ready], Some(8)), Act::Finalize(0));
    }

    #[test]
    fn the_newest_is_attested_first_and_nothing_twice() {
        let (given, open) = (Vote::Given, Vote::ToGive);
        let all = [
            candidate(6, open, &[VOTES]),
            candidate(7, open, &[VOTES]),
            candidate(8, given, &[VOTES]),
        ];
        assert_eq!(next(&all, Some(8)), Act::Attest(1));
        assert_eq!(next(&all[2..], Some(8)), Act::Wait);
    }

    /// The quorum fell to the votes a proposal has, or an operator that had voted left: nobody can make it a quorum any
    /// more, and all keepers would have waited for ever.
    #[test]
    fn a_proposal_that_gets_no_more_votes_is_not_waited_for() {
        let stuck = [candidate(7, Vote::Given, &[VOTES])];
        assert_eq!(next(&stuck, Some(7)), Act::Wait);
        assert_eq!(next(&stuck, Some(8)), Act::Propose);
    }

    #[test]
    fn who_joined_later_proposes_anew() {
        let older = [candidate(7, Vote::Impossible, &[VOTES])];
        assert_eq!(next(&older, Some(7)), Act::Propose);
        let enough = [candidate(7, Vote::Impossible, &[CHALLENGE])];
        assert_eq!(next(&enough, Some(7)), Act::Wait);
    }

    #[test]
    fn what_can_never_come_is_no_candidate() {
        assert!(
            [VOTES, CHALLENGE, COVERAGE, Missing::Paused]
                .iter()
                .all(can_come)
        );
        let never = [
            Missing::Stale,
            Missing::Vetoed,
            Missing::TotalFalls,
            Missing::Past { finalized: 7 },
        ];
        assert!(!never.iter().any(can_come));
    }
}
