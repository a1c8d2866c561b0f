//! What a bank must remember of the last slots: blockhashes that transactions may still name, and the signatures that
//! came with them, so that no transaction counts twice.

use std::collections::{HashMap, HashSet, VecDeque};

use sha2::{Digest, Sha256};
use solana_hash::Hash;
use solana_signature::Signature;

/// Slots a blockhash stays valid for (`MAX_PROCESSING_AGE` of Solana).
pub(crate) const MAX_PROCESSING_AGE: u64 = 150;
/// Blockhashes kept: as many as the SlotHashes sysvar shows to programs.
const KEPT: usize = 512;

/// One blockhash a slot, the newest at the end.
#[derive(Debug)]
pub(crate) struct Blockhashes {
    queue: VecDeque<(u64, Hash)>,
    slots: HashMap<Hash, u64>,
    newest: (u64, Hash),
}

impl Blockhashes {
    pub(crate) fn new(genesis: Hash) -> Self {
        Self {
            queue: VecDeque::from([(0, genesis)]),
            slots: HashMap::from([(genesis, 0)]),
            newest: (0, genesis),
        }
    }

    /// Begins the next slot with a blockhash of its own.
    pub(crate) fn advance(&mut self) {
        let (slot, hash) = self.newest;
        let slot = slot + 1;
        let next = Sha256::new()
            .chain_update(b"orcapool/local-k2/blockhash")
            .chain_update(hash.to_bytes())
            .chain_update(slot.to_le_bytes())
            .finalize();
        let next = Hash::new_from_array(next.into());
        self.newest = (slot, next);
        self.queue.push_back(self.newest);
        self.slots.insert(next, slot);
        if self.queue.len() > KEPT
            && let Some((_, old)) = self.queue.pop_front()
        {
            self.slots.remove(&old);
        }
    }

    /// The slot and the blockhash of the newest slot.
    pub(crate) const fn newest(&self) -> (u64, Hash) {
        self.newest
    }

    /// The blockhash that began `slot`, or the oldest kept one after it.
    pub(crate) fn of_slot(&self, slot: u64) -> Hash {
        let back = usize::try_from(self.newest.0.saturating_sub(slot)).unwrap_or(usize::MAX);
        let index = self.queue.len().saturating_sub(1).saturating_sub(back);
        self.queue
            .get(index)
            .map_or(self.newest.1, |(_, hash)| *hash)
    }

    /// The last block height at which a transaction with this blockhash can be processed; `None` where that is past, or
    /// the hash unknown, as seen from `slot`.
    pub(crate) fn last_valid_height(&self, hash: &Hash, slot: u64) -> Option<u64> {
        let began = *self.slots.get(hash)?;
        let last = began + MAX_PROCESSING_AGE;
        (began <= slot && slot <= last).then_some(last)
    }

    /// Newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Hash)> + Clone {
        self.queue.iter().rev().copied()
    }
}

/// Signatures of processed transactions, for as long as their blockhash could still be valid.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    by_slot: VecDeque<(u64, Vec<Signature>)>,
    all: HashSet<Signature>,
}

impl Signatures {
    pub(crate) fn contains(&self, signature: &Signature) -> bool {
        self.all.contains(signature)
    }

    /// How many were processed in the newest slot that has any, if that is `slot`.
    pub(crate) fn count_in(&self, slot: u64) -> usize {
        self.by_slot
            .back()
            .filter(|(at, _)| *at == slot)
            .map_or(0, |(_, signatures)| signatures.len())
    }

    pub(crate) fn insert(&mut self, slot: u64, signature: Signature) {
        if !self.all.insert(signature) {
            return;
        }
        match self.by_slot.back_mut() {
            Some((at, signatures)) if *at == slot => signatures.push(signature),
            _ => self.by_slot.push_back((slot, vec![signature])),
        }
    }

    /// Forgets what was processed so long before `slot` that its blockhash has expired.
    pub(crate) fn expire(&mut self, slot: u64) {
        while let Some((at, _)) = self.by_slot.front()
            && at + MAX_PROCESSING_AGE < slot
        {
            for signature in self
                .by_slot
                .pop_front()
                .into_iter()
                .flat_map(|(_, signatures)| signatures)
            {
                self.all.remove(&signature);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_blockhash_is_valid_for_150_slots() {
        let mut hashes = Blockhashes::new(Hash::new_from_array([1; 32]));
        for _ in 0..10 {
            hashes.advance();
        }
        let (slot, hash) = hashes.newest();
        assert_eq!(slot, 10);
        assert_eq!(hashes.last_valid_height(&hash, slot), Some(160));
        assert_eq!(hashes.last_valid_height(&hash, 160), Some(160));
        assert_eq!(hashes.last_valid_height(&hash, 161), None);
        assert_eq!(
            hashes.last_valid_height(&hash, 9),
            None,
            "an older slot cannot know it"
        );
        assert_eq!(
            hashes.last_valid_height(&Hash::new_from_array([9; 32]), 10),
            None
        );
    }

    #[test]
    fn each_slot_has_its_own_hash_and_old_ones_are_dropped() {
        let mut hashes = Blockhashes::new(Hash::new_from_array([1; 32]));
        let mut seen = HashSet::from([hashes.newest().1]);
        for _ in 0..2_000 {
            hashes.advance();
            assert!(seen.insert(hashes.newest().1));
        }
        assert_eq!(hashes.iter().count(), KEPT);
        assert_eq!(hashes.slots.len(), KEPT);
        let listed: Vec<_> = hashes.iter().collect();
        assert_eq!(listed[0].0, 2_000);
        assert_eq!(hashes.of_slot(1_990), listed[10].1);
        assert_eq!(hashes.of_slot(3), listed[KEPT - 1].1);
    }

    #[test]
    fn signatures_are_kept_exactly_as_long_as_a_replay_is_possible() {
        let mut signatures = Signatures::default();
        let signature = Signature::from([7; 64]);
        signatures.insert(20, signature);
        signatures.insert(20, signature);
        assert_eq!(signatures.count_in(20), 1);
        assert_eq!(signatures.count_in(21), 0);
        signatures.expire(170);
        assert!(signatures.contains(&signature));
        signatures.expire(171);
        assert!(!signatures.contains(&signature));
        assert!(signatures.by_slot.is_empty());
    }
}
