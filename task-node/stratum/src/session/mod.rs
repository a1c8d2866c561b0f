//! A session: one miner's side of the conversation, as a pure state machine.
//!
//! It has no socket, no clock and no disk. Lines, work, the outcome of recordings and the passing of time come in as calls;
//! what is to be done comes out as [`Action`]s. The shell around it is `connection`.
//!
//! Two things keep money safe here. A share is answered with `true` only after [`Session::on_recorded`] said that it is
//! stored. And a job carries its difficulty in its claim, so that a change of difficulty is always a new job, and a share is
//! worth what its own job says, however late it comes.

mod action;
mod issue;
mod requests;
mod state;
mod submit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pow::ShareDifficulty;
use serde_json::{Value, json};
use work::{JobId, VersionMask};

pub use self::action::{Action, DisconnectReason, Moment, Ticket};
use self::state::State;
use self::submit::Pending;
use crate::jobs::Jobs;
use crate::message::{Incoming, Refusal, RequestId, notification, reply};
use crate::stats::WorkerHandle;
use crate::vardiff::Vardiff;
use crate::{
    CurrentWork, ExtranonceAllocator, NodeSeenShares, PortSettings, SessionSettings, StatsTable,
};

/// Lines that are no message, before the client is sent away.
const MAX_GARBAGE: u32 = 10;

/// What all sessions of a node share.
#[derive(Debug)]
pub struct SessionContext {
    settings: SessionSettings,
    extranonces: Arc<ExtranonceAllocator>,
    seen: Arc<NodeSeenShares>,
    stats: Arc<StatsTable>,
    /// Job ids are unique over all sessions, so that a client that resumes one cannot mix up old and new jobs.
    next_job: AtomicU32,
}

impl SessionContext {
    /// A context for one node.
    #[must_use]
    pub fn new(
        settings: SessionSettings,
        extranonces: Arc<ExtranonceAllocator>,
        seen: Arc<NodeSeenShares>,
        stats: Arc<StatsTable>,
    ) -> Self {
        Self {
            settings,
            extranonces,
            seen,
            stats,
            next_job: AtomicU32::new(1),
        }
    }

    /// The node's memory of shares; told of every new block before any session is.
    #[must_use]
    pub fn seen(&self) -> &Arc<NodeSeenShares> {
        &self.seen
    }

    /// The node's counters.
    #[must_use]
    pub fn stats(&self) -> &Arc<StatsTable> {
        &self.stats
    }

    fn next_job(&self) -> JobId {
        JobId(self.next_job.fetch_add(1, Ordering::Relaxed))
    }
}

/// One miner's session.
#[derive(Debug)]
pub struct Session {
    context: Arc<SessionContext>,
    state: State,
    /// Under which names it may submit; the first is the one it came with.
    workers: Vec<(String, WorkerHandle)>,
    user_agent: String,
    mask: VersionMask,
    minimum_difficulty: Option<ShareDifficulty>,
    /// What it starts at: the port's, the password's or the client's suggestion.
    start: ShareDifficulty,
    announced: Option<ShareDifficulty>,
    vardiff: Vardiff,
    current: Option<Arc<CurrentWork>>,
    jobs: Jobs,
    pending: BTreeMap<Ticket, Pending>,
    next_ticket: u64,
    connected: Duration,
    last_line: Duration,
    first_job: Option<Duration>,
    has_accepted: bool,
    garbage: u32,
    rejects: Rejects,
    ended: bool,
}

/// Rejected shares since the last accepted one.
#[derive(Debug, Clone, Copy, Default)]
struct Rejects {
    in_a_row: u32,
    since: Duration,
}

impl Session {
    /// A session of a client that has just connected.
    #[must_use]
    pub fn new(context: Arc<SessionContext>, port: PortSettings, now: Moment) -> Self {
        let vardiff = Vardiff::new(
            context.settings.shares_per_minute,
            port.start_difficulty,
            now.monotonic,
        );
        Self {
            context,
            state: State::Connected,
            workers: Vec::new(),
            user_agent: String::new(),
            mask: VersionMask::NONE,
            minimum_difficulty: None,
            start: port.start_difficulty,
            announced: None,
            vardiff,
            current: None,
            jobs: Jobs::default(),
            pending: BTreeMap::new(),
            next_ticket: 0,
            connected: now.monotonic,
            last_line: now.monotonic,
            first_job: None,
            has_accepted: false,
            garbage: 0,
            rejects: Rejects::default(),
            ended: false,
        }
    }

    /// A line arrived, without its newline. At most [`crate::MAX_LINE_BYTES`] long, or else it counts as no message.
    pub fn on_line(&mut self, line: &[u8], now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ended || line.iter().all(u8::is_ascii_whitespace) {
            return actions;
        }
        self.last_line = now.monotonic;
        let parsed = if line.len() > crate::MAX_LINE_BYTES {
            Err(crate::message::MessageError::NotJson)
        } else {
            Incoming::parse(line)
        };
        match parsed {
            Ok(Incoming::Request { id, method, params }) => {
                self.on_request(&id, &method, &params, now, &mut actions);
            }
            Ok(Incoming::Reply) => {}
            Err(error) => {
                let refusal = Refusal::other(error.to_string());
                send(&mut actions, reply(&error.id(), &Err(refusal)));
                self.garbage += 1;
                if self.garbage >= MAX_GARBAGE {
                    self.disconnect(DisconnectReason::Garbage, &mut actions);
                }
            }
        }
        actions
    }

    /// There is new work. The first call lets waiting clients start.
    pub fn on_work(&mut self, work: &Arc<CurrentWork>, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.ended {
            self.jobs.building_on(work.prev_hash(), now.monotonic);
            self.current = Some(Arc::clone(work));
            self.issue_for_new_work(now, &mut actions);
        }
        actions
    }

    /// Work was withdrawn. A client that has some is let go; one that waits goes on waiting.
    pub fn on_no_work(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.ended && self.current.take().is_some() {
            show_message(&mut actions, "orcapool has no work to give now");
            self.disconnect(DisconnectReason::NoWork, &mut actions);
        }
        actions
    }

    /// Time has passed; to be called every few seconds.
    pub fn on_tick(&mut self, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ended {
            return actions;
        }
        let context = Arc::clone(&self.context);
        let settings = &context.settings;
        let longer_than =
            |since: Duration, limit: Duration| now.monotonic.saturating_sub(since) > limit;
        if self.state.working().is_none() {
            if longer_than(self.connected, settings.authorize_timeout) {
                self.disconnect(DisconnectReason::NotAuthorized, &mut actions);
            }
            return actions;
        }
        // Without a job there is nothing a client could say.
        let Some(first_job) = self.first_job else {
            return actions;
        };
        if longer_than(self.last_line.max(first_job), settings.idle_timeout) {
            self.disconnect(DisconnectReason::Idle, &mut actions);
        } else if !self.has_accepted && longer_than(first_job, settings.first_share_timeout) {
            self.disconnect(DisconnectReason::NoShares, &mut actions);
        } else {
            self.jobs.forget_old(settings.job_lifetime, now.monotonic);
            let bounds = self.bounds();
            if self.vardiff.on_tick(&bounds, now.monotonic).is_some() {
                self.issue_at_new_difficulty(now, &mut actions);
            }
        }
        actions
    }

    /// The server is going down: the client hears why, and that it may come back.
    pub fn on_shutdown(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.ended {
            show_message(&mut actions, "orcapool is restarting");
            // Without parameters: the same host and port.
            send(&mut actions, notification("client.reconnect", &json!([])));
        }
        actions
    }

    /// How many shares are being recorded.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether lines should be read now: with too many shares being recorded, the client has to wait.
    #[must_use]
    pub fn wants_lines(&self) -> bool {
        !self.ended && self.pending.len() < submit::MAX_PENDING
    }

    fn disconnect(&mut self, reason: DisconnectReason, actions: &mut Vec<Action>) {
        self.ended = true;
        actions.push(Action::Disconnect(reason));
    }

    fn answer(id: &RequestId, outcome: &Result<Value, Refusal>, actions: &mut Vec<Action>) {
        send(actions, reply(id, outcome));
    }
}

fn send(actions: &mut Vec<Action>, line: Vec<u8>) {
    actions.push(Action::Send(line));
}

fn show_message(actions: &mut Vec<Action>, text: &str) {
    send(actions, notification("client.show_message", &json!([text])));
}
