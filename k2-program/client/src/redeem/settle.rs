//! Proves payouts to the program.

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::{Block, BlockHash, OutPoint, Txid};
use chain::BitcoinNode;
use k2_interface::state::Redemption;
use serde::Serialize;
use solana_signature::Signature;

use super::payout::{Naming, Payout, batches, naming, payouts};
use super::{RedeemError, Redemptions};
use crate::accounts::AccountError;
use crate::blocks::Findings;
use crate::client::Client;
use crate::keypair::Keypair;
use crate::pda::Outpoint;
use crate::prove::{Done, Fate, Job, ProveError, Prover};

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

    /// Payouts by their transactions, in the order in which they are settled: those of one transaction share a proof, and
    /// a [`job`](Self::job).
    #[must_use]
    pub fn batches(payouts: Vec<Payout>) -> Vec<Vec<Payout>> {
        batches(payouts)
    }

    /// The job that settles payouts of one transaction.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn job(&self, batch: &[Payout]) -> Result<Job, RedeemError> {
        let Some(first) = batch.first() else {
            return Err(RedeemError::NoPayouts);
        };
        let config = self.prover.client().accounts().config().await?;
        let block = self.block(first.block).await?;
        let confirmations = config.parameters.deposit_confirmations.get();
        let payouts = batch.iter().map(|payout| (payout.redemption, payout.vout));
        let job = Job::settle(&block, first.height, first.index, payouts, confirmations);
        Ok(job.map_err(ProveError::from)?)
    }

    /// Settles payouts. One that waits for confirmations is reported as waiting, and so is one that cannot be proved, that the
    /// program refuses, or whose transaction fails: it does not hold up the others.
    ///
    /// # Errors
    /// [`RedeemError`]; what was settled before stays settled.
    pub async fn settle(&self, payouts: Vec<Payout>) -> Result<Vec<Settled>, RedeemError> {
        let mut settled = Vec::with_capacity(payouts.len());
        for batch in batches(payouts) {
            let (fates, why) = self.settle_batch(&batch).await?;
            for (payout, fate) in batch.into_iter().zip(fates) {
                let (signature, waiting) = match fate {
                    Fate::Used(signature) => (Some(signature), None),
                    Fate::Refused(error) => (None, Some(error.to_string())),
                    Fate::Open => (None, why.clone()),
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
        }
        self.prover.close_cursor().await?;
        Ok(settled)
    }

    /// What came of each payout of a batch, and why the rest of them wait.
    async fn settle_batch(
        &self,
        batch: &[Payout],
    ) -> Result<(Vec<Fate>, Option<String>), RedeemError> {
        let job = match self.job(batch).await {
            Ok(job) => job,
            Err(RedeemError::Prove(ProveError::Build(error))) => {
                let open = batch.iter().map(|_| Fate::Open);
                return Ok((open.collect(), Some(error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let mut done = Done::none(&job);
        let why = match self.prover.prove_each(&job, &mut done).await {
            Ok(()) => None,
            Err(ProveError::NoWay(no_way)) => Some(no_way.to_string()),
            // As where the payer cannot pay the rent of a very long proof; for another one he may.
            Err(ProveError::Send(error)) if error.failure().is_some() => Some(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        Ok((done.uses, why))
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
            let outpoint = |payout: &Payout| OutPoint::new(payout.txid, payout.vout).into();
            let outpoints: Vec<Outpoint> = found.iter().map(outpoint).collect();
            let records = accounts.payouts_of(&outpoints).await?;
            let taken = outpoints.into_iter().zip(records);
            used.extend(
                taken
                    .filter(|(_, r)| r.is_some())
                    .map(|(outpoint, _)| outpoint),
            );
            // Another output of the same transaction may do instead.
            if used.len() == before {
                return Ok(found);
            }
        }
    }
}
