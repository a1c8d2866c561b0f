//! Proposed reward roots, and what each owner has claimed.

use zerocopy::little_endian::{U32, U64};

use super::{Head, account};
use crate::K2Address;
use crate::layout::pod;

pod! {
    /// A reward root an operator proposes for a round. Each operator may have one a round, so that nobody can block a
    /// round with a wrong one.
    pub struct Proposal {
        /// Kind and version.
        pub head: Head,
        /// The round.
        pub round: U64,
        /// Who proposes, pays the rent and gets it back.
        pub proposer: K2Address,
        /// The reward tree's root.
        pub root: [u8; 32],
        /// The root that is finalized when this one is proposed; zero before the first.
        pub previous_root: [u8; 32],
        /// SHA-256 digest in the list's CID.
        pub list: [u8; 32],
        /// What the list adds up to, in sats: everything earned up to the round.
        pub total: U64,
        /// When it was proposed.
        pub proposed_slot: U64,
        /// When it reached the quorum; zero: not yet.
        pub quorum_slot: U64,
        /// Leaves of the tree.
        pub leaf_count: U32,
        /// Who attests it: bit `i` is place `i` of the operators' set.
        pub votes: U32,
        /// A [`ProposalState`].
        pub state: u8,
        /// Zero.
        pub reserved: [u8; 7],
    }
}

account!(Proposal, 184, [Proposal]);

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ProposalState {
    /// Takes attestations.
    Open = 0,
    /// Its root is or was the pool's.
    Finalized = 1,
    /// Vetoed by guardian or authority.
    Vetoed = 2,
}

pod! {
    /// What one owner has claimed in one role, over all rounds: one small account for life.
    pub struct Ledger {
        /// Kind and version.
        pub head: Head,
        /// Who.
        pub owner: K2Address,
        /// Sats claimed so far.
        pub claimed: U64,
        /// A [`Role`](crate::Role).
        pub role: u8,
        /// Zero.
        pub reserved: [u8; 7],
    }
}

account!(Ledger, 56, [Ledger]);
