//! What became of a turn, or of what a person asked for.

use bitcoin::{Amount, Txid};
use serde::Serialize;

use super::action::Alarm;
use super::outside::OutsideError;
use crate::journal::{BatchId, BatchState, JournalError, Kind};
use crate::payment::{CombineError, FinishError, PlanError, Refused, SignError};

/// Why a turn, or something a person asks for, was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TurnError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The payment.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The own review.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A file or a node.
    #[error("{0}")]
    Outside(OutsideError),
    /// A key.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Signed files.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// Signed files.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// Not of this coordinator.
    #[error(
        "transaction {0} is none of this coordinator's: `orcapool payout list` shows what it handed out"
    )]
    Foreign(Txid),
    /// What is asked does not fit where the batch stands.
    #[error("{batch} is {state}: {hint}")]
    State {
        /// Which.
        batch: BatchId,
        /// Where it stands.
        state: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Coins are promised already.
    #[error("{0} is in flight: wait until it is confirmed, or cancel it")]
    InFlight(BatchId),
    /// Nobody knows the fee.
    #[error("the node cannot say what fee is needed: give --fee-rate")]
    NoRate,
}

/// Something that was done, or was not and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Done {
    /// A payment that the journal did not know is in it now.
    Adopted {
        /// Its number.
        batch: BatchId,
        /// Which.
        txid: Txid,
    },
    /// A payment that was signed here for another coordinator is watched over now.
    TakenUp {
        /// Its number.
        batch: BatchId,
        /// Which.
        txid: Txid,
    },
    /// A batch stands elsewhere than before.
    Stands {
        /// Which.
        batch: BatchId,
        /// Its transaction.
        txid: Txid,
        /// Where.
        #[serde(flatten)]
        state: BatchState,
    },
    /// A batch is to be signed.
    Planned {
        /// Its number.
        batch: BatchId,
        /// What it is for.
        kind: Kind,
        /// Its transaction.
        txid: Txid,
        /// The redemptions it pays.
        redemptions: Vec<u64>,
        /// What miners get, in sats.
        #[serde(rename = "fee_sats")]
        fee: Amount,
        /// How many custodians have to sign.
        signatures: usize,
    },
    /// The node has it.
    Sent {
        /// Which.
        batch: BatchId,
        /// Its transaction.
        txid: Txid,
    },
    /// An act failed; the next turn tries again.
    Failed {
        /// Which batch; none: a plan.
        batch: Option<BatchId>,
        /// What was to be done.
        act: &'static str,
        /// Why it was not.
        reason: String,
    },
    /// A batch is not to be signed any more.
    Withdrawn {
        /// Which.
        batch: BatchId,
        /// Why.
        reason: String,
    },
    /// A batch is in a block, and K2 can be shown.
    ToSettle {
        /// Which.
        batch: BatchId,
        /// Its transaction.
        txid: Txid,
        /// The block's height.
        height: u32,
        /// What it settles.
        redemptions: Vec<u64>,
    },
    /// A redemption that is not paid now.
    Waits {
        /// Which.
        redemption: u64,
        /// How much it is, in sats.
        #[serde(rename = "sats")]
        amount: Amount,
        /// Why.
        reason: String,
    },
    /// People have to look at something.
    Alarm(Alarm),
}

/// What became of signed files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Submitted {
    /// The transaction is whole and written down; the next turn sends it.
    Complete {
        /// Its batch.
        batch: BatchId,
        /// Which.
        txid: Txid,
    },
    /// More signatures are needed.
    Incomplete {
        /// Its batch.
        batch: BatchId,
        /// Which.
        txid: Txid,
        /// Valid ones of the input that has fewest.
        have: usize,
        /// The threshold.
        need: usize,
    },
}
