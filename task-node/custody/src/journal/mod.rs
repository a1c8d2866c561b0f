//! What was intended, handed out, signed and sent, written before it happens.
//!
//! One SQLite file in the wallet's folder, the coordinator's and each custodian's own. A commit is on the disk when it is
//! answered (`synchronous=FULL`), so after a crash the journal knows at least everything that left the process.
//!
//! | file | responsibility |
//! |---|---|
//! | `file` | format version, durability |
//! | `batch` | a batch and its states |
//! | `batches` | the SQL of batches and events |
//! | `payments` | the SQL of transactions: what they spend and name |
//!
//! # A lost journal
//! It is never restored from a copy: an old copy has forgotten what was signed since, and does not know that it has. A new
//! one is *born* at the height of its first use, and whatever was requested up to then is paid only by a transaction that
//! conflicts with everything its predecessor may have signed (the fence of [`payment`](crate::payment)).

mod batch;
mod batches;
mod error;
mod file;
mod payments;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use bitcoin::{Psbt, Transaction, Txid};
use rusqlite::Connection;
use work::UnixTime;

use crate::fault;
use crate::view::Payment;

pub use batch::{Batch, BatchId, BatchState, Cost, Event, Intent, Kind};
pub use error::JournalError;
pub use file::FILE;

/// The journal of one wallet's folder.
///
/// Whoever writes to it holds the folder's lock; SQLite keeps a reader beside from seeing half of a step.
#[derive(Debug)]
pub struct Journal {
    db: Connection,
    born: u32,
}

impl Journal {
    /// Opens the folder's journal. One that is not there is born at `height`: the higher one of the custodian's own tip and
    /// the relay's, so that no request seen by a predecessor is above it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(dir: &Path, height: u32) -> Result<Self, JournalError> {
        let db = file::open(&file::path(dir), true)?;
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM journal)";
        if db.query_row(sql, (), |row| row.get(0))? {
            let sql = "INSERT INTO journal (id, born) VALUES (1, ?1) ON CONFLICT (id) DO NOTHING";
            fault::around("journal: birth", || db.execute(sql, [height]))?;
            tracing::info!(height, "a journal is born");
        }
        Self::with(db, dir)
    }

    /// Opens a journal that is there, to read it or to go on with it.
    ///
    /// # Errors
    /// [`JournalError::Missing`] and others.
    pub fn open_existing(dir: &Path) -> Result<Self, JournalError> {
        Self::with(file::open(&file::path(dir), false)?, dir)
    }

    fn with(db: Connection, dir: &Path) -> Result<Self, JournalError> {
        let born = db.query_row("SELECT born FROM journal", (), |row| row.get(0));
        match born {
            Ok(born) => Ok(Self { db, born }),
            Err(rusqlite::Error::QueryReturnedNoRows) => {
                Err(JournalError::Missing(file::path(dir)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The height it was born at. What was signed for redemptions requested at or below may be missing in it.
    #[must_use]
    pub const fn born(&self) -> u32 {
        self.born
    }

    /// Notes how new what K2 says is. A node of K2 that lags behind, or was put back, does not know of redemptions that were
    /// refunded since, so nothing is decided by what it says.
    ///
    /// # Errors
    /// [`JournalError::Behind`].
    pub fn see(&mut self, slot: u64) -> Result<(), JournalError> {
        let seen = payments::integer(slot)?;
        let newest: Option<i64> = self
            .db
            .query_row("SELECT max(slot) FROM k2", (), |row| row.get(0))?;
        match newest {
            Some(newest) if seen < newest => Err(JournalError::Behind {
                slot,
                newest: newest.unsigned_abs(),
            }),
            Some(newest) if seen == newest => Ok(()),
            _ => {
                let sql = "INSERT INTO k2 (id, slot) VALUES (1, ?1)
                           ON CONFLICT (id) DO UPDATE SET slot = excluded.slot WHERE slot < excluded.slot";
                fault::around("journal: slot", || self.db.execute(sql, [seen]))?;
                Ok(())
            }
        }
    }

    /// Remembers a payment that is about to be signed, and what it costs. To be called before the signature is made. Doing it
    /// twice is one.
    ///
    /// # Errors
    /// [`JournalError`]: nothing may be signed then.
    pub fn record_signed(&mut self, payment: &Payment, cost: Cost) -> Result<(), JournalError> {
        self.write("journal: signature", |db| {
            payments::record(db, payment, Some(cost))
        })
    }

    /// The payments that were signed here for another coordinator: none of them is a batch yet.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn signed_elsewhere(&self) -> Result<Vec<Payment>, JournalError> {
        payments::signed_elsewhere(&self.db)
    }

    /// Makes a batch of a payment that was signed here for another coordinator.
    ///
    /// # Errors
    /// [`JournalError::Known`] and others.
    pub fn take_up(&mut self, payment: &Payment, now: UnixTime) -> Result<BatchId, JournalError> {
        self.write("journal: taking up", |db| {
            batches::take_up(db, payment, now)
        })
    }

    /// All payments ever handed out, signed or seen here that name a redemption, without heights: the views have those.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn payments(&self) -> Result<Vec<Payment>, JournalError> {
        payments::naming(&self.db, None)
    }

    /// Those of [`payments`](Self::payments) that name one of these redemptions.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn payments_of(&self, ids: &BTreeSet<u64>) -> Result<Vec<Payment>, JournalError> {
        payments::naming(&self.db, Some(ids))
    }

    /// Writes down a batch that is about to be handed out, and remembers its payment. One that was withdrawn, and that nobody
    /// had whole, is planned again under its number.
    ///
    /// # Errors
    /// [`JournalError::Known`] where its transaction is one already, and others.
    pub fn plan(&mut self, intent: &Intent, now: UnixTime) -> Result<BatchId, JournalError> {
        self.write("journal: plan", |db| batches::plan(db, intent, now))
    }

    /// Writes down a payment that was seen and is none of the journal's: its database was lost, or a custodian paid by hand.
    ///
    /// # Errors
    /// [`JournalError::Known`] and others.
    pub fn adopt(
        &mut self,
        payment: &Payment,
        transaction: Option<&Transaction>,
        now: UnixTime,
    ) -> Result<BatchId, JournalError> {
        self.write("journal: adoption", |db| {
            batches::adopt(db, payment, transaction, now)
        })
    }

    /// Keeps the complete transaction of a planned batch, which is about to be sent.
    ///
    /// # Errors
    /// [`JournalError::OtherTransaction`], [`JournalError::State`] and others.
    pub fn complete(
        &mut self,
        id: BatchId,
        transaction: &Transaction,
        now: UnixTime,
    ) -> Result<(), JournalError> {
        self.write("journal: transaction", |db| {
            batches::complete(db, id, transaction, now)
        })
    }

    /// Notes that the node has taken a batch's transaction, with the tip at `height`. A batch it takes the place of is
    /// replaced.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sent(&mut self, id: BatchId, height: u32, now: UnixTime) -> Result<(), JournalError> {
        self.write("journal: sending", |db| batches::sent(db, id, height, now))
    }

    /// Notes where a batch stands.
    ///
    /// # Errors
    /// [`JournalError::State`]: a batch becomes planned, or signed, only once.
    pub fn set_state(
        &mut self,
        id: BatchId,
        state: BatchState,
        now: UnixTime,
    ) -> Result<(), JournalError> {
        self.write("journal: state", |db| {
            batches::set_state(db, id, state, now)
        })
    }

    /// Notes that nothing can happen to a batch any more.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn close(&mut self, id: BatchId, now: UnixTime) -> Result<(), JournalError> {
        self.write("journal: closing", |db| batches::close(db, id, now))
    }

    /// Writes down something worth knowing later.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn note(
        &mut self,
        batch: Option<BatchId>,
        what: &str,
        now: UnixTime,
    ) -> Result<(), JournalError> {
        self.write("journal: note", |db| batches::event(db, batch, what, now))
    }

    /// All batches, by number.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn batches(&self) -> Result<Vec<Batch>, JournalError> {
        batches::all(&self.db, true)
    }

    /// Those to which something can still happen, by number.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open_batches(&self) -> Result<Vec<Batch>, JournalError> {
        batches::all(&self.db, false)
    }

    /// The transactions of batches to which nothing can happen any more.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn closed(&self) -> Result<BTreeSet<Txid>, JournalError> {
        batches::closed(&self.db)
    }

    /// One batch.
    ///
    /// # Errors
    /// [`JournalError::Unknown`] and others.
    pub fn batch(&self, id: BatchId) -> Result<Batch, JournalError> {
        batches::one(&self.db, id)
    }

    /// What was handed out; `None`: the batch was found on the chain.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn psbt(&self, id: BatchId) -> Result<Option<Psbt>, JournalError> {
        batches::psbt(&self.db, id)
    }

    /// The complete transaction, once there is one.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn transaction(&self, id: BatchId) -> Result<Option<Transaction>, JournalError> {
        batches::transaction(&self.db, id)
    }

    /// What happened to a batch, or to all of them, oldest first.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn events(&self, batch: Option<BatchId>) -> Result<Vec<Event>, JournalError> {
        batches::events(&self.db, batch)
    }

    /// One step, whole or absent.
    fn write<T>(
        &mut self,
        act: &'static str,
        step: impl FnOnce(&Connection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        fault::around(act, || {
            let transaction = self
                .db
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let done = step(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }
}
