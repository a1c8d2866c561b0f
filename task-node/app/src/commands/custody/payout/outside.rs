//! Files and nodes, as the coordinator reaches them.

use bitcoin::{Psbt, Transaction, Txid};
use custody::coordinator::node::{self, NodeError};
use custody::coordinator::{Outside, OutsideError};
use custody::fault;
use custody::journal::Batch;
use custody::watch::{Source, Watch};

use super::folders;

/// The wallet and the nodes.
pub(super) struct Shell {
    pub(super) watch: Watch,
    pub(super) sources: Vec<Source>,
    pub(super) now: u64,
}

impl Outside for Shell {
    fn change(&mut self) -> Result<u32, OutsideError> {
        Ok(self.watch.change_script()?.0)
    }

    fn transaction(&self, txid: Txid) -> Option<Transaction> {
        self.watch.transaction(txid)
    }

    fn hand_out(&mut self, batch: &Batch, psbt: &Psbt) -> Result<(), OutsideError> {
        let dir = self.watch.dir().path();
        Ok(folders::put(dir, psbt).map_err(|error| {
            format!(
                "{}: {error}",
                folders::outbox_file(dir, batch.txid()).display()
            )
        })?)
    }

    fn withdraw(&mut self, batch: &Batch) -> Result<(), OutsideError> {
        Ok(folders::remove(self.watch.dir().path(), batch.txid())?)
    }

    /// To every node: one that is cut off from the network must not be the only one to know.
    fn send(&mut self, transaction: &Transaction) -> Result<(), OutsideError> {
        let mut refused = None;
        let mut is_taken = false;
        for source in &self.sources {
            match node::send(source, transaction) {
                Ok(()) => is_taken = true,
                // What one node says of the transaction is worth more than that another one is away.
                Err(error @ NodeError::Refused { .. }) => refused = Some(error),
                Err(error) => {
                    tracing::warn!("{error}");
                    refused = refused.or(Some(error));
                }
            }
        }
        if !is_taken {
            return Err(match refused {
                Some(error) => error.into(),
                None => "no Bitcoin node is configured to send to".into(),
            });
        }
        // Its coins count as spent from now on, not only when the node shows it.
        fault::around("wallet: take in", || {
            self.watch.insert_payment(transaction.clone(), self.now)
        })?;
        Ok(())
    }
}
