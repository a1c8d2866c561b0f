//! Transactions that took part in the chain, for `getTransaction` and its kin. In memory, the oldest dropped when their
//! estimated size passes a bound.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use solana_message::AccountKeys;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status::TransactionStatusMeta;

/// Bytes that all kept transactions together may take.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// A processed transaction, whether it succeeded or not.
#[derive(Debug)]
pub struct Record {
    /// The slot it was processed in.
    pub slot: u64,
    /// Its place among the transactions of that slot.
    pub index: u32,
    /// As it was sent.
    pub transaction: VersionedTransaction,
    /// What it did: status, fee, balances, logs, compute units.
    pub meta: TransactionStatusMeta,
}

impl Record {
    /// Every account it names, those of address lookup tables included.
    #[must_use]
    pub fn account_keys(&self) -> AccountKeys<'_> {
        AccountKeys::new(
            self.transaction.message.static_account_keys(),
            Some(&self.meta.loaded_addresses),
        )
    }

    /// A generous estimate of the memory it takes.
    fn size(&self) -> usize {
        let logs: usize = self
            .meta
            .log_messages
            .iter()
            .flatten()
            .map(|line| line.len() + 32)
            .sum();
        let inner: usize = self
            .meta
            .inner_instructions
            .iter()
            .flatten()
            .flat_map(|inner| &inner.instructions)
            .map(|inner| inner.instruction.data.len() + inner.instruction.accounts.len() + 96)
            .sum();
        let accounts = self.account_keys().len();
        let token_balances = self
            .meta
            .pre_token_balances
            .iter()
            .chain(&self.meta.post_token_balances)
            .flatten()
            .count();
        // A transaction is at most a packet; a token balance is five short strings.
        2_048 + logs + inner + accounts * 96 + token_balances * 400
    }
}

/// The chain's transactions by signature, in the order in which they were processed.
#[derive(Debug, Default)]
pub(crate) struct History {
    by_signature: HashMap<Signature, Arc<Record>>,
    order: VecDeque<(Signature, usize)>,
    bytes: usize,
    count: u64,
}

impl History {
    pub(crate) fn push(&mut self, signature: Signature, record: Record) {
        let size = record.size();
        self.by_signature.insert(signature, Arc::new(record));
        self.order.push_back((signature, size));
        self.bytes += size;
        self.count += 1;
        while self.bytes > MAX_BYTES
            && let Some((oldest, size)) = self.order.pop_front()
        {
            self.by_signature.remove(&oldest);
            self.bytes -= size;
        }
    }

    pub(crate) fn get(&self, signature: &Signature) -> Option<&Arc<Record>> {
        self.by_signature.get(signature)
    }

    /// Transactions since the beginning, dropped ones included.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Those that name `address`, newest first.
    pub(crate) fn naming(
        &self,
        address: Pubkey,
    ) -> impl Iterator<Item = (&Signature, &Arc<Record>)> {
        self.order
            .iter()
            .rev()
            .filter_map(|(signature, _)| self.by_signature.get_key_value(signature))
            .filter(move |(_, record)| record.account_keys().iter().any(|key| *key == address))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn memory_is_bounded_by_dropping_the_oldest() {
        let mut history = History::default();
        let long = "x".repeat(8 * 1024 * 1024);
        for n in 0..100_u8 {
            let meta = TransactionStatusMeta {
                log_messages: Some(vec![long.clone()]),
                ..TransactionStatusMeta::default()
            };
            let record = Record {
                slot: 1,
                index: 0,
                transaction: VersionedTransaction::default(),
                meta,
            };
            history.push(Signature::from([n; 64]), record);
        }
        assert_eq!(history.count(), 100);
        assert!(history.bytes <= MAX_BYTES);
        assert!((25..=31).contains(&history.by_signature.len()));
        assert_eq!(history.by_signature.len(), history.order.len());
        assert!(history.get(&Signature::from([99; 64])).is_some());
        assert!(history.get(&Signature::from([0; 64])).is_none());
    }
}
