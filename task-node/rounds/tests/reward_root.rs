//! The reward list as content: one CID for one list, from which everybody reads the same.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use content::{Block, BlockStore as _, Codec, FetchOptions, Fetcher, MemoryStore};
use ledger::{REWARD_ENTRY_BYTES, REWARDS_PER_CHUNK, RewardList};
use proptest::prelude::*;
use rounds::{
    EncodedRewardList, FetchRewardsError, RewardRoot, RewardRootError, fetch_reward_list,
};
use work::{K2Address, RoundNumber};

const PROGRAM: K2Address = K2Address::from_bytes([0x11; 32]);

fn entry(number: u64, sats: u64) -> [u8; REWARD_ENTRY_BYTES] {
    let mut bytes = [0; REWARD_ENTRY_BYTES];
    bytes[1..9].copy_from_slice(&number.to_be_bytes());
    bytes[33..].copy_from_slice(&sats.to_le_bytes());
    bytes
}

/// Miners `0..count` with 1000 sats and their number each.
fn list(count: u64) -> RewardList {
    let entries: Vec<_> = (0..count).map(|n| entry(n, 1000 + n)).collect();
    let chunks = entries.chunks(REWARDS_PER_CHUNK).map(<[_]>::concat);
    RewardList::from_chunks(PROGRAM, RoundNumber::new(7).unwrap(), chunks).unwrap()
}

fn chunks_of(encoded: &EncodedRewardList) -> HashMap<Cid, Bytes> {
    let blocks = encoded.blocks.iter();
    blocks.map(|b| (*b.cid(), b.bytes().clone())).collect()
}

#[test]
fn a_list_has_one_name() {
    let list = list(3);
    let encoded = EncodedRewardList::new(&list).unwrap();
    // From the description alone, by a few lines of Python (hashlib): another implementation comes to the same.
    assert_eq!(
        encoded.cid.to_string(),
        "bafyreifa45rhib5dvu7bgiqgmirvn7xzozktuqzeycsidy64t6kbddsqmi",
    );
    assert_eq!(encoded.blocks.len(), 2);
    let root = encoded.blocks.last().unwrap();
    assert_eq!(root.cid(), &encoded.cid);
    assert_eq!(root.codec(), Codec::DagCbor);
    assert_eq!(RewardRoot::decode(root.bytes()).unwrap(), encoded.root);
    assert_eq!(content::dag_cbor::links(root).unwrap(), encoded.root.chunks);
    assert_eq!(encoded.root.total.to_sat(), 3003);
}

#[test]
fn a_list_of_several_chunks_comes_back() {
    let list = list(2 * REWARDS_PER_CHUNK as u64 + 1);
    let encoded = EncodedRewardList::new(&list).unwrap();
    assert_eq!(encoded.blocks.len(), 4);
    let blocks = chunks_of(&encoded);
    let read = encoded.root.read(|cid| blocks.get(cid).cloned()).unwrap();
    assert_eq!(read, list);
    let missing = encoded.root.chunks[1];
    let without = encoded
        .root
        .read(|cid| blocks.get(cid).filter(|_| *cid != missing).cloned());
    assert_eq!(
        without,
        Err(RewardRootError::Missing {
            index: 1,
            cid: missing
        })
    );
}

#[test]
fn a_root_that_contradicts_its_chunks_is_refused() {
    let encoded = EncodedRewardList::new(&list(5)).unwrap();
    let blocks = chunks_of(&encoded);
    let read = |change: fn(&mut RewardRoot)| {
        let mut root = encoded.root.clone();
        change(&mut root);
        let root = RewardRoot::decode(root.encode().unwrap().bytes())?;
        root.read(|cid| blocks.get(cid).cloned())
    };
    assert!(read(|_| {}).is_ok());
    let contradiction = |field| Err(RewardRootError::Contradiction(field));
    let one = bitcoin::Amount::ONE_SAT;
    for (change, expected) in [
        (
            (|root| root.leaf_count += 1) as fn(&mut RewardRoot),
            contradiction("leaf_count"),
        ),
        (
            |root| root.total += bitcoin::Amount::ONE_SAT,
            contradiction("total"),
        ),
        (|root| root.root[31] ^= 1, contradiction("root")),
        (|root| root.round = root.round.next(), contradiction("root")),
        (
            |root| root.program = K2Address::from_bytes([0x12; 32]),
            contradiction("root"),
        ),
        (
            |root| root.leaf_count = 0,
            Err(RewardRootError::LeafCount(0)),
        ),
        (
            |root| root.leaf_count = (1 << 20) + 1,
            Err(RewardRootError::LeafCount((1 << 20) + 1)),
        ),
        (
            |root| root.chunks.push(root.chunks[0]),
            Err(RewardRootError::ChunkCount {
                leaf_count: 5,
                expected: 1,
                found: 2,
            }),
        ),
    ] {
        assert_eq!(read(change), expected);
    }
    let above = bitcoin::Amount::MAX_MONEY + one;
    let mut root = encoded.root.clone();
    root.total = above;
    let refused = RewardRoot::decode(root.encode().unwrap().bytes());
    assert_eq!(refused, Err(RewardRootError::Total(above.to_sat())));

    let foreign = *content::dag_cbor::encode(&5).unwrap().cid();
    root.total = encoded.root.total;
    root.chunks = vec![foreign];
    let refused = RewardRoot::decode(root.encode().unwrap().bytes());
    assert!(matches!(
        refused,
        Err(RewardRootError::Link { index: 0, .. })
    ));
}

#[tokio::test]
async fn anybody_reads_a_list_by_its_name_from_what_a_node_serves() {
    let list = list(REWARDS_PER_CHUNK as u64 + 1);
    let encoded = EncodedRewardList::new(&list).unwrap();
    let store = Arc::new(MemoryStore::default());
    for block in &encoded.blocks {
        store.put(block).await.unwrap();
    }
    let fetcher = Fetcher::new(Vec::new(), store.clone(), FetchOptions::default()).unwrap();
    assert_eq!(
        fetch_reward_list(&fetcher, &encoded.cid).await.unwrap(),
        list
    );

    // A chunk of another list's length is refused before it is parsed.
    let long = Block::new(Codec::Raw, vec![0; 300_000]).unwrap();
    let mut root = encoded.root.clone();
    root.chunks[1] = *long.cid();
    let root = root.encode().unwrap();
    for block in [&long, &root] {
        store.put(block).await.unwrap();
    }
    let refused = fetch_reward_list(&fetcher, root.cid()).await;
    assert!(
        matches!(refused, Err(FetchRewardsError::ChunkTooLong(cid)) if cid == *long.cid()),
        "{refused:?}"
    );
    // A chunk is no list, and what nobody has is not there.
    let chunk = fetch_reward_list(&fetcher, &encoded.root.chunks[0]).await;
    assert!(
        matches!(chunk, Err(FetchRewardsError::Invalid(_))),
        "{chunk:?}"
    );
    store.remove(&encoded.root.chunks[0]).await.unwrap();
    let gone = fetch_reward_list(&fetcher, &encoded.cid).await;
    assert!(matches!(gone, Err(FetchRewardsError::Fetch(_))), "{gone:?}");
}

proptest! {
    /// Chunks by their names, whatever is in them: no changed byte anywhere leads to a list.
    #[test]
    fn any_changed_byte_is_refused(count in 1_u64..60, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let encoded = EncodedRewardList::new(&list(count)).unwrap();
        let bytes: Vec<u8> = encoded.blocks.iter().flat_map(|b| b.bytes().to_vec()).collect();
        let (chunk, root) = bytes.split_at(encoded.blocks[0].bytes().len());
        let (mut chunk, mut root) = (chunk.to_vec(), root.to_vec());
        let at = at.index(bytes.len());
        match at.checked_sub(chunk.len()) {
            None => chunk[at] ^= 1 << bit,
            Some(at) => root[at] ^= 1 << bit,
        }
        let changed = RewardRoot::decode(&root).and_then(|root| {
            root.read(|cid| (*cid == encoded.root.chunks[0]).then(|| Bytes::from(chunk.clone())))
        });
        prop_assert!(changed.is_err(), "{changed:?}");
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(RewardRoot::decode(&bytes).is_err());
    }
}
