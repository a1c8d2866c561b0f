//! Connections that only read. In WAL mode they neither block the writer nor wait for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::StoreError;

/// How many reads run at a time. More would only fight for the same disk and page cache.
const READERS: usize = 4;
/// Only recovery and checkpoints after a crash make a reader wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A few connections, opened when first needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Runs `work` on a thread that may block; all it reads is of one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        let read = move || {
            let waiting = lock(&idle).pop();
            let mut db = match waiting {
                Some(db) => db,
                None => open(&path)?,
            };
            let snapshot = db.transaction()?;
            let result = work(&snapshot);
            // An error to end a read transaction leaves a connection of unknown state: it is not used again.
            snapshot.finish()?;
            lock(&idle).push(db);
            drop(permit);
            result
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| StoreError::Closed)?
    }
}

/// Opens a connection that cannot write.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    // Nothing can panic while it is held, and a list of connections has no half states.
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
