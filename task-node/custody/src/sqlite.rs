//! How a file of the wallet's folder is opened: its format, and that a commit is on the disk when it is answered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How long to wait for a program that has the file open by hand.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A kind of file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    /// Tells it from every other SQLite file (`PRAGMA application_id`).
    pub(crate) application_id: i32,
    /// The steps from one format version to the next; the first makes an empty file version 1.
    pub(crate) migrations: &'static [&'static str],
}

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Another file.
    #[error("{0} is another file than this program writes there: move it away")]
    Other(PathBuf),
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
    /// SQLite keeps no write-ahead log there.
    #[error(
        "{path}: SQLite cannot keep a write-ahead log there (journal mode {mode}): use a local disk"
    )]
    Log {
        /// The file.
        path: PathBuf,
        /// What it keeps instead.
        mode: String,
    },
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl Format {
    /// Opens a file for writing; makes or upgrades it.
    pub(crate) fn open(&self, path: &Path) -> Result<Connection, FileError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        let version = self.version(&db, path)?;
        let mode: String =
            db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            let path = path.to_owned();
            return Err(FileError::Log { path, mode });
        }
        // FULL flushes the log at every commit: what was written survives a power cut.
        db.pragma_update(None, "synchronous", "full")?;
        // macOS's fsync leaves data in the drive's cache; no effect elsewhere.
        db.pragma_update(None, "fullfsync", true)?;
        db.pragma_update(None, "checkpoint_fullfsync", true)?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update(None, "trusted_schema", false)?;
        self.migrate(&db, version)?;
        Ok(db)
    }

    /// The file's format version, 0 for an empty file. Reads only.
    fn version(&self, db: &Connection, path: &Path) -> Result<u32, FileError> {
        let read = || -> rusqlite::Result<(i32, u32, bool)> {
            let number = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
            let version = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
            let empty = db.query_row(sql, (), |row| row.get(0))?;
            Ok((number, version, empty))
        };
        match read() {
            Ok((0, 0, true)) => Ok(0),
            Ok((number, found, _)) if number == self.application_id && found > self.latest() => {
                Err(FileError::TooNew {
                    path: path.to_owned(),
                    found,
                    known: self.latest(),
                })
            }
            Ok((number, version @ 1.., _)) if number == self.application_id => Ok(version),
            Ok(_) => Err(FileError::Other(path.to_owned())),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                Err(FileError::Other(path.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn latest(&self) -> u32 {
        u32::try_from(self.migrations.len()).unwrap_or(u32::MAX)
    }

    /// Takes the file from `version` to the last step. Each step is whole or absent.
    fn migrate(&self, db: &Connection, version: u32) -> Result<(), FileError> {
        let done = usize::try_from(version).unwrap_or(usize::MAX);
        for (version, step) in (1_u32..).zip(self.migrations).skip(done) {
            let upgraded = db.execute_batch(&format!(
                "BEGIN IMMEDIATE; {step}
                 PRAGMA application_id = {}; PRAGMA user_version = {version}; COMMIT;",
                self.application_id
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
}
