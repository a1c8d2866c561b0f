//! Another record of the best chain, held against the one that peers show. Pure.
//!
//! Peers who all belong to one attacker can show a private branch that was cheap to mine, or keep the newest blocks back:
//! each header by itself is in order. A record that others wrote (K2's relay) tells, and work is the judge, as everywhere
//! in Bitcoin: whose blocks above the last common one carry more work is right. So a record that nobody feeds any more
//! says nothing against the peers, however old it is, and one that was fed with a lost branch does not either.

use std::fmt;

use bitcoin::{BlockHash, Work};

use super::header_chain::HeaderChain;

/// Blocks that a record may be ahead by before it stands against the peers at once: news takes its time.
const NEWS: u32 = 2;

/// Blocks of another record of the best chain, one height after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    name: &'static str,
    lowest: u32,
    tip: u32,
    /// Each with the work of the chain up to and including it.
    blocks: Vec<(BlockHash, Work)>,
}

/// What a record is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no record of a chain: it is empty, or its work does not grow from block to block")]
pub struct NoRecord(&'static str);

impl Witness {
    /// The blocks from height `lowest` on, each with the work of its chain up to and including it; from where that work is
    /// counted does not matter. `name` is what people are told, for example "K2's relay".
    ///
    /// # Errors
    /// There is no block, or one that adds no work.
    pub fn new(
        name: &'static str,
        lowest: u32,
        blocks: impl IntoIterator<Item = (BlockHash, u128)>,
    ) -> Result<Self, NoRecord> {
        let wrong = NoRecord(name);
        let blocks: Vec<(BlockHash, u128)> = blocks.into_iter().collect();
        let grows = |pair: &[(BlockHash, u128)]| matches!(pair, [(_, a), (_, b)] if a < b);
        let above = u32::try_from(blocks.len().checked_sub(1).ok_or(wrong)?).map_err(|_| wrong)?;
        if !blocks.windows(2).all(grows) {
            return Err(wrong);
        }
        Ok(Self {
            name,
            lowest,
            tip: lowest.checked_add(above).ok_or(wrong)?,
            blocks: blocks
                .into_iter()
                .map(|(hash, work)| (hash, wide(work)))
                .collect(),
        })
    }

    fn at(&self, height: u32) -> Option<&(BlockHash, Work)> {
        let index = height.checked_sub(self.lowest)?;
        self.blocks.get(usize::try_from(index).ok()?)
    }

    /// Holds a chain against it.
    #[must_use]
    pub fn testify(&self, chain: &HeaderChain) -> Testimony {
        let weighed = self.weigh(chain);
        Testimony {
            witness: self.name,
            tip: self.tip,
            chain_tip: chain.height(),
            weighed,
        }
    }

    fn weigh(&self, chain: &HeaderChain) -> Weighed {
        let lowest = self.lowest.max(chain.lowest_height());
        if self.tip < lowest {
            return Weighed::Below;
        }
        let top = self.tip.min(chain.height());
        let common = (lowest..=top)
            .rev()
            .find(|height| chain.hash_at(*height) == self.at(*height).map(|(hash, _)| *hash));
        if common == Some(self.tip) {
            return Weighed::Contained;
        }
        // Where they have nothing in common, both are counted from the lowest height they could have.
        let base = common.unwrap_or(lowest);
        let theirs = between(self.work(base), self.work(self.tip));
        let ours = between(chain_work(chain, base), chain_work(chain, chain.height()));
        // Equal work is a race of two blocks, and no reason to give one up (Bitcoin Core keeps what it saw first).
        if theirs > ours {
            Weighed::Heavier { common }
        } else {
            Weighed::Lighter { common }
        }
    }

    fn work(&self, height: u32) -> Option<Work> {
        self.at(height).map(|(_, work)| *work)
    }
}

fn chain_work(chain: &HeaderChain, height: u32) -> Option<Work> {
    let header = chain.header(&chain.hash_at(height)?)?;
    Some(header.chain_work)
}

/// The work above `low` up to `high`; none where one of the two blocks is not there, because the chain ends below.
fn between(low: Option<Work>, high: Option<Work>) -> Work {
    match (low, high) {
        (Some(low), Some(high)) if high > low => high - low,
        _ => wide(0),
    }
}

fn wide(work: u128) -> Work {
    let mut bytes = [0; 32];
    let (_, low) = bytes.split_at_mut(16);
    low.copy_from_slice(&work.to_be_bytes());
    Work::from_be_bytes(bytes)
}

/// How a record and the peers' chain stand to each other. Heights are of their last common block; `None`: they have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighed {
    /// The peers' chain has every block of the record.
    Contained,
    /// The record has other blocks, and those of the peers carry at least as much work.
    Lighter {
        /// The last common block.
        common: Option<u32>,
    },
    /// The record has other blocks, or more of them, and they carry more work.
    Heavier {
        /// The last common block.
        common: Option<u32>,
    },
    /// The record ends before the first header that is known here.
    Below,
}

/// What a record says of the peers, with what has to be known to say it. [`fmt::Display`] says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Testimony {
    /// Whose record it is.
    pub witness: &'static str,
    /// The record's highest block.
    pub tip: u32,
    /// The highest block of the peers' chain.
    pub chain_tip: u32,
    /// Which of the two has more work.
    pub weighed: Weighed,
}

impl Testimony {
    /// The record shows more work than the peers do.
    #[must_use]
    pub fn is_against_peers(&self) -> bool {
        matches!(self.weighed, Weighed::Heavier { .. })
    }

    /// What the record has more may be news that the peers are just about to tell.
    #[must_use]
    pub fn may_be_news(&self) -> bool {
        matches!(self.weighed, Weighed::Heavier { common: Some(common) } if self.tip.saturating_sub(common) <= NEWS)
    }
}

impl fmt::Display for Testimony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            witness,
            tip,
            chain_tip,
            weighed,
        } = self;
        match weighed {
            Weighed::Contained => write!(f, "{witness} has the peers' chain up to block {tip}"),
            Weighed::Below => write!(
                f,
                "{witness} ends at block {tip}, below bitcoin.checkpoint: it says nothing here"
            ),
            Weighed::Lighter {
                common: Some(common),
            } => write!(
                f,
                "{witness} has other blocks than the peers above block {common}, with no more work: a branch that lost, or \
                 one that is about to"
            ),
            Weighed::Lighter { common: None } => write!(
                f,
                "{witness} has no block in common with the peers, and no more work: is bitcoin.checkpoint of the same chain?"
            ),
            Weighed::Heavier {
                common: Some(common),
            } if common == chain_tip => write!(
                f,
                "{witness} is at block {tip}, the peers only at {chain_tip}: they lag or withhold blocks"
            ),
            Weighed::Heavier {
                common: Some(common),
            } => write!(
                f,
                "{witness} has other blocks than the peers above block {common}, with more work: the peers follow a branch \
                 that lost"
            ),
            Weighed::Heavier { common: None } => write!(
                f,
                "{witness} has no block in common with the peers, and more work: they follow another chain, or \
                 bitcoin.checkpoint is of one"
            ),
        }
    }
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
