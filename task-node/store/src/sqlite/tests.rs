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
use crate::conformance::fixture::{START, cid, identity, mark, miner, round, share, stored};
use crate::{
    Accepted, AuditRecord, BlockRecord, BlockStatus, Identity, OpenOutcome, Recorded, RoundState,
    Seal, SetOutcome, ShareStore, StoreError,
};

/// A file that a node with format version 1 left behind: a sealed, a closed and an open round.
const VERSION_1: &str = include_str!("../../tests/fixtures/version-1.sql");

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

#[test]
fn a_newer_file_is_left_alone() {
    let (_folder, path) = folder();
    drop(open(&path));
    let newer = super::file::latest() + 1;
    by_hand(&path, &format!("PRAGMA user_version = {newer}"));
    let before = fs::read(&path).unwrap();
    for error in [
        only_error(SqliteStore::open(&path, identity())),
        only_error(SqliteStore::open_read_only(&path)),
    ] {
        assert!(
            matches!(error, StoreError::TooNew { found, .. } if found == newer),
            "{error}"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_version_1_is_read() {
    let (_folder, path) = folder();
    by_hand(&path, VERSION_1);
    let store = open(&path);

    let rounds = store.rounds(10).await.unwrap();
    let [newest, closed, sealed] = &rounds[..] else {
        panic!("{rounds:?}")
    };
    assert_eq!(newest.state, RoundState::Open);
    assert_eq!(closed.state, RoundState::Closed(mark(2)));
    assert_eq!(sealed.state.seal().unwrap().shares, 2);
    assert_eq!(sealed.state.seal().unwrap().at, START.plus(90));
    for record in &rounds {
        let shares = store.round_shares(record.round).await.unwrap().shares;
        assert_eq!(shares.len() as u64, record.shares);
    }
    // Fixtures are mined alike every time: the shares of the file are these.
    let known = share(sealed.round, miner(1), 1);
    let found = store.round_shares(sealed.round).await.unwrap();
    assert!(found.shares.contains(&stored(&known)));
    assert_eq!(
        store.record_share(known).await.unwrap(),
        Recorded::Duplicate
    );

    assert_eq!(store.worker_stats(START, 10).await.unwrap().len(), 2);
    let [block] = &store.blocks(10).await.unwrap()[..] else {
        panic!("one block")
    };
    assert_eq!(block.status, BlockStatus::Rejected("high-hash".to_owned()));
    assert_eq!(store.audits(sealed.round).await.unwrap().len(), 1);
    assert_eq!(
        store.accepted(sealed.round).await.unwrap().unwrap().len(),
        1
    );
    let distribution = store.distribution(sealed.round).await.unwrap();
    assert_eq!(distribution, Some(b"{}".to_vec()));
    assert_eq!(store.next_boot().await.unwrap(), 4);

    // And it is written to as before.
    let next = share(newest.round, miner(1), 100);
    assert_eq!(store.record_share(next).await.unwrap(), Recorded::Stored);
}

/// Writes the fixture of the current format version; run it once when a version is released, and keep the file for ever.
#[tokio::test]
#[ignore = "writes tests/fixtures"]
async fn write_the_fixture_of_this_version() {
    let (_folder, path) = folder();
    let store = open(&path);
    for _ in 0..3 {
        store.next_boot().await.unwrap();
    }
    for (number, shares) in [(0, 2), (1, 1), (3, 1)] {
        open_round(&store, number).await;
        for extranonce1 in 0..shares {
            let mut share = share(round(number), miner(1), extranonce1 + number as u32 * 10);
            if extranonce1 == 0 {
                share.worker.clear();
            }
            let stored = store.record_share(share).await.unwrap();
            assert_eq!(stored, Recorded::Stored);
        }
    }
    for number in [0, 1] {
        let _ = store.close_round(round(number), mark(2)).await.unwrap();
    }
    let seal = Seal {
        cid: cid(1),
        root: [5; 32],
        shares: 2,
        work: store.round(round(0)).await.unwrap().unwrap().work,
        at: START.plus(90),
    };
    let _ = store.seal_round(round(0), seal).await.unwrap();
    let block = BlockRecord {
        hash: share(round(0), miner(1), 1).share.hash(),
        height: 1,
        round: round(0),
        miner: miner(1),
        worker: "rig".to_owned(),
        value: bitcoin::Amount::from_sat(5_000_000_000),
        at: START,
        status: BlockStatus::Rejected("high-hash".to_owned()),
    };
    let _ = store.record_block(block).await.unwrap();
    let audit = AuditRecord {
        round: round(0),
        node: miner(8),
        cid: cid(2),
        valid: false,
        reason: Some("unavailable".to_owned()),
        at: START,
    };
    store.record_audit(audit).await.unwrap();
    let accepted = Accepted {
        node: miner(8),
        cid: cid(2),
    };
    let _ = store.set_accepted(round(0), vec![accepted]).await.unwrap();
    let _ = store
        .set_distribution(round(0), b"{}".to_vec())
        .await
        .unwrap();
    drop(store);

    let version = super::file::latest();
    let target = format!(
        "{}/tests/fixtures/version-{version}.sql",
        env!("CARGO_MANIFEST_DIR")
    );
    fs::write(target, dump(&Connection::open(&path).unwrap())).unwrap();
}

/// The file as SQL: tables, rows, then indexes and triggers, which would refuse the rows of closed rounds.
fn dump(db: &Connection) -> String {
    let texts = |sql: &str| -> Vec<String> {
        db.prepare(sql)
            .unwrap()
            .query_map((), |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let mut out = vec![
        "PRAGMA application_id = 1330791233".to_owned(),
        format!("PRAGMA user_version = {}", super::file::latest()),
    ];
    out.extend(texts(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL ORDER BY rowid",
    ));
    for table in texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid") {
        let columns = texts(&format!(
            "SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"
        ));
        let columns = columns.join(" || ', ' || ");
        out.extend(texts(&format!(
            "SELECT 'INSERT INTO {table} VALUES (' || {columns} || ')' FROM {table}"
        )));
    }
    out.extend(texts(
        "SELECT sql FROM sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL ORDER BY rowid",
    ));
    out.push(String::new());
    out.join(";\n")
}

/// A migration that was released is never edited: files made by it would differ from those made anew.
#[test]
fn version_1_is_what_it_was() {
    let (_folder, path) = folder();
    let schema = |db: &Connection| -> Vec<String> {
        db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
            .unwrap()
            .query_map((), |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    by_hand(&path, VERSION_1);
    let kept = schema(&Connection::open(&path).unwrap());
    let anew = Connection::open_in_memory().unwrap();
    anew.execute_batch(super::file::MIGRATIONS[0]).unwrap();
    assert_eq!(kept, schema(&anew));
}

#[test]
fn migrations_are_whole_or_absent() {
    let db = Connection::open_in_memory().unwrap();
    let steps = [
        "CREATE TABLE one (a INTEGER) STRICT; INSERT INTO one VALUES (7);",
        "ALTER TABLE one ADD COLUMN b INTEGER; UPDATE one SET b = a + 1;",
        "CREATE TABLE three (a INTEGER) STRICT; SELECT nonsense;",
    ];
    let version = |db: &Connection| -> u32 {
        db.pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    };
    super::file::migrate(&db, 0, &steps[..1]).unwrap();
    assert_eq!(version(&db), 1);
    super::file::migrate(&db, 1, &steps).unwrap_err();
    assert_eq!(version(&db), 2, "the step that worked stays");
    let b: u32 = db
        .query_row("SELECT b FROM one", (), |row| row.get(0))
        .unwrap();
    assert_eq!(b, 8);
    assert!(
        db.prepare("SELECT * FROM three").is_err(),
        "the step that failed left nothing"
    );
    assert!(db.is_autocommit());
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
    ] {
        let result = store.write(move |db| Ok(db.execute_batch(broken)?)).await;
        assert!(
            matches!(result, Err(StoreError::Database(_))),
            "{broken}: {result:?}"
        );
    }
    assert_eq!(store.round_shares(round(1)).await.unwrap().shares.len(), 1);
}

/// Rows that were changed by hand are noticed, not paid.
#[tokio::test]
async fn damage_is_noticed() {
    for damage in [
        "DELETE FROM shares",
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
