use std::path::PathBuf;

use bitcoin::Txid;

use super::batch::BatchId;
use super::mark::MARK_FILE;
use crate::sqlite::FileError;

/// What helps against a journal that has forgotten something.
const ANEW: &str = "Delete journal.sqlite, with journal.sqlite-wal and -shm if they are there, and run it again: a new \
                    journal is born at today's height, and the fence guards what was signed before";

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// There is none.
    #[error(
        "there is no journal {0}: is this the wallet's folder? `orcapool payout` and `orcapool sign` create it"
    )]
    Missing(PathBuf),
    /// The file cannot be opened.
    #[error("the journal: {0}")]
    File(#[from] FileError),
    /// A copy was put back.
    #[error(
        "{path} is an old copy: it knows {found} writes, and {newest} were made in this folder. It has forgotten what was \
         signed since, so nothing is signed or sent by it. Never put a copy back. {ANEW}"
    )]
    Old {
        /// The file.
        path: PathBuf,
        /// Its generation.
        found: u64,
        /// The folder's.
        newest: u64,
    },
    /// A copy of another one was put here.
    #[error(
        "{0} is not the journal that was kept in this folder last, so it does not know what was signed here. {ANEW}"
    )]
    Other(PathBuf),
    /// The mark is gone, or the journal came here without it.
    #[error(
        "{0} came here without its {MARK_FILE}, so nobody can know how old it is. If this folder was moved, move that file \
         too. If not: {ANEW}"
    )]
    Unmarked(PathBuf),
    /// The mark cannot be read or written.
    #[error("{path}: {source}: nothing was sent; free the disk or the file and run it again")]
    Mark {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The mark is not what was written.
    #[error(
        "{path} is damaged ({reason}), so nobody can know how old the journal beside it is. Delete it too: {ANEW}"
    )]
    MarkDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// SQLite.
    #[error("the journal: {0}: nothing was sent; free the disk or the file and run it again")]
    Sqlite(#[from] rusqlite::Error),
    /// A value that this program does not write.
    #[error(
        "the journal is damaged: {0}: move it away; a new one is born with a fence around what this one knew"
    )]
    Corrupt(String),
    /// No such batch.
    #[error("there is no {0}: `orcapool payout list --all` shows them")]
    Unknown(BatchId),
    /// K2's node lags behind.
    #[error(
        "K2's endpoint answers as of slot {slot}, and slot {newest} was seen before: wait until it has caught up, or ask another one"
    )]
    Behind {
        /// Its slot.
        slot: u64,
        /// The newest seen.
        newest: u64,
    },
    /// The batch is of another transaction.
    #[error("{batch} is transaction {expected}, not {found}")]
    OtherTransaction {
        /// The batch.
        batch: BatchId,
        /// Its transaction.
        expected: Txid,
        /// What was given.
        found: Txid,
    },
    /// The same transaction is a batch already.
    #[error("transaction {txid} is {batch} already")]
    Known {
        /// The transaction.
        txid: Txid,
        /// Its batch.
        batch: BatchId,
    },
    /// What is asked is not possible where the batch stands.
    #[error("{batch} is {state} and cannot become {wanted}")]
    State {
        /// The batch.
        batch: BatchId,
        /// Where it stands.
        state: &'static str,
        /// What was asked.
        wanted: &'static str,
    },
    /// An id or a sum that SQLite's integers do not hold.
    #[error("{0} does not fit the journal")]
    TooLarge(u64),
}
