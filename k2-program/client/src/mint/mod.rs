//! Minting: finds what the pool's custody was paid on Bitcoin, and proves it to the program once it has matured.

mod payment;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::{Block, BlockHash};
use chain::BitcoinNode;
use k2_interface::PoolError;
use k2_interface::state::{Config, Custody, Pause, Record};
use serde::Serialize;
use solana_signature::Signature;

use crate::blocks::Findings;
use crate::client::Client;
use crate::keypair::Keypair;
use crate::pda::Outpoint;
use crate::prove::{Job, NoWay, ProveError, Prover};

use payment::{Candidate, candidates, standing};
pub use payment::{Origin, Payment, Standing};

/// A payment and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// The payment.
    #[serde(flatten)]
    pub payment: Payment,
    /// Where it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

/// What became of a ready payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Minted {
    /// The payment.
    #[serde(flatten)]
    pub payment: Payment,
    /// The transaction that minted it; `None`: it had been minted by somebody else.
    #[serde(serialize_with = "crate::views::signature")]
    pub signature: Option<Signature>,
    /// How many transactions it took.
    pub transactions: usize,
}

/// What a run has done, and what is left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MintReport {
    /// Minted in this run.
    pub minted: Vec<Minted>,
    /// Not minted: waiting, or never to be.
    pub open: Vec<Sighting>,
    /// Minted before this run.
    pub known: usize,
    /// What stopped the run early, where something did that passes: a cap, a pause.
    pub stopped: Option<String>,
}

/// Finds and mints.
#[derive(Debug, Clone)]
pub struct Minter {
    prover: Prover,
    seen: Arc<Seen>,
}

/// Blocks that have been read, and for which custody scripts.
#[derive(Debug, Default)]
struct Seen {
    custody: Mutex<Option<Custody>>,
    findings: Findings<Vec<Candidate>>,
}

impl Minter {
    /// A minter whose `payer` pays fees and rent.
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

    /// What the blocks from height `from` up to the relay's tip pay custody, and where each payment stands. Every
    /// block is read whole, once.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn scan(&self, from: u32) -> Result<Vec<Sighting>, ProveError> {
        let tip = self
            .prover
            .client()
            .accounts()
            .relay()
            .await?
            .tip_height
            .get();
        self.look(from..=tip).await
    }

    /// The same for some blocks of the node's best chain only, by their heights.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn look(
        &self,
        heights: impl IntoIterator<Item = u32>,
    ) -> Result<Vec<Sighting>, ProveError> {
        let accounts = self.prover.client().accounts();
        let (config, relay) = (accounts.config().await?, accounts.relay().await?);
        self.follow_custody(&config);
        let mut found = Vec::new();
        for height in heights {
            let node = self.prover.node();
            let find = |block: &Block| candidates(block, height, &config);
            let Some((_, candidates)) = self.seen.findings.at(node, height, find).await? else {
                continue;
            };
            for candidate in candidates.iter() {
                let standing = standing(candidate, &config, &relay);
                found.push(Sighting {
                    payment: candidate.payment,
                    standing: self.spends_minted(candidate, standing).await?,
                });
            }
        }
        let outpoints: Vec<Outpoint> = found.iter().map(|s| s.payment.outpoint()).collect();
        for (sighting, record) in found.iter_mut().zip(accounts.records(&outpoints).await?) {
            match record {
                Some(record) if record.value.get() > 0 => sighting.standing = Standing::Minted,
                Some(_) => {
                    sighting.standing = Standing::Never {
                        reason: "it was spent by a deposit that is minted: it counts once".into(),
                    };
                }
                None => {}
            }
        }
        Ok(found)
    }

    /// Mints everything that is ready in the blocks from height `from` on.
    ///
    /// # Errors
    /// [`ProveError`]; what was minted before stays minted, and the next run goes on.
    pub async fn mint_since(&self, from: u32) -> Result<MintReport, ProveError> {
        let found = self.scan(from).await?;
        self.mint(found).await
    }

    /// Mints everything that is ready in these blocks.
    ///
    /// # Errors
    /// As [`Self::mint_since`].
    pub async fn mint_blocks(
        &self,
        heights: impl IntoIterator<Item = u32>,
    ) -> Result<MintReport, ProveError> {
        let found = self.look(heights).await?;
        self.mint(found).await
    }

    /// Mints those of the sightings that are ready. Blocks that have left the relay's ring come first, from the highest
    /// down, so that one cursor reaches them all; then those in the ring, oldest first.
    ///
    /// # Errors
    /// As [`Self::mint_since`].
    pub async fn mint(&self, mut found: Vec<Sighting>) -> Result<MintReport, ProveError> {
        let mut report = MintReport::default();
        let config = self.prover.client().accounts().config().await?;
        let paused = config.is_paused(Pause::Mint);
        if paused {
            report.stopped = Some(PoolError::Paused.to_string());
        }
        let oldest = self
            .prover
            .client()
            .accounts()
            .relay()
            .await?
            .oldest_height
            .get();
        found.sort_by_key(|sighting| {
            let height = sighting.payment.height;
            let in_ring = height >= oldest;
            (in_ring, if in_ring { height } else { oldest - height })
        });
        for sighting in found {
            match sighting.standing {
                Standing::Minted => report.known += 1,
                Standing::Ready if report.stopped.is_none() => {
                    let payment = sighting.payment;
                    match self.mint_one(&payment, &config).await {
                        Ok(minted) => report.minted.push(minted),
                        // Anybody can pay custody in a way that cannot be proved, as in a transaction of 64 bytes; that must
                        // not hold up what comes after it.
                        Err(
                            error @ (ProveError::Build(_)
                            | ProveError::NoWay(
                                NoWay::ProofTooLong { .. } | NoWay::TransactionTooLong { .. },
                            )),
                        ) => {
                            report.open.push(Sighting {
                                standing: Standing::Never {
                                    reason: error.to_string(),
                                },
                                ..sighting
                            });
                        }
                        Err(error) => match passing(&error) {
                            Some(reason) => {
                                report.stopped = Some(reason);
                                report.open.push(sighting);
                            }
                            None => return Err(error),
                        },
                    }
                }
                _ => report.open.push(sighting),
            }
        }
        report.open.sort_by_key(|sighting| sighting.payment.height);
        self.prover.close_cursor().await?;
        Ok(report)
    }

    /// The job that mints a payment.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn job(&self, payment: &Payment, config: &Config) -> Result<Job, ProveError> {
        let block = self.block(payment.block).await?;
        Ok(match payment.origin {
            Origin::Coinbase => Job::mint_coinbase(&block, payment.height, payment.vout)?,
            Origin::Deposit => Job::mint_deposit(
                &block,
                payment.height,
                payment.index,
                payment.vout,
                payment.confirmations(config),
            )?,
        })
    }

    async fn mint_one(&self, payment: &Payment, config: &Config) -> Result<Minted, ProveError> {
        let job = self.job(payment, config).await?;
        let proved = self.prover.prove(&job).await?;
        tracing::info!(
            height = payment.height,
            txid = %payment.txid,
            sats = payment.value,
            "minted"
        );
        Ok(Minted {
            payment: *payment,
            signature: proved.signature,
            transactions: proved.transactions,
        })
    }

    async fn block(&self, hash: BlockHash) -> Result<Block, ProveError> {
        let block = self.prover.node().block(hash).await?;
        block.ok_or(ProveError::NoBlock(hash))
    }

    /// A deposit that spends what was minted itself is custody's own coin.
    async fn spends_minted(
        &self,
        candidate: &Candidate,
        standing: Standing,
    ) -> Result<Standing, ProveError> {
        let is_deposit = candidate.payment.origin == Origin::Deposit;
        if !is_deposit || matches!(standing, Standing::Never { .. }) {
            return Ok(standing);
        }
        let accounts = self.prover.client().accounts();
        let records = accounts.records(&candidate.spends).await?;
        let minted = |record: &Record| record.value.get() > 0;
        if records.iter().flatten().any(minted) {
            return Ok(Standing::Never {
                reason: PoolError::SpendsMinted.to_string(),
            });
        }
        Ok(standing)
    }

    /// What was found by other scripts does not count.
    fn follow_custody(&self, config: &Config) {
        let mut custody = (self.seen.custody.lock()).unwrap_or_else(PoisonError::into_inner);
        if custody.as_ref() != Some(&config.custody) {
            *custody = Some(config.custody);
            self.seen.findings.clear();
        }
    }
}

/// Reasons that pass by themselves, or by somebody's decision: the payment stays open.
fn passing(error: &ProveError) -> Option<String> {
    match error {
        ProveError::NoWay(no_way @ (NoWay::Immature { .. } | NoWay::OtherChain { .. })) => {
            Some(no_way.to_string())
        }
        ProveError::Send(error)
            if [
                PoolError::WindowCap,
                PoolError::SupplyCap,
                PoolError::Paused,
                PoolError::DepositsDisabled,
            ]
            .into_iter()
            .any(|rule| error.is(rule)) =>
        {
            Some(error.to_string())
        }
        _ => None,
    }
}
