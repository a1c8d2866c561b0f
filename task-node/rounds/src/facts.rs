//! What an auditor has to know of the Bitcoin chain, as plain values.

use std::collections::HashMap;

use bitcoin::BlockHash;

/// The compact targets consensus allows for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedBits {
    /// What a block at its due time must carry.
    pub regular: u32,
    /// What it may carry when it comes late; test networks only. Shares may carry either: which of the two a header
    /// needs depends on its time, which the miner chooses, and no miner may make its node's round invalid.
    pub late: Option<u32>,
}

impl AllowedBits {
    /// Whether `bits` is one of them.
    #[must_use]
    pub fn allows(&self, bits: u32) -> bool {
        bits == self.regular || self.late == Some(bits)
    }
}

/// What is known of a block that jobs build on, on the best chain or a stale sibling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderFact {
    /// Its height on its own branch.
    pub height: u32,
    /// The lowest time a child may have: the median time past plus one second (BIP113).
    pub min_child_time: u32,
    /// The compact targets a child may carry.
    pub child_bits: AllowedBits,
}

/// Heights, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeightRange {
    /// The lowest.
    pub low: u32,
    /// The highest.
    pub high: u32,
}

impl HeightRange {
    /// The heights a tip can have had at a moment: from the tip by header times some grace before it to the one some
    /// grace after it, and one block more on either side for those still under way.
    #[must_use]
    pub fn around(before: u32, after: u32) -> Self {
        Self {
            low: before.saturating_sub(1),
            high: after.saturating_add(1),
        }
    }

    /// Whether `height` lies within.
    #[must_use]
    pub fn contains(&self, height: u32) -> bool {
        (self.low..=self.high).contains(&height)
    }
}

/// The facts one audit rests on. Two auditors with the same facts come to the same verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFacts {
    /// Where the tip can have been when the bundle says the round was opened.
    pub opened: HeightRange,
    /// Where the tip can have been when the bundle says the round was closed.
    pub closed: HeightRange,
    /// The blocks the bundle names, those that are known.
    pub headers: HashMap<BlockHash, HeaderFact>,
}
