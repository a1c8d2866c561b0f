//! The cumulative reward tree: what one 32-byte root on K2 says about everything anybody has earned so far.
//!
//! The pool builds a [`RewardTree`] after every round and attests its root; a claim brings one [`RewardLeaf`] and its
//! siblings, and the program runs [`verify_with`] with the runtime's SHA-256. Amounts are cumulative, so one claim
//! collects all rounds and the only replay guard needed is the amount already claimed.
//!
//! ```text
//! leaf = sha256(0x00 | "k2/leaf/v1" | program 32 | round u64le | index u32le | role u8 | owner 32 | cumulative u64le)
//! node = sha256(0x01 | left 32 | right 32)
//! pad  = sha256(0x02 | level u8 | index u32le)        level 0 is the leaves', index counts within the level
//! ```
//!
//! - Order is given by the position: the bits of `index` say on which side each sibling stands. Sorting siblings, as
//!   many distributors do, would let one proof serve two positions.
//! - A level of odd width gets one `pad` on its right. Repeating the last node instead gives different leaf lists the
//!   same root (CVE-2012-2459); promoting it would make a proof's length depend on the position, so that "exactly
//!   `depth(leaf_count)` siblings" could not be asked. A pad is bound to its own place and, by its prefix, is neither a
//!   leaf nor a node, so it can be neither moved nor claimed. A root therefore belongs to one leaf list only.
//! - The leaf carries program, round, index and role: no leaf is good for another program, round, place or role.
//! - `leaf_count` stands next to the root wherever the root is kept. A wrong one can only turn proofs away: places
//!   beyond the last leaf hold pads, and nothing hashes to a pad as a leaf.

mod build;
#[cfg(test)]
mod tests;

use core::fmt;

use sha2::{Digest as _, Sha256};

pub use build::{RewardTree, TreeError};

use crate::K2Address;

/// A SHA-256 digest, bytes in the order the hash function gives them.
pub type Hash = [u8; 32];

/// The greatest depth: a claim with more siblings would not fit a K2 transaction (1,232 bytes).
pub const MAX_DEPTH: u32 = 20;
/// The most leaves a tree can have.
pub const MAX_LEAVES: u32 = 1 << MAX_DEPTH;

const LEAF_PREFIX: [u8; 1] = [0];
const NODE_PREFIX: [u8; 1] = [1];
const PAD_PREFIX: [u8; 1] = [2];
const LEAF_TAG: &[u8] = b"k2/leaf/v1";

/// In which capacity somebody earned. One owner may have an entry in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u8", into = "u8"))]
#[repr(u8)]
pub enum Role {
    /// Found shares.
    Miner = 0,
    /// Ran the node the shares were found on; earns the fee.
    Operator = 1,
}

/// A byte that is no [`Role`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownRole(pub u8);

impl fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {} is unknown: 0 is a miner, 1 an operator", self.0)
    }
}

impl core::error::Error for UnknownRole {}

impl TryFrom<u8> for Role {
    type Error = UnknownRole;

    fn try_from(byte: u8) -> Result<Self, Self::Error> {
        match byte {
            0 => Ok(Self::Miner),
            1 => Ok(Self::Operator),
            other => Err(UnknownRole(other)),
        }
    }
}

impl From<Role> for u8 {
    fn from(role: Role) -> Self {
        role as Self
    }
}

/// What one owner has earned in one role, up to and including a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewardLeaf {
    /// The K2 program that pays it.
    pub program: K2Address,
    /// The round the tree was built after.
    pub round: u64,
    /// Its place in the tree, from 0.
    pub index: u32,
    /// Earned as what.
    pub role: Role,
    /// Who may claim it.
    pub owner: K2Address,
    /// Everything earned so far, in the smallest unit of the wrapped token (1 sat).
    pub cumulative: u64,
}

impl RewardLeaf {
    /// The leaf's hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash_with(sha256)
    }

    /// The leaf's hash by another SHA-256, as for [`verify_with`].
    pub fn hash_with(&self, sha256: impl Fn(&[&[u8]]) -> Hash) -> Hash {
        sha256(&[
            &LEAF_PREFIX,
            LEAF_TAG,
            self.program.as_bytes(),
            &self.round.to_le_bytes(),
            &self.index.to_le_bytes(),
            &[self.role.into()],
            self.owner.as_bytes(),
            &self.cumulative.to_le_bytes(),
        ])
    }
}

/// Why a proof is refused. One variant per check, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The root is all zeros: an account nobody has written to (Nomad, 2022, took it for a trusted root).
    NullRoot,
    /// No leaves, or more than [`MAX_LEAVES`].
    LeafCount,
    /// The leaf's index is not below the number of leaves.
    IndexOutOfRange,
    /// Not exactly one sibling per level.
    ProofLength,
    /// The siblings lead to another root.
    WrongRoot,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NullRoot => "the reward root is empty: no round has been finalized",
            Self::LeafCount => "a reward tree has 1 to 1048576 leaves",
            Self::IndexOutOfRange => "the leaf's index is not below the tree's number of leaves",
            Self::ProofLength => "the proof must have exactly one sibling per level of the tree",
            Self::WrongRoot => {
                "the proof leads to another root: take leaf and proof from the distribution that was finalized last"
            }
        })
    }
}

impl core::error::Error for ProofError {}

/// How many siblings a proof has in a tree of `leaf_count` leaves: the least `d` with `2^d >= leaf_count`. `None` for
/// no leaves or more than [`MAX_LEAVES`].
#[must_use]
pub const fn depth(leaf_count: u32) -> Option<u32> {
    if leaf_count == 0 || leaf_count > MAX_LEAVES {
        None
    } else {
        Some(leaf_count.next_power_of_two().trailing_zeros())
    }
}

/// Checks that `leaf` stands at its index in the tree of `leaf_count` leaves with this root. Allocates nothing.
///
/// # Errors
/// [`ProofError`] names the first check that failed.
pub fn verify(
    root: &Hash,
    leaf: &RewardLeaf,
    leaf_count: u32,
    proof: &[Hash],
) -> Result<(), ProofError> {
    verify_with(sha256, root, leaf, leaf_count, proof)
}

/// [`verify`] by another SHA-256 of the concatenated slices: on chain the `sol_sha256` syscall, 127 compute units
/// for a node, where computing it would take thousands.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    sha256: impl Fn(&[&[u8]]) -> Hash,
    root: &Hash,
    leaf: &RewardLeaf,
    leaf_count: u32,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if *root == [0; 32] {
        return Err(ProofError::NullRoot);
    }
    let depth = depth(leaf_count).ok_or(ProofError::LeafCount)?;
    if leaf.index >= leaf_count {
        return Err(ProofError::IndexOutOfRange);
    }
    if proof.len() != depth as usize {
        return Err(ProofError::ProofLength);
    }
    // After `depth` halvings of an index below 2^depth nothing is left of it, so every bit of it has been used.
    let mut index = leaf.index;
    let mut hash = leaf.hash_with(&sha256);
    for sibling in proof {
        let (left, right) = if index & 1 == 0 {
            (&hash, sibling)
        } else {
            (sibling, &hash)
        };
        hash = sha256(&[&NODE_PREFIX, left, right]);
        index >>= 1;
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::WrongRoot)
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&NODE_PREFIX, left, right])
}

fn pad(level: u8, index: u32) -> Hash {
    sha256(&[&PAD_PREFIX, &[level], &index.to_le_bytes()])
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
