//! The chain as a state machine: it processes transactions and is told when a slot has passed. No clock, no socket.
//!
//! What LiteSVM leaves out is here, as a cluster has it: a blockhash per slot that expires after 150, no transaction
//! twice, states of the last 32 slots for the commitment levels, a bounded history. A slot is `confirmed` once the next
//! one has begun and `finalized` 32 slots later; every slot has its block, so block height and slot are the same.
//!
//! Left out: durable nonces (such a transaction is refused with `BlockhashNotFound`), the ed25519, secp256k1 and
//! secp256r1 precompiles, votes, rewards. Simulation, and so preflight, always sees the newest state.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use litesvm::{
    LiteSVM,
    error::LiteSVMError,
    types::{FailedTransactionMetadata, TransactionMetadata},
};
use sha2::{Digest, Sha256};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_commitment_config::CommitmentLevel;
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_sysvar::clock::Clock;
use solana_transaction::{
    sanitized::{MessageHash, SanitizedTransaction},
    versioned::VersionedTransaction,
};
use solana_transaction_error::TransactionError;
use solana_transaction_status::{InnerInstruction, InnerInstructions, TransactionStatusMeta};

use self::{
    changes::Changes,
    history::History,
    recent::{Blockhashes, Signatures},
    token_balances::token_balances,
};
pub use self::{
    engine::program_data_address,
    history::Record,
    token_balances::{mint, token_account},
};
use crate::options::{Genesis, GenesisProgram};

mod changes;
pub(crate) mod engine;
mod history;
mod recent;
mod token_balances;

pub(crate) use self::recent::MAX_PROCESSING_AGE;

/// Slots until a slot is finalized, as on a cluster (`MAX_LOCKOUT_HISTORY` + 1).
pub(crate) const FINALIZED_DEPTH: u64 = 32;
/// Transactions of one slot. Far above what fits in its time; it bounds memory where slots only pass by hand.
const MAX_TRANSACTIONS_PER_SLOT: usize = 10_000;

/// Why a bank could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// `slot_millis` of 0.
    #[error("a slot must last at least one millisecond: set slot_millis")]
    NoSlotLength,
    /// A genesis program is no shared object that the loader takes.
    #[error("program {id} cannot be installed ({reason}): build it with scripts/build-program")]
    Program {
        /// The program's address.
        id: Pubkey,
        /// The loader's or verifier's words.
        reason: LiteSVMError,
    },
    /// The faucet's account could not be written.
    #[error("the faucet cannot be set up: {0}")]
    Faucet(LiteSVMError),
}

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

/// The state of a local chain.
pub struct Bank {
    svm: LiteSVM,
    slot: u64,
    unix_time: i64,
    slot_millis: u64,
    genesis_hash: Hash,
    blockhashes: Blockhashes,
    signatures: Signatures,
    changes: Changes,
    history: History,
    faucet: Keypair,
    airdrops: u64,
    identity: Pubkey,
}

impl std::fmt::Debug for Bank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bank")
            .field("slot", &self.slot)
            .field("genesis", &self.genesis_hash)
            .finish_non_exhaustive()
    }
}

impl Bank {
    /// The chain of `genesis`, in slot 1.
    ///
    /// # Errors
    /// [`GenesisError`] where the genesis does not hold.
    pub fn new(genesis: &Genesis) -> Result<Self, GenesisError> {
        if genesis.slot_millis == 0 {
            return Err(GenesisError::NoSlotLength);
        }
        let derive = |what: &[u8]| -> [u8; 32] {
            Sha256::new()
                .chain_update(b"orcapool/local-k2/")
                .chain_update(what)
                .chain_update(genesis.seed)
                .finalize()
                .into()
        };
        let faucet = Keypair::new_from_array(derive(b"faucet"));
        let mut svm = engine::start();
        for program in &genesis.programs {
            let GenesisProgram { id, .. } = *program;
            engine::install(&mut svm, program)
                .map_err(|reason| GenesisError::Program { id, reason })?;
        }
        let purse = AccountSharedData::new(genesis.faucet_lamports, 0, &system_program::id());
        svm.set_account(faucet.pubkey(), purse.into())
            .map_err(GenesisError::Faucet)?;

        let genesis_hash = Sha256::new()
            .chain_update(derive(b"genesis"))
            .chain_update(genesis.unix_time.to_le_bytes());
        let genesis_hash = Hash::new_from_array(genesis_hash.finalize().into());
        let mut bank = Self {
            svm,
            slot: 0,
            unix_time: genesis.unix_time,
            slot_millis: genesis.slot_millis,
            genesis_hash,
            blockhashes: Blockhashes::new(genesis_hash),
            signatures: Signatures::default(),
            changes: Changes::default(),
            history: History::default(),
            faucet,
            airdrops: 0,
            identity: Keypair::new_from_array(derive(b"identity")).pubkey(),
        };
        // Programs count as deployed in slot 0 and can be upgraded from the next one on.
        bank.advance(1);
        Ok(bank)
    }

    /// Lets `slots` slots pass.
    pub fn advance(&mut self, slots: u64) {
        if slots == 0 {
            return;
        }
        for _ in 0..slots {
            self.blockhashes.advance();
        }
        self.slot = self.blockhashes.newest().0;
        self.changes.expire(self.slot);
        self.signatures.expire(self.slot);
        for key in engine::SLOT_SYSVARS {
            self.changes
                .note(self.slot, key, || self.svm.accounts_db().get_account(&key));
        }
        let schedule = engine::epoch_schedule();
        let epoch = schedule.get_epoch(self.slot);
        let clock = Clock {
            slot: self.slot,
            epoch_start_timestamp: self.time_of(schedule.get_first_slot_in_epoch(epoch)),
            epoch,
            leader_schedule_epoch: schedule.get_leader_schedule_epoch(self.slot),
            unix_timestamp: self.time_of(self.slot),
        };
        engine::set_slot(&mut self.svm, &clock, self.blockhashes.iter());
    }

    /// The slot being worked on, which is what `processed` shows.
    #[must_use]
    pub const fn slot(&self) -> u64 {
        self.slot
    }

    /// The newest slot that has reached `commitment`.
    #[must_use]
    pub const fn slot_at(&self, commitment: CommitmentLevel) -> u64 {
        match commitment {
            CommitmentLevel::Processed => self.slot,
            CommitmentLevel::Confirmed => self.slot.saturating_sub(1),
            CommitmentLevel::Finalized => self.slot.saturating_sub(FINALIZED_DEPTH),
        }
    }

    /// Time of `slot` in seconds since 1970.
    #[must_use]
    pub const fn time_of(&self, slot: u64) -> i64 {
        let passed = slot.saturating_mul(self.slot_millis) / 1_000;
        self.unix_time.saturating_add_unsigned(passed)
    }

    /// Names the chain.
    #[must_use]
    pub const fn genesis_hash(&self) -> Hash {
        self.genesis_hash
    }

    /// The node's key, which leads every slot.
    #[must_use]
    pub const fn identity(&self) -> Pubkey {
        self.identity
    }

    /// Address the airdrops come from.
    #[must_use]
    pub fn faucet(&self) -> Pubkey {
        self.faucet.pubkey()
    }

    /// The blockhash a bank at `slot` would hand out, and the last block height at which it can be used.
    #[must_use]
    pub fn latest_blockhash(&self, slot: u64) -> (Hash, u64) {
        (
            self.blockhashes.of_slot(slot),
            slot.saturating_add(MAX_PROCESSING_AGE),
        )
    }

    /// The last block height at which `hash` can be used, as a bank at `slot` sees it; `None`: not any more, or unknown.
    #[must_use]
    pub fn last_valid_height(&self, hash: &Hash, slot: u64) -> Option<u64> {
        self.blockhashes.last_valid_height(hash, slot)
    }

    /// The account at the end of slot `at`, which must not be older than the finalized one.
    #[must_use]
    pub fn account(&self, key: &Pubkey, at: u64) -> Option<&AccountSharedData> {
        match self.changes.at(key, at) {
            Some(before) => before.as_ref(),
            None => self.svm.accounts_db().get_account_ref(key),
        }
        .filter(|account| account.lamports() > 0)
    }

    /// All accounts `keep` takes, as they were at the end of slot `at`, by address.
    #[must_use]
    pub fn accounts_where(
        &self,
        at: u64,
        keep: impl Fn(&AccountSharedData) -> bool,
    ) -> Vec<(Pubkey, &AccountSharedData)> {
        let now = self.svm.accounts_db().inner.keys();
        // Accounts that have been closed since are only in the log.
        let mut keys: Vec<&Pubkey> = now.chain(self.changes.keys_since(at)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| Some((*key, self.account(key, at)?)))
            .filter(|(_, account)| keep(account))
            .collect()
    }

    /// Lamports that an account with `data_len` bytes must hold.
    #[must_use]
    pub fn minimum_balance_for_rent_exemption(&self, data_len: usize) -> u64 {
        self.svm.minimum_balance_for_rent_exemption(data_len)
    }

    /// A processed transaction by its first signature.
    #[must_use]
    pub fn transaction(&self, signature: &Signature) -> Option<&Arc<Record>> {
        self.history.get(signature)
    }

    /// Processed transactions that name `address`, newest first.
    pub fn transactions_naming(
        &self,
        address: Pubkey,
    ) -> impl Iterator<Item = (&Signature, &Arc<Record>)> {
        self.history.naming(address)
    }

    /// Number of transactions processed since genesis.
    #[must_use]
    pub const fn transaction_count(&self) -> u64 {
        self.history.count()
    }

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
            &std::collections::HashSet::new(),
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
            self.svm.simulate_transaction(transaction)
        }));
        match result {
            Ok(Ok(done)) => Some(Simulation {
                status: Ok(()),
                meta: done.meta,
                post_accounts: done.post_accounts,
            }),
            Ok(Err(FailedTransactionMetadata { err, meta })) => Some(Simulation {
                status: Err(err),
                meta,
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
        let result = catch_unwind(AssertUnwindSafe(|| svm.send_transaction(versioned.clone())));
        let Ok(result) = result else {
            tracing::error!(%signature, "the SVM panicked and was set back: please report the transaction");
            self.svm = untouched;
            return Err(TransactionError::SanitizeFailure);
        };
        let (status, meta) = match result {
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
    ) -> Vec<solana_transaction_status::TransactionTokenBalance> {
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
