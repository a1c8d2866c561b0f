//! What was intended, handed out, signed and sent, written before it happens.
//!
//! One SQLite file in the wallet's folder, the coordinator's and each custodian's own. A commit is on the disk when it is
//! answered (`synchronous=FULL`), so after a crash the journal knows at least everything that left the process.
//!
//! | file | responsibility |
//! |---|---|
//! | `file` | its name and its format |
//! | `mark` | how many writes it has seen, in a file beside it |
//! | `batch` | a batch and its states |
//! | `batches` | the SQL of batches and events |
//! | `payments` | the SQL of transactions: what they spend and name |
//!
//! # A lost journal
//! It is never restored from a copy: an old copy has forgotten what was signed since. Every write therefore raises a
//! *generation*, in the journal and then, before the write is answered, in a file beside it; a journal that is behind that
//! file is refused. Only where both are put back together nobody can see it.
//!
//! A new one is *born* at the height of its first use, and whatever was requested up to then is paid only by a transaction
//! that conflicts with everything its predecessor may have signed (the fence of [`payment`](crate::payment)).

mod batch;
mod batches;
mod error;
mod file;
mod mark;
mod payments;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bitcoin::{Psbt, Transaction, Txid};
use rusqlite::{Connection, TransactionBehavior};
use work::UnixTime;

use crate::fault;
use crate::view::Payment;
use file::FORMAT;
use mark::Mark;

pub use batch::{Batch, BatchId, BatchState, Cost, Event, Intent, Kind};
pub use error::JournalError;
pub use file::FILE;
pub use mark::MARK_FILE;

/// The journal of one wallet's folder.
///
/// Whoever writes to it holds the folder's lock; SQLite keeps a reader beside from seeing half of a step.
#[derive(Debug)]
pub struct Journal {
    db: Connection,
    dir: PathBuf,
    born: u32,
    /// The last write.
    generation: Mark,
    /// The last write that the mark knows; `None`: there is no mark.
    marked: Option<u64>,
}

impl Journal {
    /// Opens the folder's journal. One that is not there is born at `height`: the higher one of the custodian's own tip and
    /// the relay's, so that no request seen by a predecessor is above it.
    ///
    /// # Errors
    /// [`JournalError::Old`], [`JournalError::Other`] and [`JournalError::Unmarked`] where a copy was put back, and others.
    pub fn open(dir: &Path, height: u32) -> Result<Self, JournalError> {
        let before = Mark::read(dir)?;
        let mut db = FORMAT.open(&file::path(dir))?;
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM journal)";
        if db.query_row(sql, (), |row| row.get(0))? {
            fault::around("journal: birth", || birth(&mut db, dir, before, height))?;
            tracing::info!(height, "a journal is born");
        }
        let mut journal = Self::with(db, dir, before)?;
        // A write that was cut off before its mark is about to be acted on.
        journal.mark()?;
        Ok(journal)
    }

    /// Opens a journal that is there, to read it or to go on with it.
    ///
    /// # Errors
    /// [`JournalError::Missing`], those of [`open`](Self::open) and others.
    pub fn open_existing(dir: &Path) -> Result<Self, JournalError> {
        let path = file::path(dir);
        if !path.exists() {
            return Err(JournalError::Missing(path));
        }
        let before = Mark::read(dir)?;
        Self::with(FORMAT.open(&path)?, dir, before)
    }

    /// `before`: the mark as it was before the file was opened. Somebody else may be writing now.
    fn with(db: Connection, dir: &Path, before: Option<Mark>) -> Result<Self, JournalError> {
        let path = file::path(dir);
        let born = match db.query_row("SELECT born FROM journal", (), |row| row.get(0)) {
            Ok(born) => born,
            Err(rusqlite::Error::QueryReturnedNoRows) => return Err(JournalError::Missing(path)),
            Err(error) => return Err(error.into()),
        };
        let sql = "SELECT journal, number FROM generation";
        let generation = match db.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))) {
            Ok((journal, number)) => counted(journal, number)?,
            Err(rusqlite::Error::QueryReturnedNoRows) => {
                return Err(JournalError::Corrupt("it has no generation".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let after = Mark::read(dir)?;
        match (before, after) {
            // Kept by format version 1, which made no mark. Its first write makes one, and from then on there is one.
            (_, None) if generation.generation == 0 => {}
            (_, None) => return Err(JournalError::Unmarked(path)),
            (_, Some(after)) if after.journal != generation.journal => {
                return Err(JournalError::Other(path));
            }
            // The one before: a mark that was raised since may be ahead of what was read here.
            (Some(before), _)
                if before.journal == generation.journal
                    && before.generation > generation.generation =>
            {
                return Err(JournalError::Old {
                    path,
                    found: generation.generation,
                    newest: before.generation,
                });
            }
            _ => {}
        }
        Ok(Self {
            db,
            dir: dir.to_owned(),
            born,
            generation,
            marked: after.map(|mark| mark.generation),
        })
    }

    /// Brings the mark to the last write.
    fn mark(&mut self) -> Result<(), JournalError> {
        let generation = self.generation.generation;
        if self.marked.is_none_or(|marked| marked < generation) {
            self.generation.write(&self.dir)?;
            self.marked = Some(generation);
        }
        Ok(())
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
            _ => self.write("journal: slot", |db| {
                let sql = "INSERT INTO k2 (id, slot) VALUES (1, ?1)
                           ON CONFLICT (id) DO UPDATE SET slot = excluded.slot WHERE slot < excluded.slot";
                db.execute(sql, [seen])?;
                Ok(())
            }),
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

    /// One step, whole or absent. When it is answered, the mark knows of it as well.
    fn write<T>(
        &mut self,
        act: &'static str,
        step: impl FnOnce(&Connection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        fault::around(act, || {
            // Of a write before that could not be marked: the mark is never behind by more than one.
            self.mark()?;
            let transaction = self
                .db
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = step(&transaction)?;
            let sql = "UPDATE generation SET number = number + 1 RETURNING journal, number";
            let (journal, number) =
                transaction.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
            transaction.commit()?;
            self.generation = counted(journal, number)?;
            fault::point(fault::Side::Amid, act);
            self.mark()?;
            Ok(done)
        })
    }
}

/// Begins a journal, above everything that was written in this folder before. The mark comes first: a journal without one is
/// a copy from elsewhere, and a mark without its journal does no harm.
fn birth(
    db: &mut Connection,
    dir: &Path,
    before: Option<Mark>,
    height: u32,
) -> Result<(), JournalError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "INSERT INTO journal (id, born) VALUES (1, ?1)";
    transaction.execute(sql, [height])?;
    let first = before.map_or(1, |mark| mark.generation.saturating_add(1));
    // SQLite seeds its generator from the operating system's. It is a name, not a secret.
    let sql = "INSERT INTO generation (id, journal, number) VALUES (1, randomblob(16), ?1) RETURNING journal, number";
    let first = [payments::integer(first)?];
    let (journal, number) =
        transaction.query_row(sql, first, |row| Ok((row.get(0)?, row.get(1)?)))?;
    counted(journal, number)?.write(dir)?;
    fault::point(fault::Side::Amid, "journal: birth");
    Ok(transaction.commit()?)
}

/// SQLite's integers are signed.
fn counted(journal: mark::Name, number: i64) -> Result<Mark, JournalError> {
    let generation =
        u64::try_from(number).map_err(|_| JournalError::Corrupt(format!("generation {number}")))?;
    Ok(Mark {
        journal,
        generation,
    })
}
