//! What a turn reaches outside the journal.

use bitcoin::{Psbt, Transaction, Txid};

use crate::journal::Batch;

/// Why something outside could not be done: a file, a node.
pub type OutsideError = Box<dyn std::error::Error + Send + Sync>;

/// What a turn reaches outside the journal. Everything may be asked for twice.
pub trait Outside {
    /// The next index on the keychain of change.
    ///
    /// # Errors
    /// The wallet cannot be written.
    fn change(&mut self) -> Result<u32, OutsideError>;

    /// A transaction the wallet has seen, whole.
    fn transaction(&self, txid: Txid) -> Option<Transaction>;

    /// Puts a PSBT where custodians find it. It stays as it is if it is there.
    ///
    /// # Errors
    /// It cannot be written.
    fn hand_out(&mut self, batch: &Batch, psbt: &Psbt) -> Result<(), OutsideError>;

    /// Takes it away again.
    ///
    /// # Errors
    /// It cannot be removed.
    fn withdraw(&mut self, batch: &Batch) -> Result<(), OutsideError>;

    /// Gives a transaction to the Bitcoin node. One that it has already is as good as taken.
    ///
    /// # Errors
    /// The node refuses it, or cannot be asked.
    fn send(&mut self, transaction: &Transaction) -> Result<(), OutsideError>;
}
