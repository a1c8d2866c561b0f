//! What the books are held against: the wallet's own chain data and what K2 says.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, BlockHash, OutPoint, Script, Transaction, Txid};

use crate::journal::{Batch, BatchState, Journal, JournalError};
use crate::view::{BitcoinView, K2View, Payment};

/// A transaction of the wallet's best chain, or one that waits for a block of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The transaction.
    pub transaction: Transaction,
    /// Height and hash of its block; none: it waits.
    pub block: Option<(u32, BlockHash)>,
}

/// All transactions that pay or spend the wallet, except those that were replaced or whose block was.
pub type Transactions = BTreeMap<Txid, Seen>;

/// The sums K2 keeps, finalized, of the same moment as the [`K2View`] beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct K2Sums {
    /// Proved and minted since the beginning.
    pub proved_in: Amount,
    /// Burned by settled redemptions since the beginning.
    pub burned: Amount,
    /// Paid out of the vault since the beginning.
    pub claimed: Amount,
    /// In open redemptions.
    pub escrowed: Amount,
    /// The round finalized last; none: no root was finalized yet.
    pub round: Option<u64>,
    /// Earned by everybody up to that round.
    pub earned: Amount,
    /// The token's supply.
    pub supply: Amount,
    /// Tokens in the vault's account.
    pub vault: Amount,
    /// Tokens in the escrow's account.
    pub escrow: Amount,
    /// What deposit records say of the wallet's coinbases, where there are any.
    pub minted: BTreeMap<OutPoint, Amount>,
}

/// Everything that decides what should stand in the books.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The script of the wallet's coinbases.
    pub coinbase_script: &'a Script,
    /// The chain.
    pub bitcoin: &'a BitcoinView,
    /// The wallet's transactions in it.
    pub transactions: &'a Transactions,
    /// Redemptions and scripts.
    pub k2: &'a K2View,
    /// Sums.
    pub sums: &'a K2Sums,
    /// Payments that were written down or signed here and may still be sent.
    pub planned: &'a [Payment],
    /// Blocks after which a payment is final; at least 1.
    pub confirmations: u32,
}

/// When facts were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// Height of the best block.
    pub tip: u32,
    /// K2's slot.
    pub slot: u64,
}

impl Facts<'_> {
    /// When they were read.
    #[must_use]
    pub const fn moment(&self) -> Moment {
        Moment {
            tip: self.bitcoin.tip,
            slot: self.k2.slot,
        }
    }

    /// Whether an output is, or was, a coin of the wallet.
    pub(super) fn is_own(&self, outpoint: &OutPoint) -> bool {
        self.bitcoin.coins.contains_key(outpoint) || self.bitcoin.spent.contains_key(outpoint)
    }
}

/// The payments a journal knows that may still be sent: those of withdrawn batches are given up. One that is sent after all is
/// seen by the node.
///
/// # Errors
/// [`JournalError`].
pub fn planned(journal: &Journal) -> Result<Vec<Payment>, JournalError> {
    let batches = journal.batches()?;
    let given_up: BTreeSet<Txid> = batches
        .iter()
        .filter(|batch| batch.state == BatchState::Withdrawn)
        .map(Batch::txid)
        .collect();
    let mut payments = journal.payments()?;
    payments.retain(|payment| !given_up.contains(&payment.txid));
    Ok(payments)
}
