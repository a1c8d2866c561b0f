//! What the best chain says of the blocks that rounds found.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::BlockHash;
use chain::BitcoinNode;
use rounds::ChainTip;
use work::UnixTime;

use super::unavailable;
use crate::refusal::Refusal;

/// The best chain as it was at one moment.
pub(super) struct BestChain<'a> {
    node: &'a dyn BitcoinNode,
    tip: ChainTip,
    hash: BlockHash,
}

impl<'a> BestChain<'a> {
    /// The chain of this moment; `now` is the wall clock.
    pub(super) async fn now(
        node: &'a dyn BitcoinNode,
        now: UnixTime,
    ) -> Result<BestChain<'a>, Refusal> {
        let info = node.chain_info().await.map_err(unavailable)?;
        let header = node.header(info.tip).await.map_err(unavailable)?;
        let header = header.ok_or_else(moved)?;
        Ok(Self {
            node,
            tip: ChainTip {
                height: info.height,
                time: UnixTime(u64::from(header.time())),
                now,
            },
            hash: info.tip,
        })
    }

    /// Its tip.
    pub(super) fn tip(&self) -> &ChainTip {
        &self.tip
    }

    /// The hashes at these heights; those above the tip are left out.
    ///
    /// By height and not by the found blocks' hashes: a bundle that no auditor opened may call millions of its shares
    /// blocks, but has only so many jobs.
    pub(super) async fn hashes_at(
        &self,
        mut heights: BTreeSet<u32>,
    ) -> Result<BTreeMap<u32, BlockHash>, Refusal> {
        heights.retain(|height| *height <= self.tip.height);
        let mut hashes = BTreeMap::new();
        for height in heights {
            let hash = self.node.hash_at(height).await.map_err(unavailable)?;
            hashes.insert(height, hash.ok_or_else(moved)?);
        }
        Ok(hashes)
    }

    /// Checks that its tip is on the best chain still: what was looked up since [`Self::now`] then is of one chain, also
    /// where several Bitcoin nodes answered.
    pub(super) async fn check_unmoved(&self) -> Result<(), Refusal> {
        let there = self.node.hash_at(self.tip.height).await;
        if there.map_err(unavailable)? == Some(self.hash) {
            Ok(())
        } else {
            Err(moved())
        }
    }
}

fn moved() -> Refusal {
    Refusal::Unavailable(
        "the Bitcoin chain moved while blocks were looked up: ask again".to_owned(),
    )
}
