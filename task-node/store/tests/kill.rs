//! kill -9 under load: what was acknowledged is there afterwards, and nothing is half there.
//!
//! The test starts itself as a child that writes shares from many tasks, moves through rounds, and prints each
//! acknowledgement. It is killed at a random moment, the file is opened and compared with what was printed, and the next
//! child goes on with the same file.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bitcoin::BlockHash;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use store::conformance::fixture;
use store::{CloseOutcome, NewShare, OpenOutcome, Recorded, ShareStore, SqliteStore};
use work::{Job, RoundNumber};

/// Where the child finds its store.
const STORE: &str = "ORCAPOOL_TEST_STORE";
const KILLS: usize = 12;
const SUBMITTERS: u32 = 32;
/// A round is closed after this many shares, so that kills also hit openings and closings.
const SHARES_PER_ROUND: u64 = 64;

/// What a child said before it died.
#[derive(Default)]
struct Told {
    boots: Vec<u32>,
    shares: Vec<(RoundNumber, BlockHash)>,
    closed: Vec<RoundNumber>,
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.sqlite");
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
    let mut last_boot = 0;
    let mut acknowledged: BTreeMap<RoundNumber, BTreeSet<BlockHash>> = BTreeMap::new();
    let mut finished: BTreeMap<RoundNumber, usize> = BTreeMap::new();

    for _ in 0..KILLS {
        let delay = Duration::from_millis(u64::from(random.next_u32() % 150));
        let told = run_and_kill(&path, delay);
        assert!(!told.shares.is_empty(), "the child was killed under load");
        for boot in told.boots {
            assert!(boot > last_boot, "boot {boot} after {last_boot}");
            last_boot = boot;
        }
        for (round, hash) in told.shares {
            let new = acknowledged.entry(round).or_default().insert(hash);
            assert!(new, "{hash} was acknowledged twice");
        }
        for round in told.closed {
            finished.entry(round).or_insert(usize::MAX);
        }
        check(&path, &acknowledged, &mut finished);
    }
}

/// Starts a child, lets it work for `delay` after its first acknowledgement, kills it, and answers all it said.
fn run_and_kill(path: &Path, delay: Duration) -> Told {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "the_child", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let (first, wait_for_first) = std::sync::mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    let listener = std::thread::spawn(move || {
        let mut told = Told::default();
        for line in out.lines() {
            let line = line.unwrap();
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["boot", boot, "."] => told.boots.push(boot.parse().unwrap()),
                ["closed", round, "."] => told.closed.push(round.parse().unwrap()),
                ["share", round, hash, "."] => {
                    told.shares
                        .push((round.parse().unwrap(), hash.parse().unwrap()));
                    let _ = first.send(());
                }
                // The test harness's own lines, and the one the kill cut off.
                _ => {}
            }
        }
        told
    });
    let working = wait_for_first.recv_timeout(Duration::from_secs(120));
    std::thread::sleep(delay);
    // SIGKILL on Unix.
    child.kill().unwrap();
    child.wait().unwrap();
    working.unwrap();
    listener.join().unwrap()
}

fn check(
    path: &Path,
    acknowledged: &BTreeMap<RoundNumber, BTreeSet<BlockHash>>,
    finished: &mut BTreeMap<RoundNumber, usize>,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = SqliteStore::open(path, fixture::identity()).unwrap();
    let rounds = runtime.block_on(store.rounds(u32::MAX)).unwrap();
    let mut stored_work = Vec::new();
    for record in &rounds {
        // Fails by itself if the round's counter and its shares disagree.
        let shares = runtime
            .block_on(store.round_shares(record.round))
            .unwrap()
            .shares;
        let hashes: BTreeSet<_> = shares.iter().map(|share| share.hash).collect();
        assert_eq!(hashes.len(), shares.len());
        if let Some(acknowledged) = acknowledged.get(&record.round) {
            let lost: Vec<_> = acknowledged.difference(&hashes).collect();
            assert!(lost.is_empty(), "round {}: lost {lost:?}", record.round);
        }
        let work: u128 = shares
            .iter()
            .map(|share| share.claim.difficulty.work().to_hashes())
            .sum();
        assert_eq!(record.work.to_hashes(), work);
        stored_work.push(work);
        if record.state.closed().is_some() {
            let count = finished.entry(record.round).or_insert(usize::MAX);
            assert!(*count == usize::MAX || *count == shares.len());
            *count = shares.len();
        } else {
            assert!(
                !finished.contains_key(&record.round),
                "a closed round is open again"
            );
        }
    }
    for round in acknowledged.keys().chain(finished.keys()) {
        assert!(rounds.iter().any(|record| record.round == *round));
    }
    let stats = runtime
        .block_on(store.worker_stats(fixture::START, u32::MAX))
        .unwrap();
    let counted: u128 = stats.iter().map(|worker| worker.work.to_hashes()).sum();
    assert_eq!(counted, stored_work.iter().sum::<u128>());
    drop(store);

    let db = rusqlite::Connection::open(path).unwrap();
    let integrity: String = db
        .query_row("PRAGMA integrity_check", (), |row| row.get(0))
        .unwrap();
    assert_eq!(integrity, "ok");
    assert!(
        !db.prepare("PRAGMA foreign_key_check")
            .unwrap()
            .exists(())
            .unwrap()
    );
}

#[test]
#[ignore = "the child of what_was_acknowledged_survives_sigkill"]
fn the_child() {
    let path = std::env::var_os(STORE).unwrap();
    let store = SqliteStore::open(Path::new(&path), fixture::identity()).unwrap();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(write_until_killed(Arc::new(store)));
}

/// One whole line in one write, so that a kill cuts off at most the last.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line} .\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn write_until_killed(store: Arc<dyn ShareStore>) {
    let boot = store.next_boot().await.unwrap();
    say(&format!("boot {boot}"));
    let first = match store.latest_round().await.unwrap() {
        Some(record) if record.state.closed().is_none() => record.round,
        Some(record) => record.round.next(),
        None => RoundNumber::ZERO,
    };
    let opened = store.open_round(first, fixture::mark(0)).await.unwrap();
    assert!(matches!(
        opened,
        OpenOutcome::Opened | OpenOutcome::AlreadyOpen
    ));
    let current = Arc::new(AtomicU64::new(first.get()));
    let stored = Arc::new(AtomicU64::new(0));

    let mut tasks = tokio::task::JoinSet::new();
    for submitter in 0..SUBMITTERS {
        let (store, current, stored) = (
            Arc::clone(&store),
            Arc::clone(&current),
            Arc::clone(&stored),
        );
        tasks.spawn(submit(store, current, stored, boot, submitter));
    }
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if stored.load(Ordering::Relaxed) < SHARES_PER_ROUND {
                continue;
            }
            stored.store(0, Ordering::Relaxed);
            let old = fixture::round(current.load(Ordering::Relaxed));
            let new = old.next();
            let opened = store.open_round(new, fixture::mark(0)).await.unwrap();
            assert_eq!(opened, OpenOutcome::Opened);
            current.store(new.get(), Ordering::Relaxed);
            let closed = store.close_round(old, fixture::mark(1)).await.unwrap();
            assert_eq!(closed, CloseOutcome::Closed);
            say(&format!("closed {old}"));
        }
    });
    // Only a failed assertion ends a task; the rest is up to the parent.
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

async fn submit(
    store: Arc<dyn ShareStore>,
    current: Arc<AtomicU64>,
    stored: Arc<AtomicU64>,
    boot: u32,
    submitter: u32,
) {
    let template = fixture::job_template(1);
    // Boot and submitter in the high bits: no two children or tasks try the same search space.
    for number in 0..1 << 12 {
        let extranonce1 = boot << 20 | submitter << 12 | number;
        let round = fixture::round(current.load(Ordering::Relaxed));
        let claim = fixture::claim(round, fixture::miner(submitter as u8));
        let job = Arc::new(Job::new(Arc::clone(&template), claim).unwrap());
        let share = fixture::mine(&job, extranonce1);
        let hash = share.hash();
        let new = NewShare {
            share,
            worker: format!("rig{submitter}"),
            at: fixture::START,
        };
        match store.record_share(new).await.unwrap() {
            Recorded::Stored => {
                say(&format!("share {round} {hash}"));
                stored.fetch_add(1, Ordering::Relaxed);
            }
            Recorded::RoundClosed => {}
            Recorded::RoundFull => panic!("a few thousand shares fill no round"),
            Recorded::Duplicate => panic!("two boots used the same search space"),
        }
    }
}
