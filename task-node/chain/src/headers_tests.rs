#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bitcoin::{Block, TxMerkleNode, Work, block::Version, hashes::Hash as _};
use proptest::prelude::*;

use super::*;
use crate::node::{ChainInfo, LongPollId, NodeTemplate, SubmitOutcome, ZmqNotification};

/// A chain of headers in memory with consensus-like median times; everything but headers is out of its reach.
#[derive(Debug)]
struct HeaderChain {
    network: Network,
    active: Vec<HeaderInfo>,
    stale: Vec<HeaderInfo>,
    look_ups: AtomicUsize,
    /// Headers known above the tip, their blocks not there yet.
    ahead: u32,
    downloading: bool,
}

fn info(height: u32, prev: BlockHash, time: u32, bits: u32, median: u32) -> HeaderInfo {
    let header = Header {
        version: Version::ONE,
        prev_blockhash: prev,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits: CompactTarget::from_consensus(bits),
        nonce: height,
    };
    HeaderInfo {
        hash: header.block_hash(),
        header,
        height,
        standing: Standing::Active { confirmations: 1 },
        median_time_past: median,
        chain_work: Work::from_be_bytes([0; 32]),
    }
}

impl HeaderChain {
    fn new(network: Network, blocks: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut active: Vec<HeaderInfo> = Vec::new();
        for (height, (time, bits)) in blocks.into_iter().enumerate() {
            let mut last: Vec<u32> = active.iter().rev().take(10).map(HeaderInfo::time).collect();
            last.push(time);
            last.sort_unstable();
            let prev = active.last().map_or(BlockHash::all_zeros(), |b| b.hash);
            active.push(info(height as u32, prev, time, bits, last[last.len() / 2]));
        }
        Self {
            network,
            active,
            stale: Vec::new(),
            look_ups: AtomicUsize::new(0),
            ahead: 0,
            downloading: false,
        }
    }

    fn tip(&self) -> &HeaderInfo {
        self.active.last().unwrap()
    }
}

#[async_trait]
impl BitcoinNode for HeaderChain {
    fn name(&self) -> &str {
        "headers"
    }
    fn network(&self) -> Network {
        self.network
    }
    async fn header(&self, hash: BlockHash) -> Result<Option<HeaderInfo>, NodeError> {
        self.look_ups.fetch_add(1, Ordering::Relaxed);
        Ok(self
            .active
            .iter()
            .chain(&self.stale)
            .find(|h| h.hash == hash)
            .cloned())
    }
    async fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, NodeError> {
        Ok(self.active.get(height as usize).map(|h| h.hash))
    }
    async fn chain_info(&self) -> Result<ChainInfo, NodeError> {
        Ok(ChainInfo {
            network: self.network,
            height: self.tip().height,
            headers: self.tip().height + self.ahead,
            tip: self.tip().hash,
            chain_work: self.tip().chain_work,
            initial_block_download: self.downloading,
            verification_ppm: 1_000_000,
            difficulty: "1".into(),
        })
    }
    async fn block_template(&self) -> Result<NodeTemplate, NodeError> {
        panic!("headers only")
    }
    async fn wait_for_template(&self, _: &LongPollId) -> Result<Option<NodeTemplate>, NodeError> {
        panic!("headers only")
    }
    async fn submit_block(&self, _: &Block) -> Result<SubmitOutcome, NodeError> {
        panic!("headers only")
    }
    async fn best_block_hash(&self) -> Result<BlockHash, NodeError> {
        Ok(self.tip().hash)
    }
    async fn block(&self, _: BlockHash) -> Result<Option<Block>, NodeError> {
        panic!("headers only")
    }
    async fn zmq_notifications(&self) -> Result<Vec<ZmqNotification>, NodeError> {
        panic!("headers only")
    }
}

fn header(time: u32, bits: u32) -> Header {
    info(0, BlockHash::all_zeros(), time, bits, time).header
}

fn next(first_time: u32, last_time: u32, bits: u32) -> u32 {
    retarget(
        &header(first_time, bits),
        &header(last_time, bits),
        Network::Bitcoin,
    )
    .unwrap()
    .to_consensus()
}

/// An auditor whose node comes back after some hours knows no block of the round; that is no reason to call honest
/// bundles false.
#[tokio::test]
async fn a_node_that_is_catching_up_does_not_speak_of_the_past() {
    let blocks = (0..20).map(|n| (1_700_000_000 + 600 * n, 0x207f_ffff));
    let at = 1_700_000_000 + 600 * 10;
    for (network, ahead, downloading, answers) in [
        (Network::Bitcoin, 0, false, true),
        (Network::Bitcoin, 2, false, true),
        (Network::Bitcoin, 3, false, false),
        (Network::Bitcoin, 0, true, false),
        // Test chains stand still for days, and bitcoind then says that it is downloading.
        (Network::Regtest, 0, true, true),
    ] {
        let chain = HeaderChain {
            ahead,
            downloading,
            ..HeaderChain::new(network, blocks.clone())
        };
        match tip_height_at(&chain, at).await {
            Ok(height) => assert!(answers && height == Some(10), "{ahead} {downloading}"),
            Err(error) => assert!(!answers && matches!(error, NodeError::CatchingUp { .. })),
        }
    }
}

/// The four mainnet cases of Bitcoin Core's `src/test/pow_tests.cpp`.
#[test]
fn mainnet_retargets_as_bitcoin_core_does() {
    assert_eq!(next(1_261_130_161, 1_262_152_739, 0x1d00_ffff), 0x1d00_d86a);
    assert_eq!(next(1_231_006_505, 1_233_061_996, 0x1d00_ffff), 0x1d00_ffff);
    assert_eq!(next(1_279_008_237, 1_279_297_671, 0x1c05_a3f4), 0x1c01_68fd);
    assert_eq!(next(1_263_163_443, 1_269_211_443, 0x1c38_7f6f), 0x1d00_e1fd);
}

#[test]
fn time_running_backwards_is_the_shortest_span() {
    assert_eq!(next(2_000_000_000, 1_900_000_000, 0x1c05_a3f4), 0x1c01_68fd);
}

#[test]
fn testnet4_retargets_from_the_epochs_first_block_bip94() {
    let first = header(0, 0x1c05_a3f4);
    let last = header(EPOCH * 600, 0x1d00_ffff);
    assert_eq!(
        retarget(&first, &last, Network::Testnet4)
            .unwrap()
            .to_consensus(),
        0x1c05_a3f4
    );
    assert_eq!(
        retarget(&first, &last, Network::Testnet)
            .unwrap()
            .to_consensus(),
        0x1d00_ffff
    );
}

#[test]
fn a_target_above_the_limit_cannot_overflow() {
    for bits in [0x207f_ffff, 0x2100_ffff, 0xff7f_ffff, 0xffff_ffff] {
        let header = header(0, bits);
        // 0xffffffff is negative in the compact form, and so zero; it may not panic either.
        let _ = retarget(&header, &header, Network::Bitcoin);
    }
    assert!(
        retarget(
            &header(0, 0x207f_ffff),
            &header(0, 0x207f_ffff),
            Network::Bitcoin
        )
        .is_none()
    );
}

#[tokio::test]
async fn inside_an_epoch_a_child_carries_its_parents_bits() {
    let chain = HeaderChain::new(Network::Bitcoin, (0..50).map(|i| (i * 600, 0x1d00_ffff)));
    let facts = header_facts(&chain, &[chain.tip().hash, BlockHash::all_zeros()])
        .await
        .unwrap();
    assert_eq!(facts.len(), 1, "an unknown block has no facts");
    let fact = &facts[&chain.tip().hash];
    assert_eq!((fact.height, fact.time), (49, 49 * 600));
    assert_eq!(
        fact.child_bits,
        RequiredBits {
            regular: CompactTarget::from_consensus(0x1d00_ffff),
            late: None
        }
    );
}

#[tokio::test]
async fn at_the_boundary_the_branchs_own_epoch_counts() {
    // 2015 * 300 s instead of 1,209,600 s: the target shrinks to 0.49975 of the limit.
    let mut chain = HeaderChain::new(Network::Bitcoin, (0..EPOCH).map(|i| (i * 300, 0x1d00_ffff)));
    let on_chain = child_bits(&chain, chain.tip()).await.unwrap();
    assert_eq!(on_chain.regular.to_consensus(), 0x1c7f_ef3f);
    // A stale sibling of the last block, whose time makes another target due.
    let parent = &chain.active[EPOCH as usize - 2];
    let mut sibling = info(
        EPOCH - 1,
        parent.hash,
        EPOCH * 600,
        0x1d00_ffff,
        parent.median_time_past,
    );
    sibling.standing = Standing::Stale;
    chain.stale.push(sibling.clone());
    let facts = header_facts(&chain, &[sibling.hash]).await.unwrap();
    assert_eq!(facts[&sibling.hash].standing, Standing::Stale);
    assert_eq!(
        facts[&sibling.hash].child_bits.regular.to_consensus(),
        0x1d00_ffff
    );
}

#[tokio::test]
async fn testnet_allows_the_real_and_the_late_target() {
    let bits = |i: u32| if i < 10 { 0x1c05_a3f4 } else { 0x1d00_ffff };
    let chain = HeaderChain::new(Network::Testnet, (0..20).map(|i| (i * 1300, bits(i))));
    let required = child_bits(&chain, chain.tip()).await.unwrap();
    assert!(required.allows(CompactTarget::from_consensus(0x1c05_a3f4)));
    assert!(required.allows(CompactTarget::from_consensus(0x1d00_ffff)));
    assert!(!required.allows(CompactTarget::from_consensus(0x1c05_a3f5)));
}

#[tokio::test]
async fn regtest_never_retargets() {
    let chain = HeaderChain::new(Network::Regtest, (0..EPOCH).map(|i| (i, 0x207f_ffff)));
    let required = child_bits(&chain, chain.tip()).await.unwrap();
    assert_eq!(
        required,
        RequiredBits {
            regular: CompactTarget::from_consensus(0x207f_ffff),
            late: None
        }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Times jump as far as consensus lets them: just above the parent's median, or two hours ahead.
    #[test]
    fn the_tip_at_a_time_is_what_a_full_scan_finds(
        jumps in prop::collection::vec(0_u32..7200, 1..120),
        asked in 0_u32..90_000,
    ) {
        let mut times: Vec<u32> = Vec::new();
        for jump in jumps {
            let mut last: Vec<u32> = times.iter().rev().take(11).copied().collect();
            last.sort_unstable();
            let median = last.get(last.len() / 2).copied().unwrap_or(1000);
            times.push(median + 1 + jump);
        }
        let expected = times.iter().rposition(|&t| t <= asked).map(|h| h as u32);
        let chain = HeaderChain::new(Network::Bitcoin, times.iter().map(|&t| (t, 0x1d00_ffff)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(tip_height_at(&chain, asked)).unwrap();
        prop_assert_eq!(found, expected);
        prop_assert!(chain.look_ups.load(Ordering::Relaxed) <= 7 + 13, "log2 of the height and a short walk");
    }
}
