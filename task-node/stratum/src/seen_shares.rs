//! Which shares were seen, shared by all sessions of the node.
//!
//! [`DuplicateFilter`] never forgets within one previous block. That alone would lose shares: one that could not be
//! recorded would be a duplicate when its miner tries again. So failures are remembered next to the filter, and exactly
//! those hashes may pass once more; the store, which knows what reached the disk, judges them.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitcoin::BlockHash;
use work::{DuplicateFilter, SeenError, SeenShares};

/// Blocks remembered as handed out. Each cost the work of a block, so that nobody pushes one out to send it again.
const MAX_BLOCKS: usize = 256;

/// The node's memory of shares. Its lock is held for one insertion only, never while hashing.
#[derive(Debug)]
pub struct NodeSeenShares {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    filter: DuplicateFilter,
    /// In the filter, but not recorded: a subset of it, so bounded by its capacity.
    unrecorded: HashSet<BlockHash>,
    prev_hash: Option<BlockHash>,
    /// Blocks that were handed out, oldest first; kept over a change of the previous block.
    blocks: VecDeque<BlockHash>,
}

impl NodeSeenShares {
    /// Remembers at most `capacity` shares between two blocks.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                filter: DuplicateFilter::new(capacity),
                unrecorded: HashSet::new(),
                prev_hash: None,
                blocks: VecDeque::new(),
            }),
        }
    }

    /// Tells it what shares now build on; it forgets if that is another block than before.
    pub fn building_on(&self, prev_hash: BlockHash) {
        let mut inner = self.lock();
        inner.filter.building_on(prev_hash);
        if inner.prev_hash != Some(prev_hash) {
            inner.prev_hash = Some(prev_hash);
            inner.unrecorded.clear();
        }
    }

    /// A share that passed could not be recorded: its next submission passes again.
    pub fn not_recorded(&self, hash: BlockHash) {
        let mut inner = self.lock();
        // A hash from before the last block is no longer in the filter and needs no exception.
        if inner.unrecorded.len() < inner.filter.len() {
            inner.unrecorded.insert(hash);
        }
    }

    /// Whether this block has not been handed out yet; from now on it has. A block takes megabytes on its way to the
    /// Bitcoin nodes, and who submits it again and again must not fill the memory with it.
    pub(crate) fn is_new_block(&self, hash: BlockHash) -> bool {
        let mut inner = self.lock();
        if inner.blocks.contains(&hash) {
            return false;
        }
        if inner.blocks.len() >= MAX_BLOCKS {
            inner.blocks.pop_front();
        }
        inner.blocks.push_back(hash);
        true
    }

    /// The view [`work::check_share`] takes for one share.
    #[must_use]
    pub fn attempt(&self) -> Attempt<'_> {
        Attempt {
            node: self,
            is_retry: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One share's look at the memory.
#[derive(Debug)]
pub struct Attempt<'a> {
    node: &'a NodeSeenShares,
    is_retry: bool,
}

impl Attempt<'_> {
    /// Whether the share passed because its first attempt could not be recorded. If the store then says that it has the
    /// share, it is that first attempt, and the miner has earned it.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.is_retry
    }
}

impl SeenShares for Attempt<'_> {
    fn insert(&mut self, hash: BlockHash) -> Result<(), SeenError> {
        let mut inner = self.node.lock();
        match inner.filter.insert(hash) {
            Err(SeenError::Duplicate) if inner.unrecorded.remove(&hash) => {
                self.is_retry = true;
                Ok(())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;

    use super::*;

    fn hash(byte: u8) -> BlockHash {
        BlockHash::from_byte_array([byte; 32])
    }

    #[test]
    fn a_share_that_was_not_recorded_may_come_once_more() {
        let seen = NodeSeenShares::new(10);
        seen.building_on(hash(0));
        assert_eq!(seen.attempt().insert(hash(1)), Ok(()));
        assert_eq!(seen.attempt().insert(hash(1)), Err(SeenError::Duplicate));
        seen.not_recorded(hash(1));
        let mut retry = seen.attempt();
        assert_eq!(retry.insert(hash(1)), Ok(()));
        assert!(retry.is_retry());
        assert_eq!(seen.attempt().insert(hash(1)), Err(SeenError::Duplicate));
    }

    #[test]
    fn seen_shares_unbounded_sri_2297_and_flushed_on_same_tip_sri_2329() {
        let seen = NodeSeenShares::new(2);
        seen.building_on(hash(0));
        for byte in 1..=2 {
            assert_eq!(seen.attempt().insert(hash(byte)), Ok(()));
        }
        assert_eq!(seen.attempt().insert(hash(3)), Err(SeenError::Full));
        seen.building_on(hash(0));
        assert_eq!(seen.attempt().insert(hash(1)), Err(SeenError::Duplicate));
        for byte in 10..200 {
            seen.not_recorded(hash(byte));
        }
        assert!(seen.lock().unrecorded.len() <= 2);
        seen.building_on(hash(9));
        assert!(seen.lock().unrecorded.is_empty());
        assert_eq!(seen.attempt().insert(hash(1)), Ok(()));
    }
}
