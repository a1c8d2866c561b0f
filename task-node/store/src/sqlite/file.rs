//! The file: who may open it, which format it has, whom it belongs to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use k2_interface::K2Address;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use work::TaskId;

use super::{readers, rows};
use crate::{Identity, StoreError};

/// "ORCA": tells the file from every other SQLite file (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x4f52_4341;
/// The steps from one format version to the next; the first makes an empty file version 1.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
];
/// How long the writer waits for a program that has the file open by hand.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The write-ahead log is cut back to this after a checkpoint, in bytes.
const MAX_IDLE_LOG: i64 = 64 * 1024 * 1024;
/// Page cache of the writer, in KiB (negative by SQLite's convention). The index of share hashes is read at random places.
const CACHE: i64 = -64 * 1024;

/// Keeps other processes from writing to the same store. The file stays: to delete it would race with the next owner.
#[derive(Debug)]
pub(super) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock beside `store`, or says who has it.
    pub(super) fn take(store: &Path) -> Result<Self, StoreError> {
        let mut path = store.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let not_writable = |source| StoreError::NotWritable {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The number is a courtesy: no number is no reason to say anything else.
                let _ = file.take(16).read_to_string(&mut text);
                return Err(StoreError::InUse {
                    path: store.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(not_writable)?;
        Ok(Self { _file: file })
    }
}

/// The one name of the store's file, so that a symbolic link leads to the same lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    let not_writable = |source| StoreError::NotWritable {
        path: path.to_owned(),
        source,
    };
    if path.exists() {
        return fs::canonicalize(path).map_err(not_writable);
    }
    // Absolute also because SQLite has a meaning of its own for names like ":memory:".
    std::path::absolute(path).map_err(not_writable)
}

/// Opens the file for writing: creates or upgrades it, and binds it to `identity` or checks that it is bound to it.
pub(super) fn open_writer(path: &Path, identity: &Identity) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::NotWritable {
                path: path.to_owned(),
                source: std::io::Error::other(error),
            }
        }
        _ => error.into(),
    })?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let version = format_version(&db, path)?.unwrap_or(0);

    let mode: String = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::NotWritable {
            path: path.to_owned(),
            source: std::io::Error::other(format!(
                "SQLite cannot keep a write-ahead log there (journal mode {mode})"
            )),
        });
    }
    // FULL flushes the log at every commit: a commit that is answered survives a power cut.
    db.pragma_update(None, "synchronous", "full")?;
    // macOS's fsync leaves data in the drive's cache; no effect elsewhere.
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "checkpoint_fullfsync", true)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cache_size", CACHE)?;
    db.pragma_update_and_check(None, "journal_size_limit", MAX_IDLE_LOG, |_| Ok(()))?;
    db.set_prepared_statement_cache_capacity(64);

    migrate(&db, version, MIGRATIONS)?;
    rows::execute(
        &db,
        "INSERT INTO store (id, task, node) VALUES (1, ?1, ?2) ON CONFLICT (id) DO NOTHING",
        params![identity.task.as_bytes(), identity.node.as_bytes()],
    )?;
    let found = read_identity(&db)?;
    if found.task != identity.task {
        return Err(StoreError::OtherTask {
            path: path.to_owned(),
            found: found.task,
            wanted: identity.task,
        });
    }
    if found.node != identity.node {
        return Err(StoreError::OtherNode {
            path: path.to_owned(),
            found: found.node,
            wanted: identity.node,
        });
    }
    Ok(db)
}

/// Checks that an existing file can be read by this build; answers whom it belongs to.
pub(super) fn inspect(path: &Path) -> Result<Identity, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let db = readers::open(path)?;
    match format_version(&db, path)? {
        None => Err(StoreError::NotAStore(path.to_owned())),
        Some(version) if to_usize(version) < MIGRATIONS.len() => Err(StoreError::TooOld {
            path: path.to_owned(),
            found: version,
            known: latest(),
        }),
        Some(_) => read_identity(&db),
    }
}

/// The file's format version, `None` for an empty file. Reads only.
fn format_version(db: &Connection, path: &Path) -> Result<Option<u32>, StoreError> {
    let read = || -> rusqlite::Result<(i32, u32, bool)> {
        let number = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let empty = db.query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)",
            (),
            |row| row.get(0),
        )?;
        Ok((number, version, empty))
    };
    match read() {
        Ok((0, 0, true)) => Ok(None),
        Ok((APPLICATION_ID, found, _)) if found > latest() => Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
            known: latest(),
        }),
        Ok((APPLICATION_ID, version @ 1.., _)) => Ok(Some(version)),
        Ok(_) => Err(StoreError::NotAStore(path.to_owned())),
        Err(error) => Err(match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::NotAStore(path.to_owned()),
            _ => error.into(),
        }),
    }
}

pub(super) fn latest() -> u32 {
    // A handful of steps.
    MIGRATIONS.len() as u32
}

fn to_usize(version: u32) -> usize {
    usize::try_from(version).unwrap_or(usize::MAX)
}

/// Takes the file from `version` to the last of `steps`. Each step is whole or absent.
pub(super) fn migrate(db: &Connection, version: u32, steps: &[&str]) -> Result<(), StoreError> {
    for (version, step) in (1_u32..).zip(steps).skip(to_usize(version)) {
        tracing::info!(version, "upgrading the store's format");
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

fn read_identity(db: &Connection) -> Result<Identity, StoreError> {
    rows::first(db, "SELECT task, node FROM store", (), |row| {
        Ok(Identity {
            task: TaskId::from_bytes(row.get("task")?),
            node: K2Address::from_bytes(row.get("node")?),
        })
    })?
    .ok_or_else(|| StoreError::Corrupt("it does not say whom it belongs to".to_owned()))
}
