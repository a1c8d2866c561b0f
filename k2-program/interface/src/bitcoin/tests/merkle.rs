use std::vec::Vec;

use bitcoin::hashes::{Hash as _, sha256d};
use proptest::prelude::*;

use super::sha256;
use crate::bitcoin::merkle::{MAX_DEPTH, branch, root_from_branch};
use crate::bitcoin::{Hash, MerkleError};

fn txids(count: u32) -> Vec<Hash> {
    (0..count)
        .map(|number| sha256(&[&number.to_le_bytes()]))
        .collect()
}

/// Bitcoin's root, by the `bitcoin` crate.
fn root(txids: &[Hash]) -> Hash {
    bitcoin::merkle_tree::calculate_root(txids.iter().copied().map(sha256d::Hash::from_byte_array))
        .unwrap()
        .to_byte_array()
}

#[test]
fn every_transaction_of_small_blocks_is_proved() {
    for count in 1..=40 {
        let txids = txids(count);
        let root = root(&txids);
        for index in 0..count {
            let siblings = branch(&txids, index, sha256).unwrap();
            let txid = &txids[index as usize];
            assert_eq!(
                siblings.len() as u32,
                count.next_power_of_two().trailing_zeros()
            );
            assert_eq!(root_from_branch(txid, index, &siblings, sha256), Ok(root));
            // The same branch is good for no other index.
            for other in (0..1 << siblings.len()).filter(|other| *other != index) {
                assert_ne!(root_from_branch(txid, other, &siblings, sha256), Ok(root));
            }
        }
        assert_eq!(branch(&txids, count, sha256), None);
    }
    assert_eq!(branch(&[], 0, sha256), None);
}

#[test]
fn index_bits_that_no_level_uses_are_refused() {
    let txids = txids(8);
    let siblings = branch(&txids, 5, sha256).unwrap();
    for bit in 3..32 {
        let refused = root_from_branch(&txids[5], 5 | 1 << bit, &siblings, sha256);
        assert_eq!(refused, Err(MerkleError::Index));
    }
    assert_eq!(root_from_branch(&txids[0], 0, &[], sha256), Ok(txids[0]));
    assert_eq!(
        root_from_branch(&txids[0], 1, &[], sha256),
        Err(MerkleError::Index)
    );
}

#[test]
fn branches_are_not_deep() {
    let siblings = [[1; 32]; MAX_DEPTH + 1];
    assert!(root_from_branch(&[2; 32], (1 << MAX_DEPTH) - 1, &siblings[1..], sha256).is_ok());
    let refused = root_from_branch(&[2; 32], 0, &siblings, sha256);
    assert_eq!(refused, Err(MerkleError::Depth));
    let refused = root_from_branch(&[2; 32], 0, &[[1; 32]; 40], sha256);
    assert_eq!(refused, Err(MerkleError::Depth));
}

/// Blocks whose last transactions are repeated have the root of the block without the repetition: each transaction must
/// have one index all the same, or it could be used once for each.
#[test]
fn cve_2012_2459_a_repeated_transaction_has_no_second_index() {
    for count in [3, 5, 6, 7, 9, 11, 12, 13] {
        let honest = txids(count);
        let root = root(&honest);
        // What the tree holds at its lowest level: the leaves, and the repetitions up to the next power of two.
        let mut repeated = honest.clone();
        let mut width = 1;
        while repeated.len() / width > 1 {
            if (repeated.len() / width) % 2 == 1 {
                repeated.extend_from_within(repeated.len() - width..);
            }
            width *= 2;
            assert_eq!(self::root(&repeated), root);
        }
        for index in 0..repeated.len() as u32 {
            let siblings = branch(&repeated, index, sha256).unwrap();
            let proved = root_from_branch(&repeated[index as usize], index, &siblings, sha256);
            if index < count {
                assert_eq!(proved, Ok(root));
            } else {
                assert_eq!(proved, Err(MerkleError::Duplicate), "{index} of {count}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn large_blocks_agree_with_the_bitcoin_crate(count in 1..4000_u32, index: prop::sample::Index) {
        let txids = txids(count);
        let index = index.index(txids.len());
        let siblings = branch(&txids, index as u32, sha256).unwrap();
        prop_assert_eq!(root_from_branch(&txids[index], index as u32, &siblings, sha256), Ok(root(&txids)));
    }
}
