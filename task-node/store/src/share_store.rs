//! The seam between the pool and its disk.

use async_trait::async_trait;
use bitcoin::BlockHash;
use k2_interface::K2Address;
use work::{RoundNumber, TaskId, UnixTime};

use crate::{
    Accepted, AuditRecord, BlockOutcome, BlockRecord, BlockStatus, CloseOutcome, Mark, NewShare,
    OpenOutcome, Recorded, RoundRecord, RoundShares, Seal, SealOutcome, SetOutcome, StoreError,
    WorkerStats,
};

/// Whom a store belongs to. Shares of anybody else cannot enter it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The Koii task.
    pub task: TaskId,
    /// The operator's K2 key.
    pub node: K2Address,
}

/// Shares, rounds and their outcome.
///
/// Every write is answered once it is durable, and is whole or absent. A write whose future is dropped before the answer
/// may or may not happen. Reads see every write that was answered before they began, and each read one moment of the
/// store. Lists that can grow without end take a `limit`.
///
/// # Errors
/// Every method fails with [`StoreError`] when the disk does; further errors are named at the method. After an error
/// nothing of that write is kept (if its answer was lost in a crash, repeating it says so), and the store stays usable.
#[async_trait]
pub trait ShareStore: Send + Sync {
    /// Whom the store belongs to.
    fn identity(&self) -> Identity;

    /// Increments the boot counter and returns it: 1 at the first call, never the same number twice. It seeds the
    /// extranonce1 allocator, so that two runs of a node never hand out the same search space.
    async fn next_boot(&self) -> Result<u32, StoreError>;

    /// Opens a round. Idempotent; rounds may be skipped, but none below the highest one seen is ever opened.
    async fn open_round(&self, round: RoundNumber, mark: Mark) -> Result<OpenOutcome, StoreError>;

    /// Closes a round: once this is answered no share can enter it. Idempotent.
    async fn close_round(&self, round: RoundNumber, mark: Mark)
    -> Result<CloseOutcome, StoreError>;

    /// Fixes the bundle of a closed round. Idempotent for the same bundle.
    ///
    /// # Errors
    /// [`StoreError::NotClosed`], [`StoreError::SealedOtherwise`], [`StoreError::SealExceedsRound`].
    async fn seal_round(&self, round: RoundNumber, seal: Seal) -> Result<SealOutcome, StoreError>;

    /// One round, if it was ever opened.
    async fn round(&self, round: RoundNumber) -> Result<Option<RoundRecord>, StoreError>;

    /// The round with the highest number.
    async fn latest_round(&self) -> Result<Option<RoundRecord>, StoreError>;

    /// The rounds with the highest numbers, highest first.
    async fn rounds(&self, limit: u32) -> Result<Vec<RoundRecord>, StoreError>;

    /// Records a share in the round its claim names, with its job template and claim.
    ///
    /// # Errors
    /// [`StoreError::RoundNotOpened`], [`StoreError::WorkerName`], [`StoreError::ForeignShare`].
    async fn record_share(&self, share: NewShare) -> Result<Recorded, StoreError>;

    /// All shares of a round; empty if it was never opened. A million shares take about 150 MB.
    async fn round_shares(&self, round: RoundNumber) -> Result<RoundShares, StoreError>;

    /// What each worker did from `since` on (rounded down to the minute), most work first, then by address and name.
    /// Reaches back [`crate::WORKER_STATS_SECONDS`] at least.
    async fn worker_stats(
        &self,
        since: UnixTime,
        limit: u32,
    ) -> Result<Vec<WorkerStats>, StoreError>;

    /// Records a found block. Idempotent by hash.
    ///
    /// # Errors
    /// [`StoreError::WorkerName`].
    async fn record_block(&self, block: BlockRecord) -> Result<BlockOutcome, StoreError>;

    /// Changes what became of a block.
    ///
    /// # Errors
    /// [`StoreError::UnknownBlock`].
    async fn set_block_status(
        &self,
        hash: BlockHash,
        status: BlockStatus,
    ) -> Result<(), StoreError>;

    /// The blocks recorded last, newest first.
    async fn blocks(&self, limit: u32) -> Result<Vec<BlockRecord>, StoreError>;

    /// Records an audit. A later one of the same submission replaces it: a bundle nobody served may be served again.
    async fn record_audit(&self, audit: AuditRecord) -> Result<(), StoreError>;

    /// The audits of a round by ascending node and CID.
    async fn audits(&self, round: RoundNumber) -> Result<Vec<AuditRecord>, StoreError>;

    /// Notes the submissions K2 accepted for a round, at most one per node, in any order. K2 decides: another set replaces
    /// the one before.
    ///
    /// # Errors
    /// [`StoreError::AcceptedTwice`].
    async fn set_accepted(
        &self,
        round: RoundNumber,
        accepted: Vec<Accepted>,
    ) -> Result<SetOutcome, StoreError>;

    /// The accepted submissions by ascending node; `None` until they were set, which is not the same as none.
    async fn accepted(&self, round: RoundNumber) -> Result<Option<Vec<Accepted>>, StoreError>;

    /// Keeps the distribution of a round. Another one replaces it.
    ///
    /// # Errors
    /// [`StoreError::DistributionTooLong`].
    async fn set_distribution(
        &self,
        round: RoundNumber,
        distribution: Vec<u8>,
    ) -> Result<SetOutcome, StoreError>;

    /// The distribution of a round.
    async fn distribution(&self, round: RoundNumber) -> Result<Option<Vec<u8>>, StoreError>;

    /// Notes the first round of the task's history, from which on rounds are settled. Another one replaces it as long as
    /// no round is settled.
    ///
    /// # Errors
    /// [`StoreError::FirstRoundSettled`].
    async fn set_first_round(&self, round: RoundNumber) -> Result<SetOutcome, StoreError>;

    /// The first round of the task's history, if it was ever noted.
    async fn first_round(&self) -> Result<Option<RoundNumber>, StoreError>;

    /// Keeps the settlement of a round for ever; idempotent for the same bytes. The first one may be of any round, each
    /// later one is of the next.
    ///
    /// # Errors
    /// [`StoreError::SettledOtherwise`], [`StoreError::SettledOutOfOrder`], [`StoreError::SettlementTooLong`].
    async fn set_settlement(
        &self,
        round: RoundNumber,
        settlement: Vec<u8>,
    ) -> Result<SetOutcome, StoreError>;

    /// The settlement of a round.
    async fn settlement(&self, round: RoundNumber) -> Result<Option<Vec<u8>>, StoreError>;

    /// The newest settled round.
    async fn newest_settled(&self) -> Result<Option<RoundNumber>, StoreError>;
}
