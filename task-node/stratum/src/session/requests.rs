//! Everything a client can ask for, apart from submitting a share.

use std::sync::Arc;

use pow::{NBits, ShareDifficulty};
use serde_json::{Value, json};
use work::JobId;

use super::state::State;
use super::{Action, DisconnectReason, Moment, Session, send};
use crate::configure::negotiate;
use crate::message::{Refusal, RequestId, reply_raw};
use crate::user::{UserName, password_difficulty};
use crate::{AllocateError, SessionId};

/// Names one connection may submit under. Proxies bring a few; statistics are bounded by this.
const MAX_WORKERS: usize = 64;
/// The longest name a client can give itself.
const MAX_USER_AGENT: usize = 64;

impl Session {
    pub(super) fn on_request(
        &mut self,
        id: &RequestId,
        method: &str,
        params: &[Value],
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        match method {
            "mining.submit" => self.submit(id, params, now, actions),
            "mining.subscribe" => self.subscribe(id, params, now, actions),
            "mining.authorize" => self.authorize(id, params, now, actions),
            "mining.configure" => self.configure(id, params, now, actions),
            "mining.suggest_difficulty" => {
                let wanted = number(params)
                    .and_then(|number| ShareDifficulty::at_most(number).ok())
                    .ok_or("mining.suggest_difficulty takes a positive number");
                self.suggest(id, wanted, now, actions);
            }
            "mining.suggest_target" => {
                let wanted = target(params).ok_or("mining.suggest_target takes 64 hex digits");
                self.suggest(id, wanted, now, actions);
            }
            // The extranonce never changes within a session, so that is all there is to it.
            "mining.extranonce.subscribe" => Self::answer(id, &Ok(json!(true)), actions),
            "mining.ping" => Self::answer(id, &Ok(json!("pong")), actions),
            "mining.get_transactions" => self.get_transactions(id, params, actions),
            _ => Self::answer(id, &Err(Refusal::unknown_method(method)), actions),
        }
    }

    /// `[user agent, session id]`, both optional.
    fn subscribe(
        &mut self,
        id: &RequestId,
        params: &[Value],
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        if let Some(agent) = params.first().and_then(Value::as_str) {
            self.user_agent = printable(agent);
        }
        let was_working = self.state.working().is_some();
        // A second subscribe gets the first one's answer: jobs are out under that extranonce1.
        if self.state.lease().is_none() {
            let resume: Option<SessionId> = params
                .get(1)
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok());
            match self.context.extranonces.allocate(resume) {
                Ok(lease) => self.state.subscribe(lease),
                Err(error) => {
                    let text = match error {
                        AllocateError::Exhausted => "The server is full, try again later",
                        AllocateError::Randomness(_) => "The server cannot make a session id",
                    };
                    Self::answer(id, &Err(Refusal::other(text)), actions);
                    self.disconnect(DisconnectReason::NoExtranonce, actions);
                    return;
                }
            }
        }
        if let Some(lease) = self.state.lease() {
            let session = lease.session_id().to_string();
            let result = json!([
                [
                    ["mining.set_difficulty", session],
                    ["mining.notify", session]
                ],
                lease.extranonce1().to_string(),
                work::EXTRANONCE2_BYTES,
            ]);
            Self::answer(id, &Ok(result), actions);
        }
        if !was_working && self.state.working().is_some() {
            self.begin(now, actions);
        }
    }

    /// `[user name, password]`.
    fn authorize(
        &mut self,
        id: &RequestId,
        params: &[Value],
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let name = params.first().and_then(Value::as_str).unwrap_or_default();
        let was_working = self.state.working().is_some();
        let outcome = self.admit(name, now);
        Self::answer(id, &outcome.map(|()| json!(true)), actions);
        if was_working || self.state.miner().is_none() {
            return;
        }
        if let Some(wanted) = params
            .get(1)
            .and_then(Value::as_str)
            .and_then(password_difficulty)
        {
            self.start = wanted;
        }
        if self.state.working().is_some() {
            self.begin(now, actions);
        }
    }

    fn admit(&mut self, name: &str, now: Moment) -> Result<(), Refusal> {
        if self.workers.iter().any(|(known, _)| known == name) {
            return Ok(());
        }
        let user: UserName = name
            .parse()
            .map_err(|error: crate::UserNameError| Refusal::unauthorized(error.to_string()))?;
        if self.workers.len() >= MAX_WORKERS {
            return Err(Refusal::other("too many workers on one connection"));
        }
        self.state
            .authorize(user.miner)
            .map_err(|error| Refusal::unauthorized(error.to_string()))?;
        let handle = self.context.stats.worker(
            user.miner,
            &Arc::from(user.worker),
            &self.user_agent,
            now.monotonic,
        );
        if let Some(announced) = self.announced {
            handle.difficulty(announced);
        }
        self.workers.push((name.to_owned(), handle));
        Ok(())
    }

    /// Which of its names a client submits under. One it did not authorize, but with the same address, is taken on: who is
    /// paid is in the job's claim, and a share refused for a name would be lost.
    pub(super) fn worker(&mut self, name: &str, now: Moment) -> Result<usize, Refusal> {
        let known = |session: &Self| session.workers.iter().position(|(known, _)| known == name);
        if let Some(index) = known(self) {
            return Ok(index);
        }
        let user: UserName = name
            .parse()
            .map_err(|error: crate::UserNameError| Refusal::unauthorized(error.to_string()))?;
        if self.state.miner() != Some(user.miner) {
            return Err(Refusal::unauthorized(
                "Unauthorized worker: it has another K2 address than this connection",
            ));
        }
        // Where the list is full, the share counts under the first name.
        Ok(self
            .admit(name, now)
            .ok()
            .and_then(|()| known(self))
            .unwrap_or_default())
    }

    fn configure(
        &mut self,
        id: &RequestId,
        params: &[Value],
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let hardest = self
            .current
            .as_ref()
            .map_or(ShareDifficulty::MAX, |work| work.block_difficulty())
            .max(self.context.settings.min_difficulty);
        match negotiate(params, hardest) {
            Err(text) => Self::answer(id, &Err(Refusal::other(text)), actions),
            Ok(negotiated) => {
                if let Some(mask) = negotiated.version_mask {
                    self.mask = mask;
                }
                Self::answer(id, &Ok(negotiated.result), actions);
                if let Some(minimum) = negotiated.minimum_difficulty {
                    self.minimum_difficulty = Some(minimum);
                    self.change_difficulty(self.vardiff.difficulty(), now, actions);
                }
            }
        }
    }

    /// A suggestion is where vardiff goes on from, down to the server's floor (public-pool #152 ignored low ones).
    fn suggest(
        &mut self,
        id: &RequestId,
        wanted: Result<ShareDifficulty, &str>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        match wanted {
            Err(text) => Self::answer(id, &Err(Refusal::other(text)), actions),
            Ok(difficulty) => {
                Self::answer(id, &Ok(json!(true)), actions);
                self.start = difficulty;
                self.change_difficulty(difficulty, now, actions);
            }
        }
    }

    fn change_difficulty(
        &mut self,
        wanted: ShareDifficulty,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let difficulty = self.bounds().apply(wanted);
        if matches!(self.state, State::Working { .. }) && difficulty != self.vardiff.difficulty() {
            self.vardiff.set(difficulty, now.monotonic);
            self.issue_at_new_difficulty(now, actions);
        }
    }

    /// `[job id]`: the ids of the job's transactions but the coinbase.
    fn get_transactions(&self, id: &RequestId, params: &[Value], actions: &mut Vec<Action>) {
        let job = params
            .first()
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<JobId>().ok())
            .and_then(|job| self.jobs.get(job));
        let Some(issued) = job else {
            let refusal = Refusal {
                code: 21,
                text: "Job not found".to_owned(),
            };
            return Self::answer(id, &Err(refusal), actions);
        };
        match issued.work.txids() {
            Some(list) => send(actions, reply_raw(id, list)),
            None => {
                let refusal = Refusal::other("the block has too many transactions to list");
                Self::answer(id, &Err(refusal), actions);
            }
        }
    }
}

/// A number as clients write it: as one, or as a text.
fn number(params: &[Value]) -> Option<f64> {
    match params.first()? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The difficulty of a 64-digit target: the easiest one that is not easier than asked for.
fn target(params: &[Value]) -> Option<ShareDifficulty> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(params.first()?.as_str()?, &mut bytes).ok()?;
    let target = pow::Target::from_be_bytes(bytes);
    // Zero and its like can never be met and are no suggestion.
    NBits::at_most(target).ok()?;
    Some(ShareDifficulty::for_target(target))
}

/// What may be shown of a text of the client's.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(MAX_USER_AGENT)
        .collect()
}
