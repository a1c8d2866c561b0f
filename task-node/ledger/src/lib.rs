//! Who is owed what: PPLNS weights, exact rounding, operator and miner distributions.
//!
//! The way of the money through this crate:
//!
//! 1. [`Window`] - takes the shares of the last rounds, newest round first, until they add up to the window's work.
//! 2. [`apportion`] - turns weights into whole units; the parts always add up to the pot.
//! 3. [`CumulativeList`] - what everybody has earned so far; entries never shrink.
//! 4. [`Distribution`] - the two outputs of a round: Koii's list for operators and the reward tree for K2.
//! 5. [`RewardList`] - the tree's leaves as bytes, from which anybody proves what is theirs.
//! 6. [`books`] - where every satoshi is, from its coinbase to the burn of what it backed: double entry.
//!
//! Everything is a pure function of its arguments: no clock, no disk, no network, no floating point, no order but the
//! documented ones. Two nodes with the same accepted bundles get the same bytes (p2poolv2 #610 read the tip a second
//! time in the middle of such a computation).

pub mod books;
mod cumulative;
mod distribution;
mod fee;
mod pplns;
mod record;
mod reward_list;
mod rounding;
mod work_bytes;

pub use cumulative::{CumulativeError, CumulativeList, Entry, Stake};
pub use distribution::{Distribution, DistributionError, DistributionInput, MAX_BOUNTY};
pub use fee::{Fee, FeeError};
pub use k2_interface::Role;
pub use k2_interface::reward_tree::MAX_LEAVES;
pub use pplns::{Earner, PplnsError, Share, Window};
pub use record::{FORMAT, OperatorReward, Record};
pub use reward_list::{
    MAX_REWARD_CHUNK_BYTES, MAX_REWARD_CHUNKS, REWARD_ENTRY_BYTES, REWARDS_PER_CHUNK, RewardList,
    RewardListError,
};
pub use rounding::{Apportionment, RoundingError, apportion};
