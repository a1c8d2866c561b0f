//! Template, coinbase, job and share: everything a proof of work says about who earned it.
//!
//! The way of a share through this crate:
//!
//! 1. [`BlockTemplate`] - what the Bitcoin node gave, validated.
//! 2. [`JobTemplate`] - the part of it that every miner's header commits to: header constants, merkle branch, coinbase
//!    outputs. It is what a round's bundle stores, so an auditor rebuilds the very same bytes.
//! 3. [`Job`] - a [`JobTemplate`] with one [`Claim`]: what one miner of one node hashes, for one round, at one difficulty.
//! 4. [`check_share`] - THE share check. Stratum, audit, replay tests and the share chain all call it, and nothing
//!    else can make a [`CreditedShare`].
//!
//! The crate has no clock, no sockets and no disk: time comes in as [`UnixTime`].

mod block_template;
mod claim;
mod coinbase;
mod extranonce;
mod hex_fields;
mod job;
mod job_template;
pub mod merkle;
mod notify;
mod payout;
mod seen;
mod share;
mod share_fields;
mod subsidy;
mod units;
#[cfg(test)]
mod vectors;
mod version;

pub use block_template::{AssembleError, BlockTemplate, TemplateError, TemplateParts};
pub use claim::{CLAIM_TAG, CLAIM_VERSION, Claim, MAX_EXTENSION_BYTES, TaskId};
pub use coinbase::{CoinbaseError, MAX_POOL_TAG_BYTES, PoolTag};
pub use extranonce::{EXTRANONCE1_BYTES, EXTRANONCE2_BYTES, Extranonce, Extranonce1};
pub use job::{Job, LiveTemplate};
pub use job_template::{
    CoinbaseOutput, JobTemplate, JobTemplateError, JobTemplateId, MAX_JOB_TEMPLATE_BYTES,
};
pub use k2_interface::{AddressError, K2Address};
pub use notify::{JobId, PreparedNotify};
pub use payout::{PayoutError, PayoutScript};
pub use seen::{DuplicateFilter, SeenError, SeenShares};
pub use share::{
    CheckedShare, CreditedShare, FoundBlock, Freshness, RejectReason, ShareContext, Verdict,
    check_share,
};
pub use share_fields::{FieldError, ShareFields};
pub use subsidy::block_subsidy;
pub use units::{Clock, RoundNumber, SystemClock, UnixTime};
pub use version::VersionMask;
