//! What a proposal lacks to be finalized: a pure function of the accounts.

use k2_interface::state::{Config, OperatorSet, Pause, Proposal, ProposalState};
use serde::Serialize;

/// What a proposal lacks to be finalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "missing", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Missing {
    /// Attestations.
    #[error("{votes} of {quorum} operators have attested it")]
    Votes {
        /// Those that count.
        votes: u32,
        /// Those needed.
        quorum: u32,
    },
    /// Time.
    #[error("the challenge ends in {slots} slots, at slot {until}")]
    Challenge {
        /// Slots left.
        slots: u64,
        /// The slot from which it can be finalized.
        until: u64,
    },
    /// Minted sats.
    #[error("{short} sats of its total are not minted yet")]
    Coverage {
        /// Sats.
        short: u64,
    },
    /// It can never be finalized: another root came first.
    #[error("it does not build on the root finalized last")]
    Stale,
    /// It can never be finalized: a later round came first, or this one.
    #[error("round {finalized} is finalized already")]
    Past {
        /// The round finalized last.
        finalized: u64,
    },
    /// It can never be finalized: rewards never shrink.
    #[error("its total is below that of the root finalized last")]
    TotalFalls,
    /// It can never be finalized.
    #[error("it was vetoed")]
    Vetoed,
    /// Somebody can resume.
    #[error("rounds are paused")]
    Paused,
}

/// What a proposal lacks at this slot.
#[must_use]
pub fn missing(
    config: &Config,
    operators: &OperatorSet,
    proposal: &Proposal,
    slot: u64,
) -> Vec<Missing> {
    let mut missing = Vec::new();
    if proposal.state == ProposalState::Finalized as u8 {
        return missing;
    }
    if proposal.state == ProposalState::Vetoed as u8 {
        return vec![Missing::Vetoed];
    }
    let rewards = &config.rewards;
    if rewards.finalized.get() > 0 && proposal.round.get() <= rewards.round.get() {
        return vec![Missing::Past {
            finalized: rewards.round.get(),
        }];
    }
    if proposal.previous_root != rewards.root {
        return vec![Missing::Stale];
    }
    if proposal.total.get() < rewards.total.get() {
        return vec![Missing::TotalFalls];
    }
    if config.is_paused(Pause::Rounds) {
        missing.push(Missing::Paused);
    }
    let quorum = u32::from(config.quorum);
    let votes = operators.count_votes(proposal.votes.get(), proposal.proposed_slot.get());
    if votes < quorum || proposal.quorum_slot.get() == 0 {
        missing.push(Missing::Votes { votes, quorum });
    } else {
        let challenge = config.parameters.challenge_slots.get();
        let until = proposal.quorum_slot.get().saturating_add(challenge);
        if slot < until {
            missing.push(Missing::Challenge {
                slots: until - slot,
                until,
            });
        }
    }
    let short = proposal
        .total
        .get()
        .saturating_sub(config.totals.proved_in.get());
    if short > 0 {
        missing.push(Missing::Coverage { short });
    }
    missing
}
