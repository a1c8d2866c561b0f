//! A reward root, as an operator computed it itself.

use k2_interface::instruction::RoundRoot;
use k2_interface::state::{Config, Proposal};

/// A reward root as the operator computed it itself; from a settled round's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The round.
    pub round: u64,
    /// The reward tree's root.
    pub root: [u8; 32],
    /// SHA-256 digest in the list's CID.
    pub list: [u8; 32],
    /// What the list adds up to, in sats.
    pub total: u64,
    /// Leaves of the tree.
    pub leaf_count: u32,
}

impl Root {
    /// The root of a list, whose CID's digest is `list`.
    #[must_use]
    pub fn of(rewards: &ledger::RewardList, list: [u8; 32]) -> Self {
        Self {
            round: rewards.round().get(),
            root: rewards.root(),
            list,
            total: rewards.total().to_sat(),
            leaf_count: rewards.leaf_count(),
        }
    }

    /// As an instruction's arguments, on top of the root finalized last.
    #[must_use]
    pub const fn args(&self, previous_root: [u8; 32]) -> RoundRoot {
        RoundRoot {
            round: self.round,
            root: self.root,
            previous_root,
            list: self.list,
            total: self.total,
            leaf_count: self.leaf_count,
        }
    }

    /// Whether the proposal says this, whatever it builds on.
    #[must_use]
    pub fn is_proposed_by(&self, proposal: &Proposal) -> bool {
        self.round == proposal.round.get()
            && self.root == proposal.root
            && self.list == proposal.list
            && self.total == proposal.total.get()
            && self.leaf_count == proposal.leaf_count.get()
    }

    /// Whether this root is the one in force.
    #[must_use]
    pub fn is_finalized(&self, config: &Config) -> bool {
        config.rewards.finalized.get() > 0
            && config.rewards.round.get() == self.round
            && config.rewards.root == self.root
    }
}
