//! The jobs a session has out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use work::{Claim, Freshness, Job, JobId, JobTemplateId};

use crate::CurrentWork;

/// A job comes with every template (each half minute) and every change of difficulty, and earns ten minutes by default.
const MAX_JOBS: usize = 32;
/// A block found this long after another one can still be the one that the network keeps.
const PAST_TIP: Duration = Duration::from_secs(60);

/// A job as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct IssuedJob {
    pub(crate) id: JobId,
    pub(crate) job: Arc<Job>,
    pub(crate) work: Arc<CurrentWork>,
    pub(crate) at: Duration,
}

/// The last jobs of one session, oldest first. Bounded in number and in age: each of them keeps a block template alive.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: VecDeque<IssuedJob>,
    /// The tip, and when the session heard of it.
    tip: Option<(BlockHash, Duration)>,
}

impl Jobs {
    /// Tells what blocks now build on.
    pub(crate) fn building_on(&mut self, prev_hash: BlockHash, now: Duration) {
        if self.tip.is_none_or(|(tip, _)| tip != prev_hash) {
            self.tip = Some((prev_hash, now));
        }
    }

    pub(crate) fn add(&mut self, job: IssuedJob) {
        if self.jobs.len() >= MAX_JOBS {
            self.jobs.pop_front();
        }
        self.jobs.push_back(job);
    }

    pub(crate) fn get(&self, id: JobId) -> Option<&IssuedJob> {
        self.jobs.iter().rev().find(|issued| issued.id == id)
    }

    pub(crate) fn last(&self) -> Option<&IssuedJob> {
        self.jobs.back()
    }

    /// Whether a job with this template and claim is out: its search space would be the same again, and a client that
    /// starts over would find the same shares (ESP-Miner #1587).
    pub(crate) fn contains(&self, template: JobTemplateId, claim: &Claim) -> bool {
        self.jobs
            .iter()
            .any(|issued| issued.job.template_id() == template && issued.job.claim() == claim)
    }

    /// Whether a job may still earn: it builds on the tip and was sent less than `lifetime` ago.
    pub(crate) fn freshness(
        &self,
        issued: &IssuedJob,
        lifetime: Duration,
        now: Duration,
    ) -> Freshness {
        let on_tip = self
            .tip
            .is_some_and(|(tip, _)| tip == issued.job.template().prev_hash());
        if on_tip && now.saturating_sub(issued.at) <= lifetime {
            Freshness::Current
        } else {
            Freshness::Stale
        }
    }

    /// Whether it is the job sent last. With no Bitcoin node in reach it gets old, and its client has no other.
    pub(crate) fn is_newest(&self, id: JobId) -> bool {
        self.last().is_some_and(|newest| newest.id == id)
    }

    /// Forgets jobs that can neither earn nor, but for a wonder, become a block. The newest one always can.
    pub(crate) fn forget_old(&mut self, lifetime: Duration, now: Duration) {
        let Some((tip, since)) = self.tip else {
            return;
        };
        let past_tip_over = now.saturating_sub(since) > PAST_TIP;
        let newest = self.last().map(|newest| newest.id);
        self.jobs.retain(|issued| {
            if Some(issued.id) == newest {
                return true;
            }
            let on_tip = issued.job.template().prev_hash() == tip;
            let age = now.saturating_sub(issued.at);
            if on_tip {
                age <= lifetime.saturating_add(PAST_TIP)
            } else {
                !past_tip_over
            }
        });
    }
}
