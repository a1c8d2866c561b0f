//! The Merkle-sum tree over a bundle's share chunks: one hash that commits to every chunk, its shares and its work.
//!
//! ```text
//! leaf = SHA-256( 0x00 | chunk digest[32] | shares u64be | work u128be )
//! node = SHA-256( 0x01 | left[32] | left work u128be | right[32] | right work u128be )      an odd one moves up unchanged
//! root = SHA-256( 0x02 | chunks u64be | shares u64be | work u128be | top[32] )              top = 0 without chunks
//! ```
//!
//! The prefixes keep leaves, nodes and roots apart, and the root names the number of leaves: neither a node passed off
//! as a leaf nor a repeated last leaf (CVE-2012-2459) yields the same root. Positions on the work axis find a chunk, so
//! that a sample weighs chunks by what they claim to have earned.

use pow::Work;
use sha2::{Digest, Sha256};

/// One chunk as the tree sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// The SHA-256 digest in the chunk's CID.
    pub digest: [u8; 32],
    /// Its shares.
    pub shares: u64,
    /// Their work.
    pub work: Work,
}

impl Leaf {
    fn node(&self) -> Node {
        Node {
            hash: Sha256::new()
                .chain_update([0])
                .chain_update(self.digest)
                .chain_update(self.shares.to_be_bytes())
                .chain_update(self.work.to_hashes().to_be_bytes())
                .finalize()
                .into(),
            work: self.work,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    hash: [u8; 32],
    work: Work,
}

impl Node {
    fn parent(&self, right: &Self) -> Option<Self> {
        Some(Self {
            hash: Sha256::new()
                .chain_update([1])
                .chain_update(self.hash)
                .chain_update(self.work.to_hashes().to_be_bytes())
                .chain_update(right.hash)
                .chain_update(right.work.to_hashes().to_be_bytes())
                .finalize()
                .into(),
            work: self.work.checked_add(right.work)?,
        })
    }
}

/// A whole tree.
#[derive(Debug, Clone)]
pub struct MerkleSumTree {
    /// From the leaves to the top.
    rows: Vec<Vec<Node>>,
    shares: u64,
}

impl MerkleSumTree {
    /// The tree over these chunks, or `None` when their sums leave 64 or 128 bits.
    #[must_use]
    pub fn new(leaves: &[Leaf]) -> Option<Self> {
        let shares = leaves
            .iter()
            .try_fold(0_u64, |sum, leaf| sum.checked_add(leaf.shares))?;
        let mut rows = vec![leaves.iter().map(Leaf::node).collect::<Vec<_>>()];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let above = row
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => left.parent(right),
                    _ => pair.first().copied(),
                })
                .collect::<Option<Vec<_>>>()?;
            rows.push(above);
        }
        Some(Self { rows, shares })
    }

    fn top(&self) -> Option<&Node> {
        self.rows.last().and_then(|row| row.first())
    }

    /// All work.
    #[must_use]
    pub fn work(&self) -> Work {
        self.top().map_or(Work::ZERO, |top| top.work)
    }

    /// All shares.
    #[must_use]
    pub fn shares(&self) -> u64 {
        self.shares
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        let chunks = self.rows.first().map_or(0, Vec::len) as u64;
        Sha256::new()
            .chain_update([2])
            .chain_update(chunks.to_be_bytes())
            .chain_update(self.shares.to_be_bytes())
            .chain_update(self.work().to_hashes().to_be_bytes())
            .chain_update(self.top().map_or([0; 32], |top| top.hash))
            .finalize()
            .into()
    }

    /// The chunk that holds the `position`-th expected hash, counted from 0; `None` at or beyond all work.
    #[must_use]
    pub fn locate(&self, position: u128) -> Option<usize> {
        if position >= self.work().to_hashes() {
            return None;
        }
        let (mut index, mut rest) = (0_usize, position);
        // Down from the row below the top; the left child has twice the index.
        for row in self.rows.iter().rev().skip(1) {
            index *= 2;
            let left = row.get(index)?.work.to_hashes();
            if rest >= left {
                rest -= left;
                index += 1;
            }
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn leaf(n: u8, work: u128) -> Leaf {
        Leaf {
            digest: [n; 32],
            shares: u64::from(n),
            work: Work::from_hashes(work),
        }
    }

    fn leaves() -> impl Strategy<Value = Vec<Leaf>> {
        prop::collection::vec((any::<u8>(), 0..50_u128), 1..40)
            .prop_map(|list| list.into_iter().map(|(n, work)| leaf(n, work)).collect())
    }

    #[test]
    fn one_leaf_by_hand() {
        let top = Sha256::digest(
            [
                &[0_u8][..],
                &[7; 32],
                &7_u64.to_be_bytes(),
                &9_u128.to_be_bytes(),
            ]
            .concat(),
        );
        let root: [u8; 32] = Sha256::digest(
            [
                &[2_u8][..],
                &1_u64.to_be_bytes(),
                &7_u64.to_be_bytes(),
                &9_u128.to_be_bytes(),
                &top,
            ]
            .concat(),
        )
        .into();
        assert_eq!(MerkleSumTree::new(&[leaf(7, 9)]).unwrap().root(), root);
    }

    #[test]
    fn a_repeated_last_leaf_is_another_root_cve_2012_2459() {
        let (a, b, c) = (leaf(1, 1), leaf(2, 0), leaf(0, 0));
        let three = MerkleSumTree::new(&[a, b, c]).unwrap();
        let four = MerkleSumTree::new(&[a, b, c, c]).unwrap();
        assert_ne!(three.root(), four.root());
    }

    #[test]
    fn sums_that_overflow_are_refused() {
        assert!(MerkleSumTree::new(&[leaf(1, u128::MAX), leaf(1, 1)]).is_none());
        assert!(MerkleSumTree::new(&[]).unwrap().locate(0).is_none());
    }

    proptest! {
        #[test]
        fn locate_agrees_with_a_running_sum(leaves in leaves()) {
            let tree = MerkleSumTree::new(&leaves).unwrap();
            let mut position = 0;
            for (index, leaf) in leaves.iter().enumerate() {
                for _ in 0..leaf.work.to_hashes() {
                    prop_assert_eq!(tree.locate(position), Some(index));
                    position += 1;
                }
            }
            prop_assert_eq!(tree.locate(position), None);
            prop_assert_eq!(tree.work().to_hashes(), position);
        }

        #[test]
        fn every_leaf_field_changes_the_root(leaves in leaves(), at: prop::sample::Index, byte in 0..32_usize) {
            let root = MerkleSumTree::new(&leaves).unwrap().root();
            let i = at.index(leaves.len());
            let mut changed = leaves.clone();
            changed[i].digest[byte] ^= 1;
            prop_assert_ne!(MerkleSumTree::new(&changed).unwrap().root(), root);
            let mut changed = leaves.clone();
            changed[i].shares += 1;
            prop_assert_ne!(MerkleSumTree::new(&changed).unwrap().root(), root);
            let mut changed = leaves;
            changed[i].work += Work::from_hashes(1);
            prop_assert_ne!(MerkleSumTree::new(&changed).unwrap().root(), root);
        }
    }
}
