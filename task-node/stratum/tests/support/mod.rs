//! A small language for tests: a [`Pool`] with work and a clock, and [`Miner`]s that hear lines and find real shares.
//!
//! A miner builds its headers from what it hears alone, as hardware does; the server's own job code is not used.
#![allow(dead_code)] // each test binary speaks another part of the language
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod job;
pub(crate) mod tcp;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{Address, Network, ScriptBuf, WPubkeyHash};
use k2_interface::K2Address;
use pow::ShareDifficulty;
use serde_json::{Value, json};
use stratum::{
    Action, CurrentWork, DisconnectReason, ExtranonceAllocator, Moment, NoRandomness,
    NodeSeenShares, PortSettings, Randomness, Recorded, Session, SessionContext, SessionSettings,
    SinkError, StatsTable, Ticket,
};
use work::{
    BlockTemplate, CreditedShare, FoundBlock, LiveTemplate, PayoutScript, PoolTag, RoundNumber,
    TaskId, TemplateParts, UnixTime,
};

pub(crate) use self::job::{HeardJob, Share};

/// When every test starts.
pub(crate) const START: u64 = 1_800_000_000;
/// Difficulty 1: no share of a test is a block by accident.
pub(crate) const HARD: u32 = 0x1d00_ffff;
/// Regtest: every other hash is a block, and so is every share.
pub(crate) const EASY: u32 = 0x207f_ffff;

pub(crate) fn difficulty(number: f64) -> ShareDifficulty {
    ShareDifficulty::at_most(number).unwrap()
}

/// 2^-31 times 2^`doublings`: a share takes about 2^(1 + doublings) hashes.
pub(crate) fn easy(doublings: u32) -> ShareDifficulty {
    (0..3 * doublings).fold(ShareDifficulty::MIN, |step, _| step.harder())
}

pub(crate) fn address(number: u8) -> K2Address {
    K2Address::from_bytes([number; 32])
}

pub(crate) fn user(number: u8, worker: &str) -> String {
    format!("{}.{worker}", address(number))
}

/// What a template is made of, as far as tests vary it.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) prev: u8,
    pub(crate) height: u32,
    pub(crate) nbits: u32,
    pub(crate) cur_time: u64,
    pub(crate) round: u64,
    pub(crate) transactions: Vec<Vec<u8>>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            prev: 1,
            height: 100,
            nbits: HARD,
            cur_time: START,
            round: 1,
            transactions: Vec::new(),
        }
    }
}

impl Recipe {
    pub(crate) fn cook(&self) -> Arc<CurrentWork> {
        let parts = TemplateParts {
            height: self.height,
            prev_hash: [self.prev; 32],
            version: 0x2000_0000,
            nbits: self.nbits,
            min_time: u32::try_from(self.cur_time).unwrap() - 600,
            cur_time: u32::try_from(self.cur_time).unwrap(),
            coinbase_value: 5_000_000_000,
            transactions: self.transactions.clone(),
            witness_commitment_script: None,
        };
        let block = Arc::new(BlockTemplate::new(&parts, Network::Regtest).unwrap());
        let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([7; 20]));
        let payout = Address::from_script(&script, Network::Regtest).unwrap();
        let payout = PayoutScript::parse(&payout.to_string(), Network::Regtest).unwrap();
        let tag = PoolTag::new("/orcapool/").unwrap();
        let live = LiveTemplate::new(block, &payout, tag).unwrap();
        Arc::new(CurrentWork::new(
            Arc::new(live),
            TaskId::from_bytes([9; 32]),
            address(200),
            RoundNumber::new(self.round).unwrap(),
        ))
    }
}

/// Distinct session ids.
#[derive(Default)]
pub(crate) struct Dice(AtomicU64);

impl Randomness for Dice {
    fn bytes16(&self) -> Result<[u8; 16], NoRandomness> {
        let mut bytes = [0xa5; 16];
        bytes[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Ok(bytes)
    }
}

/// One node: its context, its work and its time.
pub(crate) struct Pool {
    pub(crate) context: Arc<SessionContext>,
    pub(crate) now: Moment,
    pub(crate) recipe: Recipe,
    pub(crate) work: Option<Arc<CurrentWork>>,
    pub(crate) start: ShareDifficulty,
}

impl Pool {
    /// A pool without work.
    pub(crate) fn waiting_with(settings: SessionSettings) -> Self {
        let context = SessionContext::new(
            settings,
            Arc::new(ExtranonceAllocator::new(3, Arc::new(Dice::default()))),
            Arc::new(NodeSeenShares::new(1_000)),
            Arc::new(StatsTable::default()),
        );
        Self {
            context: Arc::new(context),
            now: Moment {
                wall: UnixTime(START),
                monotonic: Duration::from_secs(50),
            },
            recipe: Recipe::default(),
            work: None,
            start: ShareDifficulty::MIN,
        }
    }

    pub(crate) fn with(settings: SessionSettings) -> Self {
        let mut pool = Self::waiting_with(settings);
        pool.renew(|_| {});
        pool
    }

    pub(crate) fn new() -> Self {
        Self::with(SessionSettings::default())
    }

    /// Changes the work; miners hear of it with [`Miner::hears_of_work`].
    pub(crate) fn renew(&mut self, change: impl FnOnce(&mut Recipe)) {
        change(&mut self.recipe);
        let work = self.recipe.cook();
        self.context.seen().building_on(work.prev_hash());
        self.work = Some(work);
    }

    pub(crate) fn seconds_pass(&mut self, seconds: u64) {
        self.now.wall = self.now.wall.plus(seconds);
        self.now.monotonic += Duration::from_secs(seconds);
    }

    /// A client that has said nothing yet.
    pub(crate) fn connection(&self) -> Miner {
        let port = PortSettings {
            start_difficulty: self.start,
        };
        let session = Session::new(Arc::clone(&self.context), port, self.now);
        let mut miner = Miner::of(session);
        if let Some(work) = &self.work {
            let actions = miner.session.on_work(work, self.now);
            miner.take(actions);
        }
        miner
    }

    /// A client that is subscribed and authorized as miner 1.
    pub(crate) fn miner(&self) -> Miner {
        self.miner_named(&user(1, "rig"))
    }

    pub(crate) fn miner_named(&self, name: &str) -> Miner {
        let mut miner = self.connection();
        miner.asks(self, "mining.subscribe", json!(["test/1.0"]));
        assert_eq!(
            miner
                .asks(self, "mining.authorize", json!([name, "x"]))
                .result(),
            &json!(true)
        );
        miner
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply(pub(crate) Value);

impl Reply {
    pub(crate) fn result(&self) -> &Value {
        &self.0["result"]
    }

    pub(crate) fn code(&self) -> Option<i64> {
        self.0["error"][0].as_i64()
    }

    pub(crate) fn text(&self) -> &str {
        self.0["error"][1].as_str().unwrap_or_default()
    }

    pub(crate) fn is_true(&self) -> bool {
        self.result() == &json!(true) && self.0["error"].is_null()
    }
}

/// A client and what it has heard.
pub(crate) struct Miner {
    pub(crate) session: Session,
    pub(crate) extranonce1: String,
    pub(crate) session_id: String,
    pub(crate) difficulty: Option<f64>,
    pub(crate) jobs: Vec<HeardJob>,
    /// Everything it was sent, in order.
    pub(crate) heard: Vec<Value>,
    pub(crate) blocks: Vec<FoundBlock>,
    pub(crate) recording: Vec<(Ticket, CreditedShare, Arc<str>)>,
    pub(crate) disconnected: Option<DisconnectReason>,
    requests: u64,
    counter: u64,
}

impl Miner {
    fn of(session: Session) -> Self {
        Self {
            session,
            extranonce1: String::new(),
            session_id: String::new(),
            difficulty: None,
            jobs: Vec::new(),
            heard: Vec::new(),
            blocks: Vec::new(),
            recording: Vec::new(),
            disconnected: None,
            requests: 0,
            counter: 0,
        }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert_eq!(self.disconnected, None, "an action after the end");
            match action {
                Action::Send(line) => {
                    let text = std::str::from_utf8(&line).unwrap();
                    assert!(text.ends_with('\n') && text.matches('\n').count() == 1);
                    self.hear(serde_json::from_str(text).unwrap());
                }
                Action::Block { block, .. } => self.blocks.push(*block),
                Action::Record {
                    ticket,
                    share,
                    worker,
                    ..
                } => self.recording.push((ticket, *share, worker)),
                Action::Disconnect(reason) => self.disconnected = Some(reason),
            }
        }
    }

    fn hear(&mut self, message: Value) {
        match message["method"].as_str() {
            None => {
                for member in ["id", "result", "error"] {
                    assert!(
                        message.get(member).is_some(),
                        "{member} missing in {message}"
                    );
                }
                // Only the reply to mining.subscribe has a list of lists.
                if let Some(id) = message["result"][0][1][1].as_str() {
                    self.extranonce1 = message["result"][1].as_str().unwrap().to_owned();
                    self.session_id = id.to_owned();
                }
            }
            Some("mining.set_difficulty") => self.difficulty = message["params"][0].as_f64(),
            Some("mining.notify") => {
                let difficulty = self.difficulty.expect("a difficulty before the first job");
                self.jobs.push(HeardJob::of(&message["params"], difficulty));
            }
            Some(_) => {}
        }
        self.heard.push(message);
    }

    pub(crate) fn says(&mut self, pool: &Pool, line: &str) {
        let actions = self.session.on_line(line.as_bytes(), pool.now);
        self.take(actions);
    }

    /// Sends a request; the reply is the first thing it hears.
    pub(crate) fn asks(&mut self, pool: &Pool, method: &str, params: Value) -> Reply {
        self.requests += 1;
        let id = self.requests;
        let from = self.heard.len();
        self.says(
            pool,
            &json!({"id": id, "method": method, "params": params}).to_string(),
        );
        let reply = self.heard.get(from).cloned().unwrap_or_default();
        assert_eq!(reply["id"], json!(id), "{method} was answered with {reply}");
        Reply(reply)
    }

    pub(crate) fn hears_of_work(&mut self, pool: &Pool) {
        let actions = self.session.on_work(pool.work.as_ref().unwrap(), pool.now);
        self.take(actions);
    }

    pub(crate) fn tick(&mut self, pool: &Pool) {
        let actions = self.session.on_tick(pool.now);
        self.take(actions);
    }

    pub(crate) fn job(&self) -> &HeardJob {
        self.jobs.last().expect("a job")
    }

    /// A share of the newest job, never the same one twice.
    pub(crate) fn finds(&mut self) -> Share {
        let job = self.job().clone();
        self.finds_on(&job)
    }

    /// A share of `job` at that job's difficulty.
    pub(crate) fn finds_on(&mut self, job: &HeardJob) -> Share {
        self.counter += 1;
        job.search(&self.extranonce1, self.counter, None, |hash| {
            difficulty(job.difficulty).target().is_met_by_le(hash)
        })
    }

    /// Submits a share without letting the store answer; `None` while it does not.
    pub(crate) fn submits(&mut self, pool: &Pool, name: &str, share: &Share) -> Option<Reply> {
        self.requests += 1;
        let id = self.requests;
        let from = self.heard.len();
        let request = json!({"id": id, "method": "mining.submit", "params": share.params(name)});
        self.says(pool, &request.to_string());
        self.reply_to(id, from)
    }

    fn reply_to(&self, id: u64, from: usize) -> Option<Reply> {
        self.heard[from..]
            .iter()
            .find(|message| message["id"] == json!(id))
            .cloned()
            .map(Reply)
    }

    /// The store answers for the oldest share; the reply is returned.
    pub(crate) fn store_says(
        &mut self,
        pool: &Pool,
        outcome: Result<Recorded, SinkError>,
    ) -> Reply {
        let (ticket, _, _) = self.recording.remove(0);
        let from = self.heard.len();
        let actions = self.session.on_recorded(ticket, &outcome, pool.now);
        self.take(actions);
        Reply(self.heard[from].clone())
    }

    /// Submits as miner 1 with a store that works.
    pub(crate) fn gets(&mut self, pool: &Pool, share: &Share) -> Reply {
        match self.submits(pool, &user(1, "rig"), share) {
            Some(reply) => reply,
            None => self.store_says(pool, Ok(Recorded::Stored)),
        }
    }

    /// The methods of everything heard from index `from` on; a reply is `reply`.
    pub(crate) fn order(&self, from: usize) -> Vec<&str> {
        self.heard[from..]
            .iter()
            .map(|message| message["method"].as_str().unwrap_or("reply"))
            .collect()
    }
}
