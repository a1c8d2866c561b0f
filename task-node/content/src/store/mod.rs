//! Where blocks are kept.

mod dir;
mod memory;

use std::path::PathBuf;

use async_trait::async_trait;
use cid::Cid;
use futures::stream::BoxStream;

pub use dir::DirStore;
pub use memory::MemoryStore;

use crate::block::Block;

/// A store of blocks by CID.
///
/// What [`get`](Self::get) returns hashes to its CID; a store re-hashes what it reads from anything that can rot.
/// Once [`put`](Self::put) has returned, the block survives a crash of this process (and of the machine, if the store
/// is on disk).
#[async_trait]
pub trait BlockStore: Send + Sync + std::fmt::Debug {
    /// The block, or `None` where the store has none that hashes to `cid`.
    ///
    /// # Errors
    /// [`StoreError`] where the store could not be asked.
    async fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError>;

    /// Keeps a block. Putting it again is no error, and mends a damaged copy.
    ///
    /// # Errors
    /// [`StoreError`] where it could not be kept.
    async fn put(&self, block: &Block) -> Result<(), StoreError>;

    /// Whether [`get`](Self::get) would return the block. As careful as `get`: a damaged copy is no copy.
    ///
    /// # Errors
    /// As `get`.
    async fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self.get(cid).await?.is_some())
    }

    /// Forgets a block; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] where it could not be removed.
    async fn remove(&self, cid: &Cid) -> Result<bool, StoreError>;

    /// The names of all blocks, in no order. A damaged copy is listed too: compare with [`get`](Self::get) to find it.
    fn list(&self) -> BoxStream<'_, Result<Cid, StoreError>>;
}

/// Why a store could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system refused.
    #[error("block store: cannot {action} {path}: {source} (is the disk full or read-only?)")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The work was cut off because the runtime is shutting down, or it panicked.
    #[error("block store: work was cut off: {0}")]
    CutOff(String),
}
