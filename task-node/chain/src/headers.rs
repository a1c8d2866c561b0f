//! What an auditor asks about the past: where the tip was at a time, and what is known about the blocks jobs built on.

use std::collections::HashMap;

use bitcoin::{BlockHash, CompactTarget, Network, Target, block::Header, consensus::Params};

use crate::{
    error::NodeError,
    node::{BitcoinNode, HeaderInfo, Standing},
};

/// Blocks between two retargets; the same on every chain.
pub(crate) const EPOCH: u32 = 2016;

/// A re-org during a question with several look-ups makes it start over this often.
const ATTEMPTS: usize = 3;

/// How many headers a node may know above its tip while it counts as level: blocks take a moment to arrive.
const LEVEL: u32 = 2;

/// What is known about the block a job builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderFacts {
    /// Its height on its own branch.
    pub height: u32,
    /// Its header time, Unix seconds.
    pub time: u32,
    /// Its median time past (BIP113): a child's time must be above it.
    pub median_time_past: u32,
    /// On the active chain, or a known stale block.
    pub standing: Standing,
    /// The compact target a child must carry.
    pub child_bits: RequiredBits,
}

/// The compact targets consensus allows for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredBits {
    /// What a block at its due time must carry.
    pub regular: CompactTarget,
    /// What it must carry when it comes more than 20 minutes after its parent; testnet3 and testnet4 only.
    pub late: Option<CompactTarget>,
}

impl RequiredBits {
    /// One of the allowed values.
    pub fn allows(&self, bits: CompactTarget) -> bool {
        bits == self.regular || self.late == Some(bits)
    }
}

/// The highest block of the active chain whose header time is at most `time` (Unix seconds), or `None` if that is
/// before the genesis block.
///
/// Header times jump back and forth, median times only rise, and every block's time is above the median of its
/// parent: above the first block whose median lies after `time`, all times do. So the search halves over the medians
/// and then walks down the few blocks below.
pub async fn tip_height_at(node: &dyn BitcoinNode, time: u32) -> Result<Option<u32>, NodeError> {
    for _ in 0..ATTEMPTS {
        match search(node, time).await? {
            Some(found) => return Ok(found),
            None => continue,
        }
    }
    Err(NodeError::ChainMoved {
        node: node.name().into(),
    })
}

/// `None`: the chain moved.
async fn search(node: &dyn BitcoinNode, time: u32) -> Result<Option<Option<u32>>, NodeError> {
    let info = node.chain_info().await?;
    let tip = info.height;
    if info.is_downloading() || info.headers > tip.saturating_add(LEVEL) {
        return Err(NodeError::CatchingUp {
            node: node.name().into(),
            height: tip,
            headers: info.headers,
        });
    }
    // The first height in low..high whose median time past is above `time`; `high` (above the tip) if there is none.
    let lowest = node.lowest_height();
    let (mut low, mut high) = (lowest, tip.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(header) = active_header(node, middle).await? else {
            return Ok(None);
        };
        if header.median_time_past > time {
            high = middle
        } else {
            low = middle + 1
        }
    }
    let mut height = low.min(tip);
    // At least six of the eleven blocks below `low` are not after its parent's median.
    for _ in 0..=11 {
        let Some(header) = active_header(node, height).await? else {
            return Ok(None);
        };
        if header.time() <= time {
            return Ok(Some(Some(height)));
        }
        if height <= lowest {
            return match lowest {
                0 => Ok(Some(None)),
                lowest => Err(NodeError::BelowCheckpoint {
                    node: node.name().into(),
                    lowest,
                }),
            };
        }
        height -= 1;
    }
    // Only a node whose median times are not those of its header times gets here; a chain that moved does too.
    Ok(None)
}

/// `None` when the height is no longer, or the header no longer on, the active chain.
async fn active_header(
    node: &dyn BitcoinNode,
    height: u32,
) -> Result<Option<HeaderInfo>, NodeError> {
    let Some(hash) = node.hash_at(height).await? else {
        return Ok(None);
    };
    Ok(node
        .header(hash)
        .await?
        .filter(|h| h.is_active() && h.height == height))
}

/// The facts about each known block; a block the node has never seen is missing from the map.
pub async fn header_facts(
    node: &dyn BitcoinNode,
    blocks: &[BlockHash],
) -> Result<HashMap<BlockHash, HeaderFacts>, NodeError> {
    let mut facts = HashMap::with_capacity(blocks.len());
    for &hash in blocks {
        if facts.contains_key(&hash) {
            continue;
        }
        if let Some(info) = node.header(hash).await? {
            let child_bits = child_bits(node, &info).await?;
            let fact = HeaderFacts {
                height: info.height,
                time: info.time(),
                median_time_past: info.median_time_past,
                standing: info.standing,
                child_bits,
            };
            facts.insert(hash, fact);
        }
    }
    Ok(facts)
}

/// The compact targets allowed for a child of `parent` (Bitcoin Core `GetNextWorkRequired`, `src/pow.cpp`).
pub async fn child_bits(
    node: &dyn BitcoinNode,
    parent: &HeaderInfo,
) -> Result<RequiredBits, NodeError> {
    let network = node.network();
    let params = Params::new(network);
    let unknown = |hash| NodeError::UnknownBlock {
        node: node.name().into(),
        hash,
    };
    let limit = params.max_attainable_target.to_compact_lossy();
    if params.no_pow_retargeting {
        return Ok(RequiredBits {
            regular: parent.nbits(),
            late: None,
        });
    }
    if (parent.height + 1).is_multiple_of(EPOCH) {
        let first = ancestor(node, parent, parent.height.saturating_sub(EPOCH - 1)).await?;
        let first = first.ok_or_else(|| unknown(parent.hash))?;
        let regular = retarget(&first.header, &parent.header, network).ok_or_else(|| {
            NodeError::BadAnswer {
                node: node.name().into(),
                method: "getblockheader",
                reason: format!(
                    "block {} has a target above the limit of the chain",
                    parent.hash
                ),
            }
        })?;
        return Ok(RequiredBits {
            regular,
            late: None,
        });
    }
    if !params.allow_min_difficulty_blocks {
        return Ok(RequiredBits {
            regular: parent.nbits(),
            late: None,
        });
    }
    // Testnets: the last target that was not a 20-minute exception, at the latest that of the epoch's first block.
    let mut block = parent.clone();
    while !block.height.is_multiple_of(EPOCH) && block.nbits() == limit {
        let hash = block.header.prev_blockhash;
        let below = node.header(hash).await?.ok_or_else(|| unknown(hash))?;
        // A node that counts heights wrongly must not keep us walking.
        if below.height.checked_add(1) != Some(block.height) {
            return Err(unknown(hash));
        }
        block = below;
    }
    Ok(RequiredBits {
        regular: block.nbits(),
        late: Some(limit),
    })
}

/// The ancestor of `block` at `height`: down its own branch until that joins the active chain, then by height.
async fn ancestor(
    node: &dyn BitcoinNode,
    block: &HeaderInfo,
    height: u32,
) -> Result<Option<HeaderInfo>, NodeError> {
    let mut block = block.clone();
    while block.height > height {
        if block.is_active() {
            return active_header(node, height).await;
        }
        match node.header(block.header.prev_blockhash).await? {
            Some(below) if below.height.checked_add(1) == Some(block.height) => block = below,
            _ => return Ok(None),
        }
    }
    Ok((block.height == height).then_some(block))
}

/// The target of the epoch after the one from `first` to `last`. `None` if a target is above the chain's limit, which
/// no valid header carries.
pub(crate) fn retarget(first: &Header, last: &Header, network: Network) -> Option<CompactTarget> {
    let params = Params::new(network);
    // BIP94 (testnet4) starts from the epoch's first block, whose target cannot be a 20-minute exception.
    let base = if network == Network::Testnet4 {
        first.bits
    } else {
        last.bits
    };
    if Target::from_compact(base) > params.max_attainable_target {
        return None;
    }
    // Consensus computes this signed and clamps it to a quarter of the nominal time, which a negative span is below.
    let span = u64::from(last.time.saturating_sub(first.time));
    Some(CompactTarget::from_next_work_required(base, span, &params))
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
