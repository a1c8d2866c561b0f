//! A share: from `mining.submit` to the reply.

use std::sync::Arc;

use bitcoin::BlockHash;
use pow::Work;
use serde_json::{Value, json};
use work::{
    CheckedShare, CreditedShare, Extranonce1, FieldError, FoundBlock, Freshness, JobId,
    RejectReason, ShareContext, ShareFields, Verdict, check_share,
};

use super::{Action, DisconnectReason, Moment, Rejects, Session, Ticket};
use crate::jobs::IssuedJob;
use crate::message::{Refusal, RequestId};
use crate::{Recorded, SinkError};

/// Shares of one session that may be on their way to the store. The shell stops reading at this number.
pub(super) const MAX_PENDING: usize = 256;

/// Rejected shares only end a session if they went on for so long: right after a block, a fast client can have sent
/// hundreds of stale ones before it heard of the new job.
const REJECTS_SECONDS: u64 = 30;

/// A share that is being recorded.
#[derive(Debug)]
pub(super) struct Pending {
    id: RequestId,
    worker: usize,
    hash: BlockHash,
    work: Work,
    /// An earlier attempt ended in an error, and may have reached the store all the same.
    is_retry: bool,
}

/// The parameters of `mining.submit`, still as text.
struct Submission<'a> {
    worker: &'a str,
    job: &'a str,
    extranonce2: &'a str,
    ntime: &'a str,
    nonce: &'a str,
    version_bits: Option<&'a str>,
}

impl<'a> Submission<'a> {
    /// Reads what a header takes; `None` where that is not there.
    fn of(params: &'a [Value]) -> Option<Self> {
        let text = |index: usize| params.get(index).and_then(Value::as_str);
        Some(Self {
            worker: text(0).unwrap_or_default(),
            job: text(1)?,
            extranonce2: text(2)?,
            ntime: text(3)?,
            nonce: text(4)?,
            version_bits: text(5),
        })
    }

    /// Whether the parameters are those of a share: five texts, or six.
    fn is_well_formed(params: &[Value]) -> bool {
        let (texts, bits) = params.split_at(params.len().min(5));
        texts.len() == 5
            && texts.iter().all(Value::is_string)
            && matches!(bits, [] | [Value::Null | Value::String(_)])
    }

    fn fields(&self, extranonce1: Extranonce1) -> Result<ShareFields, FieldError> {
        ShareFields::parse(
            extranonce1,
            self.extranonce2,
            self.ntime,
            self.nonce,
            self.version_bits,
        )
    }
}

impl Session {
    pub(super) fn submit(
        &mut self,
        id: &RequestId,
        params: &[Value],
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let Some((extranonce1, _)) = self.state.working() else {
            let refusal = if self.state.lease().is_none() {
                Refusal::not_subscribed()
            } else {
                Refusal::unauthorized("Unauthorized worker: send mining.authorize first")
            };
            return Self::answer(id, &Err(refusal), actions);
        };
        let submission = match Submission::of(params) {
            Some(submission) if Submission::is_well_formed(params) => submission,
            malformed => {
                if let Some(submission) = malformed {
                    self.look_for_block(&submission, now, actions);
                }
                let refusal = Refusal::other(
                    "mining.submit takes 5 or 6 texts: worker, job, extranonce2, ntime, nonce, version bits",
                );
                Self::answer(id, &Err(refusal), actions);
                return self.count_reject(now, actions);
            }
        };
        if self.pending.len() >= MAX_PENDING {
            self.look_for_block(&submission, now, actions);
            // The memory of shares was not told, so that it can come again.
            let refusal = Refusal::other("Too many shares at once: submit this one again");
            return Self::answer(id, &Err(refusal), actions);
        }
        let worker = match self.worker(submission.worker, now) {
            Ok(worker) => worker,
            Err(refusal) => {
                self.look_for_block(&submission, now, actions);
                Self::answer(id, &Err(refusal), actions);
                return self.count_reject(now, actions);
            }
        };
        let job = submission.job.parse().ok();
        let Some(issued) = job.and_then(|job: JobId| self.jobs.get(job)).cloned() else {
            return self.reject(id, worker, RejectReason::Stale, now, actions);
        };
        let fields = match submission.fields(extranonce1) {
            Ok(fields) => fields,
            Err(error) => return self.reject(id, worker, error.into(), now, actions),
        };

        let lifetime = self.context.settings.job_lifetime;
        let freshness = self.jobs.freshness(&issued, lifetime, now.monotonic);
        let (checked, is_retry) = self.check(&issued, &fields, freshness, now);
        self.hand_out(checked.block, &issued, worker, actions);
        match checked.verdict {
            // It has no better job: what is outdated is the pool's work, not the miner's.
            Verdict::Rejected(RejectReason::Stale) if self.jobs.is_newest(issued.id) => {
                self.refuse(id, worker, RejectReason::Stale, actions);
            }
            Verdict::Rejected(reason) => self.reject(id, worker, reason, now, actions),
            Verdict::Credited(share) => {
                self.record(id, worker, share, is_retry, now, actions);
            }
        }
    }

    /// A share that cannot be taken may be a block all the same.
    fn look_for_block(&self, submission: &Submission<'_>, now: Moment, actions: &mut Vec<Action>) {
        let Some((extranonce1, _)) = self.state.working() else {
            return;
        };
        let job = submission.job.parse().ok();
        let Some(issued) = job.and_then(|job: JobId| self.jobs.get(job)) else {
            return;
        };
        if let Ok(fields) = submission.fields(extranonce1) {
            // As a stale one it is neither credited nor remembered.
            let (checked, _) = self.check(issued, &fields, Freshness::Stale, now);
            self.hand_out(checked.block, issued, 0, actions);
        }
    }

    fn hand_out(
        &self,
        block: Option<FoundBlock>,
        issued: &IssuedJob,
        worker: usize,
        actions: &mut Vec<Action>,
    ) {
        if let Some(block) = block
            && self.context.seen.is_new_block(block.hash)
        {
            actions.push(Action::Block {
                work: Arc::clone(&issued.work),
                block: Box::new(block),
                miner: issued.job.claim().miner,
                worker: Arc::clone(self.workers[worker].1.name()),
            });
        }
    }

    fn check(
        &self,
        issued: &IssuedJob,
        fields: &ShareFields,
        freshness: Freshness,
        now: Moment,
    ) -> (CheckedShare, bool) {
        let context = ShareContext {
            job: &issued.job,
            freshness,
            version_mask: self.mask,
            now: now.wall,
        };
        let mut attempt = self.context.seen.attempt();
        let checked = check_share(&context, fields, &mut attempt);
        (checked, attempt.is_retry())
    }

    fn record(
        &mut self,
        id: &RequestId,
        worker: usize,
        share: CreditedShare,
        is_retry: bool,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let difficulty = share.job().claim().difficulty;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.pending.insert(
            ticket,
            Pending {
                id: id.clone(),
                worker,
                hash: share.hash(),
                work: share.work(),
                is_retry,
            },
        );
        actions.push(Action::Record {
            ticket,
            share: Box::new(share),
            worker: Arc::clone(self.workers[worker].1.name()),
            at: now.wall,
        });
        let bounds = self.bounds();
        let changed = self.vardiff.on_share(difficulty, &bounds, now.monotonic);
        if changed.is_some() {
            self.issue_at_new_difficulty(now, actions);
        }
    }

    /// The store has answered for a share; only now does the miner.
    pub fn on_recorded(
        &mut self,
        ticket: Ticket,
        outcome: &Result<Recorded, SinkError>,
        now: Moment,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(share) = self.pending.remove(&ticket) else {
            return actions;
        };
        match outcome {
            Ok(Recorded::Stored) => self.accept(&share, now, &mut actions),
            // The first attempt did reach the store: this miner's share, acknowledged once.
            Ok(Recorded::Duplicate) if share.is_retry => self.accept(&share, now, &mut actions),
            Ok(Recorded::Duplicate) => {
                let reason = RejectReason::Duplicate;
                self.reject(&share.id, share.worker, reason, now, &mut actions);
            }
            Ok(Recorded::RoundClosed) => {
                // Not the miner's fault: it counts in the statistics, but not against it.
                self.workers[share.worker].1.rejected(RejectReason::Stale);
                let refusal = Refusal {
                    code: 21,
                    text: "Stale share: the round of its job is closed".to_owned(),
                };
                Self::answer(&share.id, &Err(refusal), &mut actions);
            }
            Ok(Recorded::RoundFull) => {
                let reason = RejectReason::TooManyShares;
                self.workers[share.worker].1.rejected(reason);
                let refusal =
                    Refusal::other("The round takes no more shares until the next begins");
                Self::answer(&share.id, &Err(refusal), &mut actions);
            }
            Err(_) => {
                self.context.seen.not_recorded(share.hash);
                let refusal = Refusal::other("The share could not be stored: submit it again");
                Self::answer(&share.id, &Err(refusal), &mut actions);
            }
        }
        actions
    }

    fn accept(&mut self, share: &Pending, now: Moment, actions: &mut Vec<Action>) {
        self.has_accepted = true;
        self.garbage = 0;
        self.rejects = Rejects::default();
        self.workers[share.worker].1.accepted(share.work, now);
        Self::answer(&share.id, &Ok(json!(true)), actions);
    }

    fn reject(
        &mut self,
        id: &RequestId,
        worker: usize,
        reason: RejectReason,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        self.refuse(id, worker, reason, actions);
        // A full memory is the server's trouble.
        if reason != RejectReason::TooManyShares {
            self.count_reject(now, actions);
        }
    }

    /// Refuses a share without holding it against its miner.
    fn refuse(
        &self,
        id: &RequestId,
        worker: usize,
        reason: RejectReason,
        actions: &mut Vec<Action>,
    ) {
        self.workers[worker].1.rejected(reason);
        Self::answer(id, &Err(reason.into()), actions);
    }

    fn count_reject(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if self.rejects.in_a_row == 0 {
            self.rejects.since = now.monotonic;
        }
        self.rejects.in_a_row = self.rejects.in_a_row.saturating_add(1);
        let lasted = now.monotonic.saturating_sub(self.rejects.since).as_secs();
        if self.rejects.in_a_row >= self.context.settings.max_rejects_in_a_row
            && lasted >= REJECTS_SECONDS
            && !self.ended
        {
            self.disconnect(DisconnectReason::TooManyRejects, actions);
        }
    }
}
