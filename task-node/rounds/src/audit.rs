//! The audit: is a bundle what its node submitted it as?
//!
//! A pure function of the bundle, what the auditor expects and what it knows of the chain. Every share is checked again
//! by [`work::check_share`] on a job rebuilt from the tables, with task, round and node from the root: a share hashed
//! for anybody else has another claim in its coinbase, another header, and no proof of work.
//!
//! Every byte of a bundle is bound by something here: by the proof of work, by the chain, by a sum, by the one
//! canonical form, or (the two times, outwards) by the auditor's own clock within the tolerance of the rules. What no audit can
//! see is whether a template's transactions were valid: the pool learns that when the node refuses the block.

use bitcoin::{Amount, BlockHash};
use cid::Cid;
use pow::Work;
use work::{K2Address, RoundNumber, UnixTime};

use crate::audit_failure::{AuditFailure, End};
use crate::audit_job::check_job;
use crate::audit_shares::ShareAudit;
use crate::bundle::Bundle;
use crate::bundle_root::{BundleHead, Moment, Totals};
use crate::facts::{ChainFacts, HeightRange};
use crate::rules::PoolRules;
use crate::seen::SeenInRound;

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

    let grace = expectation.rules.time_grace_seconds();
    let latest = head.closed.at.plus(grace.into());
    let mut shares = ShareAudit::new(bundle, latest, seen.stage(*bundle.cid()));
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
