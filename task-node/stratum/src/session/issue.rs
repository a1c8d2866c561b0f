//! Jobs going out: when, at which difficulty, and never the same one twice.

use std::sync::Arc;

use pow::ShareDifficulty;
use serde_json::json;

use super::{Action, Moment, Session, send};
use crate::CurrentWork;
use crate::jobs::IssuedJob;
use crate::message::notification;
use crate::vardiff::Bounds;

/// How far from the wanted difficulty a job may be moved so that it is a new one: four steps are a factor of two.
const MAX_DETOUR: usize = 4;

impl Session {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            server_floor: self.context.settings.min_difficulty,
            client_floor: self.minimum_difficulty,
            block: self.current.as_ref().map(|work| work.block_difficulty()),
        }
    }

    /// The session has just come to [`super::State::Working`].
    pub(super) fn begin(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let start = self.bounds().apply(self.start);
        self.vardiff.set(start, now.monotonic);
        if self.current.is_some() {
            self.issue_for_new_work(now, actions);
        } else {
            super::show_message(actions, "orcapool is waiting for its first round");
        }
    }

    /// Sends a job of the current work, unless the client has just that.
    pub(super) fn issue_for_new_work(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let lifetime = self.context.settings.job_lifetime;
        let had_work = self
            .jobs
            .last()
            .is_some_and(|last| now.monotonic.saturating_sub(last.at) <= lifetime);
        if !had_work {
            // Silence without work says nothing about the hash rate.
            self.vardiff.restart(now.monotonic);
        }
        // A new template may be of another network difficulty.
        let within = self.bounds().apply(self.vardiff.difficulty());
        if within != self.vardiff.difficulty() {
            self.vardiff.set(within, now.monotonic);
        }
        let (Some(work), Some((_, miner))) = (&self.current, self.state.working()) else {
            return;
        };
        let same = self.jobs.last().is_some_and(|last| {
            last.job.template_id() == work.template().id()
                && *last.job.claim() == work.claim(miner, within)
        });
        if !same {
            self.issue(now, actions);
        }
    }

    /// Sends a job at the difficulty vardiff has changed to.
    pub(super) fn issue_at_new_difficulty(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.issue(now, actions);
    }

    /// Sends `set_difficulty` where it changes, then always a job with a new id (ESP-Miner #1587).
    fn issue(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let (Some(work), Some((_, miner))) = (self.current.clone(), self.state.working()) else {
            return;
        };
        let Some(difficulty) = self.unrepeated(&work, self.vardiff.difficulty()) else {
            // Every difficulty near the wanted one is out already: the client keeps what it has.
            if let Some(announced) = self.announced {
                self.vardiff.set(announced, now.monotonic);
            }
            return;
        };
        if difficulty != self.vardiff.difficulty() {
            self.vardiff.set(difficulty, now.monotonic);
        }
        if self.announced != Some(difficulty) {
            self.announced = Some(difficulty);
            let params = json!([difficulty.announced()]);
            send(actions, notification("mining.set_difficulty", &params));
        }

        let id = self.context.next_job();
        let job = Arc::new(work.job(miner, difficulty));
        // By hash, not by height: a re-organisation can stay at one height.
        let clean = self
            .jobs
            .last()
            .is_none_or(|last| last.job.template().prev_hash() != work.prev_hash());
        let line = work.template().notify().line(id, job.claim_hash(), clean);
        send(actions, line);
        if let Some(lease) = self.state.lease_mut() {
            lease.remember(job.template_id(), *job.claim_hash());
        }
        self.jobs.add(IssuedJob {
            id,
            job,
            work,
            at: now.monotonic,
        });
        self.first_job.get_or_insert(now.monotonic);
        for (_, worker) in &self.workers {
            worker.difficulty(difficulty);
        }
    }

    /// The difficulty nearest to `wanted` at which this work was not sent yet. A job that was out before has the same
    /// coinbase again, and a client that starts over on it would only find duplicates.
    fn unrepeated(&self, work: &CurrentWork, wanted: ShareDifficulty) -> Option<ShareDifficulty> {
        let (_, miner) = self.state.working()?;
        let lease = self.state.lease()?;
        let template = work.template().id();
        let bounds = self.bounds();
        let (mut below, mut above) = (wanted, wanted);
        let mut candidates = vec![wanted];
        for _ in 0..MAX_DETOUR {
            below = below.easier();
            above = above.harder();
            candidates.extend([below, above]);
        }
        candidates.into_iter().find(|step| {
            let claim = work.claim(miner, *step);
            bounds.apply(*step) == *step
                && !self.jobs.contains(template, &claim)
                && !lease.remembers(template, claim.hash())
        })
    }
}
