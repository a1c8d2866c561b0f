//! A [`World`]'s chain behind the client's traits, and Bitcoin's blocks behind the node's: no socket, the program as it is built.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash, Network, Work};
use chain::{
    BitcoinNode, ChainInfo, HeaderInfo, LongPollId, NodeError, NodeTemplate, Standing,
    SubmitOutcome, ZmqNotification,
};
use k2_client::k2::{At, EpochInfo, Fault, LatestBlockhash, SignatureStatus, Simulation};
use k2_client::{
    AccountData, AccountFilter, Client, Commitment, K2, K2Error, Keypair, SendOptions, address,
    pubkey,
};
use k2_interface::K2Address;
use k2_tests::World;
use k2_tests::bitcoin::Chain;
use litesvm::LiteSVM;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;

/// Whose keypair settles.
pub(crate) fn payer() -> Keypair {
    Keypair::from_seed([1; 32])
}

/// Somebody else who does.
pub(crate) fn rival() -> Keypair {
    Keypair::from_seed([2; 32])
}

/// A cluster of one node.
pub(crate) struct Cluster {
    state: Mutex<State>,
}

struct State {
    svm: LiteSVM,
    landed: HashMap<Signature, Option<TransactionError>>,
    /// Calls that are answered until the client is cut off.
    calls_left: Option<usize>,
    calls: usize,
    /// What somebody else does once so many transactions have landed.
    meanwhile: Option<(usize, Vec<Vec<u8>>)>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl State {
    fn run(&mut self, bytes: &[u8]) -> Signature {
        let transaction: Transaction = wincode::deserialize(bytes).unwrap();
        let signature = transaction.signatures[0];
        let ended = self.svm.send_transaction(transaction);
        self.landed
            .insert(signature, ended.err().map(|failed| failed.err));
        self.svm.expire_blockhash();
        signature
    }
}

impl Cluster {
    /// The world's chain as it stands, on which both payers are rich.
    pub(crate) fn new(k2: &mut World) -> Arc<Self> {
        k2.k2.only_here("the client goes on with it elsewhere");
        for keypair in [payer(), rival()] {
            k2.k2.fund(pubkey(&keypair.address()), 100_000_000_000);
        }
        Arc::new(Self {
            state: Mutex::new(State {
                svm: k2.k2.unrecorded(),
                landed: HashMap::new(),
                calls_left: None,
                calls: 0,
                meanwhile: None,
            }),
        })
    }

    pub(crate) fn client(self: &Arc<Self>, program: Pubkey) -> Client {
        let k2 = Arc::clone(self) as Arc<dyn K2>;
        Client::new(k2, address(&program), SendOptions::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn call(&self) -> Result<MutexGuard<'_, State>, K2Error> {
        let mut state = self.state();
        state.calls += 1;
        match &mut state.calls_left {
            Some(0) => Err(K2Error::Config {
                node: "svm".into(),
                reason: "the client was killed".into(),
            }),
            Some(left) => {
                *left -= 1;
                Ok(state)
            }
            None => Ok(state),
        }
    }

    /// Answers so many calls more and then none; `None`: all.
    pub(crate) fn die_after(&self, calls: Option<usize>) {
        self.state().calls_left = calls;
    }

    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    /// Transactions that succeeded.
    pub(crate) fn landed(&self) -> usize {
        let state = self.state();
        state
            .landed
            .values()
            .filter(|fault| fault.is_none())
            .count()
    }

    /// Somebody else's transactions, once so many have landed.
    pub(crate) fn meanwhile(&self, after: usize, transactions: Vec<Vec<u8>>) {
        self.state().meanwhile = Some((after, transactions));
    }

    pub(crate) fn set_lamports(&self, address: &K2Address, lamports: u64) {
        let account = solana_account::Account {
            lamports,
            ..solana_account::Account::default()
        };
        let mut state = self.state();
        state.svm.set_account(pubkey(address), account).unwrap();
    }

    pub(crate) fn lamports(&self, address: &K2Address) -> u64 {
        let account = self.state().svm.get_account(&pubkey(address));
        account.map_or(0, |account| account.lamports)
    }
}

fn data(account: solana_account::Account) -> AccountData {
    AccountData {
        lamports: account.lamports,
        owner: address(&account.owner),
        executable: account.executable,
        data: account.data,
    }
}

#[async_trait]
impl K2 for Cluster {
    fn name(&self) -> &str {
        "svm"
    }

    async fn accounts(
        &self,
        addresses: &[K2Address],
        _: Commitment,
    ) -> Result<At<Vec<Option<AccountData>>>, K2Error> {
        let state = self.call()?;
        let read = |address: &K2Address| {
            let account = state.svm.get_account(&pubkey(address))?;
            (account.lamports > 0).then(|| data(account))
        };
        Ok(At {
            slot: 1,
            value: addresses.iter().map(read).collect(),
        })
    }

    async fn program_accounts(
        &self,
        program: &K2Address,
        filters: &[AccountFilter],
        _: Commitment,
    ) -> Result<Vec<(K2Address, AccountData)>, K2Error> {
        let state = self.call()?;
        let passes = |data: &[u8]| {
            filters.iter().all(|filter| match filter {
                AccountFilter::Size(size) => data.len() as u64 == *size,
                AccountFilter::Bytes { offset, bytes } => {
                    data.get(*offset..offset + bytes.len()) == Some(bytes)
                }
                _ => panic!("an unknown filter"),
            })
        };
        let found = state.svm.get_program_accounts(&pubkey(program));
        Ok(found
            .into_iter()
            .filter(|(_, account)| passes(&account.data))
            .map(|(key, account)| (address(&key), data(account)))
            .collect())
    }

    async fn latest_blockhash(&self, _: Commitment) -> Result<LatestBlockhash, K2Error> {
        Ok(LatestBlockhash {
            hash: Hash::new_from_array(self.call()?.svm.latest_blockhash().to_bytes()),
            last_valid_block_height: u64::MAX,
        })
    }

    async fn epoch_info(&self, _: Commitment) -> Result<EpochInfo, K2Error> {
        drop(self.call()?);
        Ok(EpochInfo {
            slot: 1,
            block_height: 1,
            epoch: 0,
        })
    }

    async fn balance(&self, address: &K2Address, _: Commitment) -> Result<u64, K2Error> {
        drop(self.call()?);
        Ok(self.lamports(address))
    }

    async fn minimum_balance(&self, bytes: usize) -> Result<u64, K2Error> {
        Ok(self.call()?.svm.minimum_balance_for_rent_exemption(bytes))
    }

    async fn simulate(
        &self,
        bytes: &[u8],
        _: &[K2Address],
        _: Commitment,
    ) -> Result<Simulation, K2Error> {
        let state = self.call()?;
        let mut transaction: Transaction = wincode::deserialize(bytes).unwrap();
        transaction.message.recent_blockhash = state.svm.latest_blockhash();
        let (fault, meta) = match state.svm.simulate_transaction(transaction) {
            Ok(info) => (None, info.meta),
            Err(failed) => (Some(Fault::Known(failed.err)), failed.meta),
        };
        Ok(Simulation {
            fault,
            logs: meta.logs,
            units: Some(meta.compute_units_consumed),
            accounts: vec![],
        })
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), K2Error> {
        let mut state = self.call()?;
        state.run(bytes);
        let landed = state.landed.len();
        if let Some((_, others)) = state.meanwhile.take_if(|(after, _)| landed >= *after) {
            for other in others {
                state.run(&other);
            }
        }
        Ok(())
    }

    async fn signature_statuses(
        &self,
        signatures: &[Signature],
        _: bool,
    ) -> Result<At<Vec<Option<SignatureStatus>>>, K2Error> {
        let state = self.call()?;
        let status = |signature: &Signature| {
            let fault = state.landed.get(signature)?.clone();
            Some(SignatureStatus {
                slot: 1,
                fault: fault.map(Fault::Known),
                commitment: Commitment::Finalized,
            })
        };
        Ok(At {
            slot: 1,
            value: signatures.iter().map(status).collect(),
        })
    }

    async fn prioritization_fees(&self, _: &[K2Address]) -> Result<Option<Vec<u64>>, K2Error> {
        drop(self.call()?);
        Ok(None)
    }

    async fn request_airdrop(&self, _: &K2Address, _: u64) -> Result<Signature, K2Error> {
        panic!("nobody asks for lamports")
    }

    async fn version(&self) -> Result<String, K2Error> {
        Ok("svm".into())
    }

    async fn genesis_hash(&self) -> Result<Hash, K2Error> {
        Ok(Hash::default())
    }
}

/// Bitcoin.
#[derive(Debug)]
pub(crate) struct Blocks(pub(crate) Chain);

impl Blocks {
    fn find(&self, hash: BlockHash) -> Option<u32> {
        (self.0.first()..=self.0.tip()).find(|height| self.0.block(*height).block_hash() == hash)
    }
}

#[async_trait]
impl BitcoinNode for Blocks {
    fn name(&self) -> &str {
        "blocks"
    }

    fn network(&self) -> Network {
        Network::Regtest
    }

    async fn block_template(&self) -> Result<NodeTemplate, NodeError> {
        panic!("nobody mines")
    }

    async fn wait_for_template(&self, _: &LongPollId) -> Result<Option<NodeTemplate>, NodeError> {
        panic!("nobody mines")
    }

    async fn submit_block(&self, _: &Block) -> Result<SubmitOutcome, NodeError> {
        panic!("nobody mines")
    }

    async fn best_block_hash(&self) -> Result<BlockHash, NodeError> {
        Ok(self.0.block(self.0.tip()).block_hash())
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<HeaderInfo>, NodeError> {
        Ok(self.find(hash).map(|height| HeaderInfo {
            header: self.0.block(height).header,
            hash,
            height,
            standing: Standing::Active {
                confirmations: self.0.tip() - height + 1,
            },
            median_time_past: 0,
            chain_work: Work::from_be_bytes([0; 32]),
        }))
    }

    async fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, NodeError> {
        let known = (self.0.first()..=self.0.tip()).contains(&height);
        Ok(known.then(|| BlockHash::from_byte_array(self.0.hash(height))))
    }

    async fn block(&self, hash: BlockHash) -> Result<Option<Block>, NodeError> {
        Ok(self.find(hash).map(|height| self.0.block(height).clone()))
    }

    async fn chain_info(&self) -> Result<ChainInfo, NodeError> {
        panic!("nobody asks")
    }

    async fn zmq_notifications(&self) -> Result<Vec<ZmqNotification>, NodeError> {
        Ok(vec![])
    }
}
