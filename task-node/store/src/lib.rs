//! Shares, rounds and their outcome on disk.
//!
//! [`ShareStore`] is the seam: everything above knows only the trait. [`SqliteStore`] is the store of a single node;
//! [`conformance`](crate#features) is the suite that it and any other store is held to.
//!
//! What a store promises:
//!
//! - A write is answered only once it is durable. A process or machine that dies afterwards loses nothing answered.
//! - Every write is whole or absent, also when the process dies in the middle or the disk is full.
//! - Only a [`work::CreditedShare`] can be recorded, each header hash once, and only into a round that is open.
//! - Rounds only move forward: opened, closed, sealed. A closed round never takes another share, a sealed one is final.
//! - Settlements follow each other without a gap, and none is ever changed.
//! - A store belongs to one task and one node for ever ([`Identity`]).
//!
//! # Features
//! `conformance`: the module of the same name, for tests.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod outcome;
mod round;
mod share;
mod share_store;
mod sqlite;

pub use error::StoreError;
pub use outcome::{
    Accepted, AuditRecord, BlockOutcome, BlockRecord, BlockStatus, MAX_CID_BYTES,
    MAX_DISTRIBUTION_BYTES, MAX_REASON_BYTES, MAX_SETTLEMENT_BYTES, SetOutcome,
};
pub use round::{CloseOutcome, Mark, OpenOutcome, RoundRecord, RoundState, Seal, SealOutcome, Tip};
pub use share::{
    MAX_ROUND_CLAIMS, MAX_ROUND_SHARES, MAX_WORKER_BYTES, NewShare, Recorded, RoundShares,
    StoredShare, WORKER_STATS_SECONDS, WorkerStats,
};
pub use share_store::{Identity, ShareStore};
pub use sqlite::SqliteStore;
