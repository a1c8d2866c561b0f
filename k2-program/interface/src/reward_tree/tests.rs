#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::HashSet;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const PROGRAM: K2Address = K2Address::from_bytes([0x11; 32]);

fn entry(index: u32) -> (Role, K2Address, u64) {
    let role = if index.is_multiple_of(2) {
        Role::Miner
    } else {
        Role::Operator
    };
    let owner = K2Address::from_bytes([index as u8 + 1; 32]);
    (role, owner, 1000 * (u64::from(index) + 1) + 0x1_0000_0000)
}

fn leaf(round: u64, index: u32) -> RewardLeaf {
    let (role, owner, cumulative) = entry(index);
    RewardLeaf {
        program: PROGRAM,
        round,
        index,
        role,
        owner,
        cumulative,
    }
}

fn tree(round: u64, leaf_count: u32) -> RewardTree {
    RewardTree::build(PROGRAM, round, (0..leaf_count).map(entry))
        .unwrap()
        .unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Computed from the module's formulas by another implementation (Python's hashlib): program 11..11, leaf i = role
/// i mod 2, owner (i+1) repeated, cumulative 2^32 + 1000 (i + 1).
#[test]
fn written_down_roots() {
    for (round, leaf_count, root) in [
        (
            0x0102_0304_0506_0708,
            1,
            "44e198f5ad0bbfd6157f93ffae3e38fedee209cc39318958edd5af2b25ea6db1",
        ),
        (
            7,
            2,
            "144aa3831702f4c343eb1b683aa5ff97dff20737e6e6c6f7a04b36f2a5350b92",
        ),
        (
            7,
            3,
            "5893f61a819c2a6b2eabd356018ddbcefa5b3ce2fb595060c7916e6ea47fa7b7",
        ),
        (
            7,
            5,
            "262b0f93c4ec5d07d66ce4ce9ba4e1802fb2dd651d92d11002189b0c9391d82f",
        ),
        (
            7,
            6,
            "78e5ead61c0181fac39b969902604291c397c9f5c290780bb55ae7ec27ac030f",
        ),
        (
            7,
            8,
            "841318e96f9f82fbc0bda57e50eef1ca1a254d9d3e8af52f7351b400e06a0117",
        ),
        (
            7,
            33,
            "6af6307f5dc8332ba921ef977a2762fd175f0fa5ad259c84530a5bec707d8461",
        ),
    ] {
        assert_eq!(hex(&tree(round, leaf_count).root()), root, "{leaf_count}");
    }
}

#[test]
fn depths() {
    for (leaf_count, expected) in [
        (0, None),
        (1, Some(0)),
        (2, Some(1)),
        (3, Some(2)),
        (4, Some(2)),
        (5, Some(3)),
        (MAX_LEAVES - 1, Some(MAX_DEPTH)),
        (MAX_LEAVES, Some(MAX_DEPTH)),
        (MAX_LEAVES + 1, None),
        (u32::MAX, None),
    ] {
        assert_eq!(depth(leaf_count), expected, "{leaf_count}");
    }
}

#[test]
fn an_empty_tree_has_no_root() {
    assert_eq!(RewardTree::build(PROGRAM, 0, []), Ok(None));
    assert_eq!(
        verify(&tree(0, 1).root(), &leaf(0, 0), 0, &[]),
        Err(ProofError::LeafCount)
    );
}

/// Nomad lost 190 M$ because an unset root was one that everything had been proved against.
#[test]
fn null_root_is_no_root_nomad_2022() {
    assert_eq!(
        verify(&[0; 32], &leaf(0, 0), 1, &[]),
        Err(ProofError::NullRoot)
    );
}

/// All trees of up to 9 leaves: the right proof at the right place passes, and nothing next to it does.
#[test]
fn every_wrong_index_length_and_bit_fails() {
    for leaf_count in 1..=9 {
        let tree = tree(7, leaf_count);
        let root = tree.root();
        assert_eq!(tree.leaf_count(), leaf_count);
        assert_eq!(tree.proof(leaf_count), None);
        for index in 0..leaf_count {
            let good = leaf(7, index);
            let proof = tree.proof(index).unwrap();
            assert_eq!(Some(proof.len() as u32), depth(leaf_count));
            let check = |leaf: &RewardLeaf, proof: &[Hash]| verify(&root, leaf, leaf_count, proof);
            assert_eq!(check(&good, &proof), Ok(()));

            // The proof at every other place, also far outside the tree.
            for other in (0..40).chain([index | 1 << 31, index + (1 << 20), u32::MAX]) {
                if other != index {
                    let moved = RewardLeaf {
                        index: other,
                        ..good
                    };
                    assert!(
                        check(&moved, &proof).is_err(),
                        "{leaf_count} {index} {other}"
                    );
                }
            }
            // Another's proof.
            for other in (0..leaf_count).filter(|other| *other != index) {
                let other = tree.proof(other).unwrap();
                assert_eq!(check(&good, &other), Err(ProofError::WrongRoot));
            }
            // Shorter and longer proofs.
            for length in 0..proof.len() {
                assert_eq!(check(&good, &proof[..length]), Err(ProofError::ProofLength));
            }
            let mut longer = proof.clone();
            longer.push([0; 32]);
            assert_eq!(check(&good, &longer), Err(ProofError::ProofLength));
            // Every bit of every sibling and of the root.
            for bit in 0..proof.len() * 256 {
                let mut wrong = proof.clone();
                wrong[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
                assert_eq!(check(&good, &wrong), Err(ProofError::WrongRoot));
            }
            for bit in 0..256 {
                let mut wrong = root;
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(
                    verify(&wrong, &good, leaf_count, &proof),
                    Err(ProofError::WrongRoot)
                );
            }
            // Every wrong number of leaves that asks for another depth, or leaves this place out.
            for wrong in 0..40 {
                let verdict = verify(&root, &good, wrong, &proof);
                let acceptable = depth(wrong) == depth(leaf_count) && index < wrong;
                assert_eq!(verdict.is_ok(), acceptable, "{leaf_count} {index} {wrong}");
            }
        }
    }
}

#[test]
fn every_field_of_the_leaf_is_bound() {
    let tree = tree(7, 5);
    let proof = tree.proof(2).unwrap();
    let good = leaf(7, 2);
    let mut hashes = HashSet::from([good.hash()]);
    let mut refuse = |wrong: RewardLeaf| {
        assert!(
            verify(&tree.root(), &wrong, 5, &proof).is_err(),
            "{wrong:?}"
        );
        assert!(hashes.insert(wrong.hash()), "{wrong:?}");
    };
    let flip = |address: K2Address, bit: usize| {
        let mut bytes = *address.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        K2Address::from_bytes(bytes)
    };
    for bit in 0..256 {
        refuse(RewardLeaf {
            program: flip(good.program, bit),
            ..good
        });
        refuse(RewardLeaf {
            owner: flip(good.owner, bit),
            ..good
        });
    }
    for bit in 0..64 {
        refuse(RewardLeaf {
            round: good.round ^ 1 << bit,
            ..good
        });
        refuse(RewardLeaf {
            cumulative: good.cumulative ^ 1 << bit,
            ..good
        });
    }
    for bit in 0..32 {
        refuse(RewardLeaf {
            index: good.index ^ 1 << bit,
            ..good
        });
    }
    refuse(RewardLeaf {
        role: Role::Operator,
        ..good
    });
}

/// CVE-2012-2459: a tree that repeats its last node gives [a, b, c] and [a, b, c, c] one root. The index in the leaf
/// alone would prevent it; the tree does not rely on that, so it is shown for bare hashes.
#[test]
fn repeated_last_leaves_change_the_root_cve_2012_2459() {
    let hashes: Vec<Hash> = (0..9).map(|byte| [byte; 32]).collect();
    let mut roots = HashSet::new();
    for leaf_count in 1..=hashes.len() {
        for repeated in 0..=leaf_count {
            let mut list = hashes[..leaf_count].to_vec();
            list.extend_from_within(leaf_count - repeated..);
            let root = RewardTree::over(list).unwrap().root();
            assert!(roots.insert(root), "{leaf_count} + {repeated}");
        }
    }
}

/// A tree without prefixes lets an inner node pass for a leaf (saber's distributor; the 64-byte transaction).
#[test]
fn leaf_node_and_pad_have_separate_domains() {
    let (a, b) = ([1; 32], [2; 32]);
    assert_ne!(node(&a, &b), sha256(&[&a, &b]));
    assert_ne!(node(&a, &b), node(&b, &a));
    let mut pads = HashSet::new();
    for level in 0..20 {
        for index in 0..64 {
            assert!(pads.insert(pad(level, index)));
        }
    }
    // The padding place of a tree of three: its pad is in the proof of leaf 2, and no leaf can be claimed there.
    let proof = tree(7, 3).proof(2).unwrap();
    assert_eq!(proof[0], pad(0, 3));
    assert_eq!(proof[0], sha256(&[&[2], &[0], &3u32.to_le_bytes()]));
}

#[test]
fn roles_are_one_byte() {
    assert_eq!(Role::try_from(0), Ok(Role::Miner));
    assert_eq!(Role::try_from(1), Ok(Role::Operator));
    for byte in 2..=255 {
        assert_eq!(Role::try_from(byte), Err(UnknownRole(byte)));
    }
    assert_eq!(u8::from(Role::Operator), 1);
}

#[test]
fn too_many_leaves_are_refused() {
    let endless = core::iter::repeat(entry(0));
    assert_eq!(
        RewardTree::build(PROGRAM, 7, endless),
        Err(TreeError::TooManyLeaves)
    );
    assert!(TreeError::TooManyLeaves.to_string().contains("1048576"));
}

#[test]
fn the_largest_tree_proves_its_first_and_last_leaf() {
    let tree = tree_of_distinct(MAX_LEAVES);
    for index in [0, MAX_LEAVES / 2, MAX_LEAVES - 1] {
        let proof = tree.proof(index).unwrap();
        assert_eq!(proof.len(), MAX_DEPTH as usize);
        assert_eq!(
            verify(&tree.root(), &distinct(index), MAX_LEAVES, &proof),
            Ok(())
        );
    }
}

fn distinct(index: u32) -> RewardLeaf {
    let mut owner = [0; 32];
    owner[..4].copy_from_slice(&index.to_be_bytes());
    RewardLeaf {
        program: PROGRAM,
        round: 7,
        index,
        role: Role::Miner,
        owner: K2Address::from_bytes(owner),
        cumulative: u64::from(index) + 1,
    }
}

fn tree_of_distinct(leaf_count: u32) -> RewardTree {
    let entries = (0..leaf_count).map(|index| {
        let leaf = distinct(index);
        (leaf.role, leaf.owner, leaf.cumulative)
    });
    RewardTree::build(PROGRAM, 7, entries).unwrap().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_leaf_of_any_tree_is_provable_and_only_there(leaf_count in 1_u32..600, at: prop::sample::Index) {
        let tree = tree_of_distinct(leaf_count);
        for index in 0..leaf_count {
            let proof = tree.proof(index).unwrap();
            prop_assert_eq!(verify(&tree.root(), &distinct(index), leaf_count, &proof), Ok(()));
        }
        let index = at.index(leaf_count as usize) as u32;
        let proof = tree.proof(index).unwrap();
        for other in (0..leaf_count).filter(|other| *other != index) {
            prop_assert_eq!(
                verify(&tree.root(), &distinct(other), leaf_count, &proof),
                Err(ProofError::WrongRoot)
            );
        }
    }

    #[test]
    fn any_input_is_answered(
        root: Hash,
        index: u32,
        leaf_count: u32,
        proof in prop::collection::vec(any::<Hash>(), 0..24),
    ) {
        let wrong = RewardLeaf { index, ..leaf(7, 0) };
        prop_assert!(verify(&root, &wrong, leaf_count, &proof).is_err());
    }

    #[test]
    fn different_lists_have_different_roots(a in prop::collection::vec(0_u64..3, 1..9), b in prop::collection::vec(0_u64..3, 1..9)) {
        let root = |amounts: &[u64]| {
            let entries = amounts.iter().map(|amount| (Role::Miner, PROGRAM, *amount));
            RewardTree::build(PROGRAM, 7, entries).unwrap().unwrap().root()
        };
        prop_assert_eq!(root(&a) == root(&b), a == b);
    }
}
