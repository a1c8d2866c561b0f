//! [`Sender`]: brings a draft onto the chain, once.
//!
//! 1. Simulate: what would fail costs no fee, and the compute units it takes are known.
//! 2. Sign with a fresh blockhash, send, and send again every few seconds: nodes drop transactions under load.
//! 3. Wait for the commitment asked for.
//! 4. A blockhash is good for 150 blocks. Only when the *finalized* chain is past the last of them, and knows nothing of
//!    the transaction, can it never land any more, on no fork; only then is the draft signed anew. So nothing is ever done
//!    twice because an answer was late.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use k2_interface::{K2Address, Refusal};
use solana_signature::Signature;
use tokio::time::{Instant, sleep};

use crate::error::K2Error;
use crate::failure::Failure;
use crate::k2::{Commitment, K2, SignatureStatus, Simulation};
use crate::keypair::Keypair;
use crate::transaction::{Budget, Draft, DraftError, MAX_UNITS, Signed};

/// Every node remembers the signatures of the last 300 finalized blocks (Solana's `MAX_RECENT_BLOCKHASHES`), and a
/// transaction lands at most 150 blocks before its last valid one: so long after that one it is remembered for certain.
const REMEMBERED_AFTER: u64 = 140;

/// What is paid per compute unit above the base fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    /// So many micro-lamports.
    Fixed(u64),
    /// The median of what others paid lately for the same accounts, within bounds. `least` where the node cannot say, as
    /// K2's 1.14 cannot.
    Recent {
        /// Micro-lamports a unit at least.
        least: u64,
        /// Micro-lamports a unit at most.
        most: u64,
    },
}

/// How drafts are sent.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// How settled a transaction must be before it counts as done.
    pub commitment: Commitment,
    /// What is paid per compute unit.
    pub price: Price,
    /// Compute units asked for above what the simulation took, in per cent of it: the state may have moved on.
    pub margin_percent: u32,
    /// Pause between two looks at the status.
    pub poll: Duration,
    /// Pause between two broadcasts.
    pub rebroadcast: Duration,
    /// How many blockhashes are tried.
    pub blockhashes: u32,
    /// When to give up waiting; the error then says what is still possible.
    pub timeout: Duration,
}

impl Default for SendOptions {
    /// Confirmed, no priority fee, 25 % margin, a look every 0.4 s, a broadcast every 2 s, 3 blockhashes, 5 minutes.
    fn default() -> Self {
        Self {
            commitment: Commitment::Confirmed,
            price: Price::Recent {
                least: 0,
                most: 1_000_000,
            },
            margin_percent: 25,
            poll: Duration::from_millis(400),
            rebroadcast: Duration::from_secs(2),
            blockhashes: 3,
            timeout: Duration::from_secs(300),
        }
    }
}

/// A draft that was not carried out, or not for certain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The cluster cannot be asked.
    #[error(transparent)]
    K2(#[from] K2Error),
    /// No transaction can be made of it.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The simulation failed: nothing was sent.
    #[error("{0}")]
    Refused(Box<Failure>),
    /// It was in a block and failed there: only the fee is gone.
    #[error("{failure} (transaction {signature})")]
    Failed {
        /// The transaction.
        signature: Signature,
        /// Why.
        failure: Box<Failure>,
    },
    /// It never got into a block, with several blockhashes, and cannot any more.
    #[error(
        "the transaction got into no block, {0} times over: pay a higher priority fee, or try another node"
    )]
    Dropped(u32),
    /// The time is up; it may still be carried out.
    #[error(
        "transaction {signature} is not confirmed yet: it may still get into a block up to height {last_valid_block_height}; look it up before doing the same again"
    )]
    Unconfirmed {
        /// The transaction.
        signature: Signature,
        /// After this height it cannot land any more.
        last_valid_block_height: u64,
    },
}

impl SendError {
    /// The failure, where the transaction failed or would fail.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Refused(failure) | Self::Failed { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// The rule or account the pool's program refused.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.failure()?.refusal()
    }

    /// Whether the program refused because of this rule.
    #[must_use]
    pub fn is(&self, rule: k2_interface::PoolError) -> bool {
        self.refusal() == Some(Refusal::Rule(rule))
    }
}

/// A transaction that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// Its name.
    pub signature: Signature,
    /// The slot of its block.
    pub slot: u64,
    /// Compute units it took in the simulation, where the node says so.
    pub units: Option<u64>,
}

/// Sends drafts to one cluster.
#[derive(Debug, Clone)]
pub struct Sender {
    k2: Arc<dyn K2>,
    program: K2Address,
    options: SendOptions,
}

/// What became of one signed transaction.
enum Fate {
    Landed(SignatureStatus),
    Expired,
}

impl Sender {
    /// A sender; `program` is whose errors are explained.
    #[must_use]
    pub fn new(k2: Arc<dyn K2>, program: K2Address, options: SendOptions) -> Self {
        Self {
            k2,
            program,
            options,
        }
    }

    /// The cluster.
    #[must_use]
    pub fn k2(&self) -> &dyn K2 {
        &*self.k2
    }

    /// How drafts are sent.
    #[must_use]
    pub const fn options(&self) -> &SendOptions {
        &self.options
    }

    /// What the draft would do now, with `watch` as it would be afterwards.
    ///
    /// # Errors
    /// [`SendError::K2`], [`SendError::Draft`]. That it would fail is no error here: see [`Simulation::fault`].
    pub async fn simulate(
        &self,
        draft: &Draft,
        watch: &[K2Address],
    ) -> Result<Simulation, SendError> {
        let bytes = draft.unsigned(Budget::MOST)?;
        let commitment = self.options.commitment;
        Ok(self.k2.simulate(&bytes, watch, commitment).await?)
    }

    /// The failure a simulation of this draft has shown.
    #[must_use]
    pub fn explain(&self, draft: &Draft, simulation: &Simulation) -> Option<Failure> {
        let fault = simulation.fault.clone()?;
        let logs = simulation.logs.clone();
        Some(Failure::new(
            fault,
            draft,
            Budget::MOST,
            &self.program,
            logs,
        ))
    }

    /// Carries the draft out, once. `keys` must hold those of [`Draft::signers`].
    ///
    /// # Errors
    /// [`SendError`]. Only after [`SendError::Unconfirmed`] and a [`SendError::K2`] in the middle is it open whether the
    /// transaction lands.
    pub async fn send(&self, draft: &Draft, keys: &[&Keypair]) -> Result<Confirmed, SendError> {
        let deadline = Instant::now() + self.options.timeout;
        let price = self.price(draft).await?;
        for _ in 0..self.options.blockhashes {
            let simulation = self.simulate(draft, &[]).await?;
            if let Some(failure) = self.explain(draft, &simulation) {
                return Err(SendError::Refused(Box::new(failure)));
            }
            let budget = Budget {
                units: self.units(simulation.units),
                price,
            };
            let latest = self.k2.latest_blockhash(Commitment::Confirmed).await?;
            let signed = draft.sign(budget, latest.hash, keys)?;
            let fate = self
                .see_through(&signed, latest.last_valid_block_height, deadline)
                .await?;
            match fate {
                Fate::Expired => {
                    tracing::info!(signature = %signed.signature, "expired; signing anew");
                }
                Fate::Landed(status) => {
                    return match status.fault {
                        None => Ok(Confirmed {
                            signature: signed.signature,
                            slot: status.slot,
                            units: simulation.units,
                        }),
                        Some(fault) => Err(SendError::Failed {
                            signature: signed.signature,
                            failure: Box::new(Failure::new(
                                fault,
                                draft,
                                budget,
                                &self.program,
                                Vec::new(),
                            )),
                        }),
                    };
                }
            }
        }
        Err(SendError::Dropped(self.options.blockhashes))
    }

    /// The limit asked for; the most where the node does not say what the simulation took.
    fn units(&self, simulated: Option<u64>) -> u32 {
        let Some(units) = simulated.filter(|units| *units > 0) else {
            return MAX_UNITS;
        };
        let margin = units.saturating_mul(u64::from(self.options.margin_percent)) / 100;
        u32::try_from(units.saturating_add(margin).saturating_add(1))
            .unwrap_or(MAX_UNITS)
            .min(MAX_UNITS)
    }

    async fn price(&self, draft: &Draft) -> Result<u64, K2Error> {
        let (least, most) = match self.options.price {
            Price::Fixed(price) => return Ok(price),
            Price::Recent { least, most } => (least, most),
        };
        let mut accounts = draft.writable();
        accounts.truncate(crate::k2::MAX_ACCOUNTS);
        let Some(mut fees) = self.k2.prioritization_fees(&accounts).await? else {
            return Ok(least);
        };
        fees.sort_unstable();
        let median = fees.get(fees.len() / 2).copied().unwrap_or(0);
        Ok(median.min(most).max(least))
    }

    /// Broadcasts until the transaction is settled enough, or can no longer land.
    async fn see_through(
        &self,
        signed: &Signed,
        last_valid_block_height: u64,
        deadline: Instant,
    ) -> Result<Fate, SendError> {
        let mut broadcast_at = Instant::now();
        loop {
            if Instant::now() >= broadcast_at {
                match self.k2.send(&signed.bytes).await {
                    Ok(()) => {}
                    // A node that refuses it proves nothing: another one may have passed it on.
                    Err(error) => {
                        tracing::warn!(%error, signature = %signed.signature, "broadcast")
                    }
                }
                broadcast_at = Instant::now() + self.options.rebroadcast;
            }
            // Neither does a failed look at the status: the transaction is out there.
            match self.look(signed, last_valid_block_height).await {
                Ok(Some(fate)) => return Ok(fate),
                Ok(None) => {}
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, signature = %signed.signature, "status");
                }
                // Whoever is told only of the error would do the same again, and it might then be done twice.
                Err(error) => {
                    tracing::warn!(%error, signature = %signed.signature, "no status to be had");
                    return Err(SendError::Unconfirmed {
                        signature: signed.signature,
                        last_valid_block_height,
                    });
                }
            }
            if Instant::now() >= deadline {
                return Err(SendError::Unconfirmed {
                    signature: signed.signature,
                    last_valid_block_height,
                });
            }
            sleep(self.options.poll).await;
        }
    }

    async fn look(
        &self,
        signed: &Signed,
        last_valid_block_height: u64,
    ) -> Result<Option<Fate>, K2Error> {
        let settled = |status: &SignatureStatus| status.commitment >= self.options.commitment;
        if let Some(status) = self.status(signed, false).await?.1 {
            return Ok(settled(&status).then_some(Fate::Landed(status)));
        }
        let finalized = self.k2.epoch_info(Commitment::Finalized).await?;
        if finalized.block_height <= last_valid_block_height {
            return Ok(None);
        }
        // Every block to come builds on the finalized one, so none can hold the transaction. Is it in one behind it?
        let (slot, status) = match self.status(signed, true).await {
            // Without a history a node still remembers the last 300 blocks.
            Err(K2Error::Unsupported { .. })
                if finalized.block_height
                    < last_valid_block_height.saturating_add(REMEMBERED_AFTER) =>
            {
                self.status(signed, false).await?
            }
            answer => answer?,
        };
        match status {
            Some(status) => Ok(settled(&status).then_some(Fate::Landed(status))),
            // A node behind the finalized block cannot know.
            None if slot < finalized.slot => Ok(None),
            None => Ok(Some(Fate::Expired)),
        }
    }

    async fn status(
        &self,
        signed: &Signed,
        history: bool,
    ) -> Result<(u64, Option<SignatureStatus>), K2Error> {
        let answer = self
            .k2
            .signature_statuses(&[signed.signature], history)
            .await?;
        Ok((answer.slot, answer.value.into_iter().next().flatten()))
    }
}
