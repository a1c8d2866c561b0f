//! What can go wrong, and what to do about it.

use std::path::PathBuf;

use bitcoin::hashes::sha256;
use cid::Cid;
use k2_interface::K2Address;
use work::{JobTemplateError, RoundNumber, TaskId};

use crate::{MAX_DISTRIBUTION_BYTES, MAX_SETTLEMENT_BYTES, MAX_WORKER_BYTES};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    // Opening.
    /// The folder of the store cannot be written to.
    #[error(
        "cannot write to {path}: {source}; give the pool a folder it may create files in (is the volume mounted read-only?)"
    )]
    NotWritable {
        /// The file that could not be created or written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such file, and it is not ours to create.
    #[error("there is no store at {0}: check the path, or start the node once to create it")]
    Missing(PathBuf),
    /// Another process has it open.
    #[error(
        "{path} is in use by another process{}: stop that node first, or give this one a file of its own",
        .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The store's file.
        path: PathBuf,
        /// The other process, if it left its number.
        pid: Option<u32>,
    },
    /// The file is something else.
    #[error("{0} is not an orcapool store: check the path; the file was not touched")]
    NotAStore(PathBuf),
    /// A newer build wrote it.
    #[error(
        "{path} has format version {found}, this build knows up to {known}: update orcapool; the file was not touched"
    )]
    TooNew {
        /// The store's file.
        path: PathBuf,
        /// The file's version.
        found: u32,
        /// The newest version this build knows.
        known: u32,
    },
    /// An older build wrote it, and it was opened only for reading.
    #[error(
        "{path} has format version {found}, this build reads {known}: start the node once with this build to upgrade it"
    )]
    TooOld {
        /// The store's file.
        path: PathBuf,
        /// The file's version.
        found: u32,
        /// The version this build reads.
        known: u32,
    },
    /// It was made for another task.
    #[error(
        "{path} belongs to task {found}, not {wanted}: give this task a file of its own, or correct the task in the configuration"
    )]
    OtherTask {
        /// The store's file.
        path: PathBuf,
        /// The task it belongs to.
        found: TaskId,
        /// The task it was opened for.
        wanted: TaskId,
    },
    /// It was made for another node.
    #[error(
        "{path} belongs to node {found}, not {wanted}: give this node a file of its own, or correct the key in the configuration"
    )]
    OtherNode {
        /// The store's file.
        path: PathBuf,
        /// The node it belongs to.
        found: K2Address,
        /// The node it was opened for.
        wanted: K2Address,
    },

    // The caller's mistakes.
    /// A worker name that is too long.
    #[error("a worker name has at most {MAX_WORKER_BYTES} bytes, not {0}")]
    WorkerName(usize),
    /// A share whose claim names another task or node.
    #[error("the share claims another task or node than the store's: it cannot be credited here")]
    ForeignShare,
    /// A share for a round that was never opened.
    #[error("round {0} was never opened: open it before serving jobs that claim it")]
    RoundNotOpened(RoundNumber),
    /// Only a closed round can be sealed.
    #[error("round {0} is not closed: close it before sealing")]
    NotClosed(RoundNumber),
    /// A second, different seal.
    #[error(
        "round {round} is sealed as {sealed} already: the same shares gave another bundle, which is a bug worth reporting"
    )]
    SealedOtherwise {
        /// The round.
        round: RoundNumber,
        /// The bundle it is sealed as.
        sealed: Cid,
    },
    /// A seal over shares nobody stored.
    #[error("the seal of round {0} counts more shares or work than were stored")]
    SealExceedsRound(RoundNumber),
    /// A status for a block that was never recorded.
    #[error("block {0} was never recorded: record it before changing its status")]
    UnknownBlock(bitcoin::BlockHash),
    /// K2 accepts one submission per node and round.
    #[error("two accepted submissions of node {0} in one round: one node submits once")]
    AcceptedTwice(K2Address),
    /// A distribution beyond any real one.
    #[error("a distribution has at most {MAX_DISTRIBUTION_BYTES} bytes, not {0}")]
    DistributionTooLong(usize),
    /// A settlement beyond any real one.
    #[error("a settlement has at most {MAX_SETTLEMENT_BYTES} bytes, not {0}")]
    SettlementTooLong(usize),
    /// A second, different settlement.
    #[error(
        "round {round} is settled as {kept} (SHA-256 of the settlement) and cannot be settled again as {given}: the same \
         round gave another result, which is a bug worth reporting, or K2's accepted submissions changed after it was settled"
    )]
    SettledOtherwise {
        /// The round.
        round: RoundNumber,
        /// What is kept.
        kept: sha256::Hash,
        /// What was to be kept instead.
        given: sha256::Hash,
    },
    /// A settlement that does not follow the newest one.
    #[error(
        "round {round} cannot be settled after round {newest}: rounds settle one after the other"
    )]
    SettledOutOfOrder {
        /// The round.
        round: RoundNumber,
        /// The newest settled one.
        newest: RoundNumber,
    },
    /// Another beginning than the one rounds have been settled from.
    #[error(
        "rounds have been settled from round {kept} on: the first round of the task's history cannot become {given}"
    )]
    FirstRoundSettled {
        /// The first round.
        kept: RoundNumber,
        /// What was to be the first one instead.
        given: RoundNumber,
    },
    /// A number the format has no room for.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// A job template that cannot be encoded.
    #[error(transparent)]
    JobTemplate(#[from] JobTemplateError),

    // The disk.
    /// No space left.
    #[error(
        "the disk of the store is full: nothing was written; free space and the next write will work"
    )]
    DiskFull,
    /// The disk failed.
    #[error(
        "the disk of the store failed ({0}): check the volume and its mount; nothing was written"
    )]
    Io(String),
    /// What was read is not what was written.
    #[error(
        "the store is damaged ({0}): stop the node, keep a copy, and check the disk; `sqlite3 FILE .recover` may save rows"
    )]
    Corrupt(String),
    /// Somebody else holds SQLite's own lock.
    #[error(
        "another program is writing to the store: close it (a database browser?) and try again"
    )]
    Busy,
    /// It was opened for reading.
    #[error("the store was opened only for reading")]
    ReadOnly,
    /// The store is shutting down, or its thread died.
    #[error("the store is closed: restart the node; the log says why if this was not asked for")]
    Closed,
    /// Anything else the database says.
    #[error("the store's database refused: {0}; this is a bug worth reporting")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Self::Io(error.to_string()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt(error.to_string())
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            _ => match error {
                rusqlite::Error::ToSqlConversionFailure(_) => Self::Range("a number"),
                // Every column is written by this crate: another type than it wrote is damage.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Corrupt(error.to_string()),
                other => Self::Database(Box::new(other)),
            },
        }
    }
}
