//! Rounds: proposing, attesting and finalizing reward roots, and what a proposal still lacks.

mod missing;
mod root;

#[cfg(test)]
mod tests;

use k2_interface::reward_tree::MAX_LEAVES;
use k2_interface::state::{Config, Operator, OperatorSet, OperatorState, Proposal, ProposalState};
use k2_interface::{K2Address, PoolError};
use serde::Serialize;

use crate::accounts::AccountError;
use crate::client::Client;
use crate::keypair::Keypair;
use crate::send::{Confirmed, SendError};
use crate::transaction::Draft;
use crate::views::ProposalView;

pub use missing::{Missing, missing};
pub use root::Root;

/// Why a round was not moved on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoundError {
    /// An account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The transaction.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The program would refuse it.
    #[error("round {round}: {rule}")]
    Rule {
        /// The round.
        round: u64,
        /// Why.
        rule: PoolError,
    },
    /// It would cost the operator its bond. The program does not refuse it: whoever shows it both proposals is believed.
    #[error(
        "operator {operator} has signed another root for round {round}, in the proposal of {proposer}: signing two would cost its bond"
    )]
    WouldEquivocate {
        /// The operator.
        operator: K2Address,
        /// The round.
        round: u64,
        /// Whose proposal it has signed.
        proposer: K2Address,
    },
    /// Nobody has proposed this root.
    #[error("round {round}: nobody has proposed this root; propose it")]
    NotProposed {
        /// The round.
        round: u64,
    },
    /// Something is missing.
    #[error("round {round} cannot be finalized yet: {}", .missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotReady {
        /// The round.
        round: u64,
        /// What.
        missing: Vec<Missing>,
    },
}

/// A proposal and what it lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProposalStatus {
    /// Its account.
    pub address: K2Address,
    /// What it says.
    pub proposal: ProposalView,
    /// Votes that count.
    pub votes: u32,
    /// Votes needed.
    pub quorum: u32,
    /// Who attests it, of the present operators.
    pub attested_by: Vec<K2Address>,
    /// What it lacks; empty for one that is finalized, or can be.
    pub missing: Vec<Missing>,
    /// It is in force, or was.
    pub finalized: bool,
}

/// Moves rounds on.
#[derive(Debug, Clone, Copy)]
pub struct Rounds<'a> {
    client: &'a Client,
}

impl<'a> Rounds<'a> {
    /// The rounds of the client's program.
    #[must_use]
    pub const fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// All proposals of a round and what each lacks.
    ///
    /// # Errors
    /// [`RoundError`].
    pub async fn status(&self, round: u64) -> Result<Vec<ProposalStatus>, RoundError> {
        let proposals = self.client.accounts().proposals(round).await?;
        self.statuses(proposals).await
    }

    /// All proposals there are and what each lacks.
    ///
    /// # Errors
    /// [`RoundError`].
    pub async fn status_of_all(&self) -> Result<Vec<ProposalStatus>, RoundError> {
        let proposals = self.client.accounts().all_proposals().await?;
        self.statuses(proposals).await
    }

    async fn statuses(
        &self,
        proposals: Vec<(K2Address, Proposal)>,
    ) -> Result<Vec<ProposalStatus>, RoundError> {
        let accounts = self.client.accounts();
        let (config, operators) = (accounts.config().await?, accounts.operators().await?);
        let slot = self.slot().await?;
        Ok(proposals
            .into_iter()
            .map(|(address, proposal)| {
                let (votes, proposed) = (proposal.votes.get(), proposal.proposed_slot.get());
                ProposalStatus {
                    address,
                    votes: operators.count_votes(votes, proposed),
                    quorum: u32::from(config.quorum),
                    attested_by: (0..32_u32)
                        .filter(|place| operators.count_votes(votes & 1 << place, proposed) == 1)
                        .filter_map(|place| operators.slots.get(place as usize))
                        .map(|slot| slot.operator)
                        .collect(),
                    missing: missing(&config, &operators, &proposal, slot),
                    finalized: proposal.state == ProposalState::Finalized as u8,
                    proposal: (&proposal).into(),
                }
            })
            .collect())
    }

    async fn slot(&self) -> Result<u64, RoundError> {
        let slot = self.client.k2().slot(self.client.commitment()).await;
        Ok(slot.map_err(AccountError::from)?)
    }

    /// The draft of a proposal.
    ///
    /// # Errors
    /// [`RoundError`]; above all [`RoundError::WouldEquivocate`].
    pub async fn propose_draft(
        &self,
        operator: K2Address,
        root: &Root,
    ) -> Result<Draft, RoundError> {
        let config = self.check(operator, root).await?;
        let args = root.args(config.rewards.root);
        Ok(Draft::new(
            operator,
            [self.client.program().propose_round(operator, args)],
        ))
    }

    /// Proposes a root, and attests it.
    ///
    /// # Errors
    /// [`RoundError`].
    pub async fn propose(&self, operator: &Keypair, root: &Root) -> Result<Confirmed, RoundError> {
        let draft = self.propose_draft(operator.address(), root).await?;
        Ok(self.client.send(&draft, &[operator]).await?)
    }

    /// The draft of an attestation of `proposer`'s proposal.
    ///
    /// # Errors
    /// [`RoundError`]; above all [`RoundError::WouldEquivocate`].
    pub async fn attest_draft(
        &self,
        operator: K2Address,
        proposer: K2Address,
        root: &Root,
    ) -> Result<Draft, RoundError> {
        let config = self.check(operator, root).await?;
        let args = root.args(config.rewards.root);
        Ok(Draft::new(
            operator,
            [self.client.program().attest_round(operator, proposer, args)],
        ))
    }

    /// Attests every open proposal of this very root that the operator has not attested yet, and no other. Returns whose.
    ///
    /// # Errors
    /// [`RoundError::NotProposed`] where there is none.
    pub async fn attest(
        &self,
        operator: &Keypair,
        root: &Root,
    ) -> Result<Vec<(K2Address, Confirmed)>, RoundError> {
        let accounts = self.client.accounts();
        let config = accounts.config().await?;
        let operators = accounts.operators().await?;
        let place = place(&operators, &operator.address(), root)?;
        let mut attested = Vec::new();
        let mut found = false;
        for (_, proposal) in accounts.proposals(root.round).await? {
            if !root.is_proposed_by(&proposal)
                || proposal.state != ProposalState::Open as u8
                || proposal.previous_root != config.rewards.root
            {
                continue;
            }
            found = true;
            if proposal.votes.get() >> place & 1 == 1 {
                continue;
            }
            let proposer = proposal.proposer;
            let draft = self
                .attest_draft(operator.address(), proposer, root)
                .await?;
            attested.push((proposer, self.client.send(&draft, &[operator]).await?));
        }
        if !found {
            return Err(RoundError::NotProposed { round: root.round });
        }
        Ok(attested)
    }

    /// The draft that finalizes `proposer`'s proposal.
    #[must_use]
    pub fn finalize_draft(&self, payer: K2Address, round: u64, proposer: K2Address) -> Draft {
        let instruction = self.client.program().finalize_round(round, proposer);
        Draft::new(payer, [instruction])
    }

    /// Finalizes the round by whichever of its proposals can be. `None`: one of them is in force already.
    ///
    /// # Errors
    /// [`RoundError::NotReady`] with what the one that is furthest lacks; [`RoundError::NotProposed`].
    pub async fn finalize(
        &self,
        payer: &Keypair,
        round: u64,
    ) -> Result<Option<Confirmed>, RoundError> {
        let statuses = self.status(round).await?;
        if statuses.iter().any(|status| status.finalized) {
            return Ok(None);
        }
        let best = statuses
            .iter()
            .min_by_key(|status| (status.missing.len(), std::cmp::Reverse(status.votes)))
            .ok_or(RoundError::NotProposed { round })?;
        if !best.missing.is_empty() {
            return Err(RoundError::NotReady {
                round,
                missing: best.missing.clone(),
            });
        }
        let draft = self.finalize_draft(payer.address(), round, best.proposal.proposer);
        Ok(Some(self.client.send(&draft, &[payer]).await?))
    }

    /// What the program would refuse is told before it costs a fee; what it would not, but cost a bond, is refused here.
    async fn check(&self, operator: K2Address, root: &Root) -> Result<Config, RoundError> {
        let accounts = self.client.accounts();
        let (config, operators) = (accounts.config().await?, accounts.operators().await?);
        let fail = |rule| RoundError::Rule {
            round: root.round,
            rule,
        };
        place(&operators, &operator, root)?;
        let rewards = &config.rewards;
        if root.root == [0; 32] {
            return Err(fail(PoolError::NullRoot));
        }
        if !(1..=MAX_LEAVES).contains(&root.leaf_count) {
            return Err(fail(PoolError::BadLeafCount));
        }
        if rewards.finalized.get() > 0 && root.round <= rewards.round.get() {
            return Err(fail(PoolError::OldRound));
        }
        if root.total < rewards.total.get() {
            return Err(fail(PoolError::TotalFalls));
        }
        let bond = accounts.operator(&operator).await?;
        for (_, proposal) in accounts.proposals(root.round).await? {
            if !root.is_proposed_by(&proposal)
                && bond
                    .as_ref()
                    .is_some_and(|bond| has_signed(bond, &proposal))
            {
                return Err(RoundError::WouldEquivocate {
                    operator,
                    round: root.round,
                    proposer: proposal.proposer,
                });
            }
        }
        Ok(config)
    }
}

fn place(operators: &OperatorSet, operator: &K2Address, root: &Root) -> Result<usize, RoundError> {
    operators.index_of(operator).ok_or(RoundError::Rule {
        round: root.round,
        rule: PoolError::NotOperator,
    })
}

/// Whether the operator's signature stands on the proposal and could cost its bond; that on a vetoed one cannot.
fn has_signed(bond: &Operator, proposal: &Proposal) -> bool {
    let active = bond.state == OperatorState::Active as u8;
    active
        && proposal.state != ProposalState::Vetoed as u8
        && proposal.votes.get() >> (bond.index & 31) & 1 == 1
        && proposal.proposed_slot.get() > bond.joined_slot.get()
}
