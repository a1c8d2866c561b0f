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
    /// Which bundle counts a share, by its position in `bundles`: a name beside each of millions of hashes would take
    /// three times their room.
    by_hash: HashMap<BlockHash, u32>,
    bundles: Vec<Cid>,
    capacity: usize,
}

impl SeenInRound {
    /// Room for `capacity` shares (about 75 bytes each at the worst).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            by_hash: HashMap::new(),
            bundles: Vec::new(),
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

    fn position(&self, cid: &Cid) -> Option<u32> {
        let at = self.bundles.iter().position(|known| known == cid)?;
        u32::try_from(at).ok()
    }

    pub(crate) fn stage(&self, cid: Cid) -> Stage<'_> {
        Stage {
            round: self,
            known_as: self.position(&cid),
            mine: HashSet::new(),
            fresh: 0,
        }
    }

    pub(crate) fn commit(&mut self, cid: Cid, hashes: HashSet<BlockHash>) {
        // An empty bundle has nothing to remember, and there can be any number of them.
        if hashes.is_empty() {
            return;
        }
        let index = self.position(&cid).unwrap_or_else(|| {
            self.bundles.push(cid);
            // Each holds a share no other one has, so there are no more of them than there is room for shares.
            (self.bundles.len() - 1) as u32
        });
        self.by_hash
            .extend(hashes.into_iter().map(|hash| (hash, index)));
    }
}

/// The shares of one bundle while it is being audited.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    round: &'a SeenInRound,
    known_as: Option<u32>,
    mine: HashSet<BlockHash>,
    /// How many of them the round does not know yet.
    fresh: usize,
}

impl Stage<'_> {
    /// Whether the round has no room for these shares. They are collected all the same: a lie further on in the bundle
    /// is a lie whatever room there is, and a bundle is bounded by itself.
    pub(crate) fn is_too_many(&self) -> bool {
        self.round.by_hash.len() + self.fresh > self.round.capacity
    }

    pub(crate) fn into_hashes(self) -> HashSet<BlockHash> {
        self.mine
    }
}

impl SeenShares for Stage<'_> {
    fn insert(&mut self, hash: BlockHash) -> Result<(), SeenError> {
        match self.round.by_hash.get(&hash) {
            Some(bundle) if Some(*bundle) != self.known_as => return Err(SeenError::Duplicate),
            Some(_) => {}
            None => self.fresh += 1,
        }
        if self.mine.insert(hash) {
            Ok(())
        } else {
            Err(SeenError::Duplicate)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bitcoin::hashes::Hash as _;
    use content::{Block, Codec};

    use super::*;

    fn cid(n: u8) -> Cid {
        *Block::new(Codec::Raw, vec![n]).unwrap().cid()
    }

    fn count(seen: &mut SeenInRound, bundle: u8, hashes: &[u8]) -> Result<(), SeenError> {
        let mut stage = seen.stage(cid(bundle));
        for n in hashes {
            stage.insert(BlockHash::from_byte_array([*n; 32]))?;
        }
        if stage.is_too_many() {
            return Err(SeenError::Full);
        }
        let hashes = stage.into_hashes();
        seen.commit(cid(bundle), hashes);
        Ok(())
    }

    #[test]
    fn a_full_memory_fails_closed_but_knows_what_it_knows() {
        let mut seen = SeenInRound::new(2);
        assert_eq!(count(&mut seen, 1, &[1, 2]), Ok(()));
        assert_eq!(
            count(&mut seen, 1, &[1, 2]),
            Ok(()),
            "the same bundle again"
        );
        assert_eq!(count(&mut seen, 2, &[3]), Err(SeenError::Full));
        assert_eq!(count(&mut seen, 2, &[2]), Err(SeenError::Duplicate));
        assert_eq!(count(&mut seen, 1, &[1, 1]), Err(SeenError::Duplicate));
        assert_eq!(count(&mut seen, 2, &[3, 3]), Err(SeenError::Duplicate));
        assert_eq!(seen.len(), 2);
        assert_eq!(count(&mut seen, 3, &[]), Ok(()));
        assert_eq!(seen.bundles.len(), 1);
    }
}
