//! A reward list from outside: one form, a sum that is right, and a proof for everybody in it.
#![no_main]

use bytes::Bytes;
use k2_interface::{K2Address, reward_tree};
use ledger::RewardList;
use libfuzzer_sys::fuzz_target;
use rounds::{EncodedRewardList, RewardRoot};
use work::RoundNumber;

const PROGRAM: K2Address = K2Address::from_bytes([0x11; 32]);

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = RewardRoot::decode(bytes) {
        assert_eq!(&root.encode().unwrap().bytes()[..], bytes);
        assert!((1..=ledger::MAX_REWARD_CHUNKS).contains(&root.chunks.len()));
        // Its own bytes are none of its chunks.
        assert!(root.read(|_| Some(Bytes::copy_from_slice(bytes))).is_err());
    }
    let Ok(list) = RewardList::from_chunks(PROGRAM, RoundNumber::ZERO, [bytes]) else {
        return;
    };
    assert_eq!(list.chunks().collect::<Vec<_>>(), [bytes]);
    let mut sum = 0;
    for entry in list.entries() {
        let (leaf, proof) = list.leaf(entry.role, entry.owner).unwrap();
        assert_eq!(leaf.cumulative, entry.sats.to_sat());
        reward_tree::verify(&list.root(), &leaf, list.leaf_count(), &proof).unwrap();
        sum += leaf.cumulative;
    }
    assert_eq!(sum, list.total().to_sat());
    let encoded = EncodedRewardList::new(&list).unwrap();
    let read = encoded.root.read(|_| Some(Bytes::copy_from_slice(bytes)));
    assert_eq!(read.unwrap(), list);
});
