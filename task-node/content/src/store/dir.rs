//! Blocks as files: `<directory>/v1/<first byte of the hash, hex>/<cid>`.
//!
//! A block is written to `v1/tmp`, synced, renamed into place, and the directory synced: a kill or a power cut leaves
//! the whole block or none of it under its name. Every read hashes again, so a flipped bit on the disk is reported
//! and looks like a missing block, which the fetcher then mends. Several processes may use one directory at a time
//! (a running node and `orcapool audit`).

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use cid::Cid;
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};

use super::{BlockStore, StoreError};
use crate::block::{Block, MAX_BLOCK_BYTES, check_cid, parse_cid};

/// Version of the layout; a later one gets a directory of its own beside it.
const LAYOUT: &str = "v1";

/// A block store in a directory. Clones share it.
#[derive(Debug, Clone)]
pub struct DirStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: PathBuf,
    tmp: PathBuf,
    damaged_reads: AtomicU64,
    /// Held shared while the store is open: nobody else may sweep `tmp` meanwhile.
    _lock: File,
}

impl DirStore {
    /// Opens the store, creating it where there is none. Blocking: a few hundred file operations the first time.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the directory cannot be created or used.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let base = directory.as_ref().join(LAYOUT);
        let tmp = base.join("tmp");
        fs::create_dir_all(&tmp).map_err(io_error("create", &tmp))?;
        // All shards at once: a put then never creates a directory whose own entry would need a sync.
        for first in 0..=u8::MAX {
            let shard = base.join(shard_name(first));
            match fs::create_dir(&shard) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("create", &shard)(error));
                }
                _ => {}
            }
        }
        sync_directory(&base)?;
        sync_directory(directory.as_ref())?;
        let lock = sweep_and_lock(&base, &tmp)?;
        Ok(Self(Arc::new(Inner {
            base,
            tmp,
            damaged_reads: AtomicU64::new(0),
            _lock: lock,
        })))
    }

    /// Reads since the store was opened that met a damaged file.
    #[must_use]
    pub fn damaged_reads(&self) -> u64 {
        self.0.damaged_reads.load(Ordering::Relaxed)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| StoreError::CutOff(error.to_string()))?
    }
}

#[async_trait]
impl BlockStore for DirStore {
    async fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let cid = *cid;
        self.blocking(move |inner| inner.read(&cid)).await
    }

    async fn put(&self, block: &Block) -> Result<(), StoreError> {
        let block = block.clone();
        self.blocking(move |inner| inner.write(&block)).await
    }

    async fn remove(&self, cid: &Cid) -> Result<bool, StoreError> {
        let cid = *cid;
        self.blocking(move |inner| inner.unlink(&cid)).await
    }

    fn list(&self) -> BoxStream<'_, Result<Cid, StoreError>> {
        stream::iter(0..=u8::MAX)
            .then(move |first| self.blocking(move |inner| inner.list_shard(first)))
            .map_ok(|cids| stream::iter(cids).map(Ok))
            .try_flatten()
            .boxed()
    }
}

impl Inner {
    /// `None` for a CID no block here can have.
    fn path(&self, cid: &Cid) -> Option<PathBuf> {
        check_cid(cid).ok()?;
        let first = *cid.hash().digest().first()?;
        Some(self.base.join(shard_name(first)).join(cid.to_string()))
    }

    fn read(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let Some(path) = self.path(cid) else {
            return Ok(None);
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_BLOCK_BYTES + 1).unwrap_or(u64::MAX);
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(io_error("read", &path))?;
        match Block::verify(cid, bytes) {
            Ok(block) => Ok(Some(block)),
            Err(error) => {
                // Not removed here: a put may be replacing it this very moment.
                self.damaged_reads.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    path = %path.display(),
                    %error,
                    "damaged block on disk, treated as missing; check the disk"
                );
                Ok(None)
            }
        }
    }

    fn write(&self, block: &Block) -> Result<(), StoreError> {
        let Some(path) = self.path(block.cid()) else {
            return Err(StoreError::Io {
                action: "name",
                path: self.base.clone(),
                source: io::ErrorKind::InvalidInput.into(),
            });
        };
        if self.read(block.cid())?.is_some() {
            return Ok(());
        }
        let mut file = tempfile::Builder::new()
            .prefix("put-")
            .tempfile_in(&self.tmp)
            .map_err(io_error("create a file in", &self.tmp))?;
        file.write_all(block.bytes())
            .map_err(io_error("write", file.path()))?;
        file.as_file()
            .sync_all()
            .map_err(io_error("sync", file.path()))?;
        file.persist(&path)
            .map_err(|error| io_error("rename to", &path)(error.error))?;
        path.parent().map_or(Ok(()), sync_directory)
    }

    fn unlink(&self, cid: &Cid) -> Result<bool, StoreError> {
        let Some(path) = self.path(cid) else {
            return Ok(false);
        };
        match fs::remove_file(&path) {
            Ok(()) => path.parent().map_or(Ok(()), sync_directory).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error("remove", &path)(error)),
        }
    }

    fn list_shard(&self, first: u8) -> Result<Vec<Cid>, StoreError> {
        let shard = self.base.join(shard_name(first));
        let mut cids = Vec::new();
        for entry in fs::read_dir(&shard).map_err(io_error("list", &shard))? {
            let name = entry.map_err(io_error("list", &shard))?.file_name();
            // A file somebody else put here is none of ours.
            if let Some(cid) = name.to_str().and_then(|name| parse_cid(name).ok()) {
                cids.push(cid);
            }
        }
        Ok(cids)
    }
}

/// Removes what killed processes left in `tmp`, if nobody else has the store open.
fn sweep_and_lock(base: &Path, tmp: &Path) -> Result<File, StoreError> {
    let path = base.join("lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error("open", &path))?;
    match lock.try_lock() {
        Ok(()) => {
            for entry in fs::read_dir(tmp).map_err(io_error("list", tmp))? {
                let left_over = entry.map_err(io_error("list", tmp))?.path();
                fs::remove_file(&left_over).map_err(io_error("remove", &left_over))?;
            }
            lock.unlock().map_err(io_error("unlock", &path))?;
        }
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
    }
    // Waits only for another process that is sweeping.
    lock.lock_shared().map_err(io_error("lock", &path))?;
    Ok(lock)
}

fn shard_name(first: u8) -> String {
    format!("{first:02x}")
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("sync", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}
