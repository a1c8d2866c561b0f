//! Which shares were seen before.
//!
//! The key is the header hash, never the strings a miner sent: hex case and padding made duplicates look new elsewhere
//! (miningcore #710). The filter is cleared only when the previous block changes and never evicts within one (SRI #2297,
//! #2329); when it is full it refuses, because forgetting would pay twice.

use std::collections::HashSet;

use bitcoin::BlockHash;

/// Why a share is not counted as new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeenError {
    /// It was seen before.
    Duplicate,
    /// There is no room to remember it.
    Full,
}

/// Remembers header hashes.
pub trait SeenShares {
    /// Remembers `hash`.
    ///
    /// # Errors
    /// [`SeenError`] when it must not be credited.
    fn insert(&mut self, hash: BlockHash) -> Result<(), SeenError>;
}

/// A bounded set of header hashes on top of one previous block.
#[derive(Debug)]
pub struct DuplicateFilter {
    seen: HashSet<BlockHash>,
    capacity: usize,
    prev_hash: Option<BlockHash>,
}

impl DuplicateFilter {
    /// A filter that remembers at most `capacity` shares (about 50 bytes each) between two blocks.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            seen: HashSet::new(),
            capacity,
            prev_hash: None,
        }
    }

    /// Tells the filter what shares now build on; it forgets only if that is another block than before.
    pub fn building_on(&mut self, prev_hash: BlockHash) {
        if self.prev_hash != Some(prev_hash) {
            self.prev_hash = Some(prev_hash);
            self.seen.clear();
        }
    }

    /// How many shares it remembers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether it remembers none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

impl SeenShares for DuplicateFilter {
    fn insert(&mut self, hash: BlockHash) -> Result<(), SeenError> {
        if self.seen.contains(&hash) {
            return Err(SeenError::Duplicate);
        }
        if self.seen.len() >= self.capacity {
            return Err(SeenError::Full);
        }
        self.seen.insert(hash);
        Ok(())
    }
}
