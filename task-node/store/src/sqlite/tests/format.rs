//! Format versions: older files are read, newer ones left alone, and a released version never changes.

use std::fs;

use rusqlite::Connection;

use super::super::file;
use super::{by_hand, folder, only_error, open, open_round};
use crate::conformance::fixture::{START, cid, identity, mark, miner, round, share, stored};
use crate::{
    Accepted, AuditRecord, BlockRecord, BlockStatus, Recorded, RoundState, Seal, ShareStore,
    SqliteStore, StoreError,
};

/// Files that nodes left behind, by format version: a sealed, a closed and an open round; from version 2 on with settlements.
const VERSIONS: [&str; 2] = [
    include_str!("../../../tests/fixtures/version-1.sql"),
    include_str!("../../../tests/fixtures/version-2.sql"),
];

#[test]
fn a_newer_file_is_left_alone() {
    let (_folder, path) = folder();
    drop(open(&path));
    let newer = file::latest() + 1;
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
async fn a_file_of_version_1_is_upgraded_and_settles_rounds() {
    let (_folder, path) = folder();
    by_hand(&path, VERSIONS[0]);
    let too_old = only_error(SqliteStore::open_read_only(&path));
    assert!(
        matches!(too_old, StoreError::TooOld { found: 1, .. }),
        "{too_old}"
    );
    let store = open(&path);
    what_every_version_holds(&store).await;

    assert_eq!(store.first_round().await.unwrap(), None);
    assert_eq!(store.newest_settled().await.unwrap(), None);
    let _ = store.set_first_round(round(0)).await.unwrap();
    let _ = store.set_settlement(round(0), vec![1]).await.unwrap();
    drop(store);
    let store = open(&path);
    assert_eq!(store.settlement(round(0)).await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn a_file_of_version_2_is_read() {
    let (_folder, path) = folder();
    by_hand(&path, VERSIONS[1]);
    let store = open(&path);
    what_every_version_holds(&store).await;

    assert_eq!(store.first_round().await.unwrap(), Some(round(0)));
    assert_eq!(store.newest_settled().await.unwrap(), Some(round(1)));
    let settled = store.settlement(round(0)).await.unwrap();
    assert_eq!(settled, Some(b"settled 0".to_vec()));
    let _ = store.set_settlement(round(2), vec![1]).await.unwrap();
}

async fn what_every_version_holds(store: &SqliteStore) {
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
    let _ = store.set_first_round(round(0)).await.unwrap();
    for number in [0, 1] {
        let body = format!("settled {number}").into_bytes();
        let _ = store.set_settlement(round(number), body).await.unwrap();
    }
    drop(store);

    let version = file::latest();
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
        format!("PRAGMA user_version = {}", file::latest()),
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
fn released_versions_are_what_they_were() {
    let schema = |db: &Connection| -> Vec<String> {
        db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
            .unwrap()
            .query_map((), |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    assert_eq!(
        VERSIONS.len(),
        file::MIGRATIONS.len(),
        "a version without a fixture"
    );
    for (steps, kept) in (1..).zip(VERSIONS) {
        let (_folder, path) = folder();
        by_hand(&path, kept);
        let kept = schema(&Connection::open(&path).unwrap());
        let anew = Connection::open_in_memory().unwrap();
        for step in &file::MIGRATIONS[..steps] {
            anew.execute_batch(step).unwrap();
        }
        assert_eq!(kept, schema(&anew), "version {steps}");
    }
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
    file::migrate(&db, 0, &steps[..1]).unwrap();
    assert_eq!(version(&db), 1);
    file::migrate(&db, 1, &steps).unwrap_err();
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
