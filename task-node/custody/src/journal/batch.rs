//! A batch: one transaction of the coordinator, and where it stands.

use std::fmt;

use bitcoin::{Amount, FeeRate, Psbt, Txid};
use serde::Serialize;
use work::UnixTime;

use crate::view::Payment;

/// A batch's number in its journal, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct BatchId(pub u32);

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}", self.0)
    }
}

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pays redemptions.
    Payout,
    /// Takes back coins of a payout, so that it can never confirm.
    Cancel,
    /// Moves everything to a script that K2 registers.
    Sweep,
}

impl Kind {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Payout => "payout",
            Self::Cancel => "cancel",
            Self::Sweep => "sweep",
        }
    }
}

/// Where a batch stands.
///
/// ```text
/// Planned --> Signed --> Sent <--> Confirmed <--> Settled | Forfeited
///    |           |         |
///    v           +----+----+--> Replaced | Cancelled | Dead
/// Withdrawn
/// ```
///
/// What the chain shows counts from any state: a withdrawn payment that somebody sent after all is sent. A payment that was
/// signed here for another coordinator begins as `Loose`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum BatchState {
    /// Signatures are missing.
    Planned,
    /// Complete, and to be sent.
    Signed,
    /// Handed to the node, or seen in its memory pool.
    Sent,
    /// In a block of the best chain.
    Confirmed {
        /// Of the block.
        height: u32,
    },
    /// Confirmed, and nothing is left to be done: K2 has burned what it pays. Of a cancellation or a sweep: it is buried.
    Settled {
        /// Of the block.
        height: u32,
    },
    /// Confirmed, but K2 gave the tokens of a redemption back: paid twice. People have to make up for it.
    Forfeited {
        /// Of the block.
        height: u32,
    },
    /// Another batch pays the same at a higher fee. Either may confirm, and only one can.
    Replaced {
        /// Which.
        by: BatchId,
    },
    /// A cancellation is buried that spends one of its coins.
    Cancelled {
        /// Which.
        by: BatchId,
    },
    /// It can never confirm: another transaction that spends one of its coins is buried.
    Dead,
    /// Was handed out, and is not to be signed any more, unless the very same is planned again.
    Withdrawn,
    /// Signed here, for another coordinator to complete, and not seen on the network: whoever has it whole may send it.
    Loose,
}

impl BatchState {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Signed => "signed",
            Self::Sent => "sent",
            Self::Confirmed { .. } => "confirmed",
            Self::Settled { .. } => "settled",
            Self::Forfeited { .. } => "forfeited",
            Self::Replaced { .. } => "replaced",
            Self::Cancelled { .. } => "cancelled",
            Self::Dead => "dead",
            Self::Withdrawn => "withdrawn",
            Self::Loose => "loose",
        }
    }

    /// Height of its block, while it is in one.
    #[must_use]
    pub const fn height(self) -> Option<u32> {
        match self {
            Self::Confirmed { height } | Self::Settled { height } | Self::Forfeited { height } => {
                Some(height)
            }
            _ => None,
        }
    }

    /// The batch that took its place.
    #[must_use]
    pub const fn other(self) -> Option<BatchId> {
        match self {
            Self::Replaced { by } | Self::Cancelled { by } => Some(by),
            _ => None,
        }
    }

    /// Whether it waits for signatures or for a block: no other batch is planned meanwhile.
    #[must_use]
    pub const fn is_in_flight(self) -> bool {
        matches!(self, Self::Planned | Self::Signed | Self::Sent)
    }

    /// Whether K2 has burned for it.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Settled { .. })
    }

    /// Whether it never confirms, as far as can be known.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Cancelled { .. } | Self::Dead)
    }
}

/// What is written down before a batch is handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// What it is for.
    pub kind: Kind,
    /// The unsigned transaction, with what signers have to be shown.
    pub psbt: Psbt,
    /// What it costs.
    pub fee: Amount,
    /// The rate it was planned at.
    pub rate: FeeRate,
    /// The batch whose place it takes: a bump's or a cancellation's.
    pub replaces: Option<BatchId>,
}

/// What a transaction costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// What miners get.
    pub fee: Amount,
    /// By weight.
    pub rate: FeeRate,
}

/// A batch, without the bytes of its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub id: BatchId,
    /// What it is for.
    pub kind: Kind,
    /// What it spends and names; of a sweep or a cancellation, nothing is named.
    pub payment: Payment,
    /// Where it stands.
    pub state: BatchState,
    /// The batch whose place it takes.
    pub replaces: Option<BatchId>,
    /// What it costs; `None`: it was found on the chain, and never signed here.
    pub fee: Option<Amount>,
    /// The rate it was planned at.
    pub rate: Option<FeeRate>,
    /// The tip's height when it was sent first.
    pub sent_at: Option<u32>,
    /// Whether it was planned here; otherwise it was found on the chain, or signed for another coordinator.
    pub is_own: bool,
    /// Whether the journal has it whole, ready to be sent.
    pub is_complete: bool,
    /// Whether nothing can happen to it any more.
    pub is_closed: bool,
    /// When it was written down.
    pub created: UnixTime,
    /// When its state changed last.
    pub updated: UnixTime,
}

impl Batch {
    /// Its transaction's id.
    #[must_use]
    pub const fn txid(&self) -> Txid {
        self.payment.txid
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: UnixTime,
    /// To which batch; `None`: to none of them.
    pub batch: Option<BatchId>,
    /// What, in words.
    pub what: String,
}
