//! Account states of earlier slots, so that a read at `confirmed` or `finalized` sees what such a bank would show.
//!
//! Kept as an undo log: for each of the last 32 slots, what the accounts it changed were before.

use std::collections::{HashMap, VecDeque};

use solana_account::AccountSharedData;
use solana_pubkey::Pubkey;

use super::FINALIZED_DEPTH;

/// An account as it was; `None`: there was none.
type Before = Option<AccountSharedData>;

/// Changes of the last slots, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    slots: VecDeque<(u64, HashMap<Pubkey, Before>)>,
}

impl Changes {
    /// Notes what `key` was before `slot` changed it. Only the first change of a slot counts.
    pub(crate) fn note(&mut self, slot: u64, key: Pubkey, before: impl FnOnce() -> Before) {
        if self.slots.back().is_none_or(|(at, _)| *at != slot) {
            self.slots.push_back((slot, HashMap::new()));
        }
        if let Some((_, changed)) = self.slots.back_mut() {
            changed.entry(key).or_insert_with(before);
        }
    }

    /// Forgets what no commitment level looks back to any more from `slot`.
    pub(crate) fn expire(&mut self, slot: u64) {
        while self
            .slots
            .front()
            .is_some_and(|(at, _)| at + FINALIZED_DEPTH <= slot)
        {
            self.slots.pop_front();
        }
    }

    /// What `key` was at the end of slot `at`, where it has changed since: `None` means it has not.
    pub(crate) fn at(&self, key: &Pubkey, at: u64) -> Option<&Before> {
        self.slots
            .iter()
            .filter(|(slot, _)| *slot > at)
            .find_map(|(_, changed)| changed.get(key))
    }

    /// Every account that has changed since the end of slot `at`.
    pub(crate) fn keys_since(&self, at: u64) -> impl Iterator<Item = &Pubkey> {
        self.slots
            .iter()
            .filter(move |(slot, _)| *slot > at)
            .flat_map(|(_, changed)| changed.keys())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn account(lamports: u64) -> Before {
        Some(AccountSharedData::new(lamports, 0, &Pubkey::default()))
    }

    #[test]
    fn looks_back_to_the_end_of_a_slot() {
        let key = Pubkey::new_from_array([1; 32]);
        let mut changes = Changes::default();
        changes.note(5, key, || None); // created in 5
        changes.note(7, key, || account(10)); // 10 until 7
        changes.note(7, key, || account(11)); // a second change of one slot
        assert_eq!(changes.at(&key, 4), Some(&None));
        assert_eq!(changes.at(&key, 5), Some(&account(10)));
        assert_eq!(changes.at(&key, 6), Some(&account(10)));
        assert_eq!(changes.at(&key, 7), None);
        assert_eq!(changes.at(&Pubkey::default(), 0), None);
        assert_eq!(changes.keys_since(5).count(), 1);

        changes.expire(5 + FINALIZED_DEPTH - 1);
        assert_eq!(changes.at(&key, 4), Some(&None));
        changes.expire(5 + FINALIZED_DEPTH);
        assert_eq!(
            changes.at(&key, 4),
            Some(&account(10)),
            "slot 5 is final: nobody asks what was before"
        );
    }
}
