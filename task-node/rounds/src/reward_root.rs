//! The reward list as content: a root block that links the chunks of [`RewardList`].
//!
//! ```text
//! root := DAG-CBOR {format, program, round, total, leaf_count, root, chunks: [links]}
//! ```
//!
//! `total` (sats), `leaf_count` and `root` are what K2 is asked to pay from. They say nothing the chunks do not say, and
//! are checked against them, so a list has one root block and one CID, and its DAG can be read by any IPFS tool.

use bitcoin::Amount;
use bytes::Bytes;
use cid::Cid;
use content::block::check_cid;
use content::{Block, Codec, Fetcher, dag_cbor};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ledger::{
    MAX_LEAVES, MAX_REWARD_CHUNK_BYTES, MAX_REWARD_CHUNKS, REWARD_ENTRY_BYTES, REWARDS_PER_CHUNK,
    RewardList, RewardListError,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use work::{K2Address, RoundNumber};

/// The format this version writes and reads.
pub const REWARDS_FORMAT: &str = "orcapool/rewards/1";
/// The longest root block. That of a full tree has some 7 KB.
pub const MAX_REWARD_ROOT_BYTES: usize = 16 * 1024;
const _: () =
    assert!(MAX_REWARD_CHUNKS * (content::block::CID_BYTES + 8) + 512 <= MAX_REWARD_ROOT_BYTES);
/// Chunks asked for at the same time.
const PARALLEL_CHUNKS: usize = 8;

/// Why blocks are no reward list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewardRootError {
    /// The root block is too long.
    #[error("the root has {0} bytes, more than the {MAX_REWARD_ROOT_BYTES} of the longest list")]
    RootTooLong(usize),
    /// The root block does not decode, or not canonically.
    #[error("the root is not the canonical encoding of a reward list's root: {0}")]
    Root(String),
    /// A format this build does not know.
    #[error("format {0:?} is not one this version reads; update it")]
    Format(String),
    /// No leaves, or more than a tree has.
    #[error("a reward list has 1 to {MAX_LEAVES} leaves, not {0}")]
    LeafCount(u32),
    /// More sats than there can be.
    #[error("a list of {0} sats is more than 21,000,000 BTC")]
    Total(u64),
    /// Another number of chunks than the leaves take.
    #[error("{leaf_count} leaves take {expected} chunks, not {found}")]
    ChunkCount {
        /// The leaves.
        leaf_count: u32,
        /// What they take.
        expected: usize,
        /// What is linked.
        found: usize,
    },
    /// A link that is not CIDv1, SHA-256, raw.
    #[error("chunk {index} ({cid}) is not of the kind a chunk must be")]
    Link {
        /// Position in the list.
        index: usize,
        /// The link.
        cid: Cid,
    },
    /// A chunk that was not given.
    #[error("chunk {index} ({cid}) is missing")]
    Missing {
        /// Position in the list.
        index: usize,
        /// Its name.
        cid: Cid,
    },
    /// The chunks are no list.
    #[error(transparent)]
    List(#[from] RewardListError),
    /// A field of the root says something else than the chunks.
    #[error("the root's `{0}` is not that of the chunks")]
    Contradiction(&'static str),
}

/// Why a list cannot be had by its CID.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchRewardsError {
    /// A block of it cannot be had.
    #[error(transparent)]
    Fetch(#[from] content::FetchError),
    /// What the CID names is no reward list.
    #[error(transparent)]
    Invalid(#[from] RewardRootError),
    /// A chunk is longer than any of a list.
    #[error("block {0} is longer than a chunk of a reward list")]
    ChunkTooLong(Cid),
    /// Work was cut off because the process is ending.
    #[error("reading the list was cut off; ask again")]
    CutOff,
}

/// The root block of a reward list, checked in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardRoot {
    /// The K2 program that pays.
    pub program: K2Address,
    /// The round after which it holds.
    pub round: RoundNumber,
    /// What the leaves add up to.
    pub total: Amount,
    /// How many there are.
    pub leaf_count: u32,
    /// The reward tree's root.
    pub root: [u8; 32],
    /// The chunks.
    pub chunks: Vec<Cid>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    program: K2Address,
    round: RoundNumber,
    total: u64,
    leaf_count: u32,
    root: ByteArray<32>,
    chunks: Vec<Cid>,
}

impl RewardRoot {
    /// The root block.
    ///
    /// # Errors
    /// [`RewardRootError::Root`]; no root that was read or made here is known to cause it.
    pub fn encode(&self) -> Result<Block, RewardRootError> {
        let wire = Wire {
            format: REWARDS_FORMAT.to_owned(),
            program: self.program,
            round: self.round,
            total: self.total.to_sat(),
            leaf_count: self.leaf_count,
            root: ByteArray::new(self.root),
            chunks: self.chunks.clone(),
        };
        dag_cbor::encode(&wire).map_err(|error| RewardRootError::Root(error.to_string()))
    }

    /// Reads a root block and checks everything that can be checked without the chunks.
    ///
    /// # Errors
    /// [`RewardRootError`] names the first field that cannot be right.
    pub fn decode(bytes: &[u8]) -> Result<Self, RewardRootError> {
        if bytes.len() > MAX_REWARD_ROOT_BYTES {
            return Err(RewardRootError::RootTooLong(bytes.len()));
        }
        let wire: Wire = dag_cbor::decode_slice(bytes)
            .map_err(|error| RewardRootError::Root(error.to_string()))?;
        if wire.format != REWARDS_FORMAT {
            // A name from outside ends up in logs: no more of it than a name needs.
            return Err(RewardRootError::Format(
                wire.format.chars().take(64).collect(),
            ));
        }
        if !(1..=MAX_LEAVES).contains(&wire.leaf_count) {
            return Err(RewardRootError::LeafCount(wire.leaf_count));
        }
        let total = Amount::from_sat(wire.total);
        if total > Amount::MAX_MONEY {
            return Err(RewardRootError::Total(wire.total));
        }
        let expected = (wire.leaf_count as usize).div_ceil(REWARDS_PER_CHUNK);
        if wire.chunks.len() != expected {
            return Err(RewardRootError::ChunkCount {
                leaf_count: wire.leaf_count,
                expected,
                found: wire.chunks.len(),
            });
        }
        for (index, cid) in wire.chunks.iter().enumerate() {
            if check_cid(cid) != Ok(Codec::Raw) {
                return Err(RewardRootError::Link { index, cid: *cid });
            }
        }
        Ok(Self {
            program: wire.program,
            round: wire.round,
            total,
            leaf_count: wire.leaf_count,
            root: wire.root.into_array(),
            chunks: wire.chunks,
        })
    }

    /// Reads the list from its chunks, which `get` gives by name (checked against it).
    ///
    /// # Errors
    /// [`RewardRootError`] if a chunk is missing or the chunks are not the list the root speaks of.
    pub fn read(
        &self,
        mut get: impl FnMut(&Cid) -> Option<Bytes>,
    ) -> Result<RewardList, RewardRootError> {
        let chunks = self.chunks.iter().enumerate();
        let chunks: Vec<Bytes> = chunks
            .map(|(index, cid)| get(cid).ok_or(RewardRootError::Missing { index, cid: *cid }))
            .collect::<Result<_, _>>()?;
        // Before a tree is built over it.
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        if bytes != self.leaf_count as usize * REWARD_ENTRY_BYTES {
            return Err(RewardRootError::Contradiction("leaf_count"));
        }
        let list = RewardList::from_chunks(self.program, self.round, &chunks)?;
        for (agrees, field) in [
            (list.leaf_count() == self.leaf_count, "leaf_count"),
            (list.total() == self.total, "total"),
            (list.root() == self.root, "root"),
        ] {
            if !agrees {
                return Err(RewardRootError::Contradiction(field));
            }
        }
        Ok(list)
    }
}

/// A reward list as blocks.
#[derive(Debug, Clone)]
pub struct EncodedRewardList {
    /// Its name: the root block's.
    pub cid: Cid,
    /// What the root block says.
    pub root: RewardRoot,
    /// Chunks, then the root block: whoever has the root has everything.
    pub blocks: Vec<Block>,
}

impl EncodedRewardList {
    /// The blocks of a list.
    ///
    /// # Errors
    /// [`RewardRootError::Root`]; no list is known to cause it.
    pub fn new(list: &RewardList) -> Result<Self, RewardRootError> {
        let mut blocks: Vec<Block> = list
            .chunks()
            .map(|chunk| Block::new(Codec::Raw, chunk))
            .collect::<Result<_, _>>()
            .map_err(|error| RewardRootError::Root(error.to_string()))?;
        let root = RewardRoot {
            program: list.program(),
            round: list.round(),
            total: list.total(),
            leaf_count: list.leaf_count(),
            root: list.root(),
            chunks: blocks.iter().map(|block| *block.cid()).collect(),
        };
        let block = root.encode()?;
        let cid = *block.cid();
        blocks.push(block);
        Ok(Self { cid, root, blocks })
    }
}

/// Gets a list by its CID from the fetcher's store and sources, and checks all of it.
///
/// # Errors
/// [`FetchRewardsError`]: no source has it, or it is no reward list.
pub async fn fetch_reward_list(
    fetcher: &Fetcher,
    cid: &Cid,
) -> Result<RewardList, FetchRewardsError> {
    let root = RewardRoot::decode(fetcher.fetch_block(cid).await?.bytes())?;
    let chunks: std::collections::HashMap<Cid, Bytes> = stream::iter(root.chunks.clone())
        .map(|cid| async move {
            let bytes = fetcher.fetch_block(&cid).await?.into_bytes();
            // Many of these would fill the memory before the first is looked at.
            if bytes.len() > MAX_REWARD_CHUNK_BYTES {
                return Err(FetchRewardsError::ChunkTooLong(cid));
            }
            Ok((cid, bytes))
        })
        .buffer_unordered(PARALLEL_CHUNKS)
        .try_collect()
        .await?;
    // A full tree is two million hashes.
    let reading = tokio::task::spawn_blocking(move || root.read(|cid| chunks.get(cid).cloned()));
    Ok(reading.await.map_err(|_| FetchRewardsError::CutOff)??)
}
