//! What a sync changed, for people and logs. Rules never depend on it: a process that dies before it has handled an event
//! would have lost it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bdk_wallet::Wallet;
use bdk_wallet::chain::{BlockId, ChainPosition};
use bitcoin::{Transaction, Txid};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalletEvent {
    /// The best block is another one.
    Tip {
        /// The best block now.
        tip: BlockId,
    },
    /// A transaction has a block, or another block than before.
    Confirmed {
        /// Which.
        txid: Txid,
        /// Height of its block.
        height: u32,
        /// Height of the block it was in before a re-organisation.
        before: Option<u32>,
    },
    /// A transaction waits for a block.
    Unconfirmed {
        /// Which.
        txid: Txid,
        /// Height of the block it was in before a re-organisation.
        before: Option<u32>,
    },
    /// A transaction counts no longer, because another one spends a coin of it.
    Replaced {
        /// Which.
        txid: Txid,
        /// By which.
        by: Txid,
    },
    /// A transaction is in no block and in no mempool any more. It may still come back.
    Dropped {
        /// Which.
        txid: Txid,
    },
    /// The block of a coinbase is not in the chain any more: this reward does not exist.
    Orphaned {
        /// Which.
        txid: Txid,
        /// Height of the lost block.
        before: u32,
    },
}

/// The transactions that count, and where they stand.
pub(super) struct Snapshot {
    tip: BlockId,
    transactions: BTreeMap<Txid, (Arc<Transaction>, Option<BlockId>)>,
}

impl Snapshot {
    pub(super) fn of(wallet: &Wallet) -> Self {
        let transactions = wallet
            .transactions()
            .map(|tx| {
                let block = match tx.chain_position {
                    ChainPosition::Confirmed { anchor, .. } => Some(anchor.block_id),
                    ChainPosition::Unconfirmed { .. } => None,
                };
                (tx.tx_node.txid, (tx.tx_node.tx, block))
            })
            .collect();
        Self {
            tip: wallet.latest_checkpoint().block_id(),
            transactions,
        }
    }

    /// What happened from here to `after`.
    pub(super) fn events(&self, after: &Self) -> Vec<WalletEvent> {
        let mut events = Vec::new();
        if self.tip != after.tip {
            events.push(WalletEvent::Tip { tip: after.tip });
        }
        let height = |block: Option<BlockId>| block.map(|block| block.height);
        for (&txid, (_, now)) in &after.transactions {
            let before = self.transactions.get(&txid).map(|(_, block)| *block);
            match *now {
                _ if before == Some(*now) => {}
                Some(block) => events.push(WalletEvent::Confirmed {
                    txid,
                    height: block.height,
                    before: height(before.flatten()),
                }),
                None => events.push(WalletEvent::Unconfirmed {
                    txid,
                    before: height(before.flatten()),
                }),
            }
        }
        let gone = self
            .transactions
            .iter()
            .filter(|(txid, _)| !after.transactions.contains_key(*txid));
        for (&txid, (transaction, block)) in gone {
            let replacement = after.spender_of_any(transaction);
            events.push(match (replacement, block) {
                (Some(by), _) => WalletEvent::Replaced { txid, by },
                (None, Some(block)) if transaction.is_coinbase() => WalletEvent::Orphaned {
                    txid,
                    before: block.height,
                },
                (None, _) => WalletEvent::Dropped { txid },
            });
        }
        events
    }

    /// A transaction that spends something `gone` spends too.
    fn spender_of_any(&self, gone: &Transaction) -> Option<Txid> {
        // All coinbases spend the same nothing.
        if gone.is_coinbase() {
            return None;
        }
        let spends = |other: &Transaction| {
            other.input.iter().any(|theirs| {
                gone.input
                    .iter()
                    .any(|own| own.previous_output == theirs.previous_output)
            })
        };
        self.transactions
            .iter()
            .find(|(_, (other, _))| spends(other))
            .map(|(&txid, _)| txid)
    }
}
