//! THE share check.
//!
//! Stratum, audit, replay tests and the share chain all call [`check_share`]. Its order is that of the house:
//!
//! 1. parse (that is [`ShareFields::parse`], before there is anything to check)
//! 2. rebuild coinbase, merkle root and header; hash
//! 3. a hash at or below the block target is handed out at once, also if the share is stale or otherwise bad
//! 4. stale  5. ntime  6. version bits  7. share target  8. seen before

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use pow::{Algorithm, Sha256d, Work};

use crate::{FieldError, Job, SeenError, SeenShares, ShareFields, UnixTime, VersionMask};

/// How far a header's time may lie in the future (Bitcoin Core `MAX_FUTURE_BLOCK_TIME`).
const MAX_FUTURE_SECONDS: u64 = 2 * 60 * 60;

/// Whether a job may still earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It builds on the current tip (for an auditor: on a tip of the round) and its round is open.
    Current,
    /// It does not, or it has expired. Its blocks still count, its shares do not.
    Stale,
}

/// What a share is checked against.
#[derive(Debug, Clone, Copy)]
pub struct ShareContext<'a> {
    /// The job the share names.
    pub job: &'a Arc<Job>,
    /// Whether that job may still earn.
    pub freshness: Freshness,
    /// The version bits this miner negotiated.
    pub version_mask: VersionMask,
    /// The wall clock.
    pub now: UnixTime,
}

/// Why a share earns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// A field cannot be read.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The job is not known to this session, has expired, or builds on another block than the tip.
    #[error("Stale share: job not found or no longer current")]
    Stale,
    /// ntime is before the template's mintime.
    #[error("Time too old: ntime is below the job's mintime")]
    NtimeTooOld,
    /// ntime is more than two hours ahead.
    #[error("Time too new: ntime is more than two hours ahead")]
    NtimeTooNew,
    /// Rolled bits outside the negotiated mask (BIP310).
    #[error("Invalid version bits: outside the negotiated mask")]
    VersionBits,
    /// The hash is above the share target.
    #[error("Low difficulty share")]
    LowDifficulty,
    /// The same header was submitted before.
    #[error("Duplicate share")]
    Duplicate,
    /// No room to remember another share until the next block.
    #[error("Too many shares since the last block: raise your difficulty")]
    TooManyShares,
}

impl RejectReason {
    /// The error code Stratum clients know: 20 other, 21 stale, 22 duplicate, 23 low difficulty.
    #[must_use]
    pub const fn stratum_code(self) -> u16 {
        match self {
            Self::Stale => 21,
            Self::Duplicate => 22,
            Self::LowDifficulty => 23,
            Self::Field(_)
            | Self::NtimeTooOld
            | Self::NtimeTooNew
            | Self::VersionBits
            | Self::TooManyShares => 20,
        }
    }
}

/// A header at or below the block target, ready for [`crate::BlockTemplate::assemble`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundBlock {
    /// The block's hash.
    pub hash: BlockHash,
    /// The 80-byte header.
    pub header: [u8; 80],
    /// The coinbase in its stripped form.
    pub coinbase: Vec<u8>,
}

/// A share that earned its job's difficulty. Only [`check_share`] makes one, and only this can be stored.
#[derive(Debug, Clone)]
pub struct CreditedShare {
    job: Arc<Job>,
    fields: ShareFields,
    hash: BlockHash,
    is_block: bool,
}

impl CreditedShare {
    /// The job it was found on; its claim says who earns it.
    #[must_use]
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// What the miner sent. `version_bits` is always present here: the header's version bits under
    /// [`VersionMask::BIP320`], whether rolled or not, so that one header has one form.
    #[must_use]
    pub fn fields(&self) -> &ShareFields {
        &self.fields
    }

    /// The header hash.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Whether it also met the block target.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.is_block
    }

    /// What it is credited with: the work of the job's difficulty, never the hash's own luck.
    #[must_use]
    pub fn work(&self) -> Work {
        self.job.claim().difficulty.work()
    }
}

/// Whether a share counts.
#[derive(Debug, Clone)]
#[must_use]
pub enum Verdict {
    /// It counts.
    Credited(CreditedShare),
    /// It does not.
    Rejected(RejectReason),
}

/// What [`check_share`] found out.
#[derive(Debug, Clone)]
#[must_use = "a found block must reach the node, whatever the verdict"]
pub struct CheckedShare {
    /// The header hash.
    pub hash: BlockHash,
    /// A block: hand it to the node before anything else.
    pub block: Option<FoundBlock>,
    /// Whether the share counts.
    pub verdict: Verdict,
}

/// Checks one share. The filter is only told of shares that pass everything else, so a bad share never shadows a good
/// one.
pub fn check_share(
    context: &ShareContext<'_>,
    fields: &ShareFields,
    seen: &mut impl SeenShares,
) -> CheckedShare {
    let job = context.job;
    let header = job.header(fields, context.version_mask);
    let digest = Sha256d::hash(&header);
    let hash = BlockHash::from_byte_array(digest);

    let is_block = job.template().nbits().target().is_met_by_le(&digest);
    let block = is_block.then(|| FoundBlock {
        hash,
        header,
        coinbase: job.coinbase(&fields.extranonce),
    });
    let verdict = match judge(context, fields, &digest, seen) {
        Err(reason) => Verdict::Rejected(reason),
        Ok(()) => Verdict::Credited(CreditedShare {
            job: Arc::clone(job),
            fields: ShareFields {
                version_bits: Some(version_of(&header) & VersionMask::BIP320.to_u32()),
                ..*fields
            },
            hash,
            is_block,
        }),
    };
    CheckedShare {
        hash,
        block,
        verdict,
    }
}

fn judge(
    context: &ShareContext<'_>,
    fields: &ShareFields,
    digest: &[u8; 32],
    seen: &mut impl SeenShares,
) -> Result<(), RejectReason> {
    if context.freshness == Freshness::Stale {
        return Err(RejectReason::Stale);
    }
    if fields.ntime < context.job.template().min_time() {
        return Err(RejectReason::NtimeTooOld);
    }
    if u64::from(fields.ntime) > context.now.plus(MAX_FUTURE_SECONDS).0 {
        return Err(RejectReason::NtimeTooNew);
    }
    if let Some(bits) = fields.version_bits
        && !context.version_mask.allows(bits)
    {
        return Err(RejectReason::VersionBits);
    }
    if !context.job.claim().difficulty.target().is_met_by_le(digest) {
        return Err(RejectReason::LowDifficulty);
    }
    seen.insert(BlockHash::from_byte_array(*digest))
        .map_err(|refused| match refused {
            SeenError::Duplicate => RejectReason::Duplicate,
            SeenError::Full => RejectReason::TooManyShares,
        })
}

fn version_of(header: &[u8; 80]) -> u32 {
    u32::from_le_bytes([header[0], header[1], header[2], header[3]])
}
