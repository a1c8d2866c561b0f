//! Bitcoin's merkle tree, seen from the coinbase: the branch a Stratum job carries.
//!
//! Hashes are in internal byte order throughout.

use pow::{Algorithm, Sha256d};

/// One tree hash, internal byte order.
pub type Hash = [u8; 32];

fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    Sha256d::hash(&pair)
}

/// The siblings on the way from the coinbase (leaf 0) to the root; `others` are the ids of all other transactions in
/// block order. Computed once per template, so that a share costs one hash per level.
#[must_use]
pub fn coinbase_branch(others: &[Hash]) -> Vec<Hash> {
    let mut branch = Vec::new();
    // `level` is the tree row without its first entry, which the coinbase makes unknown.
    let mut level = others.to_vec();
    while let Some((sibling, rest)) = level.split_first() {
        branch.push(*sibling);
        level = rest
            .chunks(2)
            .map(|pair| parent(&pair[0], pair.last().unwrap_or(&pair[0])))
            .collect();
    }
    branch
}

/// The merkle root: `leaf` (the coinbase id) folded with its branch.
#[must_use]
pub fn root_from_branch(leaf: Hash, branch: &[Hash]) -> Hash {
    branch
        .iter()
        .fold(leaf, |node, sibling| parent(&node, sibling))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bitcoin::hashes::Hash as _;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_rust_bitcoin(ids in prop::collection::vec(any::<[u8; 32]>(), 1..70)) {
            let theirs = bitcoin::merkle_tree::calculate_root(
                ids.iter().map(|id| bitcoin::Txid::from_byte_array(*id))).unwrap();
            let branch = coinbase_branch(&ids[1..]);
            prop_assert_eq!(root_from_branch(ids[0], &branch), theirs.to_byte_array());
            prop_assert!(branch.len() <= 7);
        }
    }

    #[test]
    fn a_lone_coinbase_is_its_own_root() {
        assert!(coinbase_branch(&[]).is_empty());
        assert_eq!(root_from_branch([7; 32], &[]), [7; 32]);
    }
}
