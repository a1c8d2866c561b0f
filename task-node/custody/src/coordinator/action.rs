//! What a coordinator can do, and why.

use std::collections::BTreeSet;
use std::fmt;

use bitcoin::Txid;
use serde::Serialize;

use crate::journal::{Batch, BatchId, BatchState, Journal, JournalError};
use crate::payment::Limits;
use crate::view::Payment;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Plans payments, hands them out, sends them, settles them.
    #[default]
    Coordinator,
    /// Watches over the payments it signed for a coordinator, and cancels those that are held back. It plans none.
    Custodian,
}

/// What a coordinator is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whose turn it is.
    pub role: Role,
    /// Signatures that a payment takes. With more than one, whoever gave the last one may have it whole, and nobody else.
    pub threshold: usize,
    /// The bounds of every payment.
    pub limits: Limits,
    /// Blocks after which a payment that was sent is given a higher fee.
    pub bump_after: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            role: Role::Coordinator,
            threshold: 1,
            limits: Limits::default(),
            bump_after: 3,
        }
    }
}

/// What the journal says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The batches to which something can still happen, by number.
    pub batches: Vec<Batch>,
    /// The transactions of the others.
    pub closed: BTreeSet<Txid>,
    /// Payments that were signed here for another coordinator, and are no batch yet.
    pub signed: Vec<Payment>,
}

impl State {
    /// Reads it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(journal: &Journal) -> Result<Self, JournalError> {
        Ok(Self {
            batches: journal.open_batches()?,
            closed: journal.closed()?,
            signed: journal.signed_elsewhere()?,
        })
    }
}

/// Why a payment must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "lowercase")]
pub enum Stop {
    /// K2 gave the tokens back.
    Refunded {
        /// The redemption.
        id: u64,
    },
    /// Its owner may have the tokens back before the payment is proved.
    Expiring {
        /// The redemption.
        id: u64,
        /// The relay's height from which it may be refunded.
        expires: u32,
    },
    /// K2 has it settled, by a payment this one would come on top of.
    Settled {
        /// The redemption.
        id: u64,
    },
    /// K2 does not have it any more. It was not paid, so it was refunded.
    Closed {
        /// The redemption.
        id: u64,
    },
    /// A confirmed transaction spends one of its coins.
    Spent {
        /// Which.
        by: Txid,
    },
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refunded { id } => write!(f, "redemption {id} is refunded on K2"),
            Self::Expiring { id, expires } => {
                write!(f, "redemption {id} may be refunded from height {expires}")
            }
            Self::Settled { id } => write!(f, "redemption {id} is settled on K2 already"),
            Self::Closed { id } => write!(f, "redemption {id} is closed on K2"),
            Self::Spent { by } => write!(f, "one of its coins is spent by {by} in a block"),
        }
    }
}

/// Something people have to look at: no action mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "alarm", rename_all = "kebab-case")]
pub enum Alarm {
    /// A payment is in a block and K2 gave the tokens back.
    PaidAndRefunded {
        /// The redemption.
        id: u64,
        /// Its payment.
        txid: Txid,
    },
    /// Two payments of one redemption are in blocks.
    PaidTwice {
        /// The redemption.
        id: u64,
        /// One.
        first: Txid,
        /// The other.
        second: Txid,
    },
    /// A payment that must come into a block, and nobody here has it whole.
    Unsendable {
        /// Which.
        txid: Txid,
    },
    /// A payment that must not confirm, that somebody may have whole, and that nothing in a block excludes.
    Withheld {
        /// Which.
        txid: Txid,
        /// Why it must not.
        #[serde(flatten)]
        stop: Stop,
    },
    /// A payment that K2 could have been shown long ago.
    Unsettled {
        /// Which.
        txid: Txid,
        /// Height of its block.
        height: u32,
    },
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PaidAndRefunded { id, txid } => write!(
                f,
                "redemption {id} was refunded on K2 and paid by {txid}: the pool is short of that amount until somebody pays it in"
            ),
            Self::PaidTwice { id, first, second } => write!(
                f,
                "redemption {id} is paid by {first} and by {second}: find out who signed both; the pool is short of one of them"
            ),
            Self::Unsendable { txid } => write!(
                f,
                "{txid} waits for a block and is not known whole here: give its signed PSBT to `orcapool payout submit`, or cancel it"
            ),
            Self::Withheld { txid, stop } => write!(
                f,
                "{stop}, and whoever has {txid} whole can still pay it: sign and send its cancellation now (`orcapool payout list`)"
            ),
            Self::Unsettled { txid, height } => write!(
                f,
                "{txid} is in block {height} and not settled on K2, where its redemptions can be refunded once they expire: settle it \
                 (`orcapool k2 settle`), and see why `payout run` or `k2 keep` did not"
            ),
        }
    }
}

/// Something to do now. Each may be done twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write down a payment that the journal does not know.
    Adopt(Payment),
    /// Watch over a payment that was signed here for another coordinator.
    TakeUp(Payment),
    /// Note where a batch stands.
    Record(BatchId, BatchState),
    /// Nobody is to sign it any more.
    Withdraw(BatchId, Stop),
    /// Its PSBT lies where custodians find it.
    HandOut(BatchId),
    /// Give it to the node.
    Send(BatchId),
    /// Plan the same at a higher fee.
    Bump(BatchId),
    /// Plan to take its coins back.
    Cancel(BatchId, Stop),
    /// Prove it to K2.
    Settle(BatchId),
    /// Nothing can happen to it any more.
    Close(BatchId),
    /// Plan the payment of whatever is due.
    Plan,
    /// Tell people.
    Alarm(Alarm),
}
