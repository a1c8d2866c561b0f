//! Reads the program's accounts: fetched, checked to be the program's, decoded by their kind.

mod decode;

use k2_interface::K2Address;
use k2_interface::state::{
    self, Account, Buffer, Config, Cursor, Fork, Head, Kind, Ledger, Operator, OperatorSet,
    Proposal, Record, Redemption, Relay, StateError,
};

use crate::address::{SYSTEM_PROGRAM, TOKEN_PROGRAM};
use crate::error::K2Error;
use crate::k2::{AccountData, AccountFilter, At, Commitment, K2, MAX_ACCOUNTS};
use crate::pda::{Outpoint, Program};

pub use decode::{AnyAccount, Mint, TokenAccount};

/// Why an account could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The cluster cannot be asked.
    #[error(transparent)]
    K2(#[from] K2Error),
    /// There is nothing at this address.
    #[error("{what} {address} does not exist{hint}")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        address: K2Address,
        /// What to do.
        hint: &'static str,
    },
    /// It belongs to another program.
    #[error("{what} {address} belongs to another program, {owner}: is the program id right?")]
    Foreign {
        /// What was looked for.
        what: &'static str,
        /// Where.
        address: K2Address,
        /// Whose it is.
        owner: K2Address,
    },
    /// It holds something else.
    #[error("{what} {address}: {source}: is this client as new as the program?")]
    State {
        /// What was looked for.
        what: &'static str,
        /// Where.
        address: K2Address,
        /// What is wrong.
        source: StateError,
    },
    /// It is no token account or mint.
    #[error("{address} is not {what} of the SPL Token program")]
    Token {
        /// What was looked for.
        what: &'static str,
        /// Where.
        address: K2Address,
    },
}

/// What kinds are called in messages.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Config => "the configuration",
        Kind::Operators => "the operators' set",
        Kind::Relay => "the relay",
        Kind::Fork => "the fork account",
        Kind::Cursor => "the cursor",
        Kind::Buffer => "the proof buffer",
        Kind::Deposit => "the deposit record",
        Kind::Payout => "the payout record",
        Kind::Operator => "the operator's bond",
        Kind::Proposal => "the proposal",
        Kind::Ledger => "the ledger",
        Kind::Redemption => "the redemption",
        _ => "the account",
    }
}

const fn hint(kind: Kind) -> &'static str {
    match kind {
        Kind::Config | Kind::Operators => {
            ": the program is not initialized (`orcapool k2 init`), or its id is wrong"
        }
        Kind::Relay => ": it has no checkpoint yet (`orcapool k2 init`)",
        _ => "",
    }
}

/// Reads accounts of one deployed program.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a> {
    k2: &'a dyn K2,
    program: &'a Program,
    commitment: Commitment,
}

impl<'a> Accounts<'a> {
    /// Reads at this commitment.
    #[must_use]
    pub const fn new(k2: &'a dyn K2, program: &'a Program, commitment: Commitment) -> Self {
        Self {
            k2,
            program,
            commitment,
        }
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn config(&self) -> Result<Config, AccountError> {
        self.one(self.program.config(), Kind::Config).await
    }

    /// The operators' set.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn operators(&self) -> Result<OperatorSet, AccountError> {
        self.one(self.program.operators(), Kind::Operators).await
    }

    /// The relay.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn relay(&self) -> Result<Box<Relay>, AccountError> {
        self.one(self.program.relay(), Kind::Relay)
            .await
            .map(Box::new)
    }

    /// The relay, if it has its checkpoint.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn relay_if_any(&self) -> Result<Option<Box<Relay>>, AccountError> {
        let relay = self.find(self.program.relay(), Kind::Relay).await?;
        Ok(relay.map(Box::new))
    }

    /// The payer's fork account.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn fork(&self, payer: &K2Address) -> Result<Option<Box<Fork>>, AccountError> {
        let fork = self
            .find(self.program.fork(payer).address, Kind::Fork)
            .await?;
        Ok(fork.map(Box::new))
    }

    /// One of the payer's cursors.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn cursor(&self, payer: &K2Address, id: u32) -> Result<Option<Cursor>, AccountError> {
        self.find(self.program.cursor(payer, id).address, Kind::Cursor)
            .await
    }

    /// One of the payer's buffers, without the proof in it, which may be as long as a block.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn buffer(&self, payer: &K2Address, id: u32) -> Result<Option<Buffer>, AccountError> {
        let address = self.program.buffer(payer, id).address;
        let head = size_of::<Buffer>();
        let account = self.k2.account_head(&address, head, self.commitment);
        match account.await?.filter(exists) {
            Some(account) => self.decode(&address, &account, Kind::Buffer).map(Some),
            None => Ok(None),
        }
    }

    /// All buffers of a payer, by id.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn buffers(&self, payer: &K2Address) -> Result<Vec<Buffer>, AccountError> {
        let filters = [
            is_kind(Kind::Buffer),
            AccountFilter::Bytes {
                offset: size_of::<Head>(),
                bytes: payer.as_bytes().to_vec(),
            },
        ];
        let (program, head) = (self.program.id(), size_of::<Buffer>());
        let found = self
            .k2
            .program_account_heads(&program, &filters, head, self.commitment);
        let mut buffers: Vec<Buffer> = found
            .await?
            .iter()
            .map(|(address, account)| self.decode(address, account, Kind::Buffer))
            .collect::<Result<_, _>>()?;
        buffers.sort_by_key(|buffer| buffer.id.get());
        Ok(buffers)
    }

    /// The record that an output has been minted.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn deposit(&self, outpoint: &Outpoint) -> Result<Option<Record>, AccountError> {
        self.find(self.program.deposit(outpoint).address, Kind::Deposit)
            .await
    }

    /// The record that an output has settled a redemption.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn payout(&self, outpoint: &Outpoint) -> Result<Option<Record>, AccountError> {
        self.find(self.program.payout(outpoint).address, Kind::Payout)
            .await
    }

    /// An operator's bond.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn operator(&self, key: &K2Address) -> Result<Option<Operator>, AccountError> {
        self.find(self.program.operator(key).address, Kind::Operator)
            .await
    }

    /// An operator's proposal of a round.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn proposal(
        &self,
        round: u64,
        proposer: &K2Address,
    ) -> Result<Option<Proposal>, AccountError> {
        self.find(
            self.program.proposal(round, proposer).address,
            Kind::Proposal,
        )
        .await
    }

    /// What an owner has claimed in a role.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn ledger(
        &self,
        role: k2_interface::Role,
        owner: &K2Address,
    ) -> Result<Option<Ledger>, AccountError> {
        self.find(self.program.ledger(role, owner).address, Kind::Ledger)
            .await
    }

    /// A redemption.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn redemption(&self, id: u64) -> Result<Option<Redemption>, AccountError> {
        self.find(self.program.redemption(id).address, Kind::Redemption)
            .await
    }

    /// The redemptions with these ids, in their order; `None`: never requested, or closed.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn redemptions_of(
        &self,
        ids: &[u64],
    ) -> Result<Vec<Option<Redemption>>, AccountError> {
        let address = |id: &u64| self.program.redemption(*id).address;
        self.many(ids.iter().map(address).collect(), Kind::Redemption)
            .await
    }

    /// All proposals of a round, each with its address, in the order of their proposers.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn proposals(&self, round: u64) -> Result<Vec<(K2Address, Proposal)>, AccountError> {
        let filter = AccountFilter::Bytes {
            offset: size_of::<Head>(),
            bytes: round.to_le_bytes().to_vec(),
        };
        let mut proposals: Vec<(K2Address, Proposal)> =
            self.all(Kind::Proposal, vec![filter]).await?;
        proposals.sort_by_key(|(_, proposal)| proposal.proposer);
        Ok(proposals)
    }

    /// All proposals there are, by round and proposer.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn all_proposals(&self) -> Result<Vec<(K2Address, Proposal)>, AccountError> {
        let mut proposals: Vec<(K2Address, Proposal)> =
            self.all(Kind::Proposal, Vec::new()).await?;
        proposals.sort_by_key(|(_, proposal)| (proposal.round.get(), proposal.proposer));
        Ok(proposals)
    }

    /// All redemptions that are not closed, by id.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn redemptions(&self) -> Result<Vec<Redemption>, AccountError> {
        let redemptions: Vec<(K2Address, Redemption)> =
            self.all(Kind::Redemption, Vec::new()).await?;
        let mut redemptions: Vec<Redemption> = redemptions
            .into_iter()
            .map(|(_, account)| account)
            .collect();
        redemptions.sort_by_key(|redemption| redemption.id.get());
        Ok(redemptions)
    }

    /// All records of minted outputs, by height.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn deposits(&self) -> Result<Vec<Record>, AccountError> {
        self.records_of(Kind::Deposit).await
    }

    /// All records of outputs that settled a redemption, by height.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn payouts(&self) -> Result<Vec<Record>, AccountError> {
        self.records_of(Kind::Payout).await
    }

    async fn records_of(&self, kind: Kind) -> Result<Vec<Record>, AccountError> {
        let records: Vec<(K2Address, Record)> = self.all(kind, Vec::new()).await?;
        let mut records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
        records.sort_by_key(|record| (record.height.get(), record.txid, record.vout.get()));
        Ok(records)
    }

    /// All bonds.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn bonds(&self) -> Result<Vec<Operator>, AccountError> {
        let bonds: Vec<(K2Address, Operator)> = self.all(Kind::Operator, Vec::new()).await?;
        let mut bonds: Vec<Operator> = bonds.into_iter().map(|(_, bond)| bond).collect();
        bonds.sort_by_key(|bond| bond.operator);
        Ok(bonds)
    }

    /// The records of these outputs, in their order. One with value zero was not minted but spent by a deposit that was.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn records(
        &self,
        outpoints: &[Outpoint],
    ) -> Result<Vec<Option<Record>>, AccountError> {
        let address = |outpoint| self.program.deposit(outpoint).address;
        self.many(outpoints.iter().map(address).collect(), Kind::Deposit)
            .await
    }

    /// The records that these outputs have settled redemptions, in their order.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn payouts_of(
        &self,
        outpoints: &[Outpoint],
    ) -> Result<Vec<Option<Record>>, AccountError> {
        let address = |outpoint| self.program.payout(outpoint).address;
        self.many(outpoints.iter().map(address).collect(), Kind::Payout)
            .await
    }

    async fn many<T: Account + Copy>(
        &self,
        addresses: Vec<K2Address>,
        kind: Kind,
    ) -> Result<Vec<Option<T>>, AccountError> {
        let mut found = Vec::with_capacity(addresses.len());
        for some in addresses.chunks(MAX_ACCOUNTS) {
            let accounts = self.k2.accounts(some, self.commitment).await?.value;
            for (address, account) in some.iter().zip(accounts) {
                let account = account.filter(exists);
                found.push(match account {
                    Some(account) => Some(self.decode(address, &account, kind)?),
                    None => None,
                });
            }
        }
        Ok(found)
    }

    /// A token account; `None` where there is none.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn token_account(
        &self,
        address: K2Address,
    ) -> Result<Option<TokenAccount>, AccountError> {
        let Some(account) = self.existing(address).await? else {
            return Ok(None);
        };
        token(&account, TokenAccount::decode)
            .map(Some)
            .ok_or(AccountError::Token {
                what: "a token account",
                address,
            })
    }

    /// The wrapped token's mint.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn mint(&self) -> Result<Mint, AccountError> {
        let address = self.program.mint();
        decode_mint(address, self.existing(address).await?)
    }

    /// Configuration and mint as of one slot, so that totals and supply can be compared.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn config_and_mint(&self) -> Result<At<(Config, Mint)>, AccountError> {
        let (config, mint) = (self.program.config(), self.program.mint());
        let answer = self.k2.accounts(&[config, mint], self.commitment).await?;
        let mut accounts = answer.value.into_iter();
        let mut next = || accounts.next().flatten().filter(exists);
        let account = next().ok_or(AccountError::Missing {
            what: name(Kind::Config),
            address: config,
            hint: hint(Kind::Config),
        })?;
        let config = self.decode(&config, &account, Kind::Config)?;
        Ok(At {
            slot: answer.slot,
            value: (config, decode_mint(mint, next())?),
        })
    }

    async fn one<T: Account + Copy>(
        &self,
        address: K2Address,
        kind: Kind,
    ) -> Result<T, AccountError> {
        self.find(address, kind)
            .await?
            .ok_or(AccountError::Missing {
                what: name(kind),
                address,
                hint: hint(kind),
            })
    }

    async fn find<T: Account + Copy>(
        &self,
        address: K2Address,
        kind: Kind,
    ) -> Result<Option<T>, AccountError> {
        match self.existing(address).await? {
            Some(account) => self.decode(&address, &account, kind).map(Some),
            None => Ok(None),
        }
    }

    async fn existing(&self, address: K2Address) -> Result<Option<AccountData>, AccountError> {
        let account = self.k2.account(&address, self.commitment).await?;
        Ok(account.filter(exists))
    }

    fn decode<T: Account + Copy>(
        &self,
        address: &K2Address,
        account: &AccountData,
        kind: Kind,
    ) -> Result<T, AccountError> {
        if account.owner != self.program.id() {
            return Err(AccountError::Foreign {
                what: name(kind),
                address: *address,
                owner: account.owner,
            });
        }
        state::load(&account.data, kind)
            .copied()
            .map_err(|source| AccountError::State {
                what: name(kind),
                address: *address,
                source,
            })
    }

    async fn all<T: Account + Copy>(
        &self,
        kind: Kind,
        mut filters: Vec<AccountFilter>,
    ) -> Result<Vec<(K2Address, T)>, AccountError> {
        filters.push(is_kind(kind));
        if !T::HAS_TAIL {
            filters.push(AccountFilter::Size(size_of::<T>() as u64));
        }
        self.k2
            .program_accounts(&self.program.id(), &filters, self.commitment)
            .await?
            .into_iter()
            .map(|(address, account)| Ok((address, self.decode(&address, &account, kind)?)))
            .collect()
    }
}

/// Magic, kind and version.
fn is_kind(kind: Kind) -> AccountFilter {
    let head = Head::new(kind, 0);
    let bytes = zerocopy::IntoBytes::as_bytes(&head);
    AccountFilter::Bytes {
        offset: 0,
        bytes: bytes.get(..6).unwrap_or(bytes).to_vec(),
    }
}

/// More than lamports, which anybody can send to any address.
fn exists(account: &AccountData) -> bool {
    account.owner != SYSTEM_PROGRAM || !account.data.is_empty()
}

fn decode_mint(address: K2Address, account: Option<AccountData>) -> Result<Mint, AccountError> {
    let account = account.ok_or(AccountError::Missing {
        what: "the mint",
        address,
        hint: hint(Kind::Config),
    })?;
    token(&account, Mint::decode).ok_or(AccountError::Token {
        what: "a mint",
        address,
    })
}

fn token<T>(account: &AccountData, decode: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    (account.owner == TOKEN_PROGRAM)
        .then(|| decode(&account.data))
        .flatten()
}
