//! The audit's pass over the shares: each one checked again, chunk by chunk, and the sums of the root with them.

use std::sync::Arc;

use pow::Work;
use work::{Freshness, Job, ShareContext, UnixTime, Verdict, VersionMask, check_share};

use crate::audit::BlockShare;
use crate::audit_failure::AuditFailure;
use crate::bundle::Bundle;
use crate::bundle_error::{BundleError, Part};
use crate::bundle_root::BundleHead;
use crate::seen::Stage;
use crate::shares_chunk::PackedShare;

/// The pass over the shares.
pub(crate) struct ShareAudit<'a> {
    bundle: &'a Bundle,
    head: &'a BundleHead,
    /// The latest the last share can have come. The close is taken down before the round is closed, so a share can
    /// come after it; without the grace a miner with its clock two hours ahead could make its node's round invalid.
    now: UnixTime,
    pub(crate) stage: Stage<'a>,
    /// The job of the share before: shares are sorted, so each job is rebuilt once.
    job: Option<(u32, u32, Arc<Job>, Work)>,
    last: Option<(usize, PackedShare)>,
    jobs_used: Vec<bool>,
    base_times_met: Vec<bool>,
    claims_used: Vec<bool>,
    pub(crate) checked: u64,
    pub(crate) blocks: Vec<BlockShare>,
}

impl<'a> ShareAudit<'a> {
    /// Before the first share; `now` is the latest any share can have come.
    pub(crate) fn new(bundle: &'a Bundle, now: UnixTime, stage: Stage<'a>) -> Self {
        Self {
            bundle,
            head: bundle.root().head(),
            now,
            stage,
            job: None,
            last: None,
            jobs_used: vec![false; bundle.jobs().len()],
            base_times_met: vec![false; bundle.jobs().len()],
            claims_used: vec![false; bundle.claims().len()],
            checked: 0,
            blocks: Vec::new(),
        }
    }

    /// Chunks are checked in their order.
    pub(crate) fn check_chunk(&mut self, chunk: usize) -> Result<(), AuditFailure> {
        let shares = self.bundle.shares(chunk)?;
        if let (Some((_, last)), Some(first)) = (&self.last, shares.first())
            && last >= first
        {
            return Err(AuditFailure::Order(chunk));
        }
        let mut sum = Work::ZERO;
        for (index, share) in shares.iter().enumerate() {
            let work = self.check(chunk, index, share)?;
            sum = sum.checked_add(work).ok_or(BundleError::Overflow)?;
        }
        let given = self
            .bundle
            .root()
            .chunks()
            .get(chunk)
            .map_or(Work::ZERO, |link| link.work);
        if given != sum {
            let (given, sum) = (given.to_hashes(), sum.to_hashes());
            return Err(AuditFailure::ChunkWork { chunk, given, sum });
        }
        self.last = shares.last().map(|last| (chunk, *last));
        Ok(())
    }

    fn check(
        &mut self,
        chunk: usize,
        index: usize,
        share: &PackedShare,
    ) -> Result<Work, AuditFailure> {
        let (job, work) = self.job(share)?;
        let context = ShareContext {
            job: &job,
            // Whether the previous block was a tip of the round has been checked for the whole job.
            freshness: Freshness::Current,
            version_mask: VersionMask::BIP320,
            now: self.now,
        };
        let credited = match check_share(&context, &share.fields(), &mut self.stage).verdict {
            Verdict::Credited(credited) => credited,
            Verdict::Rejected(reason) => {
                return Err(AuditFailure::Share {
                    chunk,
                    share: index,
                    reason,
                });
            }
        };
        if credited.is_block() {
            self.blocks.push(BlockShare {
                hash: credited.hash(),
                height: job.template().height(),
                value: job.template().total_value(),
            });
        }
        if share.ntime == job.template().min_time() {
            mark(&mut self.base_times_met, share.job);
        }
        self.checked += 1;
        Ok(work)
    }

    fn job(&mut self, share: &PackedShare) -> Result<(Arc<Job>, Work), AuditFailure> {
        if let Some((job, claim, built, work)) = &self.job
            && (*job, *claim) == (share.job, share.claim)
        {
            return Ok((Arc::clone(built), *work));
        }
        let index = share.job as usize;
        let tables = self
            .bundle
            .jobs()
            .get(index)
            .zip(self.bundle.claims().get(share.claim as usize));
        // Decoding a chunk has compared every index with its table.
        let (template, claim) = tables.ok_or(AuditFailure::Order(index))?;
        let built = Job::new(Arc::clone(template), self.head.claim(claim))
            .map_err(|source| AuditFailure::Job { job: index, source })?;
        let (built, work) = (Arc::new(built), claim.difficulty.work());
        mark(&mut self.jobs_used, share.job);
        mark(&mut self.claims_used, share.claim);
        self.job = Some((share.job, share.claim, Arc::clone(&built), work));
        Ok((built, work))
    }

    /// What only all chunks together show.
    pub(crate) fn check_all_used(&self) -> Result<(), AuditFailure> {
        for (part, used) in [
            (Part::Jobs, &self.jobs_used),
            (Part::Claims, &self.claims_used),
        ] {
            if let Some(index) = used.iter().position(|used| !used) {
                return Err(AuditFailure::Unused { part, index });
            }
        }
        if let Some(job) = self.base_times_met.iter().position(|met| !met) {
            return Err(AuditFailure::BaseTime(job));
        }
        let (given, found) = (self.bundle.root().totals().blocks, self.blocks.len() as u64);
        if given != found {
            return Err(AuditFailure::Blocks { given, found });
        }
        Ok(())
    }
}

fn mark(flags: &mut [bool], index: u32) {
    if let Some(flag) = flags.get_mut(index as usize) {
        *flag = true;
    }
}
