#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::{
    CompactTarget, Network, TxMerkleNode,
    block::{Header, Version},
    hashes::Hash as _,
};
use proptest::prelude::*;

use super::super::Checkpoint;
use super::*;

/// Long after every header here.
const NOW: u64 = 2_000_000_000;
const NAME: &str = "the relay";

/// So many blocks on top of `headers`, of another branch for every tag.
fn extend(headers: &[Header], blocks: usize, tag: u8) -> Vec<Header> {
    let mut headers = headers.to_vec();
    for _ in 0..blocks {
        let prev = headers.last().unwrap();
        let mut header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: prev.block_hash(),
            merkle_root: TxMerkleNode::from_byte_array([tag; 32]),
            time: prev.time + 600,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        };
        while header.validate_pow(header.target()).is_err() {
            header.nonce += 1;
        }
        headers.push(header);
    }
    headers
}

fn genesis() -> Vec<Header> {
    vec![bitcoin::constants::genesis_block(Network::Regtest).header]
}

fn chain_of(headers: &[Header]) -> HeaderChain {
    let mut chain = HeaderChain::genesis(Network::Regtest);
    for header in headers {
        chain.accept(*header, NOW).unwrap();
    }
    chain
}

/// A record of the blocks from `lowest` on, each of the work that its header has, counted from somewhere else.
fn record(headers: &[Header], lowest: usize) -> Witness {
    let blocks = headers.iter().enumerate().skip(lowest);
    let blocks = blocks.map(|(height, header)| (header.block_hash(), 7 + 2 * height as u128));
    Witness::new(NAME, lowest as u32, blocks).unwrap()
}

#[test]
fn a_record_that_is_on_the_chain_says_nothing_against_it() {
    let headers = extend(&genesis(), 40, 1);
    let chain = chain_of(&headers);
    for (from, to) in [(0, 41), (10, 41), (10, 20), (40, 41)] {
        let testimony = record(&headers[..to], from).testify(&chain);
        assert_eq!(testimony.weighed, Weighed::Contained, "{from} to {to}");
        assert_eq!(testimony.tip, to as u32 - 1);
        assert!(!testimony.is_against_peers());
    }
}

#[test]
fn blocks_that_peers_withhold_stand_against_them() {
    let headers = extend(&genesis(), 40, 1);
    let chain = chain_of(&headers[..31]);
    let testimony = record(&headers, 5).testify(&chain);
    let heavier = Weighed::Heavier { common: Some(30) };
    assert_eq!(testimony.weighed, heavier);
    assert!(!testimony.may_be_news());
    assert!(
        testimony.to_string().contains("peers only at 30"),
        "{testimony}"
    );
    // A block or two may be on their way.
    for (tip, news) in [(31, true), (32, true), (33, false)] {
        let testimony = record(&headers[..=tip], 5).testify(&chain);
        assert_eq!(testimony.weighed, heavier);
        assert_eq!(testimony.may_be_news(), news, "{tip}");
    }
    // They withhold more than the record reaches back.
    let testimony = record(&headers, 35).testify(&chain);
    assert_eq!(testimony.weighed, Weighed::Heavier { common: None });
    assert!(!testimony.may_be_news());
}

#[test]
fn of_two_branches_the_one_with_more_work_is_right() {
    let shared = extend(&genesis(), 20, 1);
    let private = extend(&shared, 10, 2);
    let chain = chain_of(&private);
    let common = Some(20);
    for (blocks, weighed) in [
        (9, Weighed::Lighter { common }),
        (10, Weighed::Lighter { common }),
        (11, Weighed::Heavier { common }),
    ] {
        let public = extend(&shared, blocks, 3);
        let testimony = record(&public, 3).testify(&chain);
        assert_eq!(testimony.weighed, weighed, "{blocks}");
        assert!(!testimony.may_be_news());
    }
}

#[test]
fn a_private_chain_from_the_checkpoint_on_is_outweighed_where_the_record_begins_later() {
    let shared = extend(&genesis(), 20, 1);
    let public = extend(&shared, 60, 3);
    // The attacker's branch is a day old, the record reaches back to block 50 only.
    for (blocks, heavier) in [(10, true), (30, true), (59, true), (60, false), (70, false)] {
        let private = extend(&shared, blocks, 2);
        let checkpoint = Checkpoint {
            height: 10,
            hash: shared[10].block_hash(),
        };
        let mut chain =
            HeaderChain::from_checkpoint(Network::Regtest, checkpoint, &private[..=10]).unwrap();
        for header in &private[11..] {
            chain.accept(*header, NOW).unwrap();
        }
        let testimony = record(&public, 50).testify(&chain);
        assert_eq!(testimony.is_against_peers(), heavier, "{blocks}");
        assert!(!testimony.may_be_news());
    }
}

#[test]
fn a_record_that_ends_below_the_checkpoint_says_nothing() {
    let headers = extend(&genesis(), 40, 1);
    let checkpoint = Checkpoint {
        height: 2016,
        hash: headers[40].block_hash(),
    };
    // The base of that checkpoint is ten blocks below an epoch's first; a stretch of a chain will do for it.
    let chain = HeaderChain::from_checkpoint(Network::Regtest, checkpoint, &headers[30..]).unwrap();
    let testimony = record(&headers, 0).testify(&chain);
    assert_eq!(testimony.weighed, Weighed::Below);
    assert!(!testimony.is_against_peers());
}

#[test]
fn what_is_no_record_is_refused() {
    let hash = |byte| BlockHash::from_byte_array([byte; 32]);
    for blocks in [
        vec![],
        vec![(hash(1), 5), (hash(2), 5)],
        vec![(hash(1), 5), (hash(2), 4)],
    ] {
        assert!(Witness::new(NAME, 7, blocks).is_err());
    }
    let two = [(hash(1), 0), (hash(2), u128::MAX)];
    assert!(Witness::new(NAME, u32::MAX, two).is_err());
    assert!(Witness::new(NAME, u32::MAX - 1, two).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the branches: with equal work a block the longer one is right, and nobody else is outweighed.
    #[test]
    fn nobody_is_outweighed_by_less_or_equal_work(
        shared in 0_usize..12, ours in 0_usize..12, theirs in 0_usize..12, lowest in 0_usize..24,
    ) {
        let shared = extend(&genesis(), shared, 1);
        let (own, other) = (extend(&shared, ours, 2), extend(&shared, theirs, 3));
        let lowest = lowest.min(other.len() - 1);
        let testimony = record(&other, lowest).testify(&chain_of(&own));
        let split = lowest >= shared.len();
        match testimony.weighed {
            Weighed::Contained => prop_assert_eq!(theirs, 0),
            Weighed::Heavier { common } => {
                prop_assert!(theirs > ours);
                prop_assert_eq!(common.is_none(), split);
            }
            Weighed::Lighter { common } => {
                prop_assert_eq!(common.is_none(), split);
                // A record of a single foreign block shows no work above it.
                prop_assert!(theirs <= ours || (split && lowest == other.len() - 1));
            }
            Weighed::Below => prop_assert!(false, "the chain begins with its first block"),
        }
    }

    /// What an endpoint that lies may say: never a panic, and never more than the work it claims.
    #[test]
    fn any_record_can_be_held_against_any_chain(
        lowest in any::<u32>(), works in proptest::collection::vec(any::<u128>(), 0..6), blocks in 0_usize..6,
    ) {
        let chain = chain_of(&extend(&genesis(), blocks, 1));
        let made_up = works.iter().enumerate().map(|(i, work)| (BlockHash::from_byte_array([i as u8; 32]), *work));
        if let Ok(witness) = Witness::new(NAME, lowest, made_up) {
            let testimony = witness.testify(&chain);
            prop_assert!(!testimony.to_string().is_empty());
        }
    }
}
