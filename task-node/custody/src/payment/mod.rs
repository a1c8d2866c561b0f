//! A payment: built, reviewed, explained, signed, finished.
//!
//! ```text
//! coordinator                       every custodian                          coordinator
//! plan | bump | cancel | sweep -->  review --> Reviewed                  --> combine --> finalize --> Transaction
//!          |                                     | intend (the journal)          (consensus code has the last word)
//!          +--> review, the same one             + sign
//! ```
//!
//! All of it is a function of what one custodian [`Known`]s: the wallet's setup, its own node's chain, its own view of K2,
//! and the payments it signed before. A payment looks like this:
//!
//! ```text
//! inputs    confirmed coins of the wallet, each replaceable (BIP125)
//! outputs   n-th: redemption n of the named ones, ascending by id: its amount less its share of the fee
//!           change, if any: inputs - amounts, exactly, to a script of keychain 1
//!           OP_RETURN that names the redemptions
//! ```
//!
//! The redeemers bear the network's fee, so the pool's coins fall by exactly what K2 burns. Two payments of one redemption
//! always share an input ([`history`]), so never more than one of them can confirm.

mod build;
mod coins;
pub mod describe;
mod draft;
mod file;
mod finish;
pub mod history;
pub mod plan;
pub mod review;
mod rule;
mod select;
mod sign;
mod split;
mod transfer;
mod weight;
mod witness;

use bitcoin::{Amount, FeeRate, Transaction};
use k2_interface::bitcoin::transaction::MAX_TX_LEN;

pub use describe::{Description, describe};
pub use file::{FileError, MAX_PSBT_FILE, read_psbt};
pub use finish::{CombineError, FinishError, combine, finalize, verify};
pub use history::History;
pub use plan::{Plan, PlanError, PlanInput, Reason, Waiting, plan};
pub use review::{Change, Payout, Purpose, Reviewed, review};
pub use rule::{Refused, Rule};
pub use sign::{External, Intended, SignError, Signer, sign};
pub use transfer::{bump, cancel, sweep};

use crate::setup::Setup;
use crate::view::{BitcoinView, Coin, K2View, Payment};

/// The most redemptions one payment pays.
pub const MAX_PAYOUTS: usize = 100;

/// The most weight of a transaction that nodes relay (`MAX_STANDARD_TX_WEIGHT` of Bitcoin Core).
pub const MAX_WEIGHT: bitcoin::Weight = bitcoin::Weight::from_wu(400_000);

/// The most bytes of a payment without its witnesses. A payment that K2 cannot be shown is never settled, and its redeemers
/// would be paid and refunded. K2 parses transactions of [`MAX_TX_LEN`] bytes; its proofs have room for any of a block's, with
/// whatever coinbase beside it (`k2_interface::state::MAX_PROOF`).
pub const MAX_PROVABLE: usize = MAX_TX_LEN;

/// How far above the highest one that was paid the index of change may be: a restored wallet looks that far.
pub const CHANGE_GAP: u32 = crate::watch::GAP;

/// What an increase of the fee must at least be (`incrementalrelayfee` of Bitcoin Core before 30, BIP125 rule 4).
pub const INCREMENTAL_RELAY: FeeRate = FeeRate::BROADCAST_MIN;

/// The bounds a custodian sets, whatever a coordinator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The highest rate of fee.
    pub max_fee_rate: FeeRate,
    /// The highest fee of a transaction.
    pub max_fee: Amount,
    /// A redemption that may be refunded within so many blocks is not paid: a payout needs time to be signed, to confirm and
    /// to be settled, and one that does not confirm to be cancelled; or its owner gets both.
    pub expiry_margin: u32,
    /// Whether to sign a cancellation of payments that this custodian does not know. It moves coins within the wallet and
    /// costs a fee: only when another custodian, who signed such a payment, asks for it.
    pub unknown_cancel: bool,
}

impl Limits {
    /// Blocks before the expiry in which a payment that may be whole, and is in no block, is cancelled by its coordinator:
    /// two thirds of the margin.
    #[must_use]
    pub const fn cancel_margin(&self) -> u32 {
        self.expiry_margin / 3 * 2
    }

    /// The same for every custodian who signed it: half of the margin, so that the coordinator has its chance first.
    #[must_use]
    pub const fn guard_margin(&self) -> u32 {
        self.expiry_margin / 2
    }

    /// Blocks before the expiry in which nothing else is waited for: a third of the margin.
    #[must_use]
    pub const fn last_margin(&self) -> u32 {
        self.expiry_margin / 3
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_fee_rate: FeeRate::from_sat_per_vb_u32(50),
            max_fee: Amount::from_sat(1_000_000),
            expiry_margin: 36,
            unknown_cancel: false,
        }
    }
}

/// What one custodian knows when it builds or reviews a payment. Nothing of it comes from whoever asks for a signature.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The wallet.
    pub setup: &'a Setup,
    /// The chain, by the custodian's own node.
    pub bitcoin: &'a BitcoinView,
    /// The pool's program, by the custodian's own endpoint.
    pub k2: &'a K2View,
    /// All payments the custodian ever signed or handed out, by its journal.
    pub signed: &'a [Payment],
    /// The height its journal begins at: what was signed before it is not in `signed`.
    pub born: u32,
    /// Its bounds.
    pub limits: &'a Limits,
}

impl Known<'_> {
    /// The height by which expiry is judged: a relay that lags behind the chain can catch up in one transaction.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.bitcoin.tip.max(self.k2.relay_tip)
    }

    /// Whether a redemption is too near its refund to be paid.
    pub(crate) fn expires_soon(&self, redemption: &crate::view::Redemption) -> bool {
        self.height().saturating_add(self.limits.expiry_margin) >= redemption.expires
    }

    /// One above the highest index that change may go to.
    pub(crate) const fn change_bound(&self) -> u32 {
        self.bitcoin.used_change.saturating_add(CHANGE_GAP)
    }
}

/// None: more than an [`Amount`] holds.
pub(crate) fn sum(amounts: impl IntoIterator<Item = Amount>) -> Option<Amount> {
    amounts
        .into_iter()
        .try_fold(Amount::ZERO, Amount::checked_add)
}

/// What a transaction that spends these coins pays to miners; none: its outputs are worth more than they.
pub(crate) fn fee_of(coins: &[&Coin], transaction: &Transaction) -> Option<Amount> {
    let spent = sum(coins.iter().map(|coin| coin.txout.value))?;
    let paid = sum(transaction.output.iter().map(|output| output.value))?;
    spent.checked_sub(paid)
}
