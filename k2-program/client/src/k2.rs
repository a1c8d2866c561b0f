//! [`K2`]: everything the client asks of a K2 cluster, and the checked types of the answers.
//!
//! [`crate::K2Rpc`] speaks JSON-RPC to one or several nodes; a test or a devnet may bring another transport.

use std::fmt;

use async_trait::async_trait;
use k2_interface::K2Address;
use solana_hash::Hash;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use crate::address::CLOCK;
use crate::error::K2Error;

/// How settled a state must be to be read or waited for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Commitment {
    /// The node's own newest block; it may be dropped again.
    Processed,
    /// Voted for by two thirds of the stake: what this client uses where nothing else is said.
    Confirmed,
    /// More than 31 blocks deep: never taken back.
    Finalized,
}

impl Commitment {
    /// The word of the RPC.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An account as it stood at some slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountData {
    /// Its balance.
    pub lamports: u64,
    /// The program that may write to it.
    pub owner: K2Address,
    /// Whether it is a program.
    pub executable: bool,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl AccountData {
    fn cut(mut self, length: usize) -> Self {
        self.data.truncate(length);
        self
    }
}

/// An answer and the slot it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The slot of the state the answer was read from.
    pub slot: u64,
    /// The answer.
    pub value: T,
}

/// Which accounts of a program are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountFilter {
    /// Those with so many bytes.
    Size(u64),
    /// Those with these bytes at this place. At most 128 (Solana 1.14).
    Bytes {
        /// Where.
        offset: usize,
        /// What.
        bytes: Vec<u8>,
    },
}

/// A blockhash transactions may be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestBlockhash {
    /// The hash.
    pub hash: Hash,
    /// The height of the last block that may hold a transaction signed with it.
    pub last_valid_block_height: u64,
}

/// Where the cluster stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct EpochInfo {
    /// Slots since genesis, empty ones too.
    pub slot: u64,
    /// Blocks since genesis.
    pub block_height: u64,
    /// The epoch.
    pub epoch: u64,
}

/// What the cluster says the time is (the clock sysvar).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Clock {
    /// The slot.
    pub slot: u64,
    /// The validators' stake-weighted estimate, Unix seconds. It may drift by hours.
    pub unix_timestamp: i64,
}

/// Why a transaction failed, as the cluster says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A fault this version's Solana crates know.
    Known(TransactionError),
    /// One of an instruction that they do not know, as the node wrote it.
    Instruction(u8, String),
    /// Another one, as the node wrote it.
    Other(String),
}

/// What a transaction would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    /// Why it would fail; `None`: it would not.
    pub fault: Option<Fault>,
    /// What programs printed.
    pub logs: Vec<String>,
    /// Compute units used. Solana 1.14 says 0 for a transaction that fails.
    pub units: Option<u64>,
    /// The accounts that were asked for, as they would be afterwards.
    pub accounts: Vec<Option<AccountData>>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureStatus {
    /// The slot of its block.
    pub slot: u64,
    /// Why it failed; `None`: it did not.
    pub fault: Option<Fault>,
    /// How settled its block is.
    pub commitment: Commitment,
}

/// What is asked of a K2 cluster. All methods are cancel safe.
#[async_trait]
pub trait K2: fmt::Debug + Send + Sync {
    /// The name used in messages.
    fn name(&self) -> &str;

    /// Accounts, in the order asked for, all as of one slot; `None` where there is none. At most
    /// [`MAX_ACCOUNTS`].
    async fn accounts(
        &self,
        addresses: &[K2Address],
        commitment: Commitment,
    ) -> Result<At<Vec<Option<AccountData>>>, K2Error>;

    /// All accounts of a program that pass every filter.
    async fn program_accounts(
        &self,
        program: &K2Address,
        filters: &[AccountFilter],
        commitment: Commitment,
    ) -> Result<Vec<(K2Address, AccountData)>, K2Error>;

    /// The first `length` bytes of an account that may be too long to be read whole; fewer where it is shorter. A node that
    /// has no slices may be asked for all of it, as this does.
    async fn account_head(
        &self,
        address: &K2Address,
        length: usize,
        commitment: Commitment,
    ) -> Result<Option<AccountData>, K2Error> {
        let account = self.account(address, commitment).await?;
        Ok(account.map(|account| account.cut(length)))
    }

    /// [`program_accounts`](Self::program_accounts), of each the first `length` bytes.
    async fn program_account_heads(
        &self,
        program: &K2Address,
        filters: &[AccountFilter],
        length: usize,
        commitment: Commitment,
    ) -> Result<Vec<(K2Address, AccountData)>, K2Error> {
        let accounts = self.program_accounts(program, filters, commitment).await?;
        let cut = |(address, account): (K2Address, AccountData)| (address, account.cut(length));
        Ok(accounts.into_iter().map(cut).collect())
    }

    /// A blockhash to sign with.
    async fn latest_blockhash(&self, commitment: Commitment) -> Result<LatestBlockhash, K2Error>;

    /// Where the cluster stands.
    async fn epoch_info(&self, commitment: Commitment) -> Result<EpochInfo, K2Error>;

    /// An account's balance in lamports.
    async fn balance(&self, address: &K2Address, commitment: Commitment) -> Result<u64, K2Error>;

    /// Lamports an account of so many bytes must hold.
    async fn minimum_balance(&self, bytes: usize) -> Result<u64, K2Error>;

    /// What a transaction would do, whatever its signatures and blockhash. `watch`: accounts to return as they would
    /// be afterwards.
    async fn simulate(
        &self,
        transaction: &[u8],
        watch: &[K2Address],
        commitment: Commitment,
    ) -> Result<Simulation, K2Error>;

    /// Hands a signed transaction to the cluster, without another simulation. Doing it twice is harmless.
    async fn send(&self, transaction: &[u8]) -> Result<(), K2Error>;

    /// What became of transactions, in the order asked for; `None`: not seen. `history`: look further back than the
    /// last few hundred blocks; a node that keeps no history answers [`K2Error::Unsupported`]. At most 256.
    async fn signature_statuses(
        &self,
        signatures: &[Signature],
        history: bool,
    ) -> Result<At<Vec<Option<SignatureStatus>>>, K2Error>;

    /// What others paid lately per compute unit, in micro-lamports, to write to these accounts. `None`: the node has no
    /// such method (Solana 1.14).
    async fn prioritization_fees(
        &self,
        accounts: &[K2Address],
    ) -> Result<Option<Vec<u64>>, K2Error>;

    /// Lamports for nothing, on test clusters.
    async fn request_airdrop(
        &self,
        address: &K2Address,
        lamports: u64,
    ) -> Result<Signature, K2Error>;

    /// The node's version.
    async fn version(&self) -> Result<String, K2Error>;

    /// The genesis hash: which cluster this is.
    async fn genesis_hash(&self) -> Result<Hash, K2Error>;

    /// One account.
    async fn account(
        &self,
        address: &K2Address,
        commitment: Commitment,
    ) -> Result<Option<AccountData>, K2Error> {
        let answer = self.accounts(&[*address], commitment).await?;
        Ok(answer.value.into_iter().next().flatten())
    }

    /// The current slot.
    async fn slot(&self, commitment: Commitment) -> Result<u64, K2Error> {
        Ok(self.epoch_info(commitment).await?.slot)
    }

    /// The clock sysvar.
    async fn clock(&self, commitment: Commitment) -> Result<Clock, K2Error> {
        let account = self.account(&CLOCK, commitment).await?;
        account
            .and_then(|account| parse_clock(&account.data))
            .ok_or_else(|| K2Error::BadAnswer {
                node: self.name().into(),
                method: "getMultipleAccounts",
                reason: "the clock sysvar is missing or too short".into(),
            })
    }
}

/// The most accounts of one question (Solana 1.14).
pub const MAX_ACCOUNTS: usize = 100;

/// `slot u64 | epoch_start_timestamp i64 | epoch u64 | leader_schedule_epoch u64 | unix_timestamp i64`, little-endian.
fn parse_clock(data: &[u8]) -> Option<Clock> {
    let slot = data.first_chunk::<8>()?;
    let time = data.get(32..40)?.first_chunk::<8>()?;
    Some(Clock {
        slot: u64::from_le_bytes(*slot),
        unix_timestamp: i64::from_le_bytes(*time),
    })
}
