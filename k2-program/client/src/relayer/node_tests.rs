//! The relayer's questions to a node, and checkpoints, with a node that is a list of headers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use async_trait::async_trait;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash, CompactTarget, Network, TxMerkleNode, Work};
use chain::{
    BitcoinNode, ChainInfo, HeaderInfo, LongPollId, NodeError, NodeTemplate, Standing,
    SubmitOutcome, ZmqNotification,
};
use k2_interface::state::{Kind, RING, Relay, RelayEntry};
use zerocopy::FromZeros as _;

use super::{Checkpoint, CheckpointError, RelayError, Relayer, Step};
use crate::keypair::Keypair;
use crate::testing::Shelf;

/// Regtest: two hashes a block.
const BITS: u32 = 0x207f_ffff;
const WORK: u128 = 2;

#[derive(Debug, Clone)]
struct Node {
    network: Network,
    headers: Vec<Header>,
}

impl Node {
    /// A chain of so many blocks, the genesis block included.
    fn new(length: usize) -> Self {
        let mut node = Self {
            network: Network::Regtest,
            headers: vec![],
        };
        node.mine(length, 0);
        node
    }

    fn mine(&mut self, blocks: usize, tag: u32) {
        for _ in 0..blocks {
            let parent = self.headers.last().map(Header::block_hash);
            self.headers.push(Header {
                version: Version::TWO,
                prev_blockhash: parent.unwrap_or(BlockHash::all_zeros()),
                merkle_root: TxMerkleNode::all_zeros(),
                time: self.headers.len() as u32 * 600,
                bits: CompactTarget::from_consensus(BITS),
                nonce: tag,
            });
        }
    }

    /// The same chain up to a height, and other blocks above it.
    fn forked(&self, height: usize, blocks: usize) -> Self {
        let mut node = self.clone();
        node.headers.truncate(height + 1);
        node.mine(blocks, 7);
        node
    }

    fn tip(&self) -> u32 {
        self.headers.len() as u32 - 1
    }
}

fn work(height: u32) -> u128 {
    (u128::from(height) + 1) * WORK
}

#[async_trait]
impl BitcoinNode for Node {
    fn name(&self) -> &str {
        "list"
    }

    fn network(&self) -> Network {
        self.network
    }

    async fn block_template(&self) -> Result<NodeTemplate, NodeError> {
        Err(NodeError::ChainMoved {
            node: "list".into(),
        })
    }

    async fn wait_for_template(&self, _: &LongPollId) -> Result<Option<NodeTemplate>, NodeError> {
        Ok(None)
    }

    async fn submit_block(&self, _: &Block) -> Result<SubmitOutcome, NodeError> {
        Ok(SubmitOutcome::Inconclusive)
    }

    async fn best_block_hash(&self) -> Result<BlockHash, NodeError> {
        Ok(self.headers.last().unwrap().block_hash())
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<HeaderInfo>, NodeError> {
        let height = self.headers.iter().position(|h| h.block_hash() == hash);
        Ok(height.map(|height| {
            let height = height as u32;
            let mut chain_work = [0; 32];
            chain_work[16..].copy_from_slice(&work(height).to_be_bytes());
            HeaderInfo {
                header: self.headers[height as usize],
                hash,
                height,
                standing: Standing::Active {
                    confirmations: self.tip() - height + 1,
                },
                median_time_past: 0,
                chain_work: Work::from_be_bytes(chain_work),
            }
        }))
    }

    async fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, NodeError> {
        Ok(self.headers.get(height as usize).map(Header::block_hash))
    }

    async fn block(&self, _: BlockHash) -> Result<Option<Block>, NodeError> {
        Ok(None)
    }

    async fn chain_info(&self) -> Result<ChainInfo, NodeError> {
        Ok(ChainInfo {
            network: self.network,
            height: self.tip(),
            headers: self.tip(),
            tip: self.headers.last().unwrap().block_hash(),
            chain_work: Work::from_be_bytes([0; 32]),
            initial_block_download: false,
            verification_ppm: 0,
            difficulty: String::new(),
        })
    }

    async fn zmq_notifications(&self) -> Result<Vec<ZmqNotification>, NodeError> {
        Ok(vec![])
    }
}

/// A relay that has followed this node from its genesis block.
fn relay(node: &Node) -> Relay {
    let mut relay = Relay::new_zeroed();
    relay.network = k2_interface::bitcoin::Network::Regtest.into();
    relay.tip_height = node.tip().into();
    relay.oldest_height = (node.tip() + 1).saturating_sub(RING as u32).into();
    for (height, header) in (0..).zip(&node.headers) {
        relay.ring[height as usize % RING] = RelayEntry {
            hash: header.block_hash().to_byte_array(),
            chain_work: work(height).into(),
            time: header.time.into(),
        };
    }
    relay
}

async fn plan(followed: &Node, node: &Node) -> Result<Vec<Step>, RelayError> {
    let shelf = Arc::new(Shelf::default());
    shelf.put(Shelf::program().relay(), Kind::Relay, relay(followed));
    let payer = Arc::new(Keypair::from_seed([1; 32]));
    Relayer::new(shelf.client(), Arc::new(node.clone()), payer)
        .plan()
        .await
}

fn sizes(steps: &[Step]) -> Vec<usize> {
    steps.iter().map(|step| step.headers().len()).collect()
}

#[tokio::test]
async fn a_relay_catches_up_with_its_node() {
    let followed = Node::new(300);
    assert_eq!(plan(&followed, &followed).await.unwrap(), []);
    let mut node = followed.clone();
    node.mine(13, 1);
    let steps = plan(&followed, &node).await.unwrap();
    assert_eq!(sizes(&steps), [10, 3]);
    assert_eq!(steps[0].headers(), &node.headers[300..310]);
    assert_eq!(steps[0].to_string(), "headers 300 to 309");
    // Far behind: a window at a time.
    node.mine(1000, 1);
    let steps = plan(&followed, &node).await.unwrap();
    assert_eq!(sizes(&steps).iter().sum::<usize>(), 200);
}

#[tokio::test]
async fn a_node_that_is_behind_is_no_reason_to_go_back() {
    let followed = Node::new(300);
    let mut node = followed.clone();
    node.headers.truncate(290);
    assert_eq!(plan(&followed, &node).await.unwrap(), []);
}

#[tokio::test]
async fn the_common_block_is_found_below_a_reorganisation() {
    let followed = Node::new(300);
    // Blocks 297 to 299 are replaced by four.
    let node = followed.forked(296, 4);
    let steps = plan(&followed, &node).await.unwrap();
    assert_eq!(steps.len(), 1);
    assert!(matches!(
        steps[0],
        Step::Submit {
            parent_height: 296,
            ..
        }
    ));
    // Twelve by thirteen need a fork account.
    let node = followed.forked(287, 13);
    let steps = plan(&followed, &node).await.unwrap();
    assert_eq!(sizes(&steps), [10, 3]);
    assert!(matches!(
        steps[1],
        Step::Fork {
            base_height: 287,
            ..
        }
    ));
    // 24 are followed, 25 are told, more cannot even be compared.
    let deepest = plan(&followed, &followed.forked(275, 25)).await;
    assert_eq!(sizes(&deepest.unwrap()).iter().sum::<usize>(), 25);
    let error = plan(&followed, &followed.forked(274, 26))
        .await
        .unwrap_err();
    assert!(matches!(error, RelayError::Blocked(_)), "{error}");
    let error = plan(&followed, &followed.forked(200, 110))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RelayError::NothingInCommon { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_of_another_network_is_refused() {
    let followed = Node::new(20);
    let mut node = followed.clone();
    node.network = Network::Bitcoin;
    let error = plan(&followed, &node).await.unwrap_err();
    assert!(matches!(error, RelayError::Network { .. }), "{error}");
}

#[tokio::test]
async fn a_checkpoint_is_eleven_headers_and_its_epoch() {
    let node = Node::new(2100);
    let checkpoint = Checkpoint::read(&node, 2050).await.unwrap();
    assert_eq!(checkpoint.headers, node.headers[2040..=2050]);
    assert_eq!(checkpoint.args.height, 2050);
    assert_eq!(checkpoint.args.epoch_start_time, 2016 * 600);
    assert_eq!(checkpoint.args.epoch_bits, BITS);
    assert_eq!(checkpoint.args.chain_work, work(2050));
    // From the genesis block on there may be fewer.
    let first = Checkpoint::read(&node, 4).await.unwrap();
    assert_eq!(first.headers, node.headers[0..=4]);
    assert_eq!(Checkpoint::read(&node, 0).await.unwrap().headers.len(), 1);
    let error = Checkpoint::read(&node, 2100).await.unwrap_err();
    assert!(matches!(error, CheckpointError::NoBlock(2100)), "{error}");
}
