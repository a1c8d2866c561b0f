//! The audit: is a bundle what its node submitted it as?
//!
//! A pure function of the bundle, what the auditor expects and what it knows of the chain. Every share is checked again
//! by [`work::check_share`] on a job rebuilt from the tables, with task, round and node from the root: a share hashed
//! for anybody else has another claim in its coinbase, another header, and no proof of work.
//!
//! Every byte of a bundle is bound by something here: by the proof of work, by the chain, by a sum, by the one
//! canonical form, or (the two times, outwards) by the auditor's own clock within the tolerance of the rules. What no audit can
//! see is whether a template's transactions were valid: the pool learns that when the node refuses the block.

use std::sync::Arc;

use bitcoin::{Amount, BlockHash};
use cid::Cid;
use pow::Work;
use work::{
    Freshness, Job, JobTemplate, K2Address, RoundNumber, ShareContext, UnixTime, Verdict,
    VersionMask, block_subsidy, check_share,
};

use crate::audit_failure::{AuditFailure, End};
use crate::bundle::Bundle;
use crate::bundle_error::{BundleError, Part};
use crate::bundle_root::{BundleHead, Moment, Totals};
use crate::facts::{ChainFacts, HeightRange};
use crate::rules::PoolRules;
use crate::seen::{SeenInRound, Stage};
use crate::shares_chunk::PackedShare;

/// BIP65: the highest version below which blocks are refused, read as signed.
const LOWEST_VERSION: i32 = 4;

/// What a node submitted to K2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// Its bundle.
    pub cid: Cid,
    /// How many shares it holds.
    pub shares: u64,
    /// Their work.
    pub work: Work,
    /// The Merkle-sum root.
    pub root: [u8; 32],
}

/// When a round began and ended on the auditor's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundWindow {
    /// When it was opened.
    pub opened_at: UnixTime,
    /// When it was closed; `None` while it is open here.
    pub closed_at: Option<UnixTime>,
}

/// What the auditor expects of a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The rules, with the task and the network.
    pub rules: &'a PoolRules,
    /// The round.
    pub round: RoundNumber,
    /// The node that submitted it.
    pub node: K2Address,
    /// What it submitted.
    pub submitted: Submitted,
    /// What the auditor saw itself, if it took part.
    pub window: Option<RoundWindow>,
}

/// A share that met the block target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockShare {
    /// The block's hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// What its coinbase pays to the pool.
    pub value: Amount,
}

/// What a valid bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSummary {
    /// The bundle.
    pub cid: Cid,
    /// Its sums.
    pub totals: Totals,
    /// How many shares were opened: all of them, or those of a sample.
    pub checked: u64,
    /// The blocks among them.
    pub blocks: Vec<BlockShare>,
}

/// Audits a whole bundle. Its shares enter `seen` only if it is valid.
///
/// # Errors
/// [`AuditFailure`] names the first check that failed.
pub fn audit(
    bundle: &Bundle,
    expectation: &Expectation<'_>,
    facts: &ChainFacts,
    seen: &mut SeenInRound,
) -> Result<AuditSummary, AuditFailure> {
    run(bundle, expectation, facts, seen, true)
}

/// Audits the chunks of a bundle that were read ([`Bundle::read_parts`]), in the same way but for what only all of
/// them together can show: the number of blocks, unused table entries.
///
/// # Errors
/// As [`audit`].
pub fn audit_parts(
    bundle: &Bundle,
    expectation: &Expectation<'_>,
    facts: &ChainFacts,
    seen: &mut SeenInRound,
) -> Result<AuditSummary, AuditFailure> {
    run(bundle, expectation, facts, seen, false)
}

fn run(
    bundle: &Bundle,
    expectation: &Expectation<'_>,
    facts: &ChainFacts,
    seen: &mut SeenInRound,
    whole: bool,
) -> Result<AuditSummary, AuditFailure> {
    check_submission(bundle, &expectation.submitted)?;
    let head = bundle.root().head();
    check_head(head, expectation)?;
    check_moment(End::Opened, &head.opened, facts.opened, facts)?;
    check_moment(End::Closed, &head.closed, facts.closed, facts)?;
    for (index, job) in bundle.jobs().iter().enumerate() {
        check_job(index, job, expectation.rules, facts)?;
    }

    let mut shares = ShareAudit {
        bundle,
        head,
        now: head
            .closed
            .at
            .plus(expectation.rules.time_grace_seconds().into()),
        stage: seen.stage(*bundle.cid()),
        job: None,
        last: None,
        jobs_used: vec![false; bundle.jobs().len()],
        base_times_met: vec![false; bundle.jobs().len()],
        claims_used: vec![false; bundle.claims().len()],
        checked: 0,
        blocks: Vec::new(),
    };
    if whole {
        for chunk in 0..bundle.root().chunks().len() {
            shares.check_chunk(chunk)?;
        }
        shares.check_all_used()?;
    } else {
        for chunk in bundle.present() {
            shares.check_chunk(chunk)?;
        }
    }
    // Last, because a bundle that is wrong is wrong without it: no verdict is only for what nothing speaks against.
    if shares.stage.is_too_many() {
        return Err(AuditFailure::SeenFull);
    }
    let summary = AuditSummary {
        cid: *bundle.cid(),
        totals: bundle.root().totals(),
        checked: shares.checked,
        blocks: shares.blocks,
    };
    let hashes = shares.stage.into_hashes();
    seen.commit(summary.cid, hashes);
    Ok(summary)
}

fn check_submission(bundle: &Bundle, submitted: &Submitted) -> Result<(), AuditFailure> {
    if *bundle.cid() != submitted.cid {
        let found = Box::new(*bundle.cid());
        return Err(AuditFailure::OtherBundle {
            submitted: Box::new(submitted.cid),
            found,
        });
    }
    let totals = bundle.root().totals();
    for (what, submitted, found) in [
        (
            "shares",
            u128::from(submitted.shares),
            u128::from(totals.shares),
        ),
        ("work", submitted.work.to_hashes(), totals.work.to_hashes()),
    ] {
        if submitted != found {
            return Err(AuditFailure::Submitted {
                what,
                submitted,
                found,
            });
        }
    }
    if submitted.root != *bundle.root().sum_root() {
        return Err(AuditFailure::SubmittedRoot);
    }
    Ok(())
}

/// Checks what a bundle is about, before anything it names is fetched.
///
/// # Errors
/// [`AuditFailure`] names the first check that failed.
pub fn check_head(head: &BundleHead, expectation: &Expectation<'_>) -> Result<(), AuditFailure> {
    let rules = expectation.rules;
    if head.task != rules.task() {
        return Err(AuditFailure::Task(head.task));
    }
    if head.round != expectation.round {
        return Err(AuditFailure::Round(head.round));
    }
    if head.node != expectation.node {
        return Err(AuditFailure::Node(head.node));
    }
    if head.network != rules.network() {
        return Err(AuditFailure::Network(head.network));
    }
    if head.rules != rules.digest() {
        return Err(AuditFailure::Rules {
            expected: rules.digest(),
            found: head.rules,
        });
    }
    let Some(window) = expectation.window else {
        return Ok(());
    };
    // Only a round that is said to have been wider is a lie: it makes older or newer blocks pass for tips. A node that
    // joined late, or was asked for its submission early, honestly has a narrower one.
    let tolerance = rules.clock_tolerance_seconds();
    let grace = u64::from(tolerance);
    let (opened, closed) = (head.opened.at, head.closed.at);
    if opened.plus(grace) < window.opened_at {
        let (said, own) = (opened.0, window.opened_at.0);
        return Err(AuditFailure::Clock {
            end: End::Opened,
            said,
            own,
            tolerance,
        });
    }
    if let Some(own) = window.closed_at
        && closed > own.plus(grace)
    {
        return Err(AuditFailure::Clock {
            end: End::Closed,
            said: closed.0,
            own: own.0,
            tolerance,
        });
    }
    Ok(())
}

fn check_moment(
    end: End,
    moment: &Moment,
    range: HeightRange,
    facts: &ChainFacts,
) -> Result<(), AuditFailure> {
    let tip = moment.tip;
    let height = facts
        .headers
        .get(&tip)
        .ok_or(AuditFailure::UnknownTip { end, tip })?
        .height;
    if moment.height != height {
        return Err(AuditFailure::TipHeight {
            end,
            said: moment.height,
            height,
        });
    }
    if !range.contains(height) {
        return Err(AuditFailure::TipTime {
            end,
            height,
            low: range.low,
            high: range.high,
        });
    }
    Ok(())
}

/// Everything about a job but its shares.
fn check_job(
    index: usize,
    job: &JobTemplate,
    rules: &PoolRules,
    facts: &ChainFacts,
) -> Result<(), AuditFailure> {
    let previous = job.prev_hash();
    let fact = facts
        .headers
        .get(&previous)
        .ok_or(AuditFailure::UnknownPrevious {
            job: index,
            previous,
        })?;
    let height = fact.height.saturating_add(1);
    if job.height() != height {
        return Err(AuditFailure::Height {
            job: index,
            said: job.height(),
            height,
        });
    }
    let (low, high) = (facts.opened.low, facts.closed.high);
    if !(low..=high).contains(&fact.height) {
        return Err(AuditFailure::StalePrevious {
            job: index,
            height: fact.height,
            low,
            high,
        });
    }
    let found = job.nbits().to_consensus();
    if !fact.child_bits.allows(found) {
        return Err(AuditFailure::Bits {
            job: index,
            found,
            expected: fact.child_bits.regular,
        });
    }
    // The header's version is signed; rolling adds bits in between, so this holds for every share if it holds here.
    if (job.version() as i32) < LOWEST_VERSION {
        return Err(AuditFailure::Version {
            job: index,
            version: job.version(),
        });
    }
    let foreign = job
        .payouts()
        .iter()
        .position(|paid| !rules.payout_scripts().contains(&paid.script));
    if let Some(output) = foreign {
        return Err(AuditFailure::Payout { job: index, output });
    }
    let subsidy = block_subsidy(rules.network(), job.height());
    if job.total_value() < subsidy {
        return Err(AuditFailure::BelowSubsidy {
            job: index,
            value: job.total_value(),
            subsidy,
        });
    }
    // In the canonical form `min_time` is the smallest time of the job's shares.
    if job.min_time() < fact.min_child_time {
        return Err(AuditFailure::TimeTooOld {
            job: index,
            time: job.min_time(),
            lowest: fact.min_child_time,
        });
    }
    Ok(())
}

/// The pass over the shares.
struct ShareAudit<'a> {
    bundle: &'a Bundle,
    head: &'a BundleHead,
    /// The latest the last share can have come. The close is taken down before the round is closed, so a share can
    /// come after it; without the grace a miner with its clock two hours ahead could make its node's round invalid.
    now: UnixTime,
    stage: Stage<'a>,
    /// The job of the share before: shares are sorted, so each job is rebuilt once.
    job: Option<(u32, u32, Arc<Job>, Work)>,
    last: Option<(usize, PackedShare)>,
    jobs_used: Vec<bool>,
    base_times_met: Vec<bool>,
    claims_used: Vec<bool>,
    checked: u64,
    blocks: Vec<BlockShare>,
}

impl ShareAudit<'_> {
    fn check_chunk(&mut self, chunk: usize) -> Result<(), AuditFailure> {
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

    fn check_all_used(&self) -> Result<(), AuditFailure> {
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
