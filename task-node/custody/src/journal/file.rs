//! The file: which format it has, and how it is kept from losing a commit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::JournalError;

/// "ORCJ": tells the file from every other SQLite file (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x4f52_434a;
/// The steps from one format version to the next; the first makes an empty file version 1.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql")];
/// How long to wait for a program that has the file open by hand.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The journal's name in the wallet's folder.
pub const FILE: &str = "journal.sqlite";

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Opens the file for writing. Without `create` it must be there.
pub(super) fn open(path: &Path, create: bool) -> Result<Connection, JournalError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    } else if !path.exists() {
        return Err(JournalError::Missing(path.to_owned()));
    }
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let version = format_version(&db, path)?;
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(JournalError::Corrupt(format!(
            "SQLite cannot keep a write-ahead log there (journal mode {mode})"
        )));
    }
    // FULL flushes the log at every commit: an intent that was written survives a power cut.
    db.pragma_update(None, "synchronous", "full")?;
    // macOS's fsync leaves data in the drive's cache; no effect elsewhere.
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "checkpoint_fullfsync", true)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    migrate(&db, version, MIGRATIONS)?;
    Ok(db)
}

/// The file's format version, 0 for an empty file. Reads only.
fn format_version(db: &Connection, path: &Path) -> Result<u32, JournalError> {
    let read = || -> rusqlite::Result<(i32, u32, bool)> {
        let number = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
        let empty = db.query_row(sql, (), |row| row.get(0))?;
        Ok((number, version, empty))
    };
    match read() {
        Ok((0, 0, true)) => Ok(0),
        Ok((APPLICATION_ID, found, _)) if found > latest() => Err(JournalError::TooNew {
            path: path.to_owned(),
            found,
            known: latest(),
        }),
        Ok((APPLICATION_ID, version @ 1.., _)) => Ok(version),
        Ok(_) => Err(JournalError::NotAJournal(path.to_owned())),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(JournalError::NotAJournal(path.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

fn latest() -> u32 {
    // A handful of steps.
    MIGRATIONS.len() as u32
}

/// Takes the file from `version` to the last of `steps`. Each step is whole or absent.
fn migrate(db: &Connection, version: u32, steps: &[&str]) -> Result<(), JournalError> {
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    for (version, step) in (1_u32..).zip(steps).skip(done) {
        let upgraded = db.execute_batch(&format!(
            "BEGIN IMMEDIATE; {step}
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}; COMMIT;"
        ));
        if let Err(error) = upgraded {
            if !db.is_autocommit() {
                db.execute_batch("ROLLBACK")?;
            }
            return Err(error.into());
        }
    }
    Ok(())
}
