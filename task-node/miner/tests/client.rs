//! The miner against a pool that follows a script, over an in-memory connection and over TCP. The pool's side is written
//! from the protocol alone and recomputes every share.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use miner::{EngineSettings, Miner, MinerSettings, SessionEnd, SessionError, StatsHandle};
use pow::{Algorithm, Sha256d, ShareDifficulty, Target};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, Lines,
    ReadHalf, WriteHalf,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const NTIME: u32 = 1_900_000_000;

/// The pool's end of a connection.
struct Pool<S> {
    lines: Lines<BufReader<ReadHalf<S>>>,
    writer: WriteHalf<S>,
    extranonce1: &'static str,
    jobs: HashMap<String, (Value, Target)>,
}

impl<S: AsyncRead + AsyncWrite> Pool<S> {
    fn new(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            lines: BufReader::new(reader).lines(),
            writer,
            extranonce1: "0a0b0c0d",
            jobs: HashMap::new(),
        }
    }

    async fn say(&mut self, message: Value) {
        self.writer
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn answer(&mut self, request: &Value, result: Value) {
        self.say(json!({"id": request["id"], "result": result, "error": null}))
            .await;
    }

    async fn expect(&mut self, method: &str) -> Value {
        let request = self.hear().await;
        assert_eq!(request["method"], method, "{request}");
        request
    }

    async fn handshake(&mut self) {
        let request = self.expect("mining.configure").await;
        self.answer(
            &request,
            json!({"version-rolling": true, "version-rolling.mask": "1fffe000"}),
        )
        .await;
        let request = self.expect("mining.subscribe").await;
        self.answer(
            &request,
            json!([[["mining.notify", "s"]], self.extranonce1, 8]),
        )
        .await;
        let request = self.expect("mining.suggest_difficulty").await;
        self.answer(&request, json!(true)).await;
        let request = self.expect("mining.authorize").await;
        assert_eq!(request["params"], json!(["miner.one", "x"]));
        self.answer(&request, json!(true)).await;
        let request = self.expect("mining.extranonce.subscribe").await;
        self.answer(&request, json!(true)).await;
    }

    async fn set_difficulty(&mut self, difficulty: ShareDifficulty) {
        self.say(json!({"id": null, "method": "mining.set_difficulty", "params": [difficulty.announced()]}))
            .await;
    }

    async fn notify(&mut self, id: &str, target: Target, clean: bool) {
        let params = json!([
            id,
            "11".repeat(32),
            "0200000001",
            "ffffffff",
            ["22".repeat(32), "33".repeat(32)],
            "20000000",
            "1d00ffff",
            format!("{NTIME:08x}"),
            clean
        ]);
        self.jobs.insert(id.to_owned(), (params.clone(), target));
        self.say(json!({"id": null, "method": "mining.notify", "params": params}))
            .await;
    }

    /// The next share: its job, and the hash it really has.
    async fn share(&mut self) -> (Value, String, [u8; 32]) {
        let request = self.expect("mining.submit").await;
        let params = request["params"].as_array().unwrap();
        assert_eq!(params.len(), 6);
        assert_eq!(params[0], "miner.one");
        let id = params[1].as_str().unwrap().to_owned();
        let (job, _) = &self.jobs[&id];
        let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
        let word = |value: &Value| u32::from_str_radix(value.as_str().unwrap(), 16).unwrap();
        assert_eq!(params[2].as_str().unwrap().len(), 16);
        let coinbase = [
            bytes(&job[2]),
            hex::decode(self.extranonce1).unwrap(),
            bytes(&params[2]),
            bytes(&job[3]),
        ]
        .concat();
        let mut root = Sha256d::hash(&coinbase);
        for sibling in job[4].as_array().unwrap() {
            root = Sha256d::hash(&[&root[..], &bytes(sibling)].concat());
        }
        let bits = word(&params[5]);
        assert_eq!(bits & !0x1fff_e000, 0);
        let version = (word(&job[5]) & !0x1fff_e000) | bits;
        let mut header = version.to_le_bytes().to_vec();
        for chunk in bytes(&job[1]).chunks(4) {
            header.extend(chunk.iter().rev());
        }
        header.extend(root);
        header.extend(word(&params[3]).to_le_bytes());
        header.extend(word(&job[6]).to_le_bytes());
        header.extend(word(&params[4]).to_le_bytes());
        (request, id, Sha256d::hash(&header))
    }

    /// The next share, which must meet the target its job came with; accepted.
    async fn good_share(&mut self) -> (String, [u8; 32]) {
        let (request, id, hash) = self.share().await;
        assert!(self.jobs[&id].1.is_met_by_le(&hash));
        self.answer(&request, json!(true)).await;
        (id, hash)
    }
}

fn settings(pool: &str) -> MinerSettings {
    MinerSettings {
        pool: pool.parse().unwrap(),
        user: "miner.one".to_owned(),
        password: "x".to_owned(),
        suggest_difficulty: Some(0.001),
        engine: EngineSettings {
            threads: NonZeroUsize::new(2).unwrap(),
            ..EngineSettings::default()
        },
    }
}

struct Running {
    pool: Pool<DuplexStream>,
    stats: StatsHandle,
    cancel: CancellationToken,
    end: tokio::task::JoinHandle<SessionEnd>,
}

/// A miner on one in-memory connection; `room` bytes fit into each direction.
fn start(room: usize) -> Running {
    let (near, far) = tokio::io::duplex(room);
    let mut miner = Miner::new(settings("stratum+tcp://pool.example:3333")).unwrap();
    let stats = miner.stats();
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let end = tokio::spawn(async move { miner.serve(near, &token).await });
    Running {
        pool: Pool::new(far),
        stats,
        cancel,
        end,
    }
}

/// About one hash in 4,096.
fn easy() -> ShareDifficulty {
    ShareDifficulty::at_most(1.0 / f64::from(1 << 20)).unwrap()
}

#[tokio::test]
async fn finds_shares_that_the_pool_can_check() {
    let mut running = start(64 * 1024);
    let pool = &mut running.pool;
    pool.handshake().await;
    pool.set_difficulty(easy()).await;
    pool.notify("one", easy().target(), true).await;
    let mut hashes = HashSet::new();
    for _ in 0..50 {
        assert!(hashes.insert(pool.good_share().await.1), "a duplicate");
    }
    // One refused, for each reason once.
    for code in [20, 21, 22, 23, 24, 25] {
        let (request, ..) = pool.share().await;
        pool.say(json!({"id": request["id"], "result": null, "error": [code, "no", null]}))
            .await;
    }
    running.cancel.cancel();
    // The answers to what is still under way are waited for.
    let answering = async {
        while let Ok(Some(line)) = pool.lines.next_line().await {
            let request: Value = serde_json::from_str(&line).unwrap();
            pool.answer(&request, json!(true)).await;
        }
    };
    let (end, ()) = tokio::join!(running.end, answering);
    assert_eq!(end.unwrap(), SessionEnd::Stopped);
    let stats = running.stats.snapshot();
    assert_eq!(stats.rejected.total(), 6);
    assert_eq!(
        (
            stats.rejected.stale,
            stats.rejected.duplicate,
            stats.rejected.low_difficulty
        ),
        (1, 1, 1)
    );
    assert_eq!(stats.submitted, stats.accepted + stats.rejected.total());
    assert_eq!(stats.unanswered, 0);
    assert_eq!(stats.last_rejection.as_deref(), Some("no"));
    assert!(stats.accepted >= 50 && stats.hashes > 0 && !stats.authorized);
}

#[tokio::test]
async fn a_difficulty_change_midway_never_sends_a_low_share() {
    let mut running = start(64 * 1024);
    let pool = &mut running.pool;
    pool.handshake().await;
    pool.set_difficulty(easy()).await;
    pool.notify("easy", easy().target(), true).await;
    let mut hashes = HashSet::new();
    for _ in 0..5 {
        hashes.insert(pool.good_share().await.1);
    }
    // Up: good_share judges each share by the target of the job it names. The coinbase is the very same.
    let hard = easy().harder().harder().harder().harder();
    pool.set_difficulty(hard).await;
    pool.notify("hard", hard.target(), false).await;
    let mut hard_shares = 0;
    while hard_shares < 5 {
        let (id, hash) = pool.good_share().await;
        assert!(hashes.insert(hash), "a duplicate");
        hard_shares += u32::from(id == "hard");
    }
    // And down again.
    pool.set_difficulty(easy()).await;
    pool.notify("easy again", easy().target(), false).await;
    let mut again = 0;
    while again < 20 {
        let (id, hash) = pool.good_share().await;
        assert!(hashes.insert(hash), "a duplicate");
        again += u32::from(id == "easy again");
    }
    running.cancel.cancel();
}

#[tokio::test]
async fn a_job_cleaned_in_the_middle_of_the_search_sends_nothing_more() {
    let mut running = start(64 * 1024);
    let pool = &mut running.pool;
    pool.handshake().await;
    pool.set_difficulty(easy()).await;
    pool.notify("old", easy().target(), true).await;
    pool.good_share().await;
    pool.notify("new", easy().target(), true).await;
    // Whatever was on the wire when the new job went out may still arrive; once the new job is heard, nothing old.
    while pool.good_share().await.0 != "new" {}
    for _ in 0..50 {
        assert_eq!(pool.good_share().await.0, "new");
    }
    running.cancel.cancel();
}

#[tokio::test]
async fn a_flood_of_shares_waits_for_the_pool() {
    // Every second hash is a share and the connection holds almost nothing: memory stays, nothing is lost.
    let mut running = start(512);
    let pool = &mut running.pool;
    pool.handshake().await;
    pool.set_difficulty(ShareDifficulty::MIN).await;
    pool.notify("flood", ShareDifficulty::MIN.target(), true)
        .await;
    let mut hashes = HashSet::new();
    for _ in 0..2_000 {
        assert!(hashes.insert(pool.good_share().await.1), "a duplicate");
    }
    running.cancel.cancel();
}

async fn failure_after(bytes: &[u8]) -> SessionError {
    let mut running = start(64 * 1024);
    running.pool.expect("mining.configure").await;
    // The miner may hang up before everything is written.
    let _ = running.pool.writer.write_all(bytes).await;
    match running.end.await.unwrap() {
        SessionEnd::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn hostile_lines_end_the_connection() {
    let endless = vec![b'x'; 10 * 1024 * 1024];
    assert!(matches!(
        failure_after(&endless).await,
        SessionError::LineTooLong(_)
    ));
    let nested = [vec![b'['; 200_000], vec![b'\n']].concat();
    assert_eq!(failure_after(&nested).await, SessionError::NotStratum);
    assert_eq!(
        failure_after(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        SessionError::NotStratum
    );
    assert!(matches!(
        failure_after(&[0xff, 0xfe, b'\n']).await,
        SessionError::Io(_) | SessionError::NotStratum
    ));
    assert!(matches!(
        failure_after(
            b"{\"id\":null,\"method\":\"mining.notify\",\"params\":[1,2,3,4,5,6,7,8,9]}\n"
        )
        .await,
        SessionError::Notify(_)
    ));
}

#[tokio::test]
async fn a_pool_that_hangs_up_is_noticed() {
    let mut running = start(64 * 1024);
    running.pool.handshake().await;
    drop(running.pool);
    assert!(matches!(
        running.end.await.unwrap(),
        SessionEnd::Failed(SessionError::Closed | SessionError::Io(_))
    ));
    assert!(!running.stats.snapshot().authorized);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_stays_silent_is_left() {
    let mut running = start(64 * 1024);
    running.pool.expect("mining.configure").await;
    // Without an answer the miner goes on, and gives up where it cannot.
    running.pool.expect("mining.subscribe").await;
    assert_eq!(
        running.end.await.unwrap(),
        SessionEnd::Failed(SessionError::Silent)
    );
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_does_not_read_is_left() {
    // Not even the first line fits.
    let running = start(16);
    assert_eq!(
        running.end.await.unwrap(),
        SessionEnd::Failed(SessionError::Silent)
    );
}

#[tokio::test]
async fn reconnects_over_tcp_where_the_pool_says_and_after_it_hangs_up() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("stratum+tcp://{}", first.local_addr().unwrap());
    let miner = Miner::new(settings(&url)).unwrap();
    let stats = miner.stats();
    let cancel = CancellationToken::new();
    let run = tokio::spawn(miner.run(cancel.clone()));

    let mut pool = Pool::new(first.accept().await.unwrap().0);
    pool.handshake().await;
    pool.set_difficulty(easy()).await;
    pool.notify("a", easy().target(), true).await;
    pool.good_share().await;
    let port = second.local_addr().unwrap().port();
    pool.say(json!({"id": null, "method": "client.reconnect", "params": ["", port, 0]}))
        .await;

    let mut pool = Pool::new(second.accept().await.unwrap().0);
    pool.handshake().await;
    pool.set_difficulty(easy()).await;
    pool.notify("b", easy().target(), true).await;
    // Shares of the first connection are not sent over the second.
    assert_eq!(pool.good_share().await.0, "b");
    drop(pool);

    // Home again.
    let mut pool = Pool::new(first.accept().await.unwrap().0);
    pool.handshake().await;
    cancel.cancel();
    let last = tokio::time::timeout(Duration::from_secs(60), run)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.connections, 3);
    assert!(last.accepted >= 2);
    assert!(last.last_error.is_some());
    assert_eq!(last, stats.snapshot());
}

#[tokio::test]
async fn a_pool_that_answers_nothing_is_not_buried() {
    let mut running = start(64 * 1024);
    let pool = &mut running.pool;
    pool.handshake().await;
    pool.set_difficulty(ShareDifficulty::MIN).await;
    pool.notify("one", ShareDifficulty::MIN.target(), true)
        .await;
    pool.share().await;
    let mut unanswered = 1_u64;
    while let Ok((_, _, hash)) =
        tokio::time::timeout(Duration::from_millis(500), pool.share()).await
    {
        assert!(ShareDifficulty::MIN.target().is_met_by_le(&hash));
        unanswered += 1;
        assert!(unanswered <= 256);
    }
    // A stop sends what was found and waiting, then does not wait for answers for ever.
    running.cancel.cancel();
    let mut last = 0;
    while let Ok(Some(_)) = pool.lines.next_line().await {
        last += 1;
    }
    assert!(last > 0);
    assert_eq!(running.end.await.unwrap(), SessionEnd::Stopped);
    let stats = running.stats.snapshot();
    assert_eq!(stats.submitted, unanswered + last);
    assert_eq!(stats.unanswered, unanswered + last);
}
