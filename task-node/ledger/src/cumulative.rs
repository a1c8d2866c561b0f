//! What everybody has earned so far.

use std::collections::BTreeMap;

use bitcoin::Amount;
use k2_interface::{K2Address, Role};
use serde::{Deserialize, Serialize};

/// Who earns: an owner in a role. Ordered by role, then owner: the canonical order of entries and leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stake {
    /// As what.
    pub role: Role,
    /// Who.
    pub owner: K2Address,
}

impl Stake {
    /// `owner` in `role`.
    #[must_use]
    pub const fn new(role: Role, owner: K2Address) -> Self {
        Self { role, owner }
    }
}

/// Why entries are no cumulative list, or no successor of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CumulativeError {
    /// Entries not in strictly ascending order of role and owner.
    #[error(
        "entry {index} does not come after the one before it: sort by role, then owner, each once"
    )]
    Order {
        /// Position of the first entry out of order.
        index: usize,
    },
    /// An entry of nothing.
    #[error("entry {index} holds no sats: leave it out")]
    Empty {
        /// Its position.
        index: usize,
    },
    /// More sats than there can be.
    #[error("the entries add up to more than 21,000,000 BTC")]
    Overflow,
    /// An entry is lower than it was, or gone.
    #[error("{role:?} {owner} had earned {before} and is left with {after}: earnings never shrink")]
    Shrinking {
        /// In which role.
        role: Role,
        /// Whose.
        owner: K2Address,
        /// In the earlier list.
        before: Amount,
        /// In the later list.
        after: Amount,
    },
}

/// One line of a [`CumulativeList`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Earned as what.
    pub role: Role,
    /// By whom.
    pub owner: K2Address,
    /// Everything earned so far; never zero.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub sats: Amount,
}

impl Entry {
    /// Whose entry it is.
    #[must_use]
    pub const fn stake(&self) -> Stake {
        Stake::new(self.role, self.owner)
    }
}

/// What everybody has earned so far: entries in strictly ascending order of role and owner, none empty, together at
/// most 21,000,000 BTC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct CumulativeList {
    entries: Vec<Entry>,
    total: Amount,
}

impl CumulativeList {
    /// The entries, in canonical order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Everything everybody has earned so far.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.total
    }

    /// What `stake` has earned so far.
    #[must_use]
    pub fn of(&self, stake: Stake) -> Amount {
        self.entries
            .binary_search_by_key(&stake, Entry::stake)
            .ok()
            .and_then(|at| self.entries.get(at))
            .map_or(Amount::ZERO, |entry| entry.sats)
    }

    /// This list with `gains` (sats) added. Gains of nothing make no entry.
    ///
    /// # Errors
    /// [`CumulativeError::Overflow`] beyond 21,000,000 BTC in all.
    pub fn plus(&self, gains: &BTreeMap<Stake, u64>) -> Result<Self, CumulativeError> {
        let mut sums: BTreeMap<Stake, u64> = self
            .entries
            .iter()
            .map(|entry| (entry.stake(), entry.sats.to_sat()))
            .collect();
        for (stake, gain) in gains.iter().filter(|(_, gain)| **gain > 0) {
            let sum = sums.entry(*stake).or_default();
            *sum = sum.checked_add(*gain).ok_or(CumulativeError::Overflow)?;
        }
        let entries: Vec<_> = sums
            .into_iter()
            .map(|(stake, sats)| Entry {
                role: stake.role,
                owner: stake.owner,
                sats: Amount::from_sat(sats),
            })
            .collect();
        Self::try_from(entries)
    }

    /// How much this list adds to `earlier`.
    ///
    /// # Errors
    /// [`CumulativeError::Shrinking`] if an entry of `earlier` is lower here, or missing.
    pub fn growth_since(&self, earlier: &Self) -> Result<Amount, CumulativeError> {
        for entry in &earlier.entries {
            let after = self.of(entry.stake());
            if after < entry.sats {
                return Err(CumulativeError::Shrinking {
                    role: entry.role,
                    owner: entry.owner,
                    before: entry.sats,
                    after,
                });
            }
        }
        self.total
            .checked_sub(earlier.total)
            .ok_or(CumulativeError::Overflow)
    }
}

impl TryFrom<Vec<Entry>> for CumulativeList {
    type Error = CumulativeError;

    fn try_from(entries: Vec<Entry>) -> Result<Self, Self::Error> {
        let mut total = Amount::ZERO;
        let mut last = None;
        for (index, entry) in entries.iter().enumerate() {
            let stake = entry.stake();
            if last.is_some_and(|last| last >= stake) {
                return Err(CumulativeError::Order { index });
            }
            last = Some(stake);
            if entry.sats == Amount::ZERO {
                return Err(CumulativeError::Empty { index });
            }
            total = total
                .checked_add(entry.sats)
                .filter(|total| *total <= Amount::MAX_MONEY)
                .ok_or(CumulativeError::Overflow)?;
        }
        Ok(Self { entries, total })
    }
}

impl From<CumulativeList> for Vec<Entry> {
    fn from(list: CumulativeList) -> Self {
        list.entries
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn stake(role: u8, owner: u8) -> Stake {
        Stake::new(
            Role::try_from(role).unwrap(),
            K2Address::from_bytes([owner; 32]),
        )
    }

    fn entry(role: u8, owner: u8, sats: u64) -> Entry {
        let Stake { role, owner } = stake(role, owner);
        Entry {
            role,
            owner,
            sats: Amount::from_sat(sats),
        }
    }

    fn list(entries: &[Entry]) -> CumulativeList {
        CumulativeList::try_from(entries.to_vec()).unwrap()
    }

    #[test]
    fn only_the_canonical_form_is_a_list() {
        let max = Amount::MAX_MONEY.to_sat();
        for (entries, error) in [
            (
                vec![entry(0, 2, 1), entry(0, 1, 1)],
                CumulativeError::Order { index: 1 },
            ),
            (
                vec![entry(0, 1, 1), entry(0, 1, 1)],
                CumulativeError::Order { index: 1 },
            ),
            (
                vec![entry(1, 1, 1), entry(0, 2, 1)],
                CumulativeError::Order { index: 1 },
            ),
            (vec![entry(0, 1, 0)], CumulativeError::Empty { index: 0 }),
            (
                vec![entry(0, 1, max), entry(0, 2, 1)],
                CumulativeError::Overflow,
            ),
            (
                vec![entry(0, 1, u64::MAX), entry(0, 2, u64::MAX)],
                CumulativeError::Overflow,
            ),
        ] {
            assert_eq!(CumulativeList::try_from(entries), Err(error));
        }
        let good = list(&[entry(0, 1, 5), entry(0, 2, 6), entry(1, 1, 7)]);
        assert_eq!(good.total(), Amount::from_sat(18));
        assert_eq!(good.of(stake(1, 1)), Amount::from_sat(7));
        assert_eq!(good.of(stake(1, 2)), Amount::ZERO);
    }

    #[test]
    fn shrinking_or_missing_entries_are_named() {
        let earlier = list(&[entry(0, 1, 5), entry(0, 2, 6)]);
        for later in [
            list(&[entry(0, 1, 5), entry(0, 2, 5)]),
            list(&[entry(0, 1, 100)]),
            list(&[entry(0, 1, 5), entry(1, 2, 6)]),
        ] {
            assert!(matches!(
                later.growth_since(&earlier),
                Err(CumulativeError::Shrinking { owner, .. }) if owner == stake(0, 2).owner
            ));
        }
        let grown = list(&[entry(0, 1, 5), entry(0, 2, 9), entry(1, 1, 1)]);
        assert_eq!(grown.growth_since(&earlier), Ok(Amount::from_sat(4)));
    }

    #[test]
    fn gains_beyond_all_bitcoin_are_refused() {
        let full = list(&[entry(0, 1, Amount::MAX_MONEY.to_sat())]);
        for gain in [1, u64::MAX] {
            for owner in [1, 2] {
                let gains = BTreeMap::from([(stake(0, owner), gain)]);
                assert_eq!(full.plus(&gains), Err(CumulativeError::Overflow));
            }
        }
    }

    proptest! {
        #[test]
        fn sums_are_exact_and_only_grow(rounds in prop::collection::vec(
            prop::collection::btree_map((0_u8..2, 0_u8..6), 0_u64..1_000_000, 0..8), 0..12,
        )) {
            let mut now = CumulativeList::default();
            for gains in rounds {
                let gains: BTreeMap<_, _> = gains.iter().map(|((r, o), g)| (stake(*r, *o), *g)).collect();
                let next = now.plus(&gains).unwrap();
                let gained = gains.values().sum();
                prop_assert_eq!(next.growth_since(&now), Ok(Amount::from_sat(gained)));
                for (stake, gain) in gains {
                    prop_assert_eq!(next.of(stake), now.of(stake) + Amount::from_sat(gain));
                }
                let json = serde_json::to_string(&next).unwrap();
                prop_assert_eq!(&serde_json::from_str::<CumulativeList>(&json).unwrap(), &next);
                now = next;
            }
        }
    }
}
