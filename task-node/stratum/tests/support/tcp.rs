//! A node on a real socket, and clients of it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bitcoin::BlockHash;
use k2_interface::K2Address;
use serde_json::{Value, json};
use stratum::{
    BlockSink, CurrentWork, PortSettings, Recorded, Server, ServerParts, ServerSettings, ShareSink,
    SinkError,
};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use work::{CreditedShare, FoundBlock, SystemClock, UnixTime};

use super::{Dice, HeardJob, Recipe, Share, difficulty, user};

/// No answer comes within this time: a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Remembers what it was given; can be told to fail, to panic or to wait.
#[derive(Default)]
pub(crate) struct Sink {
    pub(crate) shares: Mutex<HashSet<BlockHash>>,
    pub(crate) blocks: Mutex<Vec<BlockHash>>,
    pub(crate) fails: AtomicBool,
    pub(crate) panics: AtomicBool,
    pub(crate) waits: AtomicBool,
    pub(crate) go_on: Notify,
}

#[async_trait]
impl ShareSink for Sink {
    async fn record(
        &self,
        share: CreditedShare,
        _worker: &str,
        _at: UnixTime,
    ) -> Result<Recorded, SinkError> {
        if self.waits.load(Ordering::SeqCst) {
            self.go_on.notified().await;
        }
        assert!(!self.panics.load(Ordering::SeqCst), "asked to panic");
        if self.fails.load(Ordering::SeqCst) {
            return Err(SinkError::new("asked to fail"));
        }
        Ok(if self.shares.lock().unwrap().insert(share.hash()) {
            Recorded::Stored
        } else {
            Recorded::Duplicate
        })
    }
}

#[async_trait]
impl BlockSink for Sink {
    async fn found(
        &self,
        work: Arc<CurrentWork>,
        block: FoundBlock,
        _miner: K2Address,
        _worker: &str,
    ) {
        let assembled = work.template().block().assemble(&block).unwrap();
        assert_eq!(assembled.block_hash(), block.hash);
        self.blocks.lock().unwrap().push(block.hash);
    }
}

pub(crate) struct Node {
    pub(crate) server: Server,
    pub(crate) sink: Arc<Sink>,
    pub(crate) work: watch::Sender<Option<Arc<CurrentWork>>>,
    pub(crate) address: SocketAddr,
}

pub(crate) const PORT: PortSettings = PortSettings {
    start_difficulty: pow::ShareDifficulty::MIN,
};

pub(crate) async fn node(change: impl FnOnce(&mut ServerSettings)) -> Node {
    let mut settings = ServerSettings::default();
    settings.limits.tick = Duration::from_millis(50);
    change(&mut settings);
    let sink = Arc::new(Sink::default());
    let (work, watched) = watch::channel(Some(recipe().cook()));
    let server = Server::start(ServerParts {
        settings,
        work: watched,
        shares: Arc::clone(&sink) as _,
        blocks: Arc::clone(&sink) as _,
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(Dice::default()),
        boot: 0,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listening = server.clone();
    tokio::spawn(async move { listening.listen(listener, PORT).await });
    Node {
        server,
        sink,
        work,
        address,
    }
}

/// Work whose ntime suits the machine's clock.
pub(crate) fn recipe() -> Recipe {
    let now = work::Clock::now(&SystemClock::new()).0;
    Recipe {
        cur_time: now,
        ..Recipe::default()
    }
}

pub(crate) struct Client<S> {
    pub(crate) stream: BufReader<S>,
    pub(crate) extranonce1: String,
    pub(crate) session_id: String,
    pub(crate) difficulty: f64,
    pub(crate) job: Option<HeardJob>,
    pub(crate) counter: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
            extranonce1: String::new(),
            session_id: String::new(),
            difficulty: 0.0,
            job: None,
            counter: 0,
        }
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.stream.write_all(line.as_bytes()).await.unwrap();
    }

    /// The next message; `None` at the end of the stream, however it ends.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line));
        match read.await.expect("an answer in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(self.hear(&line)),
        }
    }

    pub(crate) fn hear(&mut self, line: &str) -> Value {
        let message: Value = serde_json::from_str(line).unwrap();
        match message["method"].as_str() {
            Some("mining.set_difficulty") => {
                self.difficulty = message["params"][0].as_f64().unwrap();
            }
            Some("mining.notify") => {
                self.job = Some(HeardJob::of(&message["params"], self.difficulty));
            }
            _ => {}
        }
        message
    }

    /// Reads until the reply to `id`.
    pub(crate) async fn reply(&mut self, id: u64) -> Option<Value> {
        loop {
            let message = self.next().await?;
            if message["id"] == json!(id) {
                return Some(message);
            }
        }
    }

    pub(crate) async fn until(&mut self, method: &str) -> Value {
        loop {
            let message = self.next().await.expect(method);
            if message["method"] == method {
                return message;
            }
        }
    }

    pub(crate) async fn log_in(&mut self, resume: Option<&str>) {
        let mut params = vec![json!("test")];
        params.extend(resume.map(|id| json!(id)));
        self.send(&json!({"id": 1, "method": "mining.subscribe", "params": params}))
            .await;
        let reply = self.reply(1).await.unwrap();
        self.extranonce1 = reply["result"][1].as_str().unwrap().to_owned();
        self.session_id = reply["result"][0][1][1].as_str().unwrap().to_owned();
        let params = json!([user(1, "rig"), "x"]);
        self.send(&json!({"id": 2, "method": "mining.authorize", "params": params}))
            .await;
        self.until("mining.notify").await;
    }

    /// Sends a share of the newest job and returns the id of its request.
    pub(crate) async fn submit(&mut self) -> u64 {
        self.counter += 1;
        let id = 100 + self.counter;
        let params = self.share(self.counter).params(&user(1, "rig"));
        self.send(&json!({"id": id, "method": "mining.submit", "params": params}))
            .await;
        id
    }

    pub(crate) fn share(&self, number: u64) -> Share {
        let job = self.job.as_ref().unwrap();
        job.search(&self.extranonce1, number, None, |hash| {
            difficulty(job.difficulty).target().is_met_by_le(hash)
        })
    }
}

impl Node {
    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::over(TcpStream::connect(self.address).await.unwrap())
    }

    pub(crate) async fn miner(&self) -> Client<TcpStream> {
        let mut client = self.connect().await;
        client.log_in(None).await;
        client
    }

    pub(crate) async fn connections_become(&self, number: usize) {
        let waiting = async {
            while self.server.stats().connections != number {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("connections");
    }
}
