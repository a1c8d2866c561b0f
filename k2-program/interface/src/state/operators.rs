//! Who attests rounds.

use zerocopy::little_endian::U64;

use super::{Head, account};
use crate::K2Address;
use crate::layout::pod;

/// The most operators that attest; other operators mine and are paid all the same. One bit each in a proposal.
pub const MAX_OPERATORS: usize = 32;

pod! {
    /// A place in the set.
    pub struct OperatorSlot {
        /// Who; all zeros: the place is free.
        pub operator: K2Address,
        /// Since which slot. An attestation counts only on a proposal made after it, so that a place taken anew does not
        /// inherit its predecessor's vote.
        pub joined_slot: U64,
    }
}

pod! {
    /// The operators that attest.
    pub struct OperatorSet {
        /// Kind and version.
        pub head: Head,
        /// How many places are taken.
        pub count: u8,
        /// Zero.
        pub reserved: [u8; 7],
        /// The places.
        pub slots: [OperatorSlot; MAX_OPERATORS],
    }
}

account!(OperatorSet, 1296, [Operators]);

pod! {
    /// An operator's bond; the lamports are this account's own.
    pub struct Operator {
        /// Kind and version.
        pub head: Head,
        /// Who.
        pub operator: K2Address,
        /// Lamports locked, besides the rent.
        pub bond: U64,
        /// Since which slot.
        pub joined_slot: U64,
        /// When it left; zero: it has not.
        pub left_slot: U64,
        /// Its place in the set.
        pub index: u8,
        /// An [`OperatorState`].
        pub state: u8,
        /// Zero.
        pub reserved: [u8; 6],
    }
}

account!(Operator, 72, [Operator]);

/// Where an operator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OperatorState {
    /// In the set.
    Active = 0,
    /// Out of the set; the bond waits for `unbonding_slots`.
    Leaving = 1,
}

impl OperatorSet {
    /// The place of this operator.
    #[must_use]
    pub fn index_of(&self, operator: &K2Address) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.operator == *operator)
    }

    /// How many of these votes (bit `i`: place `i`) count for a proposal of this slot.
    #[must_use]
    pub fn count_votes(&self, votes: u32, proposed_slot: u64) -> u32 {
        let mut count = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            let voted = votes >> index & 1 == 1;
            if voted
                && *slot.operator.as_bytes() != [0; 32]
                && slot.joined_slot.get() < proposed_slot
            {
                count += 1;
            }
        }
        count
    }
}
