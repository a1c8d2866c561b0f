//! What was found in blocks that have been read: a block is megabytes, what concerns the pool in it a few bytes, and
//! whoever looks again every minute must not read a day's blocks each time. Only memory: a restart reads them again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::{Block, BlockHash};
use chain::BitcoinNode;

use crate::prove::ProveError;

/// Blocks remembered; more than a month of them.
const MAX_BLOCKS: usize = 5_000;

/// Findings by height, each good for one block: where the chain moves, the new block is read.
#[derive(Debug)]
pub(crate) struct Findings<T> {
    by_height: Mutex<BTreeMap<u32, (BlockHash, Arc<T>)>>,
}

impl<T> Default for Findings<T> {
    fn default() -> Self {
        Self {
            by_height: Mutex::default(),
        }
    }
}

impl<T> Findings<T> {
    /// What `find` found in the block of the node's best chain at this height. `None`: there is none.
    pub(crate) async fn at(
        &self,
        node: &dyn BitcoinNode,
        height: u32,
        find: impl FnOnce(&Block) -> T,
    ) -> Result<Option<(BlockHash, Arc<T>)>, ProveError> {
        let Some(hash) = node.hash_at(height).await? else {
            return Ok(None);
        };
        if let Some(known) = self.known(height, hash) {
            return Ok(Some((hash, known)));
        }
        let block = node.block(hash).await?;
        let block = block.ok_or(ProveError::NoBlock(hash))?;
        let found = Arc::new(find(&block));
        let mut by_height = self.lock();
        by_height.insert(height, (hash, Arc::clone(&found)));
        if by_height.len() > MAX_BLOCKS {
            by_height.pop_first();
        }
        Ok(Some((hash, found)))
    }

    /// Forgets everything: it was found by other rules.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn known(&self, height: u32, hash: BlockHash) -> Option<Arc<T>> {
        let by_height = self.lock();
        let (of, found) = by_height.get(&height)?;
        (*of == hash).then(|| Arc::clone(found))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, (BlockHash, Arc<T>)>> {
        self.by_height
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
