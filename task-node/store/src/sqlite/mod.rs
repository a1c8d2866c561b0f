//! The store of a single node: one SQLite file.
//!
//! | file | responsibility |
//! |---|---|
//! | `file` | who may open the file, its format version, whom it belongs to |
//! | `writer` | one thread, group commit |
//! | `readers` | connections that never block the writer |
//! | `rounds`, `shares`, `tallies`, `outcomes`, `settlements` | the SQL, as plain functions of a connection |
//! | `rows` | values read are parsed again |

mod file;
mod outcomes;
mod readers;
mod rounds;
mod rows;
mod settlements;
mod shares;
mod tallies;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use bitcoin::BlockHash;
use rusqlite::Connection;
use work::{RoundNumber, UnixTime};

use self::file::FileLock;
use self::readers::Readers;
use self::writer::Writer;
use crate::{
    Accepted, AuditRecord, BlockOutcome, BlockRecord, BlockStatus, CloseOutcome, Identity,
    MAX_DISTRIBUTION_BYTES, MAX_SETTLEMENT_BYTES, MAX_WORKER_BYTES, Mark, NewShare, OpenOutcome,
    Recorded, RoundRecord, RoundShares, Seal, SealOutcome, SetOutcome, ShareStore, StoreError,
    WorkerStats,
};

/// Shares and rounds in one SQLite file, beside which `-wal`, `-shm` and `.lock` files appear. To copy a store, stop the
/// node and take the file with its `-wal`, or use SQLite's `VACUUM INTO`.
///
/// Dropping it waits until everything asked for is durable; that is at most one commit away.
#[derive(Debug)]
pub struct SqliteStore {
    identity: Identity,
    readers: Readers,
    /// `None` when opened for reading. Fields drop in this order: the writer has closed the file before the lock goes.
    writer: Option<Writer>,
    _lock: Option<FileLock>,
}

impl SqliteStore {
    /// Opens the store of `identity`, creating or upgrading the file. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with the file or the folder, who else uses it, or whom it belongs to.
    pub fn open(path: &Path, identity: Identity) -> Result<Self, StoreError> {
        let path = file::resolve(path)?;
        let lock = FileLock::take(&path)?;
        let db = file::open_writer(&path, &identity)?;
        let writer = Writer::spawn(db).map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(Self {
            identity,
            readers: Readers::new(path),
            writer: Some(writer),
            _lock: Some(lock),
        })
    }

    /// Opens an existing store for reading, also while a node writes to it. Every write fails with
    /// [`StoreError::ReadOnly`].
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::NotAStore`], or that it was written by another version.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let path = file::resolve(path)?;
        Ok(Self {
            identity: file::inspect(&path)?,
            readers: Readers::new(path),
            writer: None,
            _lock: None,
        })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        writer.write(work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(work).await
    }
}

fn check_worker(name: &str) -> Result<(), StoreError> {
    if name.len() > MAX_WORKER_BYTES {
        return Err(StoreError::WorkerName(name.len()));
    }
    Ok(())
}

#[async_trait]
impl ShareStore for SqliteStore {
    fn identity(&self) -> Identity {
        self.identity
    }

    async fn next_boot(&self) -> Result<u32, StoreError> {
        self.write(rounds::next_boot).await
    }

    async fn open_round(&self, round: RoundNumber, mark: Mark) -> Result<OpenOutcome, StoreError> {
        self.write(move |db| rounds::open(db, round, &mark)).await
    }

    async fn close_round(
        &self,
        round: RoundNumber,
        mark: Mark,
    ) -> Result<CloseOutcome, StoreError> {
        self.write(move |db| rounds::close(db, round, &mark)).await
    }

    async fn seal_round(&self, round: RoundNumber, seal: Seal) -> Result<SealOutcome, StoreError> {
        self.write(move |db| rounds::seal(db, round, &seal)).await
    }

    async fn round(&self, round: RoundNumber) -> Result<Option<RoundRecord>, StoreError> {
        self.read(move |db| rounds::get(db, round)).await
    }

    async fn latest_round(&self) -> Result<Option<RoundRecord>, StoreError> {
        self.read(rounds::latest).await
    }

    async fn rounds(&self, limit: u32) -> Result<Vec<RoundRecord>, StoreError> {
        self.read(move |db| rounds::newest(db, limit)).await
    }

    async fn record_share(&self, share: NewShare) -> Result<Recorded, StoreError> {
        check_worker(&share.worker)?;
        let identity = self.identity;
        self.write(move |db| shares::record(db, &identity, &share))
            .await
    }

    async fn round_shares(&self, round: RoundNumber) -> Result<RoundShares, StoreError> {
        let identity = self.identity;
        self.read(move |db| shares::of_round(db, &identity, round))
            .await
    }

    async fn worker_stats(
        &self,
        since: UnixTime,
        limit: u32,
    ) -> Result<Vec<WorkerStats>, StoreError> {
        self.read(move |db| tallies::by_worker(db, since, limit))
            .await
    }

    async fn record_block(&self, block: BlockRecord) -> Result<BlockOutcome, StoreError> {
        check_worker(&block.worker)?;
        self.write(move |db| outcomes::record_block(db, &block))
            .await
    }

    async fn set_block_status(
        &self,
        hash: BlockHash,
        status: BlockStatus,
    ) -> Result<(), StoreError> {
        self.write(move |db| outcomes::set_block_status(db, hash, &status))
            .await
    }

    async fn blocks(&self, limit: u32) -> Result<Vec<BlockRecord>, StoreError> {
        self.read(move |db| outcomes::blocks(db, limit)).await
    }

    async fn record_audit(&self, audit: AuditRecord) -> Result<(), StoreError> {
        self.write(move |db| outcomes::record_audit(db, &audit))
            .await
    }

    async fn audits(&self, round: RoundNumber) -> Result<Vec<AuditRecord>, StoreError> {
        self.read(move |db| outcomes::audits(db, round)).await
    }

    async fn set_accepted(
        &self,
        round: RoundNumber,
        mut accepted: Vec<Accepted>,
    ) -> Result<SetOutcome, StoreError> {
        accepted.sort_unstable();
        if let Some(pair) = accepted
            .windows(2)
            .find(|pair| pair[0].node == pair[1].node)
        {
            return Err(StoreError::AcceptedTwice(pair[0].node));
        }
        let outcome = self
            .write(move |db| outcomes::set_accepted(db, round, &accepted))
            .await?;
        if outcome == SetOutcome::Replaced {
            tracing::warn!(%round, "K2 accepts other submissions than before: the distribution changes with them");
        }
        Ok(outcome)
    }

    async fn accepted(&self, round: RoundNumber) -> Result<Option<Vec<Accepted>>, StoreError> {
        self.read(move |db| outcomes::accepted(db, round)).await
    }

    async fn set_distribution(
        &self,
        round: RoundNumber,
        distribution: Vec<u8>,
    ) -> Result<SetOutcome, StoreError> {
        if distribution.len() > MAX_DISTRIBUTION_BYTES {
            return Err(StoreError::DistributionTooLong(distribution.len()));
        }
        self.write(move |db| outcomes::set_distribution(db, round, &distribution))
            .await
    }

    async fn distribution(&self, round: RoundNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(move |db| outcomes::distribution(db, round)).await
    }

    async fn set_first_round(&self, round: RoundNumber) -> Result<SetOutcome, StoreError> {
        self.write(move |db| settlements::set_first_round(db, round))
            .await
    }

    async fn first_round(&self) -> Result<Option<RoundNumber>, StoreError> {
        self.read(settlements::first_round).await
    }

    async fn set_settlement(
        &self,
        round: RoundNumber,
        settlement: Vec<u8>,
    ) -> Result<SetOutcome, StoreError> {
        if settlement.len() > MAX_SETTLEMENT_BYTES {
            return Err(StoreError::SettlementTooLong(settlement.len()));
        }
        self.write(move |db| settlements::set(db, round, &settlement))
            .await
    }

    async fn settlement(&self, round: RoundNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(move |db| settlements::get(db, round)).await
    }

    async fn newest_settled(&self) -> Result<Option<RoundNumber>, StoreError> {
        self.read(settlements::newest).await
    }
}
