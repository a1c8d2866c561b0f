//! The protocol: one connection to a pool as a state machine.
//!
//! Lines, solutions and the time go in, [`Action`]s come out; there is no socket and no clock in here.
//!
//! The order is configure, subscribe, authorize, each after the answer to the one before, because some pools hold
//! requests back or drop them when they come in a bunch (ESP-Miner #492 is the same from the other side).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pow::Target;
use serde_json::{Value, json};
use work::VersionMask;

use crate::message::{self, Incoming, PoolError, printable};
use crate::mining_work::MAX_EXTRANONCE2;
use crate::notify::{at_most, word};
use crate::{
    AnnouncedDifficultyError, MiningWork, NotifiedJob, NotifyError, Solution, target_of_difficulty,
};

/// The name this miner gives itself.
const USER_AGENT: &str = concat!("orcapool/", env!("CARGO_PKG_VERSION"));
/// A pool that knows no `mining.configure` may leave it unanswered.
const CONFIGURE_PATIENCE: Duration = Duration::from_secs(5);
/// Any other answer takes at most this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pools send new work far more often; a connection this quiet is dead.
const SILENCE: Duration = Duration::from_secs(300);
/// Shares on their way; more are held back until the pool answers.
const MAX_UNANSWERED: usize = 256;
/// Longest extranonce1 taken. Pools use 4 to 8.
const MAX_EXTRANONCE1: usize = 32;
/// Longest a pool may send us away for.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What the pool needs to know of this miner.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) suggest_difficulty: Option<f64>,
    /// The host connected to: `client.reconnect` may name no other.
    pub(crate) host: String,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Something that is no Stratum.
    #[error("the pool sent a line that is no Stratum message: is this a Stratum port?")]
    NotStratum,
    /// A line without end.
    #[error("the pool sent a line of more than {0} bytes")]
    LineTooLong(usize),
    /// A job that cannot be read.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// A difficulty that cannot be mined at.
    #[error(transparent)]
    Difficulty(#[from] AnnouncedDifficultyError),
    /// Other parameters that cannot be read.
    #[error("the pool sent {0} with parameters that cannot be read")]
    Parameters(&'static str),
    /// `mining.subscribe` was refused.
    #[error("the pool refused the subscription: {0}")]
    Subscribe(String),
    /// `mining.authorize` was refused.
    #[error("the pool refused the user: {0}; check the user name")]
    Unauthorized(String),
    /// No answer to a request, or no line at all.
    #[error("the pool does not answer")]
    Silent,
    /// The pool hung up.
    #[error("the pool closed the connection")]
    Closed,
    /// The connection failed.
    #[error("connection: {0}")]
    Io(String),
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this line (without its end).
    Send(String),
    /// Search this.
    Work(Arc<MiningWork>),
    /// The pool knows us.
    Authorized,
    /// A job has arrived.
    Job { target: Target },
    /// A share was sent.
    Submitted,
    /// A share was taken.
    Accepted,
    /// A share was refused.
    Rejected(PoolError),
    /// A share was not sent: its job or its connection is gone.
    Discarded,
    /// The pool has something to say to a person.
    Message(String),
    /// Connect anew, at `port` if it is given, after `wait`.
    Reconnect { port: Option<u16>, wait: Duration },
    /// Hang up.
    Fail(SessionError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Configuring,
    Subscribing,
    Authorizing,
    Mining,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Configure,
    Subscribe,
    Authorize,
    /// Its answer changes nothing.
    Courtesy,
    Submit,
}

#[derive(Debug, Clone)]
struct Extranonces {
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    number: u64,
    account: Account,
    phase: Phase,
    next_id: u64,
    pending: BTreeMap<u64, (Request, Duration)>,
    last_heard: Duration,
    extranonces: Option<Extranonces>,
    version_mask: Option<VersionMask>,
    /// For the next job. Until the pool says otherwise, difficulty 1.
    target: Target,
    /// The latest job; searched as soon as the pool has authorised us.
    latest: Option<Arc<MiningWork>>,
    sequence: u64,
    /// Jobs before this one are worthless.
    oldest_valid: u64,
}

impl Session {
    /// The session with this number (no two of a miner share one).
    pub(crate) fn new(number: u64, account: Account) -> Self {
        Self {
            number,
            account,
            phase: Phase::Configuring,
            next_id: 1,
            pending: BTreeMap::new(),
            last_heard: Duration::ZERO,
            extranonces: None,
            version_mask: None,
            target: Target::DIFFICULTY_ONE,
            latest: None,
            sequence: 0,
            oldest_valid: 0,
        }
    }

    /// The connection stands.
    pub(crate) fn connected(&mut self, now: Duration) -> Vec<Action> {
        self.last_heard = now;
        // BIP310: configure comes first of all.
        let params = json!([
            ["version-rolling", "subscribe-extranonce"],
            {"version-rolling.mask": VersionMask::BIP320.to_string(), "version-rolling.min-bit-count": 0}
        ]);
        vec![self.request(Request::Configure, "mining.configure", &params, now)]
    }

    /// Shares whose answer has not come.
    pub(crate) fn unanswered(&self) -> usize {
        self.pending
            .values()
            .filter(|(request, _)| *request == Request::Submit)
            .count()
    }

    /// Whether another share may be sent; if not, it waits with the engine.
    pub(crate) fn takes_solutions(&self) -> bool {
        self.pending.len() < MAX_UNANSWERED
    }

    /// A line from the pool.
    pub(crate) fn line(&mut self, line: &str, now: Duration) -> Vec<Action> {
        self.last_heard = now;
        if line.trim().is_empty() {
            return Vec::new();
        }
        match message::parse(line) {
            None => vec![Action::Fail(SessionError::NotStratum)],
            Some(Incoming::Unasked) => Vec::new(),
            Some(Incoming::Reply { id, outcome }) => self.reply(id, outcome, now),
            Some(Incoming::Call { id, method, params }) => self
                .call(&id, &method, &params)
                .unwrap_or_else(|error| vec![Action::Fail(error)]),
        }
    }

    /// The engine found something.
    pub(crate) fn found(&mut self, solution: &Solution, now: Duration) -> Vec<Action> {
        let work = &solution.work;
        if self.phase != Phase::Mining
            || work.session != self.number
            || work.sequence < self.oldest_valid
        {
            return vec![Action::Discarded];
        }
        let mut params = vec![
            json!(self.account.user),
            json!(work.job.id),
            json!(hex::encode(&solution.extranonce2)),
            json!(format!("{:08x}", solution.ntime)),
            json!(format!("{:08x}", solution.nonce)),
        ];
        if let Some(bits) = solution.version_bits {
            params.push(json!(format!("{bits:08x}")));
        }
        let submit = self.request(Request::Submit, "mining.submit", &Value::Array(params), now);
        vec![submit, Action::Submitted]
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Action> {
        let quiet = now.saturating_sub(self.last_heard) > SILENCE;
        // Answers may come in any order, but the oldest question has the lowest id.
        let oldest = self
            .pending
            .values()
            .find(|(request, _)| *request != Request::Courtesy)
            .map(|(request, since)| (*request, now.saturating_sub(*since)));
        match oldest {
            _ if quiet => vec![Action::Fail(SessionError::Silent)],
            Some((Request::Configure, waited)) if waited > CONFIGURE_PATIENCE => {
                self.pending
                    .retain(|_, (request, _)| *request != Request::Configure);
                self.subscribe(now)
            }
            Some((_, waited)) if waited > PATIENCE => vec![Action::Fail(SessionError::Silent)],
            _ => Vec::new(),
        }
    }

    fn request(&mut self, kind: Request, method: &str, params: &Value, now: Duration) -> Action {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, (kind, now));
        Action::Send(message::request(id, method, params))
    }

    fn subscribe(&mut self, now: Duration) -> Vec<Action> {
        self.phase = Phase::Subscribing;
        vec![self.request(
            Request::Subscribe,
            "mining.subscribe",
            &json!([USER_AGENT]),
            now,
        )]
    }

    fn reply(&mut self, id: u64, outcome: Result<Value, PoolError>, now: Duration) -> Vec<Action> {
        let Some((request, _)) = self.pending.remove(&id) else {
            return Vec::new();
        };
        match (request, outcome) {
            (Request::Configure, outcome) => {
                // A pool without BIP310 refuses, and that is fine.
                self.version_mask = outcome.ok().and_then(|result| granted_mask(&result));
                self.subscribe(now)
            }
            (Request::Subscribe, Err(error)) => {
                vec![Action::Fail(SessionError::Subscribe(error.message))]
            }
            (Request::Subscribe, Ok(result)) => {
                let Some(extranonces) = result
                    .as_array()
                    .and_then(|parts| Extranonces::parse(parts.get(1)?, parts.get(2)?))
                else {
                    return vec![Action::Fail(SessionError::Parameters(
                        "the answer to mining.subscribe",
                    ))];
                };
                self.extranonces = Some(extranonces);
                self.phase = Phase::Authorizing;
                let user = json!([self.account.user, self.account.password]);
                let mut actions = Vec::new();
                // Before authorize, so that the first job may come at this difficulty already.
                if let Some(difficulty) = self.account.suggest_difficulty {
                    let params = json!([difficulty]);
                    actions.push(self.request(
                        Request::Courtesy,
                        "mining.suggest_difficulty",
                        &params,
                        now,
                    ));
                }
                actions.push(self.request(Request::Authorize, "mining.authorize", &user, now));
                actions
            }
            (Request::Authorize, Ok(Value::Bool(true))) => {
                self.phase = Phase::Mining;
                let mut actions = vec![
                    Action::Authorized,
                    self.request(
                        Request::Courtesy,
                        "mining.extranonce.subscribe",
                        &json!([]),
                        now,
                    ),
                ];
                actions.extend(self.latest.clone().map(Action::Work));
                actions
            }
            (Request::Authorize, Ok(other)) => vec![Action::Fail(SessionError::Unauthorized(
                printable(&other.to_string()),
            ))],
            (Request::Authorize, Err(error)) => {
                vec![Action::Fail(SessionError::Unauthorized(error.message))]
            }
            (Request::Courtesy, _) => Vec::new(),
            (Request::Submit, Ok(Value::Bool(true))) => vec![Action::Accepted],
            (Request::Submit, Ok(other)) => vec![Action::Rejected(PoolError {
                code: None,
                message: printable(&other.to_string()),
            })],
            (Request::Submit, Err(error)) => vec![Action::Rejected(error)],
        }
    }

    fn call(
        &mut self,
        id: &Value,
        method: &str,
        params: &[Value],
    ) -> Result<Vec<Action>, SessionError> {
        match method {
            "mining.notify" => self.notify(params),
            "mining.set_difficulty" => {
                let Some(Value::Number(difficulty)) = params.first() else {
                    return Err(SessionError::Parameters("mining.set_difficulty"));
                };
                // For later jobs: a share is judged by the difficulty its job came with.
                self.target = target_of_difficulty(difficulty)?;
                Ok(Vec::new())
            }
            "mining.set_extranonce" => {
                let parsed = match params {
                    [extranonce1, size, ..] => Extranonces::parse(extranonce1, size),
                    _ => None,
                };
                self.extranonces =
                    Some(parsed.ok_or(SessionError::Parameters("mining.set_extranonce"))?);
                Ok(Vec::new())
            }
            "mining.set_version_mask" => {
                let mask = params
                    .first()
                    .and_then(word)
                    .ok_or(SessionError::Parameters("mining.set_version_mask"))?;
                // Only who asked for rolling is heard (BIP310).
                if self.version_mask.is_some() {
                    self.version_mask = Some(VersionMask::negotiate(mask));
                }
                Ok(Vec::new())
            }
            "client.reconnect" => Ok(self.reconnect(params)),
            "client.show_message" => {
                let text = params.first().and_then(Value::as_str).unwrap_or_default();
                Ok(vec![Action::Message(printable(text))])
            }
            "mining.ping" => Ok(answer(id, &json!("pong"))),
            "client.get_version" => Ok(answer(id, &json!(USER_AGENT))),
            _ if answerable(id) => Ok(vec![Action::Send(message::refusal(
                id,
                -3,
                "Method not found",
            ))]),
            _ => Ok(Vec::new()),
        }
    }

    fn notify(&mut self, params: &[Value]) -> Result<Vec<Action>, SessionError> {
        let job = NotifiedJob::parse(params)?;
        // Before the answer to subscribe there is no extranonce to mine with.
        let Some(extranonces) = &self.extranonces else {
            return Ok(Vec::new());
        };
        self.sequence += 1;
        if job.clean_jobs {
            self.oldest_valid = self.sequence;
        }
        let work = Arc::new(MiningWork {
            session: self.number,
            sequence: self.sequence,
            job,
            extranonce1: extranonces.extranonce1.clone(),
            extranonce2_size: extranonces.extranonce2_size,
            version_mask: self.version_mask,
            target: self.target,
        });
        self.latest = Some(Arc::clone(&work));
        let mut actions = vec![Action::Job {
            target: self.target,
        }];
        if self.phase == Phase::Mining {
            actions.push(Action::Work(work));
        }
        Ok(actions)
    }

    fn reconnect(&self, params: &[Value]) -> Vec<Action> {
        let host = match params.first() {
            None | Some(Value::Null) => "",
            Some(host) => host.as_str().unwrap_or("?"),
        };
        // Whoever can write into a plain connection could otherwise send the miner's work to itself for good.
        if !host.is_empty() && !host.eq_ignore_ascii_case(&self.account.host) {
            return vec![Action::Message(format!(
                "refused to be sent to another host: {}",
                printable(host)
            ))];
        }
        // Pools write the port as a number or as a text.
        let number = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        let port = params
            .get(1)
            .and_then(number)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0);
        let wait = params.get(2).and_then(number).unwrap_or(0);
        vec![Action::Reconnect {
            port,
            wait: Duration::from_secs(wait).min(LONGEST_WAIT),
        }]
    }
}

impl Extranonces {
    fn parse(extranonce1: &Value, size: &Value) -> Option<Self> {
        Some(Self {
            extranonce1: at_most(extranonce1, MAX_EXTRANONCE1)?,
            extranonce2_size: usize::try_from(size.as_u64()?)
                .ok()
                .filter(|size| *size <= MAX_EXTRANONCE2)?,
        })
    }
}

/// The mask in the answer to configure, cut down to what this miner rolls.
fn granted_mask(result: &Value) -> Option<VersionMask> {
    if result.get("version-rolling") != Some(&Value::Bool(true)) {
        return None;
    }
    word(result.get("version-rolling.mask")?).map(VersionMask::negotiate)
}

/// Whether an id wants an answer; a pool that uses whole documents as ids gets none.
fn answerable(id: &Value) -> bool {
    id.is_number() || id.as_str().is_some_and(|id| id.len() <= 64)
}

fn answer(id: &Value, result: &Value) -> Vec<Action> {
    if answerable(id) {
        vec![Action::Send(message::reply(id, result))]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
