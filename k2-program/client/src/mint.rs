//! Minting: finds what the pool's custody was paid on Bitcoin, and proves it to the program once it has matured.

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash, Txid};
use chain::BitcoinNode;
use k2_interface::PoolError;
use k2_interface::bitcoin::ScriptType;
use k2_interface::instruction::MAX_DEPOSIT_INPUTS;
use k2_interface::state::{Config, PackedScript, Pause, Relay};
use serde::Serialize;
use solana_signature::Signature;

use crate::client::Client;
use crate::keypair::Keypair;
use crate::pda::Outpoint;
use crate::prove::{COINBASE_MATURITY, Job, NoWay, ProveError, Prover};

/// What an output is minted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The pool found the block.
    Coinbase,
    /// An ordinary payment to the deposit script.
    Deposit,
}

/// An output that pays custody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Payment {
    /// Minted as what.
    pub origin: Origin,
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
    /// How many outputs its transaction spends.
    pub inputs: usize,
}

impl Payment {
    /// The output.
    #[must_use]
    pub fn outpoint(&self) -> Outpoint {
        Outpoint {
            txid: self.txid.to_byte_array(),
            vout: self.vout,
        }
    }

    /// Confirmations it needs.
    #[must_use]
    pub const fn confirmations(&self, config: &Config) -> u32 {
        match self.origin {
            Origin::Coinbase => COINBASE_MATURITY,
            Origin::Deposit => config.parameters.deposit_confirmations.get(),
        }
    }
}

/// Where a payment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Standing {
    /// Minted already.
    Minted,
    /// Can be minted now.
    Ready,
    /// Waits for blocks.
    Waiting {
        /// The relay's height at which it can be minted.
        ready_at: u32,
    },
    /// The program will never mint it.
    Never {
        /// Why.
        reason: String,
    },
}

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

/// The outputs of a block that pay custody by scripts in force at its height.
#[must_use]
pub fn payments(block: &Block, height: u32, config: &Config) -> Vec<Payment> {
    let hash = block.block_hash();
    let mut found = Vec::new();
    for (index, transaction) in block.txdata.iter().enumerate() {
        let origin = if index == 0 {
            Origin::Coinbase
        } else {
            Origin::Deposit
        };
        let mut txid = None;
        for (vout, output) in (0..).zip(&transaction.output) {
            if in_force(config, origin, output.script_pubkey.as_bytes(), height) {
                found.push(Payment {
                    origin,
                    height,
                    block: hash,
                    txid: *txid.get_or_insert_with(|| transaction.compute_txid()),
                    index,
                    vout,
                    value: output.value.to_sat(),
                    inputs: transaction.input.len(),
                });
            }
        }
    }
    found
}

/// Whether the program honours this script at this height.
fn in_force(config: &Config, origin: Origin, script: &[u8], height: u32) -> bool {
    let custody = &config.custody;
    let of = |scripts: &k2_interface::state::CustodyScripts| match origin {
        Origin::Coinbase => scripts.coinbase,
        Origin::Deposit => scripts.deposit,
    };
    is(&of(&custody.active), script)
        || (height <= custody.previous_until.get() && is(&of(&custody.previous), script))
}

fn is(packed: &PackedScript, script: &[u8]) -> bool {
    let [length, bytes @ ..] = packed;
    *length > 0 && bytes.get(..usize::from(*length)) == Some(script)
}

/// Where a payment stands that is not minted yet.
fn standing(payment: &Payment, script: ScriptType, config: &Config, relay: &Relay) -> Standing {
    let never = |reason: PoolError| Standing::Never {
        reason: reason.to_string(),
    };
    let needed = payment.confirmations(config);
    if relay.is_below_horizon(payment.height, config.parameters.mint_horizon.get()) {
        never(PoolError::BelowHorizon)
    } else if payment.value < script.dust_limit() {
        never(PoolError::Dust)
    } else if payment.origin == Origin::Deposit && payment.inputs > MAX_DEPOSIT_INPUTS {
        never(PoolError::TooManyInputs)
    } else if relay.confirmations(payment.height) < needed {
        Standing::Waiting {
            ready_at: payment.height.saturating_add(needed.saturating_sub(1)),
        }
    } else {
        Standing::Ready
    }
}

/// Finds and mints.
#[derive(Debug, Clone)]
pub struct Minter {
    prover: Prover,
}

impl Minter {
    /// A minter whose `payer` pays fees and rent.
    #[must_use]
    pub fn new(client: Client, node: Arc<dyn BitcoinNode>, payer: Arc<Keypair>) -> Self {
        Self {
            prover: Prover::new(client, node, payer),
        }
    }

    /// Its prover.
    #[must_use]
    pub const fn prover(&self) -> &Prover {
        &self.prover
    }

    /// What the blocks from height `from` up to the relay's tip pay custody, and where each payment stands. Reads every block
    /// whole.
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
        let mut found = Vec::new();
        for height in heights {
            let Some(hash) = self.prover.node().hash_at(height).await? else {
                continue;
            };
            let block = self.block(hash).await?;
            for payment in payments(&block, height, &config) {
                let standing = script_of(&block, &payment).map_or(
                    Standing::Never {
                        reason: PoolError::BadScript.to_string(),
                    },
                    |script| standing(&payment, script, &config, &relay),
                );
                let standing = self.spends_minted(&block, &payment, standing).await?;
                found.push(Sighting { payment, standing });
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
        block: &Block,
        payment: &Payment,
        standing: Standing,
    ) -> Result<Standing, ProveError> {
        if payment.origin != Origin::Deposit || matches!(standing, Standing::Never { .. }) {
            return Ok(standing);
        }
        let inputs: Vec<Outpoint> = block
            .txdata
            .get(payment.index)
            .map(crate::prove::spent)
            .unwrap_or_default();
        let records = self.prover.client().accounts().records(&inputs).await?;
        if records
            .iter()
            .flatten()
            .any(|record| record.value.get() > 0)
        {
            return Ok(Standing::Never {
                reason: PoolError::SpendsMinted.to_string(),
            });
        }
        Ok(standing)
    }
}

fn script_of(block: &Block, payment: &Payment) -> Option<ScriptType> {
    let output = block
        .txdata
        .get(payment.index)?
        .output
        .get(payment.vout as usize)?;
    ScriptType::of(output.script_pubkey.as_bytes()).ok()
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
