//! What a bank does with a transaction: check, simulate, process, record.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use litesvm::types::{FailedTransactionMetadata, TransactionMetadata};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_hash::Hash;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::{
    sanitized::{MessageHash, SanitizedTransaction},
    versioned::VersionedTransaction,
};
use solana_transaction_error::TransactionError;
use solana_transaction_status::{
    InnerInstruction, InnerInstructions, TransactionStatusMeta, TransactionTokenBalance,
};

use super::{Bank, Record, mint, token_balances::token_balances};

/// Transactions of one slot. Far above what fits in its time; it bounds memory where slots only pass by hand.
pub(super) const MAX_TRANSACTIONS_PER_SLOT: usize = 10_000;

/// A simulated transaction.
#[derive(Debug)]
pub struct Simulation {
    /// How it ended.
    pub status: Result<(), TransactionError>,
    /// Logs, compute units, inner instructions, fee, return data.
    pub meta: TransactionMetadata,
    /// Accounts it would have written.
    pub post_accounts: Vec<(Pubkey, AccountSharedData)>,
}

impl Bank {
    /// Checks the form of a transaction and looks its lookup tables up.
    ///
    /// # Errors
    /// What is wrong with it, in a cluster's terms.
    pub fn sanitize(
        &self,
        transaction: VersionedTransaction,
    ) -> Result<SanitizedTransaction, TransactionError> {
        if matches!(transaction.message, VersionedMessage::V1(_)) {
            return Err(TransactionError::UnsupportedVersion);
        }
        SanitizedTransaction::try_create(
            transaction,
            MessageHash::Compute,
            Some(false),
            self.svm.accounts_db(),
            &HashSet::new(),
        )
    }

    fn check_age(&self, blockhash: &Hash, signature: &Signature) -> Result<(), TransactionError> {
        if self.last_valid_height(blockhash, self.slot).is_none() {
            return Err(TransactionError::BlockhashNotFound);
        }
        if self.signatures.contains(signature) {
            return Err(TransactionError::AlreadyProcessed);
        }
        Ok(())
    }

    /// What `transaction` would do now. Its signatures are not looked at.
    #[must_use]
    pub fn simulate(&self, transaction: &SanitizedTransaction) -> Simulation {
        let refused = |error| Simulation {
            status: Err(error),
            meta: TransactionMetadata::default(),
            post_accounts: Vec::new(),
        };
        if let Err(error) = self.check_age(
            transaction.message().recent_blockhash(),
            transaction.signature(),
        ) {
            return refused(error);
        }
        self.execute_only(transaction.to_versioned_transaction())
            .unwrap_or_else(|| refused(TransactionError::SanitizeFailure))
    }

    /// Runs a transaction without any check of age; `None` where the engine broke over it.
    fn execute_only(&self, transaction: VersionedTransaction) -> Option<Simulation> {
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.svm.simulate_transaction(transaction).map_err(Box::new)
        }));
        match result {
            Ok(Ok(done)) => Some(Simulation {
                status: Ok(()),
                meta: done.meta,
                post_accounts: done.post_accounts,
            }),
            Ok(Err(failed)) => Some(Simulation {
                status: Err(failed.err),
                meta: failed.meta,
                post_accounts: Vec::new(),
            }),
            Err(_) => {
                tracing::error!("the SVM panicked in a simulation: please report the transaction");
                None
            }
        }
    }

    /// The fee of `message` in lamports; `None` if its blockhash has expired as seen from `slot`.
    ///
    /// # Errors
    /// What is wrong with the message's form.
    pub fn fee(
        &self,
        message: VersionedMessage,
        slot: u64,
    ) -> Result<Option<u64>, TransactionError> {
        if self
            .last_valid_height(message.recent_blockhash(), slot)
            .is_none()
        {
            return Ok(None);
        }
        let signatures =
            vec![Signature::default(); usize::from(message.header().num_required_signatures)];
        let transaction = self.sanitize(VersionedTransaction {
            signatures,
            message,
        })?;
        // The engine reckons the fee before it looks at balances, so that it is right even for a payer who cannot pay.
        let simulation = self.execute_only(transaction.to_versioned_transaction());
        Ok(simulation.map(|simulation| simulation.meta.fee))
    }

    /// Processes a signed transaction. One that fails while it runs is part of the chain and pays its fee: that is
    /// `Ok`, and its status is in [`Bank::transaction`].
    ///
    /// # Errors
    /// Why the transaction did not become part of the chain.
    pub fn process(&mut self, transaction: &SanitizedTransaction) -> Result<(), TransactionError> {
        transaction.verify()?;
        let signature = *transaction.signature();
        self.check_age(transaction.message().recent_blockhash(), &signature)?;
        let index = self.signatures.count_in(self.slot);
        if index >= MAX_TRANSACTIONS_PER_SLOT {
            return Err(TransactionError::WouldExceedMaxBlockCostLimit);
        }
        let keys: Vec<Pubkey> = transaction
            .message()
            .account_keys()
            .iter()
            .copied()
            .collect();
        let before: Vec<_> = keys
            .iter()
            .map(|key| self.svm.accounts_db().get_account(key))
            .collect();
        let pre_token_balances = self.token_balances(before.iter().map(Option::as_ref));

        let versioned = transaction.to_versioned_transaction();
        // The engine writes a transaction's accounts one by one; should it panic between two, all of them are undone.
        let untouched = self.svm.clone();
        let svm = &mut self.svm;
        let result = catch_unwind(AssertUnwindSafe(|| {
            svm.send_transaction(versioned.clone()).map_err(Box::new)
        }));
        let Ok(result) = result else {
            tracing::error!(%signature, "the SVM panicked and was set back: please report the transaction");
            self.svm = untouched;
            return Err(TransactionError::SanitizeFailure);
        };
        let (status, meta) = match result.map_err(|failed| *failed) {
            Ok(meta) => (Ok(()), meta),
            // Without a signature it never ran: it is not part of the chain and paid nothing.
            Err(FailedTransactionMetadata { err, meta }) if meta.signature != signature => {
                tracing::debug!(%signature, %err, "transaction dropped, {} log lines", meta.logs.len());
                return Err(err);
            }
            Err(FailedTransactionMetadata { err, meta }) => (Err(err), meta),
        };
        let after: Vec<_> = keys
            .iter()
            .map(|key| self.svm.accounts_db().get_account(key))
            .collect();
        let post_token_balances = self.token_balances(after.iter().map(Option::as_ref));
        for ((key, before), after) in keys.iter().zip(&before).zip(&after) {
            if before != after {
                self.changes.note(self.slot, *key, || before.clone());
            }
        }
        tracing::debug!(%signature, slot = self.slot, ?status, units = meta.compute_units_consumed, "transaction");
        let meta = TransactionStatusMeta {
            status,
            fee: meta.fee,
            pre_balances: lamports(&before),
            post_balances: lamports(&after),
            inner_instructions: Some(inner_instructions(&meta)),
            log_messages: Some(meta.logs),
            pre_token_balances: Some(pre_token_balances),
            post_token_balances: Some(post_token_balances),
            rewards: Some(Vec::new()),
            loaded_addresses: transaction.get_loaded_addresses(),
            return_data: Some(meta.return_data).filter(|data| !data.data.is_empty()),
            compute_units_consumed: Some(meta.compute_units_consumed),
            cost_units: None,
        };
        self.signatures.insert(self.slot, signature);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.history.push(
            signature,
            Record {
                slot: self.slot,
                index,
                transaction: versioned,
                meta,
            },
        );
        Ok(())
    }

    /// Sends `lamports` from the faucet to `to`.
    ///
    /// # Errors
    /// As [`Bank::process`]; and where the faucet is empty or `to` cannot hold so little, how the transfer failed.
    pub fn airdrop(&mut self, to: Pubkey, lamports: u64) -> Result<Signature, TransactionError> {
        // A number of its own keeps two equal requests within one slot from being one transaction.
        let memo = format!("airdrop {}", self.airdrops);
        let instructions = [
            solana_system_interface::instruction::transfer(&self.faucet.pubkey(), &to, lamports),
            spl_memo_interface::instruction::build_memo(
                &spl_memo_interface::v3::ID,
                memo.as_bytes(),
                &[],
            ),
        ];
        let blockhash = self.blockhashes.newest().1;
        let message =
            Message::new_with_blockhash(&instructions, Some(&self.faucet.pubkey()), &blockhash);
        let transaction =
            VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[&self.faucet])
                .map_err(|_| TransactionError::SignatureFailure)?;
        let transaction = self.sanitize(transaction)?;
        self.simulate(&transaction).status?;
        self.process(&transaction)?;
        self.airdrops += 1;
        Ok(*transaction.signature())
    }

    fn token_balances<'a>(
        &self,
        accounts: impl Iterator<Item = Option<&'a AccountSharedData>>,
    ) -> Vec<TransactionTokenBalance> {
        token_balances(accounts, |key| {
            mint(self.svm.accounts_db().get_account_ref(key)?)
        })
    }
}

fn lamports(accounts: &[Option<AccountSharedData>]) -> Vec<u64> {
    accounts
        .iter()
        .map(|account| account.as_ref().map_or(0, |account| account.lamports()))
        .collect()
}

/// The inner instructions of those instructions that have any, as RPC lists them.
pub(crate) fn inner_instructions(meta: &TransactionMetadata) -> Vec<InnerInstructions> {
    let all = meta
        .inner_instructions
        .iter()
        .enumerate()
        .filter(|(_, inner)| !inner.is_empty());
    all.filter_map(|(index, inner)| {
        let instructions = inner.iter().map(|inner| InnerInstruction {
            instruction: inner.instruction.clone(),
            stack_height: Some(u32::from(inner.stack_height)),
        });
        Some(InnerInstructions {
            index: u8::try_from(index).ok()?,
            instructions: instructions.collect(),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::options::Genesis;

    #[test]
    fn a_slot_takes_a_bounded_number_of_transactions() {
        let mut bank = Bank::new(&Genesis::new(1_700_000_000, [7; 32])).unwrap();
        for n in 0..u64::try_from(MAX_TRANSACTIONS_PER_SLOT).unwrap() {
            let mut signature = [0; 64];
            signature[..8].copy_from_slice(&n.to_le_bytes());
            bank.signatures
                .insert(bank.slot, Signature::from(signature));
        }
        let to = Pubkey::new_from_array([1; 32]);
        let full = Err(TransactionError::WouldExceedMaxBlockCostLimit);
        assert_eq!(bank.airdrop(to, 1_000_000_000), full);
        bank.advance(1);
        bank.airdrop(to, 1_000_000_000).unwrap();
    }
}
