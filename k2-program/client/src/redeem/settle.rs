//! Proves payouts to the program.

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::{Block, BlockHash, OutPoint, Txid};
use chain::BitcoinNode;
use k2_interface::state::Redemption;
use serde::Serialize;
use solana_signature::Signature;

use super::payout::{Naming, Payout, naming, payouts};
use super::{RedeemError, Redemptions};
use crate::accounts::AccountError;
use crate::blocks::Findings;
use crate::client::Client;
use crate::keypair::Keypair;
use crate::pda::Outpoint;
use crate::prove::{Job, ProveError, Prover};

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
            if let Some(signature) = &signature {
                tracing::info!(redemption = payout.redemption, txid = %payout.txid, %signature, "settled");
            }
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
