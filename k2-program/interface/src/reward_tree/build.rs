//! Building a reward tree and taking proofs from it (off chain).

use alloc::vec::Vec;
use core::fmt;

use super::{Hash, MAX_LEAVES, RewardLeaf, Role, node, pad};
use crate::K2Address;

/// Why a tree cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeError {
    /// More than [`MAX_LEAVES`] leaves.
    TooManyLeaves,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLeaves => write!(
                f,
                "a reward tree has at most {MAX_LEAVES} leaves: raise the amount from which an entry gets one"
            ),
        }
    }
}

impl core::error::Error for TreeError {}

/// A reward tree with all its nodes: 64 bytes a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardTree {
    /// All levels but the root, leaves first, each padded to an even width.
    levels: Vec<Vec<Hash>>,
    root: Hash,
    leaf_count: u32,
}

impl RewardTree {
    /// The tree over `entries` (role, owner, cumulative amount) in their order, each given its position as index.
    /// `None` without entries: an empty tree has no root, and no root may be all zeros.
    ///
    /// # Errors
    /// [`TreeError::TooManyLeaves`], before more than that many have been hashed.
    pub fn build(
        program: K2Address,
        round: u64,
        entries: impl IntoIterator<Item = (Role, K2Address, u64)>,
    ) -> Result<Option<Self>, TreeError> {
        let mut hashes = Vec::new();
        for (index, (role, owner, cumulative)) in (0..).zip(entries) {
            if index == MAX_LEAVES {
                return Err(TreeError::TooManyLeaves);
            }
            let leaf = RewardLeaf {
                program,
                round,
                index,
                role,
                owner,
                cumulative,
            };
            hashes.push(leaf.hash());
        }
        Ok(Self::over(hashes))
    }

    /// The tree over at most [`MAX_LEAVES`] leaf hashes.
    pub(super) fn over(mut level: Vec<Hash>) -> Option<Self> {
        let leaf_count = level.len() as u32;
        let mut levels = Vec::new();
        loop {
            match *level.as_slice() {
                [] => return None,
                [root] => {
                    return Some(Self {
                        levels,
                        root,
                        leaf_count,
                    });
                }
                _ => {}
            }
            if level.len() % 2 == 1 {
                level.push(pad(levels.len() as u8, level.len() as u32));
            }
            let above = level
                .chunks_exact(2)
                .map(|pair| node(&pair[0], &pair[1]))
                .collect();
            levels.push(core::mem::replace(&mut level, above));
        }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }

    /// How many leaves there are, from 1 to [`MAX_LEAVES`].
    #[must_use]
    pub fn leaf_count(&self) -> u32 {
        self.leaf_count
    }

    /// The siblings of leaf `index`, lowest level first; `None` if there is no such leaf.
    #[must_use]
    pub fn proof(&self, index: u32) -> Option<Vec<Hash>> {
        if index >= self.leaf_count {
            return None;
        }
        self.levels
            .iter()
            .enumerate()
            .map(|(level, nodes)| nodes.get((index as usize >> level) ^ 1).copied())
            .collect()
    }
}
