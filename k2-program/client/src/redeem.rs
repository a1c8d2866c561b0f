//! Redemptions: wrapped sats for BTC. Requesting, finding and settling payouts, refunding.

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxOut, Txid};
use chain::BitcoinNode;
use k2_interface::bitcoin::{RedeemIds, ScriptPubkey};
use k2_interface::instruction::RequestRedeem;
use k2_interface::state::{Config, Redemption, RedemptionState};
use k2_interface::{AccountFault, K2Address, PoolError, Refusal};
use serde::Serialize;
use solana_signature::Signature;

use crate::accounts::AccountError;
use crate::blocks::Findings;
use crate::client::Client;
use crate::keypair::Keypair;
use crate::pda::Outpoint;
use crate::prove::{Job, ProveError, Prover};
use crate::send::{Confirmed, SendError};
use crate::transaction::Draft;

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
            address: crate::error::clip(address),
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

/// A Bitcoin output that settles a redemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Payout {
    /// Which redemption.
    pub redemption: u64,
    /// Height of its block.
    pub height: u32,
    /// Its block.
    pub block: BlockHash,
    /// Its transaction.
    pub txid: Txid,
    /// Place of the transaction in the block.
    pub index: usize,
    /// Which output.
    pub vout: u32,
    /// Sats.
    pub value: u64,
}

/// What became of a payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// The payout.
    #[serde(flatten)]
    pub payout: Payout,
    /// The transaction that settled it; `None`: somebody else did, or it is not settled: see `waiting`.
    #[serde(serialize_with = "crate::views::signature")]
    pub signature: Option<Signature>,
    /// Why it is not settled yet.
    pub waiting: Option<String>,
}

/// A transaction that names redemptions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Naming {
    index: usize,
    txid: Txid,
    transaction: Transaction,
}

/// The transactions of a block that name redemptions. The coinbase is none: no proof of a payment takes it.
fn naming(block: &Block) -> Vec<Naming> {
    let names = |transaction: &Transaction| {
        let parse = |output: &TxOut| RedeemIds::parse(output.script_pubkey.as_bytes()).is_ok();
        transaction.output.iter().any(parse)
    };
    block
        .txdata
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, transaction)| names(transaction))
        .map(|(index, transaction)| Naming {
            index,
            txid: transaction.compute_txid(),
            transaction: transaction.clone(),
        })
        .collect()
}

/// Which of these transactions' outputs settle which redemption. An output is taken for one redemption only, and none that
/// is in `used`; of several that are enough the smallest, so that one payment to many redemptions of one script suffices
/// for all.
fn payouts(
    naming: &[Naming],
    (height, block): (u32, BlockHash),
    open: &[Redemption],
    used: &HashSet<Outpoint>,
) -> Vec<Payout> {
    let mut found: Vec<Payout> = Vec::new();
    for Naming {
        index,
        txid,
        transaction,
    } in naming
    {
        for redemption in open {
            let id = redemption.id.get();
            let is_open = redemption.state == RedemptionState::Open as u8;
            let is_paid = found.iter().any(|payout| payout.redemption == id);
            let is_named = transaction.output.iter().any(|output| {
                RedeemIds::parse(output.script_pubkey.as_bytes()).is_ok_and(|ids| ids.contains(id))
            });
            if !is_open || is_paid || !is_named || height <= redemption.requested_height.get() {
                continue;
            }
            let Ok(script) = ScriptPubkey::from_packed(&redemption.script) else {
                continue;
            };
            let (amount, fee) = (redemption.amount.get(), redemption.max_fee.get());
            let least = amount.saturating_sub(fee);
            let is_free = |vout: u32| {
                let outpoint = OutPoint::new(*txid, vout);
                let taken = |payout: &Payout| OutPoint::new(payout.txid, payout.vout) == outpoint;
                !found.iter().any(taken) && !used.contains(&outpoint.into())
            };
            let output = (0..)
                .zip(&transaction.output)
                .filter(|(vout, output)| {
                    output.script_pubkey.as_bytes() == script.as_bytes()
                        && output.value.to_sat() >= least
                        && is_free(*vout)
                })
                .min_by_key(|(_, output)| output.value);
            if let Some((vout, output)) = output {
                found.push(Payout {
                    redemption: id,
                    height,
                    block,
                    txid: *txid,
                    index: *index,
                    vout,
                    value: output.value.to_sat(),
                });
            }
        }
    }
    found
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

/// Proves payouts.
#[derive(Debug, Clone)]
pub struct Settler {
    prover: Prover,
    seen: Arc<Findings<Vec<Naming>>>,
}

impl Settler {
    /// A settler whose `payer` pays fees and rent.
    #[must_use]
    pub fn new(client: Client, node: Arc<dyn BitcoinNode>, payer: Arc<Keypair>) -> Self {
        Self {
            prover: Prover::new(client, node, payer),
            seen: Arc::default(),
        }
    }

    /// Its prover.
    #[must_use]
    pub const fn prover(&self) -> &Prover {
        &self.prover
    }

    /// All payouts of open redemptions in blocks of the node's best chain, from the first request on up to the relay's tip.
    /// Every block is read whole, once.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn find(&self) -> Result<Vec<Payout>, RedeemError> {
        let client = self.prover.client();
        let mut open = Redemptions::new(client).open().await?;
        let Some(from) = open.iter().map(|r| r.requested_height.get()).min() else {
            return Ok(Vec::new());
        };
        let tip = client.accounts().relay().await?.tip_height.get();
        let mut found = Vec::new();
        for height in from.saturating_add(1)..=tip {
            let node = self.prover.node();
            let Some((block, naming)) = self.seen.at(node, height, naming).await? else {
                break;
            };
            let some = self.unused(&naming, (height, block), &open).await?;
            open.retain(|r| some.iter().all(|payout| payout.redemption != r.id.get()));
            found.extend(some);
            if open.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// The payouts of one transaction.
    ///
    /// # Errors
    /// [`RedeemError::NoPayout`] where it settles nothing.
    pub async fn find_in(&self, block: BlockHash, txid: Txid) -> Result<Vec<Payout>, RedeemError> {
        let info = self.prover.node().header(block).await;
        let info = info.map_err(ProveError::from)?;
        let height = info.ok_or(ProveError::NoBlock(block))?.height;
        let whole = self.block(block).await?;
        if crate::prove::position(&whole, &txid).is_none() {
            return Err(RedeemError::NotInBlock { txid, block });
        }
        let open = Redemptions::new(self.prover.client()).open().await?;
        let mut found = self.unused(&naming(&whole), (height, block), &open).await?;
        found.retain(|payout| payout.txid == txid);
        if found.is_empty() {
            return Err(RedeemError::NoPayout(txid));
        }
        Ok(found)
    }

    /// The job that settles a payout.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn job(&self, payout: &Payout) -> Result<Job, RedeemError> {
        let config = self.prover.client().accounts().config().await?;
        let block = self.block(payout.block).await?;
        let confirmations = config.parameters.deposit_confirmations.get();
        let job = Job::settle(
            &block,
            payout.height,
            payout.index,
            payout.vout,
            payout.redemption,
            confirmations,
        );
        Ok(job.map_err(ProveError::from)?)
    }

    /// Settles payouts. One that waits for confirmations is reported as waiting.
    ///
    /// # Errors
    /// [`RedeemError`]; what was settled before stays settled.
    pub async fn settle(&self, mut payouts: Vec<Payout>) -> Result<Vec<Settled>, RedeemError> {
        payouts.sort_by_key(|payout| std::cmp::Reverse(payout.height));
        let mut settled = Vec::with_capacity(payouts.len());
        for payout in payouts {
            let job = self.job(&payout).await?;
            let (signature, waiting) = match self.prover.prove(&job).await {
                Ok(proved) => (proved.signature, None),
                Err(ProveError::NoWay(no_way)) => (None, Some(no_way.to_string())),
                Err(error) => return Err(error.into()),
            };
            tracing::info!(redemption = payout.redemption, txid = %payout.txid, ?waiting, "settling");
            settled.push(Settled {
                payout,
                signature,
                waiting,
            });
        }
        self.prover.close_cursor().await?;
        Ok(settled)
    }

    /// Finds and settles everything that can be.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn settle_all(&self) -> Result<Vec<Settled>, RedeemError> {
        let payouts = self.find().await?;
        self.settle(payouts).await
    }

    async fn block(&self, hash: BlockHash) -> Result<Block, ProveError> {
        let block = self.prover.node().block(hash).await?;
        block.ok_or(ProveError::NoBlock(hash))
    }

    /// The payouts in a block, by outputs that have settled no other redemption.
    async fn unused(
        &self,
        naming: &[Naming],
        place: (u32, BlockHash),
        open: &[Redemption],
    ) -> Result<Vec<Payout>, AccountError> {
        let accounts = self.prover.client().accounts();
        let mut used = HashSet::new();
        loop {
            let found = payouts(naming, place, open, &used);
            let before = used.len();
            for payout in &found {
                let outpoint = Outpoint::from(OutPoint::new(payout.txid, payout.vout));
                if accounts.payout(&outpoint).await?.is_some() {
                    used.insert(outpoint);
                }
            }
            // Another output of the same transaction may do instead.
            if used.len() == before {
                return Ok(found);
            }
        }
    }
}

#[cfg(test)]
#[path = "redeem_tests.rs"]
mod tests;
