//! The chain as a state machine: it processes transactions and is told when a slot has passed. No clock, no socket.
//!
//! What LiteSVM leaves out is here, as a cluster has it: a blockhash per slot that expires after 150, no transaction
//! twice, states of the last 32 slots for the commitment levels, a bounded history. A slot is `confirmed` once the next
//! one has begun and `finalized` 32 slots later; every slot has its block, so block height and slot are the same.
//!
//! Left out: durable nonces (such a transaction is refused with `BlockhashNotFound`), the ed25519, secp256k1 and
//! secp256r1 precompiles, votes, rewards. Simulation, and so preflight, always sees the newest state.

use std::sync::Arc;

use litesvm::{LiteSVM, error::LiteSVMError};
use sha2::{Digest, Sha256};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_commitment_config::CommitmentLevel;
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_sysvar::clock::Clock;

use self::{
    changes::Changes,
    history::History,
    recent::{Blockhashes, Signatures},
};
pub use self::{
    engine::program_data_address,
    history::Record,
    process::Simulation,
    token_balances::{mint, token_account},
};
use crate::options::{Genesis, GenesisProgram};

mod changes;
pub(crate) mod engine;
mod history;
mod process;
mod recent;
mod token_balances;

pub(crate) use self::{process::inner_instructions, recent::MAX_PROCESSING_AGE};

/// Slots until a slot is finalized, as on a cluster (`MAX_LOCKOUT_HISTORY` + 1).
pub(crate) const FINALIZED_DEPTH: u64 = 32;

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
}
