//! The audit of a job: does it build on a tip of the round, on the chain's terms, and pay only the pool?

use work::{JobTemplate, block_subsidy};

use crate::audit_failure::AuditFailure;
use crate::facts::ChainFacts;
use crate::rules::PoolRules;

/// BIP65: the highest version below which blocks are refused, read as signed.
const LOWEST_VERSION: i32 = 4;

/// Everything about a job but its shares.
pub(crate) fn check_job(
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
