//! Shares on their way into the store and out of it.

use std::sync::Arc;

use bitcoin::BlockHash;
use k2_interface::K2Address;
use pow::Work;
use work::{Claim, CreditedShare, JobTemplate, JobTemplateId, ShareFields, UnixTime};

/// The longest worker name.
pub const MAX_WORKER_BYTES: usize = 64;

/// The most shares a round takes. A round is worth what can be sealed of it: one share more than its bundle can hold, and
/// all of them would be acknowledged and never paid.
pub const MAX_ROUND_SHARES: u64 = 1 << 22;

/// The most claims (a miner at a difficulty) the shares of a round have, for the same reason.
pub const MAX_ROUND_CLAIMS: u64 = 1 << 17;

/// How far back [`crate::ShareStore::worker_stats`] reaches at least, in seconds.
pub const WORKER_STATS_SECONDS: u64 = 7 * 24 * 60 * 60;

/// A share to be recorded. Its claim names the round it goes into.
#[derive(Debug, Clone)]
pub struct NewShare {
    /// The share; only [`work::check_share`] makes one.
    pub share: CreditedShare,
    /// The worker's name below the miner's address, without the dot; may be empty. At most [`MAX_WORKER_BYTES`].
    pub worker: String,
    /// When it arrived.
    pub at: UnixTime,
}

/// What became of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "only a stored share may be acknowledged as a new one"]
pub enum Recorded {
    /// It is durable.
    Stored,
    /// Its header hash was stored before, by this process or an earlier one. It stays stored once. After an error this is
    /// the answer to a repeated attempt whose first one reached the disk after all.
    Duplicate,
    /// Its round is closed; it is not stored.
    RoundClosed,
    /// Its round has [`MAX_ROUND_SHARES`] or [`MAX_ROUND_CLAIMS`]; it is not stored.
    RoundFull,
}

/// A share as it was stored. Claims and worker names are shared between shares, so that a round of a million fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredShare {
    /// The job template it was found on, one of [`RoundShares::jobs`].
    pub job: JobTemplateId,
    /// Who earns it and at which difficulty; with the job template it makes the [`work::Job`] again.
    pub claim: Arc<Claim>,
    /// What the miner sent; `version_bits` is always present, as in [`CreditedShare::fields`].
    pub fields: ShareFields,
    /// The header hash.
    pub hash: BlockHash,
    /// Whether it also met the block target.
    pub is_block: bool,
    /// The worker that found it.
    pub worker: Arc<str>,
    /// When it arrived.
    pub at: UnixTime,
}

/// All shares of a round with the jobs they were found on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundShares {
    /// The job templates, by ascending id; exactly those that a share names.
    pub jobs: Vec<(JobTemplateId, JobTemplate)>,
    /// The shares: those of one claim together, in the order they were stored. The order is the same at every reading.
    pub shares: Vec<StoredShare>,
}

/// What one worker of one miner did within a time window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStats {
    /// The miner's address.
    pub miner: K2Address,
    /// The worker's name.
    pub worker: String,
    /// How many shares it found.
    pub shares: u64,
    /// Their work in expected hashes: divided by the window's seconds, the hash rate.
    pub work: Work,
    /// When the last of them arrived.
    pub last_share: UnixTime,
}
