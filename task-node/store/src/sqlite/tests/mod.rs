//! What only this store can get wrong: its file, its lock, its format, its groups.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k2_interface::K2Address;
use rusqlite::Connection;
use tempfile::TempDir;
use work::TaskId;

use super::SqliteStore;
use crate::conformance::fixture::{START, identity, mark, miner, round, share};
use crate::{
    Identity, MAX_ROUND_CLAIMS, MAX_ROUND_SHARES, OpenOutcome, Recorded, SetOutcome, ShareStore,
    StoreError,
};

mod format;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.sqlite");
    (folder, path)
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, identity()).unwrap()
}

async fn open_round(store: &SqliteStore, number: u64) {
    let opened = store.open_round(round(number), mark(0)).await.unwrap();
    assert_eq!(opened, OpenOutcome::Opened);
}

/// Changes a file that no store has open, as `sqlite3` would.
fn by_hand(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn only_error(result: Result<SqliteStore, StoreError>) -> StoreError {
    match result {
        Ok(_) => panic!("the store was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_second_owner_is_refused() {
    let (folder, path) = folder();
    let first = open(&path);
    let error = only_error(SqliteStore::open(&path, identity()));
    assert!(
        matches!(&error, StoreError::InUse { pid: Some(pid), .. } if *pid == std::process::id()),
        "{error}"
    );
    // Under another name it is the same file.
    let link = folder.path().join("link.sqlite");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = only_error(SqliteStore::open(&link, identity()));
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");

    drop(first);
    open(&link);
}

#[test]
fn a_file_belongs_to_one_task_and_node() {
    let (_folder, path) = folder();
    drop(open(&path));
    let other_task = Identity {
        task: TaskId::from_bytes([9; 32]),
        ..identity()
    };
    let error = only_error(SqliteStore::open(&path, other_task));
    assert!(matches!(error, StoreError::OtherTask { .. }), "{error}");
    let other_node = Identity {
        node: K2Address::from_bytes([9; 32]),
        ..identity()
    };
    let error = only_error(SqliteStore::open(&path, other_node));
    assert!(matches!(error, StoreError::OtherNode { .. }), "{error}");
    assert_eq!(open(&path).identity(), identity());
}

#[test]
fn a_folder_that_is_none_is_named() {
    let (folder, path) = folder();
    fs::write(&path, b"").unwrap();
    for below in [
        path.join("pool.sqlite"),
        folder.path().join("no/such/pool.sqlite"),
    ] {
        let error = only_error(SqliteStore::open(&below, identity()));
        assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
        assert!(error.to_string().contains("pool.sqlite"), "{error}");
    }
}

#[test]
fn a_read_only_folder_is_named() {
    let (folder, path) = folder();
    drop(open(&path));
    fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o555),
    )
    .unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    let error = if fs::File::create(folder.path().join("probe")).is_err() {
        only_error(SqliteStore::open(&path, identity())).to_string()
    } else {
        // Permissions do not bind root: the kernel's own read-only files do.
        only_error(SqliteStore::open(Path::new("/proc/version"), identity())).to_string()
    };
    fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    assert!(
        error.contains("give the pool a folder it may create files in"),
        "{error}"
    );
}

#[test]
fn other_files_are_left_alone() {
    let (_folder, path) = folder();
    fs::write(&path, "a shopping list, long enough to be read as a header of one hundred bytes; milk, bread, butter, eggs, tea").unwrap();
    let before = fs::read(&path).unwrap();
    let error = only_error(SqliteStore::open(&path, identity()));
    assert!(matches!(error, StoreError::NotAStore(_)), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    by_hand(&path, "CREATE TABLE wallet (secret TEXT)");
    let before = fs::read(&path).unwrap();
    let error = only_error(SqliteStore::open(&path, identity()));
    assert!(matches!(error, StoreError::NotAStore(_)), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let error = only_error(SqliteStore::open_read_only(&path));
    assert!(matches!(error, StoreError::NotAStore(_)), "{error}");
}

#[tokio::test]
async fn a_store_is_read_while_a_node_writes() {
    let (_folder, path) = folder();
    let missing = only_error(SqliteStore::open_read_only(&path));
    assert!(matches!(missing, StoreError::Missing(_)), "{missing}");
    assert!(!path.exists());

    let node = open(&path);
    open_round(&node, 1).await;
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(reader.identity(), identity());
    let stored = node
        .record_share(share(round(1), miner(1), 1))
        .await
        .unwrap();
    assert_eq!(stored, Recorded::Stored);
    assert_eq!(reader.round_shares(round(1)).await.unwrap().shares.len(), 1);
    let refused = reader.record_share(share(round(1), miner(1), 2)).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    drop(node);
    assert_eq!(reader.round(round(1)).await.unwrap().unwrap().shares, 1);
}

/// A long read must not hold up shares, and sees one moment throughout.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_does_not_block_the_writer() {
    let (_folder, path) = folder();
    let store = open(&path);
    open_round(&store, 1).await;
    let (started, wait_for_start) = std::sync::mpsc::channel();
    let (finish, wait_for_end) = std::sync::mpsc::channel();
    let long = store.read(move |db| {
        let before = super::shares::of_round(db, &identity(), round(1))?;
        started.send(()).unwrap();
        wait_for_end.recv().unwrap();
        Ok((before, super::shares::of_round(db, &identity(), round(1))?))
    });
    let write = async {
        tokio::task::block_in_place(|| wait_for_start.recv().unwrap());
        let stored = store
            .record_share(share(round(1), miner(1), 1))
            .await
            .unwrap();
        assert_eq!(stored, Recorded::Stored);
        finish.send(()).unwrap();
    };
    let (read, ()) = tokio::join!(long, write);
    let (before, after) = read.unwrap();
    assert_eq!(before, after);
    assert_eq!(store.round_shares(round(1)).await.unwrap().shares.len(), 1);
}

#[tokio::test]
async fn dropping_makes_durable_what_nobody_waits_for_any_more() {
    let (_folder, path) = folder();
    let store = open(&path);
    open_round(&store, 1).await;
    for number in 0..50 {
        let mut call = Box::pin(store.record_share(share(round(1), miner(1), number)));
        // Polled once: the command is on its way. Then the caller hangs up.
        let _ = std::future::poll_fn(|context| {
            std::task::Poll::Ready(call.as_mut().poll(context).is_ready())
        })
        .await;
    }
    drop(store);
    assert_eq!(
        open(&path).round(round(1)).await.unwrap().unwrap().shares,
        50
    );
}

/// SQLite undoes the whole transaction when the disk is full; whoever fits must still get in.
#[tokio::test]
async fn a_full_disk_is_told_and_survived() {
    let (_folder, path) = folder();
    let store = open(&path);
    open_round(&store, 1).await;
    let pages = |limit: Option<u32>| {
        store.write(move |db| {
            let used: u32 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
            let limit = limit.map_or(1_000_000, |free| used + free);
            db.pragma_update_and_check(None, "max_page_count", limit, |_| Ok(()))?;
            Ok(())
        })
    };
    pages(Some(0)).await.unwrap();
    let big = || store.set_distribution(round(1), vec![7; 100_000]);
    // Together in one group: the one that fills the disk and two that fit into what there is.
    let (before, full, after) = tokio::join!(
        store.next_boot(),
        big(),
        store.close_round(round(1), mark(1))
    );
    assert_eq!(before.unwrap(), 1);
    assert!(matches!(full, Err(StoreError::DiskFull)), "{full:?}");
    let _ = after.unwrap();
    assert_eq!(store.distribution(round(1)).await.unwrap(), None);
    assert!(
        store
            .round(round(1))
            .await
            .unwrap()
            .unwrap()
            .state
            .closed()
            .is_some()
    );

    pages(None).await.unwrap();
    assert_eq!(big().await.unwrap(), SetOutcome::New);
    assert_eq!(store.next_boot().await.unwrap(), 2);
}

/// The file itself refuses what the store should never ask of it.
#[tokio::test]
async fn the_schema_holds_the_invariants() {
    let (_folder, path) = folder();
    let store = open(&path);
    open_round(&store, 1).await;
    let stored = store
        .record_share(share(round(1), miner(1), 1))
        .await
        .unwrap();
    assert_eq!(stored, Recorded::Stored);
    let _ = store.close_round(round(1), mark(1)).await.unwrap();
    let _ = store.set_first_round(round(1)).await.unwrap();
    let _ = store.set_settlement(round(1), vec![1]).await.unwrap();

    for broken in [
        "INSERT INTO shares SELECT NULL, claim, job, worker, zeroblob(32), extranonce, ntime, nonce, version_bits, 0, 0 FROM shares",
        "UPDATE shares SET hash = zeroblob(31)",
        "UPDATE shares SET nonce = 4294967296",
        "UPDATE shares SET nonce = -1",
        "UPDATE shares SET nonce = 'many'",
        "UPDATE shares SET claim = 99",
        "UPDATE rounds SET closed_tip_hash = NULL",
        "UPDATE rounds SET sealed_at = 1",
        "UPDATE rounds SET closed_at = NULL, closed_tip_hash = NULL, closed_tip_height = NULL, sealed_at = 1, seal_cid = x'01', \
         seal_root = zeroblob(32), seal_shares = 0, seal_work = zeroblob(16)",
        "UPDATE rounds SET sealed_at = 1, seal_cid = x'01', seal_root = zeroblob(32), seal_shares = 2, seal_work = zeroblob(16)",
        "UPDATE rounds SET round = -1",
        "DELETE FROM rounds",
        "INSERT INTO store VALUES (2, zeroblob(32), zeroblob(32), 0)",
        "UPDATE settlements SET body = x'00'",
        "DELETE FROM settlements",
        "INSERT OR REPLACE INTO settlements VALUES (1, x'00')",
        "INSERT INTO settlements VALUES (3, x'00')",
        "UPDATE history SET first_round = 0",
    ] {
        let result = store.write(move |db| Ok(db.execute_batch(broken)?)).await;
        assert!(
            matches!(result, Err(StoreError::Database(_))),
            "{broken}: {result:?}"
        );
    }
    assert_eq!(store.round_shares(round(1)).await.unwrap().shares.len(), 1);
    let settled = store.settlement(round(1)).await.unwrap();
    assert_eq!(settled, Some(vec![1]));
}

/// A round with more shares or claims than its bundle can hold could never be sealed: all its shares would be lost.
#[tokio::test]
async fn a_round_takes_no_more_than_can_be_sealed() {
    let (_folder, path) = folder();
    let store = open(&path);
    open_round(&store, 1).await;
    open_round(&store, 2).await;
    drop(store);
    by_hand(
        &path,
        &format!(
            "UPDATE rounds SET shares = {MAX_ROUND_SHARES} - 1 WHERE round = 1;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_ROUND_CLAIMS} - 1)
             INSERT INTO claims (round, miner, difficulty, extension)
             SELECT 2, CAST(printf('%032d', i) AS BLOB), 0, x'' FROM n"
        ),
    );
    let store = open(&path);
    let last = store
        .record_share(share(round(1), miner(1), 1))
        .await
        .unwrap();
    assert_eq!(last, Recorded::Stored);
    let surplus = store
        .record_share(share(round(1), miner(1), 2))
        .await
        .unwrap();
    assert_eq!(surplus, Recorded::RoundFull);
    let record = store.round(round(1)).await.unwrap().unwrap();
    assert_eq!(record.shares, MAX_ROUND_SHARES, "nothing of it is kept");

    let record = async |number, extranonce1| {
        let share = share(round(2), miner(number), extranonce1);
        store.record_share(share).await.unwrap()
    };
    assert_eq!(record(1, 3).await, Recorded::Stored);
    assert_eq!(
        record(2, 4).await,
        Recorded::RoundFull,
        "one claim too many"
    );
    assert_eq!(
        record(1, 5).await,
        Recorded::Stored,
        "a known claim has room"
    );
}

/// Rows that were changed by hand are noticed, not paid.
#[tokio::test]
async fn damage_is_noticed() {
    for damage in [
        "DELETE FROM shares",
        "UPDATE rounds SET shares = 9223372036854775807",
        "UPDATE claims SET difficulty = 486604800",
        "UPDATE job_templates SET body = x'a0'",
        "UPDATE job_templates SET hash = zeroblob(32)",
    ] {
        let (_folder, path) = folder();
        let store = open(&path);
        open_round(&store, 1).await;
        let stored = store
            .record_share(share(round(1), miner(1), 1))
            .await
            .unwrap();
        assert_eq!(stored, Recorded::Stored);
        drop(store);
        by_hand(&path, damage);
        let found = open(&path).round_shares(round(1)).await;
        assert!(
            matches!(found, Err(StoreError::Corrupt(_))),
            "{damage}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_time_beyond_the_format_is_refused() {
    let (_folder, path) = folder();
    let store = open(&path);
    open_round(&store, 1).await;
    let mut share = share(round(1), miner(1), 1);
    share.at = work::UnixTime(u64::MAX);
    let refused = store.record_share(share).await;
    assert!(matches!(refused, Err(StoreError::Range(_))), "{refused:?}");
    assert_eq!(store.worker_stats(START, 10).await.unwrap(), []);
}

/// A lock ends with its process, however it ends.
#[test]
fn a_lock_file_left_behind_does_not_bind() {
    let (_folder, path) = folder();
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    fs::write(&lock, format!("{}\n", gone.id())).unwrap();
    drop(open(&path));
    assert_eq!(
        fs::read_to_string(&lock).unwrap(),
        format!("{}\n", std::process::id())
    );
}
