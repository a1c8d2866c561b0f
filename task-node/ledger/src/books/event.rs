//! What can happen to the money, and the names by which it is booked only once.

use std::fmt;

use bitcoin::{Amount, BlockHash, OutPoint, Txid};
use serde::{Deserialize, Serialize};

/// What steps are booked for, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Subject {
    /// An output to the registered script, in the coinbase of this block.
    Coinbase {
        /// Which.
        outpoint: OutPoint,
        /// In which block: the same height mined again is another subject.
        block: BlockHash,
    },
    /// Any other coin that came from outside.
    TopUp {
        /// Which.
        outpoint: OutPoint,
        /// In which block.
        block: BlockHash,
    },
    /// The deposit record of one of the wallet's coinbases.
    Mint {
        /// Which.
        outpoint: OutPoint,
    },
    /// Everything minted from outputs that this wallet does not have.
    MintedElsewhere,
    /// What finalized rounds have promised.
    Rounds,
    /// What was claimed.
    Claims,
    /// A redemption on K2.
    Redemption {
        /// Its id.
        id: u64,
    },
    /// What was burned by redemptions whose accounts were closed before anybody looked.
    BurnedUnseen,
    /// The payment of a redemption on Bitcoin.
    Payout {
        /// Of which redemption.
        id: u64,
    },
    /// What a transaction of the wallet takes besides payouts: a sweep, a cancel, or what nothing explains.
    Spend {
        /// Which.
        txid: Txid,
    },
}

/// What happens to a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// A block has the coinbase.
    Found {
        /// Its block's.
        height: u32,
        /// Its value.
        #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// It is 100 deep.
    Matured,
    /// Its block was replaced. Takes back that it was found, and is itself taken back should the block return.
    Orphaned,
    /// A block has the coin.
    Received {
        /// Its block's.
        height: u32,
        /// Its value.
        #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
        /// Whether it must mature first.
        coinbase: bool,
    },
    /// K2 has minted it.
    Minted {
        /// What the record says.
        #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// A sum has come to this.
    Total {
        /// Since the beginning.
        #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
        total: Amount,
    },
    /// A round was finalized.
    Finalized {
        /// The last one.
        round: u64,
        /// Earned by everybody up to it.
        #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
        total: Amount,
    },
    /// Wrapped sats are in escrow for bitcoin. A refund takes it back.
    Requested {
        /// How many.
        #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// The payment was proved; the escrowed sats are burned.
    Settled,
    /// A payment is to be made, or may have been signed.
    Intended {
        /// Out of the reserves: payment and its part of the fee.
        #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
        amount: Amount,
    },
    /// The node has it and waits for a block.
    Sent {
        /// In which transaction.
        txid: Txid,
    },
    /// A block has it.
    InBlock {
        /// In which transaction.
        txid: Txid,
        /// In which block.
        block: BlockHash,
        /// Its height.
        height: u32,
        /// What the redeemer gets; the rest of the intended amount is the fee.
        #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
        paid: Amount,
    },
    /// It is as deep as it has to be.
    Confirmed,
    /// A block has the transaction.
    Spent {
        /// What it is.
        kind: SpendKind,
        /// In which block.
        block: BlockHash,
        /// Its height.
        height: u32,
        /// Bitcoin's fee, as far as no redeemer bears it.
        #[serde(rename = "fee_sats", with = "bitcoin::amount::serde::as_sat")]
        fee: Amount,
        /// To a script of another wallet that K2 honours.
        #[serde(rename = "moved_sats", with = "bitcoin::amount::serde::as_sat")]
        moved: Amount,
        /// To anybody else.
        #[serde(rename = "unexplained_sats", with = "bitcoin::amount::serde::as_sat")]
        unexplained: Amount,
        /// Kept of what redeemers gave for the fee: never but by a mistake.
        #[serde(rename = "kept_sats", with = "bitcoin::amount::serde::as_sat")]
        kept: Amount,
    },
}

/// What a transaction that pays no redemption, or more than redemptions, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SpendKind {
    /// Moves coins to a script of coinbases.
    Sweep,
    /// Moves coins to change, so that a payment of them can never confirm.
    Cancel,
    /// Pays redemptions, and not exactly what they are worth.
    Payout,
    /// Pays somebody whom the pool owes nothing.
    Unknown,
}

macro_rules! steps {
    ($($name:ident = $text:literal,)+) => {
        /// A [`Step`] without its figures.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum StepKind {
            $(#[doc = concat!("See [`Step::", stringify!($name), "`].")] $name,)+
        }

        impl Step {
            /// Which one it is.
            #[must_use]
            pub const fn kind(&self) -> StepKind {
                match self {
                    $(Self::$name { .. } => StepKind::$name,)+
                }
            }
        }

        impl fmt::Display for StepKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$name => $text,)+
                })
            }
        }
    };
}

steps! {
    Found = "found",
    Matured = "matured",
    Orphaned = "orphaned",
    Received = "received",
    Minted = "minted",
    Total = "total",
    Finalized = "finalized",
    Requested = "requested",
    Settled = "settled",
    Intended = "intended",
    Sent = "sent",
    InBlock = "in_block",
    Confirmed = "confirmed",
    Spent = "spent",
}

/// Why a step is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The chain is another one now.
    Reorganised,
    /// The node has forgotten the payout; it may still be sent again.
    Dropped,
    /// Another transaction pays instead.
    Replaced,
    /// Every payment of the redemption conflicts with a buried transaction, or was given up before it was signed.
    Dead,
    /// K2 gave the wrapped sats back.
    Refunded,
    /// More is known now.
    Corrected,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reorganised => "reorganised",
            Self::Dropped => "dropped",
            Self::Replaced => "replaced",
            Self::Dead => "dead",
            Self::Refunded => "refunded",
            Self::Corrected => "corrected",
        })
    }
}

/// What an event does to its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Change {
    /// Books a step.
    Book(Step),
    /// Takes back the step booked last.
    Reverse {
        /// Which it must be.
        kind: StepKind,
        /// Why.
        why: Reason,
    },
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// To what.
    #[serde(flatten)]
    pub subject: Subject,
    /// What.
    #[serde(flatten)]
    pub change: Change,
    /// How often this step had been booked for the subject before it was booked this time: a block that leaves and comes
    /// back is booked anew, and a repeated event still is recognised.
    pub turn: u32,
}

impl Event {
    /// What it is booked under, only once.
    #[must_use]
    pub const fn key(&self) -> Key {
        let (step, reversal) = match self.change {
            Change::Book(step) => (step.kind(), false),
            Change::Reverse { kind, .. } => (kind, true),
        };
        Key {
            subject: self.subject,
            step,
            turn: self.turn,
            reversal,
        }
    }
}

/// The name of an event: whatever has the same one is the same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// To what.
    pub subject: Subject,
    /// Which step.
    pub step: StepKind,
    /// See [`Event::turn`].
    pub turn: u32,
    /// Whether it is taken back.
    pub reversal: bool,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coinbase { outpoint, block } => write!(f, "coinbase {outpoint} in {block}"),
            Self::TopUp { outpoint, block } => write!(f, "top-up {outpoint} in {block}"),
            Self::Mint { outpoint } => write!(f, "mint {outpoint}"),
            Self::MintedElsewhere => f.write_str("minted elsewhere"),
            Self::Rounds => f.write_str("rounds"),
            Self::Claims => f.write_str("claims"),
            Self::Redemption { id } => write!(f, "redemption {id}"),
            Self::BurnedUnseen => f.write_str("burned unseen"),
            Self::Payout { id } => write!(f, "payout {id}"),
            Self::Spend { txid } => write!(f, "transaction {txid}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            step,
            turn,
            reversal,
        } = self;
        let undone = if *reversal { " undone" } else { "" };
        write!(f, "{subject}: {step} {turn}{undone}")
    }
}
