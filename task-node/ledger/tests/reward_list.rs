//! The reward list: one encoding of one list, and every proof from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use bitcoin::Amount;
use k2_interface::reward_tree::{self, MAX_LEAVES, Role};
use k2_interface::{K2Address, RewardTree};
use ledger::{
    CumulativeError, Distribution, DistributionInput, Fee, MAX_REWARD_CHUNK_BYTES,
    MAX_REWARD_CHUNKS, REWARD_ENTRY_BYTES, REWARDS_PER_CHUNK, RewardList, RewardListError, Share,
    Stake, Window,
};
use pow::Work;
use proptest::prelude::*;
use work::RoundNumber;

const PROGRAM: K2Address = K2Address::from_bytes([0x11; 32]);

fn round(number: u64) -> RoundNumber {
    RoundNumber::new(number).unwrap()
}

fn owner(number: u64) -> K2Address {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    K2Address::from_bytes(bytes)
}

fn entry(role: u8, number: u64, sats: u64) -> [u8; REWARD_ENTRY_BYTES] {
    let mut bytes = [0; REWARD_ENTRY_BYTES];
    bytes[0] = role;
    bytes[1..33].copy_from_slice(owner(number).as_bytes());
    bytes[33..].copy_from_slice(&sats.to_le_bytes());
    bytes
}

fn read(chunks: &[Vec<u8>]) -> Result<RewardList, RewardListError> {
    RewardList::from_chunks(PROGRAM, round(7), chunks)
}

/// Miners `0..count`, each with one sat more than its number.
fn chunks_of(count: u64) -> Vec<Vec<u8>> {
    let entries: Vec<_> = (0..count).map(|n| entry(0, n, n + 1)).collect();
    entries
        .chunks(REWARDS_PER_CHUNK)
        .map(<[_]>::concat)
        .collect()
}

#[test]
fn the_bytes_are_those_of_the_description() {
    let chunk = [entry(0, 5, 0x0102), entry(1, 4, 3)].concat();
    let list = read(std::slice::from_ref(&chunk)).unwrap();
    assert_eq!(&chunk[33..41], &[2, 1, 0, 0, 0, 0, 0, 0], "little-endian");
    assert_eq!(list.total(), Amount::from_sat(0x0105));
    assert_eq!(list.leaf_count(), 2);
    assert_eq!((list.program(), list.round()), (PROGRAM, round(7)));
    let tree = RewardTree::build(
        PROGRAM,
        7,
        [
            (Role::Miner, owner(5), 0x0102),
            (Role::Operator, owner(4), 3),
        ],
    );
    assert_eq!(list.root(), tree.unwrap().unwrap().root());
    assert_eq!(list.chunks().collect::<Vec<_>>(), [chunk]);
    assert_eq!(REWARDS_PER_CHUNK, 6393);
    const { assert!(REWARDS_PER_CHUNK * REWARD_ENTRY_BYTES <= MAX_REWARD_CHUNK_BYTES) };
    assert_eq!(MAX_REWARD_CHUNKS, 165);
}

#[test]
fn the_list_of_a_distribution_holds_its_leaves() {
    let mut window = Window::new(Work::from_hashes(1 << 40)).unwrap();
    let shares = (0..9_u8).map(|n| Share {
        round: round(3),
        height: 1,
        hash: [n; 32],
        // The second miner's part stays below the least leaf.
        work: Work::from_hashes(if n == 1 { 1 } else { 1000 }),
        miner: owner(u64::from(n)),
        node: owner(100),
    });
    window.add_round(round(3), shares).unwrap();
    let input = DistributionInput {
        program: PROGRAM,
        round: round(3),
        window: &window,
        fee: Fee::from_ppm(10_000).unwrap(),
        bounty: 0,
        pot: Amount::from_sat(8_001_000),
        leaf_minimum: Amount::from_sat(2_000),
        previous: None,
    };
    let distribution = Distribution::compute(&input).unwrap();
    let record = distribution.record();
    let list = RewardList::from_distribution(&distribution)
        .unwrap()
        .unwrap();
    assert_eq!(Some(list.root()), record.root);
    assert_eq!(list.leaf_count(), record.leaf_count);
    assert_eq!(list.leaf_count(), 9, "eight miners and the operator");
    assert!(list.total() < record.miners.total(), "one has no leaf");
    assert_eq!(list.leaf(Role::Miner, owner(1)), None);
    for leaf in distribution.leaves() {
        let (found, proof) = list.leaf(leaf.role, leaf.owner).unwrap();
        assert_eq!(found, leaf);
        assert_eq!(
            Some(found),
            distribution.leaf(Stake::new(leaf.role, leaf.owner))
        );
        reward_tree::verify(&list.root(), &found, list.leaf_count(), &proof).unwrap();
    }
    // Nobody earned: there is nothing to be listed.
    let nobody = Distribution::compute(&DistributionInput {
        pot: Amount::ZERO,
        ..input
    });
    let none = RewardList::from_distribution(&nobody.unwrap()).unwrap();
    assert_eq!(none, None);
}

#[test]
fn another_form_of_the_same_list_is_refused() {
    let full = chunks_of(REWARDS_PER_CHUNK as u64 + 2);
    assert_eq!(full.len(), 2);
    assert_eq!(read(&full).unwrap().leaf_count(), 6395);

    let refused = |chunks: &[Vec<u8>]| read(chunks).unwrap_err();
    assert_eq!(refused(&[]), RewardListError::Empty);
    let length = |index, bytes| RewardListError::ChunkLength { index, bytes };
    assert_eq!(refused(&[Vec::new()]), length(0, 0));
    // A chunk too short, too long, cut elsewhere, or one of nothing at the end.
    let one = chunks_of(1).remove(0);
    assert_eq!(refused(&[one[..40].to_vec()]), length(0, 40));
    let [first, last] = &full[..] else { panic!() };
    let joined = [first.clone(), last.clone()].concat();
    assert_eq!(
        refused(std::slice::from_ref(&joined)),
        length(0, joined.len())
    );
    let early = first.len() - REWARD_ENTRY_BYTES;
    let halves = [joined[..early].to_vec(), joined[early..].to_vec()];
    assert_eq!(refused(&halves), length(1, 3 * REWARD_ENTRY_BYTES));
    assert_eq!(refused(&[first.clone(), Vec::new()]), length(1, 0));

    let entries = |entries: &[[u8; REWARD_ENTRY_BYTES]]| refused(&[entries.concat()]);
    let order = |index| RewardListError::Entries(CumulativeError::Order { index });
    assert_eq!(entries(&[entry(0, 1, 1), entry(0, 1, 1)]), order(1));
    assert_eq!(entries(&[entry(0, 2, 1), entry(0, 1, 1)]), order(1));
    assert_eq!(entries(&[entry(1, 1, 1), entry(0, 2, 1)]), order(1));
    assert_eq!(
        entries(&[entry(0, 1, 0)]),
        RewardListError::Entries(CumulativeError::Empty { index: 0 })
    );
    assert_eq!(
        entries(&[entry(0, 1, u64::MAX), entry(0, 2, u64::MAX)]),
        RewardListError::Entries(CumulativeError::Overflow)
    );
    assert!(matches!(
        entries(&[entry(0, 1, 1), entry(2, 2, 1)]),
        RewardListError::Role { index: 1, .. }
    ));
}

#[test]
fn a_full_tree_fits_and_one_leaf_more_does_not() {
    let most = u64::from(MAX_LEAVES);
    let chunks = chunks_of(most);
    assert_eq!(chunks.len(), MAX_REWARD_CHUNKS);
    let list = read(&chunks).unwrap();
    assert_eq!(list.leaf_count(), MAX_LEAVES);
    let (leaf, proof) = list.leaf(Role::Miner, owner(most - 1)).unwrap();
    assert_eq!(proof.len(), 20);
    reward_tree::verify(&list.root(), &leaf, MAX_LEAVES, &proof).unwrap();

    assert!(matches!(
        read(&chunks_of(most + 1)),
        Err(RewardListError::Tree(_))
    ));
    // However many there are, no more than that is looked at.
    let endless = std::iter::repeat(&chunks[0]);
    let one_after_another = RewardList::from_chunks(PROGRAM, round(7), endless);
    assert_eq!(one_after_another, Err(RewardListError::TooManyChunks));
}

/// Role, owner, sats; in the order of the leaves.
fn lists() -> impl Strategy<Value = Vec<u8>> {
    let stakes = prop::collection::btree_map((0_u8..2, 0_u64..500), 1_u64..1_000_000, 1..200);
    stakes.prop_map(|stakes| {
        stakes
            .into_iter()
            .flat_map(|((role, owner), sats)| entry(role, owner, sats))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_list_comes_back_with_every_proof(chunk in lists()) {
        let list = read(std::slice::from_ref(&chunk)).unwrap();
        prop_assert_eq!(list.chunks().collect::<Vec<_>>(), vec![chunk]);
        let mut indices = BTreeSet::new();
        for entry in list.entries() {
            let (leaf, proof) = list.leaf(entry.role, entry.owner).unwrap();
            prop_assert_eq!(leaf.cumulative, entry.sats.to_sat());
            reward_tree::verify(&list.root(), &leaf, list.leaf_count(), &proof).unwrap();
            indices.insert(leaf.index);
        }
        prop_assert_eq!(indices.len(), list.leaf_count() as usize);
    }

    /// The root says which list it is: no other bytes lead to it, and none read as the same list.
    #[test]
    fn other_bytes_are_no_list_or_another_one(
        chunk in lists(), at in any::<prop::sample::Index>(), bit in 0_u8..8, cut in any::<prop::sample::Index>(),
    ) {
        let list = read(std::slice::from_ref(&chunk)).unwrap();
        let mut flipped = chunk.clone();
        flipped[at.index(chunk.len())] ^= 1 << bit;
        let mut longer = chunk.clone();
        longer.extend_from_slice(&chunk[..REWARD_ENTRY_BYTES]);
        for other in [flipped, chunk[..cut.index(chunk.len())].to_vec(), longer] {
            if let Ok(read) = read(&[other]) {
                prop_assert_ne!(read.root(), list.root());
            }
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
        if let Ok(list) = read(&chunks) {
            prop_assert_eq!(list.chunks().collect::<Vec<_>>(), chunks);
        }
    }
}
