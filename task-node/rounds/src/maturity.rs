//! When a round's blocks are decided: the moment from which on every node counts the same ones.
//!
//! A coinbase can be spent after [`COINBASE_MATURITY`] confirmations; a re-organisation that deep would undo payments
//! all over Bitcoin. So a height that has as many decides the blocks that were found for it: the one that stands there on
//! the best chain counts, every other one is an orphan and counts nothing. Which of them it is does not depend on who asks,
//! or when; before that nobody counts anything.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::BlockHash;
pub use bitcoin::constants::COINBASE_MATURITY;
use work::{RoundNumber, UnixTime};

use crate::accepted::AcceptedRound;
use crate::audit::BlockShare;

/// How far ahead of the tip a block may stand that is waited for, in blocks: nobody's chain is so much longer than that of
/// a node which sees new blocks. (For one that does not, see [`SECONDS_PER_BLOCK`].)
const REACH: u32 = COINBASE_MATURITY;
/// No chain people pay with grows faster than this for long; the aim is 600.
const SECONDS_PER_BLOCK: u64 = 60;

/// The tip of the best chain, and when that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainTip {
    /// Its height.
    pub height: u32,
    /// Its header's time.
    pub time: UnixTime,
    /// The wall clock when it was the tip.
    pub now: UnixTime,
}

/// How a height stands to maturity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The height has [`COINBASE_MATURITY`] confirmations or more.
    Buried,
    /// It has so many, fewer than that; 0 above the tip.
    Waiting(u32),
    /// So far above the tip that no block can have been found for it: a height somebody made up. Without this an accepted
    /// bundle that nobody audited could keep its round open for ever with a share "at height 2,000,000,000".
    OutOfReach,
}

impl ChainTip {
    /// How `height` stands to maturity.
    #[must_use]
    pub fn depth_of(&self, height: u32) -> Depth {
        let Some(above) = self.height.checked_sub(height) else {
            // A tip that is long past may have many blocks above it that this node has not seen yet: what was found for
            // them is waited for.
            let unseen = self.now.0.saturating_sub(self.time.0) / SECONDS_PER_BLOCK;
            let reach = u64::from(self.height) + u64::from(REACH) + unseen;
            return if u64::from(height) > reach {
                Depth::OutOfReach
            } else {
                Depth::Waiting(0)
            };
        };
        match above + 1 {
            confirmations @ ..COINBASE_MATURITY => Depth::Waiting(confirmations),
            _ => Depth::Buried,
        }
    }
}

/// The height at which the tip must stand for a block at `height` to be decided.
#[must_use]
pub const fn decided_at(height: u32) -> u32 {
    height.saturating_add(COINBASE_MATURITY - 1)
}

/// Why a round is not settled yet: its block that is decided last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "block {hash} of round {round} at height {height} is not decided: the height has {confirmations} of \
     {COINBASE_MATURITY} confirmations"
)]
pub struct Undecided {
    /// The round.
    pub round: RoundNumber,
    /// The block.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// How many confirmations the best chain's block at that height has; 0 above the tip.
    pub confirmations: u32,
}

/// A height of the best chain that was not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the best chain's block at height {0} was not looked up")]
pub struct MissingHeight(pub u32);

/// A round all of whose blocks are decided; which of them count is said by the best chain's hashes at their heights.
#[derive(Debug, Clone)]
pub struct DecidedRound<'a> {
    blocks: Vec<&'a BlockShare>,
}

impl<'a> DecidedRound<'a> {
    /// A round, if with this tip all its blocks are decided.
    ///
    /// # Errors
    /// [`Undecided`] names the block that is decided last.
    pub fn new(round: &'a AcceptedRound, tip: &ChainTip) -> Result<Self, Undecided> {
        let mut blocks = Vec::new();
        let mut last: Option<(&BlockShare, u32)> = None;
        for block in round.blocks() {
            match tip.depth_of(block.height) {
                Depth::Buried => blocks.push(block),
                Depth::OutOfReach => {}
                Depth::Waiting(confirmations) => {
                    let later = |(last, _): &(&BlockShare, u32)| {
                        (block.height, block.hash) > (last.height, last.hash)
                    };
                    if last.as_ref().is_none_or(later) {
                        last = Some((block, confirmations));
                    }
                }
            }
        }
        match last {
            None => Ok(Self { blocks }),
            Some((block, confirmations)) => Err(Undecided {
                round: round.round(),
                hash: block.hash,
                height: block.height,
                confirmations,
            }),
        }
    }

    /// The heights whose hashes on the best chain have to be looked up.
    #[must_use]
    pub fn heights(&self) -> BTreeSet<u32> {
        self.blocks.iter().map(|block| block.height).collect()
    }

    /// The blocks that count, by height: those on the best chain, whose hashes are `best`.
    ///
    /// # Errors
    /// [`MissingHeight`] where one of [`Self::heights`] is missing: taking that for an orphan would take it from the
    /// miners for ever.
    pub fn matured(
        &self,
        best: &BTreeMap<u32, BlockHash>,
    ) -> Result<Vec<BlockShare>, MissingHeight> {
        let mut matured = Vec::new();
        for block in &self.blocks {
            let there = best.get(&block.height).ok_or(MissingHeight(block.height))?;
            if *there == block.hash {
                matured.push(**block);
            }
        }
        matured.sort_unstable_by_key(|block| block.height);
        Ok(matured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn tip(height: u32) -> ChainTip {
        ChainTip {
            height,
            time: UnixTime(NOW),
            now: UnixTime(NOW),
        }
    }

    #[test]
    fn a_height_is_decided_by_its_hundredth_confirmation() {
        for (tip_height, expected) in [
            (499, Depth::Waiting(0)),
            (500, Depth::Waiting(1)),
            (501, Depth::Waiting(2)),
            (598, Depth::Waiting(99)),
            (599, Depth::Buried),
            (600, Depth::Buried),
            (u32::MAX, Depth::Buried),
        ] {
            assert_eq!(tip(tip_height).depth_of(500), expected, "tip {tip_height}");
            let is_decided = tip_height >= decided_at(500);
            assert_eq!(is_decided, expected == Depth::Buried, "tip {tip_height}");
        }
        assert_eq!(decided_at(u32::MAX), u32::MAX);
    }

    #[test]
    fn a_height_nobody_can_have_reached_is_not_waited_for() {
        let tip = tip(500);
        assert_eq!(tip.depth_of(600), Depth::Waiting(0));
        assert_eq!(tip.depth_of(601), Depth::OutOfReach);
        assert_eq!(tip.depth_of(u32::MAX), Depth::OutOfReach);
    }

    /// A Bitcoin node that was away for two days stands 288 blocks behind; what was found meanwhile is no lie.
    #[test]
    fn a_node_that_is_behind_waits_for_what_it_has_not_seen() {
        let behind = ChainTip {
            height: 500,
            time: UnixTime(NOW),
            now: UnixTime(NOW + 2 * 24 * 3600),
        };
        assert_eq!(behind.depth_of(500 + 288), Depth::Waiting(0));
        assert_eq!(behind.depth_of(500 + 100 + 2880), Depth::Waiting(0));
        assert_eq!(behind.depth_of(500 + 101 + 2880), Depth::OutOfReach);
        // A header from the future is no reason to doubt the present.
        let ahead = ChainTip {
            now: UnixTime(NOW - 7200),
            ..behind
        };
        assert_eq!(ahead.depth_of(600), Depth::Waiting(0));
    }
}
