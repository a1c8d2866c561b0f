//! The duplicate filter forgets with the previous block and at no other time.
#![allow(clippy::unwrap_used)]

mod common;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use common::*;
use work::{DuplicateFilter, RejectReason, SeenError, SeenShares, VersionMask};

fn hash(number: u8) -> BlockHash {
    BlockHash::from_byte_array([number; 32])
}

#[test]
fn flushed_on_unchanged_prevhash_sri_2297() {
    let mut seen = filter();
    seen.building_on(hash(1));
    seen.insert(hash(9)).unwrap();
    // A new template on the same tip: fees changed, the block did not.
    seen.building_on(hash(1));
    assert_eq!(seen.insert(hash(9)), Err(SeenError::Duplicate));
    assert_eq!(seen.len(), 1);
}

#[test]
fn same_height_reorg_clears_by_previous_hash_para() {
    // para compared heights: a re-org to a sibling of the tip kept its jobs and shares.
    let mut seen = filter();
    seen.building_on(hash(1));
    seen.insert(hash(9)).unwrap();
    seen.building_on(hash(2));
    assert!(seen.is_empty());
    // And back again: what was remembered on the first tip is gone, but so are the jobs its shares belong to.
    seen.building_on(hash(1));
    assert_eq!(seen.insert(hash(9)), Ok(()));
}

#[test]
fn seen_shares_are_bounded_and_fail_closed_sri_2329() {
    let mut seen = DuplicateFilter::new(3);
    seen.building_on(hash(1));
    for number in 10..13 {
        seen.insert(hash(number)).unwrap();
    }
    assert_eq!(seen.insert(hash(13)), Err(SeenError::Full));
    // Nothing was evicted to make room.
    for number in 10..13 {
        assert_eq!(seen.insert(hash(number)), Err(SeenError::Duplicate));
    }
    assert_eq!(seen.len(), 3);
    seen.building_on(hash(2));
    assert_eq!(seen.insert(hash(13)), Ok(()));
}

#[test]
fn a_full_filter_refuses_the_share_but_never_a_block() {
    let job = block_job(pow::ShareDifficulty::MIN);
    let harder = job
        .template()
        .nbits()
        .target()
        .min(pow::ShareDifficulty::MIN.target());
    let harder = pow::NBits::at_most(harder).unwrap();
    let share = find(&job, &fields(0), VersionMask::NONE, harder, true);
    let checked = check(&context(&job), &share, &mut DuplicateFilter::new(0));
    assert_eq!(reason(&checked), Some(RejectReason::TooManyShares));
    assert!(checked.block.is_some());
}
