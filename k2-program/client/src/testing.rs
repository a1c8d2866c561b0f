//! A cluster for tests that is nothing but accounts: what is put there is read, and what is sent is remembered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use k2_interface::K2Address;
use k2_interface::state::{Account, Head, Kind};
use solana_hash::Hash;
use solana_signature::Signature;
use solana_transaction::Transaction;
use zerocopy::IntoBytes as _;

use crate::client::Client;
use crate::error::K2Error;
use crate::k2::{
    AccountData, AccountFilter, At, Commitment, EpochInfo, Fault, K2, LatestBlockhash,
    SignatureStatus, Simulation,
};
use crate::pda::Program;
use crate::send::SendOptions;

pub(crate) const PROGRAM: K2Address = K2Address::from_bytes([5; 32]);

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    accounts: Mutex<BTreeMap<K2Address, AccountData>>,
    sent: Mutex<Vec<Transaction>>,
    /// What simulations answer, in their order; then they succeed.
    faults: Mutex<Vec<Fault>>,
    /// What simulations leave behind.
    after: Mutex<BTreeMap<K2Address, AccountData>>,
    slot: Mutex<u64>,
}

impl Shelf {
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let k2 = Arc::clone(self) as Arc<dyn K2>;
        Client::new(k2, PROGRAM, SendOptions::default())
    }

    pub(crate) fn program() -> Program {
        Program::new(PROGRAM)
    }

    /// Puts an account of the program there, with its head.
    pub(crate) fn put<T: Account>(&self, address: K2Address, kind: Kind, mut account: T) {
        account.as_mut_bytes()[..8].copy_from_slice(Head::new(kind, 255).as_bytes());
        self.put_raw(address, PROGRAM, account.as_bytes());
    }

    pub(crate) fn put_raw(&self, address: K2Address, owner: K2Address, data: &[u8]) {
        let account = AccountData {
            lamports: 1,
            owner,
            executable: false,
            data: data.to_vec(),
        };
        self.accounts.lock().unwrap().insert(address, account);
    }

    pub(crate) fn leave_after(&self, address: K2Address, account: AccountData) {
        self.after.lock().unwrap().insert(address, account);
    }

    pub(crate) fn fail_with(&self, faults: Vec<Fault>) {
        *self.faults.lock().unwrap() = faults;
    }

    pub(crate) fn at_slot(&self, slot: u64) {
        *self.slot.lock().unwrap() = slot;
    }

    pub(crate) fn sent(&self) -> Vec<Transaction> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl K2 for Shelf {
    fn name(&self) -> &str {
        "shelf"
    }

    async fn accounts(
        &self,
        addresses: &[K2Address],
        _: Commitment,
    ) -> Result<At<Vec<Option<AccountData>>>, K2Error> {
        let accounts = self.accounts.lock().unwrap();
        Ok(At {
            slot: *self.slot.lock().unwrap(),
            value: addresses.iter().map(|a| accounts.get(a).cloned()).collect(),
        })
    }

    async fn program_accounts(
        &self,
        program: &K2Address,
        filters: &[AccountFilter],
        _: Commitment,
    ) -> Result<Vec<(K2Address, AccountData)>, K2Error> {
        let passes = |data: &[u8]| {
            filters.iter().all(|filter| match filter {
                AccountFilter::Size(size) => data.len() as u64 == *size,
                AccountFilter::Bytes { offset, bytes } => {
                    data.get(*offset..offset + bytes.len()) == Some(bytes)
                }
            })
        };
        let accounts = self.accounts.lock().unwrap();
        Ok(accounts
            .iter()
            .filter(|(_, account)| account.owner == *program && passes(&account.data))
            .map(|(address, account)| (*address, account.clone()))
            .collect())
    }

    async fn latest_blockhash(&self, _: Commitment) -> Result<LatestBlockhash, K2Error> {
        Ok(LatestBlockhash {
            hash: Hash::new_from_array([1; 32]),
            last_valid_block_height: 150,
        })
    }

    async fn epoch_info(&self, _: Commitment) -> Result<EpochInfo, K2Error> {
        let slot = *self.slot.lock().unwrap();
        Ok(EpochInfo {
            slot,
            block_height: slot,
            epoch: 0,
        })
    }

    async fn balance(&self, _: &K2Address, _: Commitment) -> Result<u64, K2Error> {
        Ok(0)
    }

    async fn minimum_balance(&self, _: usize) -> Result<u64, K2Error> {
        Ok(0)
    }

    async fn simulate(
        &self,
        _: &[u8],
        watch: &[K2Address],
        _: Commitment,
    ) -> Result<Simulation, K2Error> {
        let mut faults = self.faults.lock().unwrap();
        let fault = (!faults.is_empty()).then(|| faults.remove(0));
        let (accounts, after) = (self.accounts.lock().unwrap(), self.after.lock().unwrap());
        let left = |address| {
            after
                .get(address)
                .or_else(|| accounts.get(address))
                .cloned()
        };
        Ok(Simulation {
            fault,
            logs: vec!["Program log: shelf".into()],
            units: Some(1000),
            accounts: watch.iter().map(left).collect(),
        })
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), K2Error> {
        let transaction = wincode::deserialize(bytes).unwrap();
        self.sent.lock().unwrap().push(transaction);
        Ok(())
    }

    async fn signature_statuses(
        &self,
        signatures: &[Signature],
        _: bool,
    ) -> Result<At<Vec<Option<SignatureStatus>>>, K2Error> {
        let status = SignatureStatus {
            slot: 1,
            fault: None,
            commitment: Commitment::Finalized,
        };
        Ok(At {
            slot: 1,
            value: vec![Some(status); signatures.len()],
        })
    }

    async fn prioritization_fees(&self, _: &[K2Address]) -> Result<Option<Vec<u64>>, K2Error> {
        Ok(None)
    }

    async fn request_airdrop(&self, _: &K2Address, _: u64) -> Result<Signature, K2Error> {
        Ok(Signature::default())
    }

    async fn version(&self) -> Result<String, K2Error> {
        Ok("shelf".into())
    }

    async fn genesis_hash(&self) -> Result<Hash, K2Error> {
        Ok(Hash::new_from_array([2; 32]))
    }
}
