//! The fields of a distribution, as they are encoded.

use bitcoin::Amount;
use k2_interface::K2Address;
use pow::Work;
use serde::{Deserialize, Serialize};
use work::RoundNumber;

use crate::{CumulativeList, Entry, Fee};

/// Names the encoding; a newer one gets another name, and a newer build still reads this one.
pub const FORMAT: &str = "orcapool/distribution/1";

/// What one operator gets of a round's bounty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorReward {
    /// The operator's K2 key: the staking key Koii's list names.
    pub node: K2Address,
    /// Base units of the task's token. Signed, because Koii slashes stake by negative amounts; this format produces
    /// and accepts positive ones only, so that a list always adds up to its bounty.
    pub amount: i64,
}

/// A distribution's fields. On its own it proves nothing: [`crate::Distribution`] is a checked one.
///
/// Encoded as DAG-CBOR: a map with the field names as keys; addresses and the root as 32 bytes, work as 16 bytes
/// big-endian, money as integers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`FORMAT`].
    pub format: String,
    /// The K2 program that pays the leaves.
    pub program: K2Address,
    /// The round after which it holds.
    pub round: RoundNumber,
    /// How much work the PPLNS window takes.
    #[serde(with = "crate::work_bytes")]
    pub window: Work,
    /// How much work was in it.
    #[serde(with = "crate::work_bytes")]
    pub reached: Work,
    /// The operators' part of each share.
    pub fee: Fee,
    /// What there was for the operators, in base units of the task's token.
    pub bounty: u64,
    /// What there was for miners and operators in this round.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub pot: Amount,
    /// What nobody earned: the whole pot if the window was empty, else nothing. It stays with the caller, who adds it
    /// to a later pot.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub undistributed: Amount,
    /// Koii's list, in order of the keys, without zeros: adds up to the bounty, or is empty if the window was.
    pub operators: Vec<OperatorReward>,
    /// Everybody's earnings so far, this round's included.
    pub miners: CumulativeList,
    /// From how much on an entry has a leaf.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub leaf_minimum: Amount,
    /// How many leaves the reward tree has.
    pub leaf_count: u32,
    /// The reward tree's root; none without leaves.
    #[serde(with = "serde_bytes")]
    pub root: Option<[u8; 32]>,
}

impl Record {
    /// The entries that have a leaf, in the order of the leaves.
    pub(crate) fn leaf_entries(&self) -> impl Iterator<Item = &Entry> {
        leaf_entries(&self.miners, self.leaf_minimum)
    }
}

pub(crate) fn leaf_entries(
    miners: &CumulativeList,
    leaf_minimum: Amount,
) -> impl Iterator<Item = &Entry> {
    miners
        .entries()
        .iter()
        .filter(move |entry| entry.sats >= leaf_minimum)
}
