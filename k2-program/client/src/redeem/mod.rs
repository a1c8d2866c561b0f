//! Redemptions: wrapped sats for BTC. Requesting, finding and settling payouts, refunding.

mod payout;
mod settle;

#[cfg(test)]
mod tests;

use bitcoin::{BlockHash, Txid};
use k2_interface::bitcoin::ScriptPubkey;
use k2_interface::instruction::RequestRedeem;
use k2_interface::state::{Config, Redemption, RedemptionState};
use k2_interface::{AccountFault, K2Address, PoolError, Refusal};

use crate::accounts::AccountError;
use crate::client::Client;
use crate::keypair::Keypair;
use crate::prove::ProveError;
use crate::send::{Confirmed, SendError};
use crate::transaction::Draft;

pub use payout::Payout;
pub use settle::{Settled, Settler};

/// How often a request may lose the race for its id.
const MAX_RACES: u32 = 5;

/// Why a redemption was not moved on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// An account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The transaction.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The proof of a payout.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The program would refuse it.
    #[error("{0}")]
    Rule(PoolError),
    /// The Bitcoin address is none, or on another network.
    #[error("\"{address}\" is not an address of the pool's network: {reason}")]
    Address {
        /// As given, shortened.
        address: String,
        /// Why.
        reason: String,
    },
    /// No such redemption.
    #[error("there is no redemption {0}: it was never requested, or it is closed")]
    Unknown(u64),
    /// The owner has no tokens.
    #[error("{owner} holds {held} wrapped sats, {wanted} are to be redeemed")]
    TooFew {
        /// Whose.
        owner: K2Address,
        /// Has.
        held: u64,
        /// Wants.
        wanted: u64,
    },
    /// The transaction pays no open redemption.
    #[error(
        "transaction {0} settles no open redemption: it must name its id and pay its script enough, in a block after the request"
    )]
    NoPayout(Txid),
    /// A job for no payouts was asked for.
    #[error("there is no payout to settle")]
    NoPayouts,
    /// The transaction is not in the block.
    #[error("transaction {txid} is not in block {block}")]
    NotInBlock {
        /// The transaction.
        txid: Txid,
        /// The block.
        block: BlockHash,
    },
}

/// What somebody wants to redeem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Sats to burn.
    pub amount: u64,
    /// The most of them that may go to Bitcoin fees.
    pub max_fee: u64,
    /// Where the BTC go.
    pub script: ScriptPubkey,
}

impl Request {
    /// A request for BTC to an address of the pool's network.
    ///
    /// # Errors
    /// [`RedeemError::Address`].
    pub fn to_address(
        amount: u64,
        max_fee: u64,
        address: &str,
        config: &Config,
    ) -> Result<Self, RedeemError> {
        let fail = |reason: String| RedeemError::Address {
            address: chain::words::clip(address),
            reason,
        };
        let network = k2_interface::bitcoin::Network::try_from(config.network)
            .map_err(|error| fail(error.to_string()))?;
        let parsed: bitcoin::Address<bitcoin::address::NetworkUnchecked> = address
            .parse()
            .map_err(|error: bitcoin::address::ParseError| fail(error.to_string()))?;
        let parsed = parsed
            .require_network(crate::views::bitcoin_network(network))
            .map_err(|error| fail(error.to_string()))?;
        let script = ScriptPubkey::parse(parsed.script_pubkey().as_bytes())
            .map_err(|error| fail(error.to_string()))?;
        Ok(Self {
            amount,
            max_fee,
            script,
        })
    }

    fn args(&self) -> RequestRedeem {
        RequestRedeem {
            amount: self.amount,
            max_fee: self.max_fee,
            script: self.script.to_packed(),
        }
    }

    /// What the program would refuse is told before it costs a fee.
    fn check(&self, config: &Config) -> Result<(), RedeemError> {
        if config.is_paused(k2_interface::state::Pause::Redeem) {
            return Err(RedeemError::Rule(PoolError::Paused));
        }
        let least = config
            .parameters
            .redeem_min
            .get()
            .max(self.script.dust_limit());
        match self.amount.checked_sub(self.max_fee) {
            Some(payout) if payout >= least => Ok(()),
            _ => Err(RedeemError::Rule(PoolError::BelowMinimum)),
        }
    }
}

/// A redemption that was requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// Its id.
    pub id: u64,
    /// The transaction.
    pub confirmed: Confirmed,
}

/// Moves redemptions on.
#[derive(Debug, Clone, Copy)]
pub struct Redemptions<'a> {
    client: &'a Client,
}

impl<'a> Redemptions<'a> {
    /// The redemptions of the client's program.
    #[must_use]
    pub const fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Those that wait for the custodians, by id.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn open(&self) -> Result<Vec<Redemption>, RedeemError> {
        let mut all = self.client.accounts().redemptions().await?;
        all.retain(|redemption| redemption.state == RedemptionState::Open as u8);
        Ok(all)
    }

    /// The draft of a request from the owner's associated token account, and the id it would get.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn request_draft(
        &self,
        payer: K2Address,
        owner: K2Address,
        request: &Request,
    ) -> Result<(Draft, u64), RedeemError> {
        let (accounts, program) = (self.client.accounts(), self.client.program());
        let config = accounts.config().await?;
        request.check(&config)?;
        let source = program.token_account(&owner).address;
        let tokens = accounts.token_account(source).await?;
        let held = tokens
            .filter(|tokens| tokens.owner == owner)
            .map_or(0, |tokens| tokens.amount);
        if held < request.amount {
            return Err(RedeemError::TooFew {
                owner,
                held,
                wanted: request.amount,
            });
        }
        let id = config.totals.redemptions.get();
        let instruction = program.request_redeem(payer, owner, source, id, request.args());
        Ok((Draft::new(payer, [instruction]), id))
    }

    /// Locks the owner's tokens for BTC.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn request(
        &self,
        payer: &Keypair,
        owner: &Keypair,
        request: &Request,
    ) -> Result<Requested, RedeemError> {
        let mut races = 0;
        loop {
            let (draft, id) = self
                .request_draft(payer.address(), owner.address(), request)
                .await?;
            match self.client.send(&draft, &[payer, owner]).await {
                Ok(confirmed) => return Ok(Requested { id, confirmed }),
                // Another redemption took the id: nothing was locked.
                Err(error) if races < MAX_RACES && lost_race(&error) => races += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The draft that returns an expired redemption's tokens; it creates the owner's token account where that is missing.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn refund_draft(&self, payer: K2Address, id: u64) -> Result<Draft, RedeemError> {
        let (accounts, program) = (self.client.accounts(), self.client.program());
        let redemption = self.one(id).await?;
        if redemption.state != RedemptionState::Open as u8 {
            return Err(RedeemError::Rule(PoolError::RedemptionNotOpen));
        }
        let tip = accounts.relay().await?.tip_height.get();
        if tip < redemption.expires_height.get() {
            return Err(RedeemError::Rule(PoolError::NotExpired));
        }
        let owner = redemption.owner;
        let destination = program.token_account(&owner).address;
        let mut instructions = Vec::new();
        if accounts.token_account(destination).await?.is_none() {
            instructions.push(program.create_token_account(payer, owner));
        }
        instructions.push(program.refund_redeem(id, owner));
        Ok(Draft::new(payer, instructions))
    }

    /// Returns an expired redemption's tokens to its owner. Anybody may.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn refund(&self, payer: &Keypair, id: u64) -> Result<Confirmed, RedeemError> {
        let draft = self.refund_draft(payer.address(), id).await?;
        Ok(self.client.send(&draft, &[payer]).await?)
    }

    /// The draft that returns the rent of a redemption that is settled or refunded, to who paid it.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn close_draft(&self, payer: K2Address, id: u64) -> Result<Draft, RedeemError> {
        let redemption = self.one(id).await?;
        if redemption.state == RedemptionState::Open as u8 {
            return Err(RedeemError::Rule(PoolError::RedemptionOpen));
        }
        let close = self.client.program().close_redemption(id, redemption.payer);
        Ok(Draft::new(payer, [close]))
    }

    /// Returns the rent of a redemption that is settled or refunded.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn close(&self, payer: &Keypair, id: u64) -> Result<Confirmed, RedeemError> {
        let draft = self.close_draft(payer.address(), id).await?;
        Ok(self.client.send(&draft, &[payer]).await?)
    }

    /// One redemption.
    ///
    /// # Errors
    /// [`RedeemError::Unknown`].
    pub async fn one(&self, id: u64) -> Result<Redemption, RedeemError> {
        let redemption = self.client.accounts().redemption(id).await?;
        redemption.ok_or(RedeemError::Unknown(id))
    }
}

/// The account of the next redemption was not the one the program counted to.
fn lost_race(error: &SendError) -> bool {
    matches!(
        error.refusal(),
        Some(Refusal::Account(
            AccountFault::WrongAddress | AccountFault::AlreadyInitialized,
            _
        ))
    )
}
