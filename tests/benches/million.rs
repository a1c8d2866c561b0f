//! A round of a million shares between real nodes: sealed by one, fetched over HTTP and audited by two others, one of them by
//! sample.
//!
//! A signet of our own, because on regtest every share is a block. Each share really meets its claim's target, which is the easiest
//! there is: what a share costs does not depend on how hard it was to find. Prints a table for BENCHMARKS.md.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::{BitcoinNode, PrivateChain};
use orcapool_tests::{PoolOptions, TestNode, TestPool, address};
use pow::ShareDifficulty;
use serde_json::{Value, json};
use store::{Identity, Mark, NewShare, OpenOutcome, Recorded, ShareStore, SqliteStore, Tip};
use work::{
    BlockTemplate, Claim, CreditedShare, DuplicateFilter, Extranonce, Extranonce1, Freshness, Job,
    JobTemplate, PayoutScript, PoolTag, RoundNumber, ShareContext, ShareFields, TaskId, UnixTime,
    Verdict, VersionMask, check_share,
};

const SHARES: usize = 1_000_000;
/// Each with one session and one claim.
const MINERS: usize = 1_000;
/// Shares that wait for one commit.
const AT_ONCE: usize = 4_096;
/// No audit may take longer: the sidecar gives up after 300 s.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    // `cargo test --benches` calls benches too, with this flag where it only wants their names.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let options = PoolOptions {
        chain: PrivateChain::PrivateSignet,
        nodes: 3,
        // The others have not seen when this round began.
        settings: vec!["audit.clock_tolerance_seconds=86400".to_owned()],
        ..PoolOptions::default()
    };
    let mut pool = TestPool::start(&options).await.unwrap();
    let task = pool.task;
    let round = RoundNumber::ZERO;
    let bitcoin = pool.bitcoin().unwrap();
    let info = bitcoin.chain_info().await.unwrap();
    let template = bitcoin.block_template().await.unwrap().template;

    pool.nodes[0].stop().await.unwrap();
    let now = UnixTime(u64::from(template.cur_time()));
    let mark = Mark {
        at: now,
        tip: Tip {
            hash: info.tip,
            height: info.height,
        },
    };
    let data = pool.nodes[0].dir.join("data");
    let filled = fill(&data, task, &pool.nodes[0], round, mark, &template).await;
    let store_bytes = std::fs::metadata(data.join("orcapool.sqlite"))
        .unwrap()
        .len();
    row(
        "credit and store, in one process",
        filled,
        store_bytes,
        None,
    );

    pool.nodes[0].start(&options.settings).await.unwrap();
    // Another one would be in the way of the sample's measure.
    let mut sampled = options.settings.clone();
    sampled.push("audit.max_bundle_bytes=1".to_owned());
    pool.nodes[2].stop().await.unwrap();
    pool.nodes[2].start(&sampled).await.unwrap();

    let start = Instant::now();
    let submission = pool.nodes[0].orca.submission(task, round).await.unwrap();
    assert_eq!(submission["shares"], json!(SHARES));
    let sealing = start.elapsed();
    let cid = submission["cid"].as_str().unwrap().to_owned();

    let client = reqwest::Client::new();
    let start = Instant::now();
    let url = format!("http://{}/ipfs/{cid}?format=car", pool.nodes[0].http);
    let car = client.get(url).send().await.unwrap().bytes().await.unwrap();
    let serving = start.elapsed();
    row("seal", sealing, car.len() as u64, memory(&pool.nodes[0]));
    row(
        "serve as one CAR",
        serving,
        car.len() as u64,
        memory(&pool.nodes[0]),
    );
    drop(car);

    for (what, node, seed) in [
        ("fetch and audit whole", 1, None),
        ("fetch and audit by sample", 2, Some("5a".repeat(32))),
    ] {
        let node = &pool.nodes[node];
        let start = Instant::now();
        let body = json!({"submission": submission, "seed": seed});
        let answer = client
            .post(format!("http://{}/audit", node.http))
            .json(&body)
            .timeout(PATIENCE)
            .send()
            .await
            .unwrap();
        let verdict: Value = answer.json().await.unwrap();
        let took = start.elapsed();
        assert_eq!(verdict, json!(true), "{}", node.last_words());
        row(
            what,
            took,
            bytes_in(&node.dir.join("data/blocks")),
            memory(node),
        );
    }
    // Again, with every block on its own disk: what is left is checking.
    let node = &pool.nodes[1];
    let start = Instant::now();
    assert!(node.orca.audit(&submission).await.unwrap());
    row(
        "audit whole again, nothing to fetch",
        start.elapsed(),
        0,
        memory(node),
    );
    // A list is made of rounds that are over.
    node.orca.task(round.next()).await.unwrap();
    let start = Instant::now();
    let list = node
        .orca
        .distribution(round, 1_000_000, std::slice::from_ref(&submission))
        .await
        .unwrap();
    row(
        "distribute",
        start.elapsed(),
        list.len() as u64,
        memory(node),
    );
}

/// Makes a million shares and stores them as a node does.
async fn fill(
    data: &Path,
    task: TaskId,
    node: &TestNode,
    round: RoundNumber,
    mark: Mark,
    template: &BlockTemplate,
) -> Duration {
    let identity = Identity {
        task,
        node: node.orca.key,
    };
    let store: Arc<dyn ShareStore> =
        Arc::new(SqliteStore::open(&data.join("orcapool.sqlite"), identity).unwrap());
    let opened = store.open_round(round, mark).await.unwrap();
    assert_eq!(opened, OpenOutcome::Opened);
    let config: toml::Table =
        toml::from_str(&std::fs::read_to_string(node.config()).unwrap()).unwrap();
    let script = config["payout"]["script"].as_str().unwrap();
    let payout = PayoutScript::parse(script, PrivateChain::PrivateSignet.network()).unwrap();
    let tag = PoolTag::new(*b"/orcapool/").unwrap();
    let template = Arc::new(JobTemplate::new(template, &payout, tag));

    let start = Instant::now();
    let mut seen = DuplicateFilter::new(usize::MAX);
    let mut waiting = Vec::with_capacity(AT_ONCE);
    for miner in 0..MINERS {
        let claim = Claim {
            task,
            round,
            node: node.orca.key,
            miner: address(&format!("miner-{miner}")),
            difficulty: ShareDifficulty::MIN,
            extension: Vec::new(),
        };
        let job = Arc::new(Job::new(Arc::clone(&template), claim).unwrap());
        let mut nonce = 0_u32;
        for _ in 0..SHARES / MINERS {
            let share = next(&job, miner as u32, mark.at, &mut nonce, &mut seen);
            waiting.push(NewShare {
                share,
                worker: "rig".to_owned(),
                at: mark.at,
            });
            if waiting.len() == AT_ONCE {
                record(&store, &mut waiting).await;
            }
        }
    }
    record(&store, &mut waiting).await;
    start.elapsed()
}

/// The session's next share.
fn next(
    job: &Arc<Job>,
    session: u32,
    now: UnixTime,
    nonce: &mut u32,
    seen: &mut DuplicateFilter,
) -> CreditedShare {
    let context = ShareContext {
        job,
        freshness: Freshness::Current,
        version_mask: VersionMask::BIP320,
        now,
    };
    loop {
        *nonce += 1;
        let fields = ShareFields {
            extranonce: Extranonce::join(
                Extranonce1::from_u32(session),
                u64::from(*nonce / 16).to_be_bytes(),
            ),
            // Miners roll the time a little.
            ntime: now.0 as u32 + *nonce % 4,
            // As scattered as those of real searches: packing must not profit from their order.
            nonce: nonce.wrapping_mul(0x9e37_79b9),
            version_bits: Some((*nonce & 0xffff) << 13),
        };
        if let Verdict::Credited(share) = check_share(&context, &fields, seen).verdict {
            return share;
        }
    }
}

async fn record(store: &Arc<dyn ShareStore>, shares: &mut Vec<NewShare>) {
    let writes = shares.drain(..).map(|share| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.record_share(share).await })
    });
    // Spawned all at once, before the first is waited for: one commit carries them.
    let writes: Vec<_> = writes.collect();
    for write in writes {
        assert_eq!(write.await.unwrap().unwrap(), Recorded::Stored);
    }
}

fn row(what: &str, took: Duration, bytes: u64, memory: Option<u64>) {
    let per_second = SHARES as f64 / took.as_secs_f64();
    let memory = memory.map_or_else(String::new, |kib| format!("{} MiB", kib >> 10));
    println!(
        "| {what} | {:.2} s, {per_second:.0} shares/s | {:.1} MB, {:.1} bytes a share | {memory} |",
        took.as_secs_f64(),
        bytes as f64 / 1e6,
        bytes as f64 / SHARES as f64,
    );
}

/// The most memory a node's process ever had, in KiB.
fn memory(node: &TestNode) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.id()?)).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn bytes_in(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
