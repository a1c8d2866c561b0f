//! Which shares of a round were counted in an audited bundle.

use std::collections::{HashMap, HashSet};

use bitcoin::BlockHash;
use cid::Cid;
use work::{SeenError, SeenShares};

/// The header hashes of all valid bundles of one round.
///
/// Only a bundle that is valid throughout leaves its shares here: a forger cannot shadow an honest node's shares by
/// submitting them first. Auditing a bundle again finds nothing new and changes nothing.
#[derive(Debug)]
pub struct SeenInRound {
    by_hash: HashMap<BlockHash, Cid>,
    capacity: usize,
}

impl SeenInRound {
    /// Room for `capacity` shares (about 100 bytes each).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            by_hash: HashMap::new(),
            capacity,
        }
    }

    /// How many shares it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    pub(crate) fn stage(&self, cid: Cid) -> Stage<'_> {
        Stage {
            round: self,
            cid,
            mine: HashSet::new(),
        }
    }

    pub(crate) fn commit(&mut self, cid: Cid, hashes: HashSet<BlockHash>) {
        self.by_hash
            .extend(hashes.into_iter().map(|hash| (hash, cid)));
    }
}

/// The shares of one bundle while it is being audited.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    round: &'a SeenInRound,
    cid: Cid,
    mine: HashSet<BlockHash>,
}

impl Stage<'_> {
    pub(crate) fn into_hashes(self) -> HashSet<BlockHash> {
        self.mine
    }
}

impl SeenShares for Stage<'_> {
    fn insert(&mut self, hash: BlockHash) -> Result<(), SeenError> {
        if self
            .round
            .by_hash
            .get(&hash)
            .is_some_and(|cid| *cid != self.cid)
        {
            return Err(SeenError::Duplicate);
        }
        // What is already known under this name is counted twice here: that errs on the side of refusing.
        if self.round.by_hash.len() + self.mine.len() >= self.round.capacity {
            return Err(SeenError::Full);
        }
        if self.mine.insert(hash) {
            Ok(())
        } else {
            Err(SeenError::Duplicate)
        }
    }
}
