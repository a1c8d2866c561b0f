use std::path::PathBuf;

use bitcoin::Txid;

use super::batch::BatchId;

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// There is none.
    #[error(
        "there is no journal {0}: is this the wallet's folder? `orcapool payout` and `orcapool sign` create it"
    )]
    Missing(PathBuf),
    /// Another file.
    #[error("{0} is no journal of this program: move it away; a new journal will be born")]
    NotAJournal(PathBuf),
    /// By a later program.
    #[error(
        "{path} has format version {found} and this program knows {known}: use a newer orcapool"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest known.
        known: u32,
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
