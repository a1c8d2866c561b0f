//! Blocks in memory: for a CAR file that is audited and forgotten.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use async_trait::async_trait;
use cid::Cid;
use futures::{StreamExt as _, stream::BoxStream};

use super::{BlockStore, StoreError};
use crate::block::Block;

/// A store that lives as long as the process. It has no limit of its own: put in it what a limit was put on before.
#[derive(Debug, Default)]
pub struct MemoryStore {
    blocks: RwLock<HashMap<Cid, Block>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

// A poisoned lock is taken all the same: no method leaves the map half changed.
#[async_trait]
impl BlockStore for MemoryStore {
    async fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        Ok(blocks.get(cid).cloned())
    }

    async fn put(&self, block: &Block) -> Result<(), StoreError> {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        blocks.insert(*block.cid(), block.clone());
        Ok(())
    }

    async fn remove(&self, cid: &Cid) -> Result<bool, StoreError> {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        Ok(blocks.remove(cid).is_some())
    }

    fn list(&self) -> BoxStream<'_, Result<Cid, StoreError>> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let cids: Vec<_> = blocks.keys().copied().map(Ok).collect();
        futures::stream::iter(cids).boxed()
    }
}
