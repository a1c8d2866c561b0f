//! [`BitcoinNode`]: everything the pool asks of a Bitcoin node, and the checked types of the answers.
//!
//! One trait object stands for one `bitcoind` ([`crate::RpcNode`]) or for several of them
//! ([`crate::FailoverNode`]). Whatever implements it has parsed and checked the answer: a header hashes to the hash
//! that was asked for, a block matches its Merkle root, a template passed [`work::BlockTemplate::new`].

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bitcoin::{Amount, Block, BlockHash, CompactTarget, Network, Work, block::Header};
use work::BlockTemplate;

use crate::error::NodeError;

/// A source of templates and headers and a sink for blocks.
///
/// All methods are cancel safe: dropping the future abandons the question and nothing else. (Bitcoin Core keeps an
/// abandoned *long poll* occupied until its tip or memory pool changes; see [`BitcoinNode::wait_for_template`].)
#[async_trait]
pub trait BitcoinNode: fmt::Debug + Send + Sync {
    /// The name used in messages: the node's own for one node, a joined one for several.
    fn name(&self) -> &str;

    /// The chain all answers are checked against.
    fn network(&self) -> Network;

    /// A template for the block after the node's tip (`getblocktemplate`, BIP22/23/145).
    async fn block_template(&self) -> Result<NodeTemplate, NodeError>;

    /// As [`Self::block_template`], but the node answers only when the template behind `id` is out of date (BIP22
    /// long poll). `None`: nothing changed for so long that the wait was given up; ask again.
    ///
    /// Keep at most one wait per node: each occupies one of the node's RPC threads until it ends.
    async fn wait_for_template(&self, id: &LongPollId) -> Result<Option<NodeTemplate>, NodeError>;

    /// Hands a block to the network (`submitblock`). Submitting the same block twice is harmless.
    async fn submit_block(&self, block: &Block) -> Result<SubmitOutcome, NodeError>;

    /// The tip's hash: the cheapest way to ask "did anything change?".
    async fn best_block_hash(&self) -> Result<BlockHash, NodeError>;

    /// A header by its hash, also when the block is stale. `None`: the node has never seen it.
    async fn header(&self, hash: BlockHash) -> Result<Option<HeaderInfo>, NodeError>;

    /// The hash at a height of the active chain. `None`: above the tip.
    async fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, NodeError>;

    /// A whole block by its hash. `None`: never seen, or pruned.
    async fn block(&self, hash: BlockHash) -> Result<Option<Block>, NodeError>;

    /// The lowest height of which it can tell anything: above 0 where headers are kept from a checkpoint on.
    fn lowest_height(&self) -> u32 {
        0
    }

    /// Where the node stands (`getblockchaininfo`). The chain has been checked against [`Self::network`].
    async fn chain_info(&self) -> Result<ChainInfo, NodeError>;

    /// The node's active ZMQ publishers; empty where it has none or was built without ZMQ.
    async fn zmq_notifications(&self) -> Result<Vec<ZmqNotification>, NodeError>;
}

/// A validated template together with where it came from.
#[derive(Debug, Clone)]
pub struct NodeTemplate {
    /// The template. Its transactions, sizes and commitments have been checked.
    pub template: Arc<BlockTemplate>,
    /// To be handed to [`BitcoinNode::wait_for_template`]; absent where the node offers no long poll.
    pub long_poll: Option<LongPollId>,
    /// The node that gave it.
    pub node: Arc<str>,
    /// What it says its transactions pay and cost, in their order, for nodes that cannot compute it; `None` where it does not
    /// say so of all of them.
    pub costs: Option<Arc<[TransactionCost]>>,
}

/// What a transaction brings and takes, by the word of a node that has the coins it spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionCost {
    /// Its fee.
    pub fee: Amount,
    /// Its signature operations cost (BIP141).
    pub sigops: u64,
}

/// A long-poll identifier (BIP22 `longpollid`), opaque, with the node it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongPollId {
    /// The node that issued it: another node cannot know what it means.
    pub(crate) node: Arc<str>,
    pub(crate) id: String,
}

impl LongPollId {
    /// The longest identifier accepted, in bytes. Bitcoin Core's is 64 hex digits and a decimal counter.
    pub const MAX_LEN: usize = 256;
}

/// What became of a submitted block (BIP22 `submitblock` results).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitOutcome {
    /// Valid, and the node's new tip.
    Accepted,
    /// The node has it already and holds it valid.
    Duplicate,
    /// Stored, but not the tip: a sibling was first, or its parent is not connected yet.
    Inconclusive,
    /// Refused, with the node's reason (`bad-txnmrklroot`, `high-hash`, ...).
    Rejected(String),
}

impl SubmitOutcome {
    /// The block is in the node's hands and may become, or is, part of the chain.
    pub fn is_in_good_hands(&self) -> bool {
        !matches!(self, Self::Rejected(_))
    }

    /// How good the news is; higher is better. Several nodes' answers are merged by it.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Accepted => 3,
            Self::Duplicate => 2,
            Self::Inconclusive => 1,
            Self::Rejected(_) => 0,
        }
    }
}

/// Whether a known block is part of the chain the node follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// On the active chain.
    Active {
        /// 1 for the tip.
        confirmations: u32,
    },
    /// Known, but not on the active chain: it lost against a sibling, or only its header is known.
    Stale,
}

/// A header the node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderInfo {
    /// The header itself; its hash was recomputed.
    pub header: Header,
    /// Its hash.
    pub hash: BlockHash,
    /// Its height on its own branch.
    pub height: u32,
    /// On the active chain or not.
    pub standing: Standing,
    /// Median of its own and the ten previous times (BIP113), Unix seconds.
    pub median_time_past: u32,
    /// Expected hashes behind it and all its ancestors.
    pub chain_work: Work,
}

impl HeaderInfo {
    /// The compact target it was mined at.
    pub fn nbits(&self) -> CompactTarget {
        self.header.bits
    }

    /// The time its miner wrote, Unix seconds.
    pub fn time(&self) -> u32 {
        self.header.time
    }

    /// On the active chain.
    pub fn is_active(&self) -> bool {
        matches!(self.standing, Standing::Active { .. })
    }
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainInfo {
    /// Its chain, equal to the configured one.
    pub network: Network,
    /// The tip's height.
    pub height: u32,
    /// The highest header known; above `height` while blocks are still to be fetched.
    pub headers: u32,
    /// The tip's hash.
    pub tip: BlockHash,
    /// Expected hashes behind the tip.
    pub chain_work: Work,
    /// Bitcoin Core's own word for "not usable for mining yet".
    pub initial_block_download: bool,
    /// Share of the chain that has been verified, in parts per million. For people to look at.
    pub verification_ppm: u32,
    /// The tip's difficulty as the node prints it. For people to look at: nothing is computed from it.
    pub difficulty: String,
}

impl ChainInfo {
    /// Whether this is the chain's past rather than its present: initial block download, which bitcoind's word is taken
    /// for except on test chains (`CChainParams::IsTestChain`), whose tips are often old.
    pub(crate) fn is_downloading(&self) -> bool {
        self.initial_block_download && self.network == Network::Bitcoin
    }
}

/// One of the node's active ZMQ publishers (`getzmqnotifications`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZmqNotification {
    /// `pubhashblock`, `pubrawtx`, ...
    pub kind: String,
    /// Where it is bound, e.g. `tcp://127.0.0.1:28332`.
    pub address: String,
}
