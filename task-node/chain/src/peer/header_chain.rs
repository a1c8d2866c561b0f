//! A chain of headers that were checked by consensus rules, from a checkpoint on. Pure: time comes in.
//!
//! Most work wins. Branches that lost stay known for a while, because jobs may have been built on them. Memory is bounded:
//! the active chain by [`MAX_ACTIVE`], branches by [`MAX_SIDE`] headers, each of which cost its proof of work.

use std::collections::HashMap;

use bitcoin::{
    BlockHash, CompactTarget, Network, Work, block::Header, consensus::Params,
    constants::genesis_block,
};

use super::checkpoint::Checkpoint;
use crate::{
    headers::{EPOCH, RequiredBits, retarget},
    node::{HeaderInfo, Standing},
};

/// Headers below the epoch of a checkpoint that its median times need (BIP113: eleven, its own among them).
const MEDIAN_SPAN: u32 = 11;

/// Core `MAX_FUTURE_BLOCK_TIME`: how far a header's time may be ahead of ours, in seconds.
const MAX_FUTURE: u64 = 2 * 60 * 60;

/// BIP94: an epoch's first block may be this much older than its parent, in seconds.
const MAX_TIMEWARP: u32 = 600;

/// Testnets: a block this long after its parent is mined at the lowest difficulty, in seconds.
const LATE: u32 = 20 * 60;

/// A branch that leaves the active chain deeper than this is not looked at.
const MAX_FORK_DEPTH: u32 = EPOCH;

/// Headers of branches kept.
const MAX_SIDE: usize = 4096;

/// Branches this far below the tip make room first.
const SIDE_WORTH_KEEPING: u32 = 144;

/// Headers of the active chain kept, about 200 bytes each: 28 years of blocks are 1.5 million.
const MAX_ACTIVE: usize = 1_500_000;

/// Why a header is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Its parent is not known. No fault of the header.
    #[error("block {0} builds on an unknown block")]
    Orphan(BlockHash),
    /// Another target than consensus demands.
    #[error(
        "block {hash} at height {height} has bits {found:08x}, the chain's rules demand {required:08x}"
    )]
    Bits {
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
        /// What it carries.
        found: u32,
        /// What it must carry.
        required: u32,
    },
    /// Its hash is above its target.
    #[error("block {0} has no proof of work")]
    ProofOfWork(BlockHash),
    /// Not after the median of the eleven before it (BIP113), or against BIP94.
    #[error("block {0} is older than its ancestors allow")]
    TooOld(BlockHash),
    /// More than two hours ahead of this machine's clock. No fault of the header if the clock is wrong.
    #[error("block {0} is more than two hours in the future: is this machine's clock right?")]
    TooNew(BlockHash),
    /// It leaves the active chain too far down.
    #[error(
        "block {0} belongs to a branch that leaves the chain more than 2016 blocks below the tip"
    )]
    DeepFork(BlockHash),
    /// Memory is bounded.
    #[error("more headers than this node keeps: set a newer bitcoin.checkpoint")]
    Full,
    /// The headers up to the checkpoint do not lead to it.
    #[error(
        "the headers up to the checkpoint {0} do not lead to its block: another chain, or a wrong checkpoint"
    )]
    Checkpoint(Checkpoint),
}

impl HeaderError {
    /// Whoever served the header is wrong or lying, not merely ahead.
    #[must_use]
    pub fn is_lie(&self) -> bool {
        !matches!(self, Self::Orphan(_) | Self::TooNew(_) | Self::Full)
    }
}

/// What a header that was taken changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was known.
    Known,
    /// It is on a branch with no more work than the active chain.
    Side,
    /// It is the new tip.
    Tip,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    header: Header,
    hash: BlockHash,
    height: u32,
    /// Work from the first kept header on.
    work: Work,
    median: u32,
}

/// Checked headers.
#[derive(Debug, Clone)]
pub struct HeaderChain {
    network: Network,
    params: Params,
    base: u32,
    active: Vec<Entry>,
    heights: HashMap<BlockHash, u32>,
    side: HashMap<BlockHash, Entry>,
}

impl HeaderChain {
    /// The lowest header that has to be known to check what follows `checkpoint`: that of its epoch's first block, and the
    /// ten below it.
    #[must_use]
    pub fn first_needed(checkpoint: &Checkpoint) -> u32 {
        (checkpoint.height - checkpoint.height % EPOCH).saturating_sub(MEDIAN_SPAN - 1)
    }

    /// A chain that consists of its first block.
    #[must_use]
    pub fn genesis(network: Network) -> Self {
        let header = genesis_block(network).header;
        let mut chain = Self::empty(network, 0);
        chain.push_unchecked(header);
        chain
    }

    /// Starts from a checkpoint: `headers` are those from [`Self::first_needed`] to it. Its hash vouches for all of them.
    ///
    /// # Errors
    /// They do not lead to it.
    pub fn from_checkpoint(
        network: Network,
        checkpoint: Checkpoint,
        headers: &[Header],
    ) -> Result<Self, HeaderError> {
        let wrong = HeaderError::Checkpoint(checkpoint);
        let base = Self::first_needed(&checkpoint);
        let linked = headers
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if b.prev_blockhash == a.block_hash()));
        let last = headers.last().ok_or(wrong)?;
        if !linked
            || headers.len() as u64 != u64::from(checkpoint.height - base) + 1
            || last.block_hash() != checkpoint.hash
        {
            return Err(wrong);
        }
        let mut chain = Self::empty(network, base);
        for header in headers {
            chain.push_unchecked(*header);
        }
        Ok(chain)
    }

    fn empty(network: Network, base: u32) -> Self {
        Self {
            network,
            params: Params::new(network),
            base,
            active: Vec::new(),
            heights: HashMap::new(),
            side: HashMap::new(),
        }
    }

    fn push_unchecked(&mut self, header: Header) {
        let height = self.base + self.active.len() as u32;
        let parent = self.active.last().copied();
        let entry = self.entry(parent.as_ref(), header, header.block_hash(), height);
        self.push(entry);
    }

    fn push(&mut self, entry: Entry) {
        self.heights.insert(entry.hash, entry.height);
        self.active.push(entry);
    }

    /// The chain.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// The lowest height that can be asked about.
    #[must_use]
    pub fn lowest_height(&self) -> u32 {
        // Below, median times are of too few headers.
        if self.base == 0 {
            0
        } else {
            self.base + MEDIAN_SPAN - 1
        }
    }

    /// The tip's height.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.base + (self.active.len() as u32).saturating_sub(1)
    }

    /// The block with the most work behind it.
    ///
    /// `None` never happens: a chain begins with a header.
    #[must_use]
    pub fn tip(&self) -> Option<HeaderInfo> {
        self.active.last().map(|entry| self.info(entry))
    }

    /// The hash at a height of the active chain.
    #[must_use]
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.at(height).map(|entry| entry.hash)
    }

    /// A known header, on the active chain or not. Its work counts from the first header kept.
    #[must_use]
    pub fn header(&self, hash: &BlockHash) -> Option<HeaderInfo> {
        self.find(hash).map(|entry| self.info(entry))
    }

    /// Whether the header is known.
    #[must_use]
    pub fn contains(&self, hash: &BlockHash) -> bool {
        self.find(hash).is_some()
    }

    /// The targets a child of the tip may carry; `None` never happens.
    #[must_use]
    pub fn next_bits(&self) -> Option<RequiredBits> {
        self.required_bits(self.active.last()?)
    }

    /// Checks a header and takes it. `now` is the wall clock, Unix seconds.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn accept(&mut self, header: Header, now: u64) -> Result<Accepted, HeaderError> {
        let hash = header.block_hash();
        if self.contains(&hash) {
            return Ok(Accepted::Known);
        }
        let parent = *self
            .find(&header.prev_blockhash)
            .ok_or(HeaderError::Orphan(hash))?;
        let height = parent.height.saturating_add(1);
        self.check(&parent, &header, hash, height, now)?;
        let entry = self.entry(Some(&parent), header, hash, height);
        let tip = self.active.last().map(|tip| (tip.hash, tip.work));
        match tip {
            Some((tip, _)) if tip == parent.hash => {
                if self.active.len() >= MAX_ACTIVE {
                    return Err(HeaderError::Full);
                }
                self.push(entry);
                Ok(Accepted::Tip)
            }
            Some((_, work)) => {
                self.make_room()?;
                self.side.insert(hash, entry);
                if entry.work > work {
                    self.switch_to(entry);
                    Ok(Accepted::Tip)
                } else {
                    Ok(Accepted::Side)
                }
            }
            None => Err(HeaderError::Orphan(hash)),
        }
    }

    fn check(
        &self,
        parent: &Entry,
        header: &Header,
        hash: BlockHash,
        height: u32,
        now: u64,
    ) -> Result<(), HeaderError> {
        let fork = self.fork_height(parent).ok_or(HeaderError::Orphan(hash))?;
        if fork.saturating_add(MAX_FORK_DEPTH) < self.height() {
            return Err(HeaderError::DeepFork(hash));
        }
        let required = self
            .required_bits(parent)
            .ok_or(HeaderError::Orphan(hash))?
            .at(parent.header.time, header.time);
        if header.bits != required {
            return Err(HeaderError::Bits {
                hash,
                height,
                found: header.bits.to_consensus(),
                required: required.to_consensus(),
            });
        }
        header
            .validate_pow(header.target())
            .map_err(|_| HeaderError::ProofOfWork(hash))?;
        if header.time < self.min_time(parent) {
            return Err(HeaderError::TooOld(hash));
        }
        if u64::from(header.time) > now.saturating_add(MAX_FUTURE) {
            return Err(HeaderError::TooNew(hash));
        }
        Ok(())
    }

    /// The lowest time a child of the tip may carry, Unix seconds.
    #[must_use]
    pub fn next_min_time(&self) -> u32 {
        self.active.last().map_or(0, |tip| self.min_time(tip))
    }

    fn min_time(&self, parent: &Entry) -> u32 {
        let after_median = parent.median.saturating_add(1);
        // BIP94 closes the time warp on testnet4.
        if self.network == Network::Testnet4 && (parent.height + 1).is_multiple_of(EPOCH) {
            after_median.max(parent.header.time.saturating_sub(MAX_TIMEWARP))
        } else {
            after_median
        }
    }

    /// Core `GetNextWorkRequired`, as [`crate::headers::child_bits`] over headers in memory.
    fn required_bits(&self, parent: &Entry) -> Option<RequiredBits> {
        let regular = |regular| RequiredBits {
            regular,
            late: None,
        };
        if self.params.no_pow_retargeting {
            return Some(regular(parent.header.bits));
        }
        if (parent.height + 1).is_multiple_of(EPOCH) {
            let first = self.ancestor(parent, parent.height.saturating_sub(EPOCH - 1))?;
            return retarget(&first.header, &parent.header, self.network).map(regular);
        }
        if !self.params.allow_min_difficulty_blocks {
            return Some(regular(parent.header.bits));
        }
        let limit = self.params.max_attainable_target.to_compact_lossy();
        let mut block = *parent;
        while !block.height.is_multiple_of(EPOCH) && block.header.bits == limit {
            block = *self.find(&block.header.prev_blockhash)?;
        }
        Some(RequiredBits {
            regular: block.header.bits,
            late: Some(limit),
        })
    }

    fn entry(&self, parent: Option<&Entry>, header: Header, hash: BlockHash, height: u32) -> Entry {
        let mut times = vec![header.time];
        let mut below = parent.copied();
        while let Some(entry) = below.filter(|_| times.len() < MEDIAN_SPAN as usize) {
            times.push(entry.header.time);
            below = self.find(&entry.header.prev_blockhash).copied();
        }
        times.sort_unstable();
        Entry {
            header,
            hash,
            height,
            work: parent.map_or(header.work(), |parent| parent.work + header.work()),
            median: times.get(times.len() / 2).copied().unwrap_or(header.time),
        }
    }

    fn at(&self, height: u32) -> Option<&Entry> {
        self.active
            .get(usize::try_from(height.checked_sub(self.base)?).ok()?)
    }

    fn find(&self, hash: &BlockHash) -> Option<&Entry> {
        match self.heights.get(hash) {
            Some(height) => self.at(*height),
            None => self.side.get(hash),
        }
    }

    fn is_active(&self, entry: &Entry) -> bool {
        self.heights.contains_key(&entry.hash)
    }

    /// Where the branch of `entry` leaves the active chain; `None` when its lower part made room for others.
    fn fork_height(&self, entry: &Entry) -> Option<u32> {
        let mut entry = entry;
        while !self.is_active(entry) {
            entry = self.find(&entry.header.prev_blockhash)?;
        }
        Some(entry.height)
    }

    fn ancestor(&self, entry: &Entry, height: u32) -> Option<&Entry> {
        let mut hash = entry.hash;
        loop {
            let entry = self.find(&hash)?;
            if entry.height == height {
                return Some(entry);
            }
            if self.is_active(entry) {
                return self.at(height);
            }
            hash = entry.header.prev_blockhash;
        }
    }

    fn make_room(&mut self) -> Result<(), HeaderError> {
        if self.side.len() >= MAX_SIDE {
            let keep_from = self.height().saturating_sub(SIDE_WORTH_KEEPING);
            self.side.retain(|_, entry| entry.height >= keep_from);
        }
        if self.side.len() >= MAX_SIDE {
            return Err(HeaderError::Full);
        }
        Ok(())
    }

    /// Makes the branch of `tip`, which is among the side branches, the active one.
    fn switch_to(&mut self, tip: Entry) {
        let mut branch = Vec::new();
        let mut hash = tip.hash;
        while let Some(entry) = self.side.remove(&hash) {
            branch.push(entry);
            hash = entry.header.prev_blockhash;
        }
        let Some(fork) = self.heights.get(&hash).copied() else {
            // Its lower part made room for others: back to where it was.
            self.side
                .extend(branch.into_iter().map(|entry| (entry.hash, entry)));
            return;
        };
        let keep = (fork - self.base) as usize + 1;
        for lost in self.active.split_off(keep) {
            self.heights.remove(&lost.hash);
            self.side.insert(lost.hash, lost);
        }
        for entry in branch.into_iter().rev() {
            self.push(entry);
        }
    }

    fn info(&self, entry: &Entry) -> HeaderInfo {
        let standing = if self.is_active(entry) {
            Standing::Active {
                confirmations: self.height() - entry.height + 1,
            }
        } else {
            Standing::Stale
        };
        HeaderInfo {
            header: entry.header,
            hash: entry.hash,
            height: entry.height,
            standing,
            median_time_past: entry.median,
            chain_work: entry.work,
        }
    }
}

impl RequiredBits {
    /// What a block of `time` on a parent of `parent_time` must carry (Unix seconds).
    #[must_use]
    pub fn at(&self, parent_time: u32, time: u32) -> CompactTarget {
        match self.late {
            Some(late) if time > parent_time.saturating_add(LATE) => late,
            _ => self.regular,
        }
    }
}

#[cfg(test)]
#[path = "header_chain_tests.rs"]
mod tests;
