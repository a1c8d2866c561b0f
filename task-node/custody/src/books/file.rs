//! The books on disk: `books.sqlite` in the wallet's folder.
//!
//! The entries are the truth; balances are what replaying them gives. Each time the file is opened every event is booked
//! anew, and its entry must come out as it was written, to the last posting. A lost file is no loss of money: new books come
//! to the same balances, with a shorter trail.

use std::path::{Path, PathBuf};

use ledger::books::{Account, Applied, Books, BooksError, Entry, Event, Side};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::facts::{Facts, Moment};
use super::follow::{FollowError, follow};
use crate::fault;
use crate::sqlite::{FileError, Format};
use crate::view::BURIED;

/// The books' name in the wallet's folder.
pub const FILE: &str = "books.sqlite";

const FORMAT: Format = Format {
    // "ORCB"
    application_id: 0x4f52_4342,
    migrations: &[include_str!("migrations/0001.sql")],
};

/// Why the books cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookkeepingError {
    /// The file cannot be opened.
    #[error("the books: {0}")]
    File(#[from] FileError),
    /// SQLite.
    #[error("the books: {0}: nothing was booked; free the disk or the file and run it again")]
    Sqlite(#[from] rusqlite::Error),
    /// An entry is not what its event makes.
    #[error(
        "the books are damaged at entry {number}: {reason}. Move {path} away: new books come to the same balances"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which entry.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// Facts older than those seen before.
    #[error(
        "{what} is at {given} and the books are at {have}: wait until it has caught up, or ask another one"
    )]
    Behind {
        /// Node or cluster.
        what: &'static str,
        /// Height or slot.
        given: u64,
        /// What the books were held against before.
        have: u64,
    },
    /// The facts make no sense.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A bug.
    #[error("the books: {0}")]
    Books(#[from] BooksError),
}

/// An entry, and when it was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The entry.
    pub entry: Entry,
    /// The facts it comes from.
    pub learned: Moment,
}

/// The books of one wallet's folder. Whoever writes to them holds the folder's lock.
#[derive(Debug)]
pub struct BooksFile {
    db: Connection,
    path: PathBuf,
    books: Books,
    looked: Option<Moment>,
}

impl BooksFile {
    /// Opens the folder's books; new ones if there are none.
    ///
    /// # Errors
    /// [`BookkeepingError`].
    pub fn open(dir: &Path) -> Result<Self, BookkeepingError> {
        let path = dir.join(FILE);
        let db = FORMAT.open(&path)?;
        let mut file = Self {
            db,
            path,
            books: Books::default(),
            looked: None,
        };
        file.read()?;
        Ok(file)
    }

    /// What they say.
    #[must_use]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// The newest facts they were held against.
    #[must_use]
    pub const fn looked(&self) -> Option<Moment> {
        self.looked
    }

    /// Books what the facts say and the books lack: all of it or nothing. Answers with the new entries.
    ///
    /// # Errors
    /// [`BookkeepingError::Behind`] and others.
    pub fn update(&mut self, facts: &Facts<'_>) -> Result<Vec<Entry>, BookkeepingError> {
        let moment = facts.moment();
        self.refuse_old(moment)?;
        let events = follow(&self.books, facts)?;
        let mut books = self.books.clone();
        let mut entries = Vec::new();
        for event in events {
            if let Applied::Booked(entry) = books.apply(event)? {
                entries.push(*entry);
            }
        }
        fault::around("books: entries", || self.write(&entries, moment))?;
        self.books = books;
        self.looked = Some(moment);
        Ok(entries)
    }

    /// The entries from a number on, oldest first; of one account only, where one is given.
    ///
    /// # Errors
    /// [`BookkeepingError`].
    pub fn lines(
        &self,
        from: u64,
        account: Option<Account>,
    ) -> Result<Vec<Line>, BookkeepingError> {
        let mut lines = Vec::new();
        let mut books = Books::default();
        self.each(|number, written| {
            let entry = self.replay(&mut books, number, &written)?;
            let touches = |account: Account| {
                let mut postings = entry.postings.postings().iter();
                postings.any(|posting| posting.account == account)
            };
            if number >= from && account.is_none_or(touches) {
                let learned = written.learned;
                lines.push(Line { entry, learned });
            }
            Ok(())
        })?;
        Ok(lines)
    }

    /// A node that is still syncing would have every coinbase orphaned; a lagging endpoint of K2, every mint undone.
    fn refuse_old(&self, moment: Moment) -> Result<(), BookkeepingError> {
        let Some(looked) = self.looked else {
            return Ok(());
        };
        let behind = |what, given, have| Err(BookkeepingError::Behind { what, given, have });
        if moment.tip.saturating_add(BURIED) < looked.tip {
            return behind("the Bitcoin node", moment.tip.into(), looked.tip.into());
        }
        if moment.slot < looked.slot {
            return behind("the K2 endpoint", moment.slot, looked.slot);
        }
        Ok(())
    }

    /// One transaction.
    fn write(&mut self, entries: &[Entry], moment: Moment) -> Result<(), BookkeepingError> {
        let path = self.path.clone();
        let db = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let slot = integer(moment.slot)?;
        for entry in entries {
            insert(&db, &path, entry, moment.tip, slot)?;
        }
        db.execute(
            "INSERT INTO looked (id, tip, slot) VALUES (1, ?1, ?2)
             ON CONFLICT (id) DO UPDATE SET tip = excluded.tip, slot = excluded.slot",
            params![moment.tip, slot],
        )?;
        db.commit()?;
        Ok(())
    }

    fn read(&mut self) -> Result<(), BookkeepingError> {
        let mut books = Books::default();
        self.each(|number, written| self.replay(&mut books, number, &written).map(|_| ()))?;
        self.books = books;
        let looked = self
            .db
            .query_row("SELECT tip, slot FROM looked", (), |row| {
                let slot: i64 = row.get(1)?;
                Ok((row.get(0)?, slot))
            });
        self.looked = match looked {
            Ok((tip, slot)) => Some(Moment {
                tip,
                slot: u64::try_from(slot).unwrap_or(0),
            }),
            Err(rusqlite::Error::QueryReturnedNoRows) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    /// Books an event anew and compares what comes of it with what was written.
    fn replay(
        &self,
        books: &mut Books,
        number: u64,
        written: &Written,
    ) -> Result<Entry, BookkeepingError> {
        let damaged = |reason: String| BookkeepingError::Damaged {
            path: self.path.clone(),
            number,
            reason,
        };
        let event: Event = serde_json::from_str(&written.event)
            .map_err(|error| damaged(format!("its event cannot be read: {error}")))?;
        let applied = books
            .apply(event)
            .map_err(|error| damaged(error.to_string()))?;
        let Applied::Booked(entry) = applied else {
            return Err(damaged("its event was booked before".to_owned()));
        };
        if entry.number != number
            || entry.reverses != written.reverses
            || entry.event.key().to_string() != written.key
            || flat(&entry) != written.postings
        {
            return Err(damaged("it is not what its event makes".to_owned()));
        }
        Ok(*entry)
    }

    /// Reads all entries in their order.
    fn each(
        &self,
        mut take: impl FnMut(u64, Written) -> Result<(), BookkeepingError>,
    ) -> Result<(), BookkeepingError> {
        let mut entries = self.db.prepare(
            "SELECT number, key, event, reverses, tip, slot FROM entries ORDER BY number",
        )?;
        let mut postings = self
            .db
            .prepare("SELECT account, side, sats FROM postings WHERE entry = ?1 ORDER BY place")?;
        let mut rows = entries.query(())?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get("number")?;
            let mut written = Written::of(row)?;
            written.postings = postings
                .query_map([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            take(number.unsigned_abs(), written)?;
        }
        Ok(())
    }
}

/// Account, side, sats.
type Flat = (String, String, i64);

/// An entry as it stands in the file.
struct Written {
    key: String,
    event: String,
    reverses: Option<u64>,
    postings: Vec<Flat>,
    learned: Moment,
}

impl Written {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let reverses: Option<i64> = row.get("reverses")?;
        let slot: i64 = row.get("slot")?;
        Ok(Self {
            key: row.get("key")?,
            event: row.get("event")?,
            reverses: reverses.map(i64::unsigned_abs),
            postings: Vec::new(),
            learned: Moment {
                tip: row.get("tip")?,
                slot: slot.unsigned_abs(),
            },
        })
    }
}

fn flat(entry: &Entry) -> Vec<Flat> {
    let postings = entry.postings.postings().iter();
    postings
        .map(|posting| {
            let sats = i64::try_from(posting.amount.to_sat()).unwrap_or(i64::MAX);
            (
                posting.account.name().to_owned(),
                side(posting.side).to_owned(),
                sats,
            )
        })
        .collect()
}

fn insert(
    db: &Transaction<'_>,
    path: &Path,
    entry: &Entry,
    tip: u32,
    slot: i64,
) -> Result<(), BookkeepingError> {
    let number = integer(entry.number)?;
    let event = serde_json::to_string(&entry.event).map_err(|error| BookkeepingError::Damaged {
        path: path.to_owned(),
        number: entry.number,
        reason: error.to_string(),
    })?;
    let reverses = entry.reverses.map(integer).transpose()?;
    db.prepare_cached(
        "INSERT INTO entries (number, key, event, reverses, tip, slot) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        number,
        entry.event.key().to_string(),
        event,
        reverses,
        tip,
        slot
    ])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO postings (entry, place, account, side, sats) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (place, (account, side, sats)) in (0_u32..).zip(flat(entry)) {
        insert.execute(params![number, place, account, side, sats])?;
    }
    Ok(())
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Debit => "debit",
        Side::Credit => "credit",
    }
}

/// SQLite's integers are signed.
fn integer(value: u64) -> Result<i64, BookkeepingError> {
    i64::try_from(value).map_err(|_| BooksError::Overflow.into())
}
