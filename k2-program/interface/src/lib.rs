//! What the K2 program, its client and the pool share: one copy of every byte layout they must agree on.
//!
//! `no_std` and without any Solana dependency, so that the on-chain program, built by another compiler from its own
//! lockfile, and the pool compute the same bytes.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
pub mod bitcoin;
mod error;
pub mod instruction;
pub mod layout;
pub mod pda;
pub mod reward_tree;
pub mod state;

pub use address::{AddressError, K2Address};
pub use error::{AccountFault, Explained, PoolError, Refusal};
pub use reward_tree::{RewardLeaf, RewardTree, Role};
