//! Proving Bitcoin outputs to the program: a proof is built from a whole block, and used inline or from a buffer, by the
//! relay's ring or by a cursor, whatever fits.
//!
//! [`Prover`] keeps nothing of its own: each step is chosen by what stands on chain, so a crash in the middle costs nothing
//! but the step it happened in.

mod build;
mod job;
mod plan;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use chain::{BitcoinNode, NodeError};
use k2_interface::state::{Redemption, RedemptionState};
use k2_interface::{PoolError, Refusal};
use solana_signature::Signature;

pub(crate) use build::spent;
pub use build::{BuildError, coinbase_proof, payment_proof, position};
pub use job::{Job, Purpose, Use};
pub use plan::{BufferAt, CursorAt, NoWay, Observed, ProofStep, next, steps};

use crate::accounts::AccountError;
use crate::client::Client;
use crate::keypair::Keypair;
use crate::send::SendError;
use crate::transaction::Draft;

/// Confirmations of a coinbase before it can be minted; Bitcoin lets nobody spend it earlier (`COINBASE_MATURITY`).
pub const COINBASE_MATURITY: u32 = 100;

/// The payer's one cursor. Jobs that need it are done from the highest block down, so that it serves them all; two
/// processes that prove old blocks at the same time need two payers.
pub const CURSOR_ID: u32 = 0;

/// Why an output was not proved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The Bitcoin node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node lacks a block or header.
    #[error("the bitcoin node does not have block {0} (any more): is it pruned?")]
    NoBlock(BlockHash),
    /// An account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A transaction.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No proof can be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is no way, or not yet.
    #[error(transparent)]
    NoWay(#[from] NoWay),
}

/// How often in a row a step may turn out to be outdated.
const MAX_SURPRISES: u32 = 5;

/// Refusals that say the accounts are no longer what the step was chosen from.
fn is_surprise(error: &SendError) -> bool {
    use k2_interface::AccountFault::{AlreadyInitialized, Uninitialized};
    matches!(
        error.refusal(),
        Some(
            Refusal::Rule(
                PoolError::AlreadyUsed
                    | PoolError::BlockNotInRing
                    | PoolError::BufferRange
                    | PoolError::BufferIncomplete
                    | PoolError::CursorHeader
                    | PoolError::RedemptionNotOpen
            ) | Refusal::Account(AlreadyInitialized | Uninitialized, _)
        )
    )
}

/// The use that the pool's program refused, by its place in the job.
fn refused_use(step: ProofStep, error: &SendError, open: &[usize]) -> Option<usize> {
    let ProofStep::Use { count, .. } = step else {
        return None;
    };
    error.refusal()?;
    let place = error.failure()?.instruction()?;
    open.get(..count)?.get(place).copied()
}

/// What came of one use of a proof.
#[derive(Debug)]
pub enum Fate {
    /// Nothing yet; or somebody else had made it before.
    Open,
    /// This transaction made it.
    Used(Signature),
    /// The program refuses it.
    Refused(SendError),
}

/// What was done for a job.
#[derive(Debug)]
pub struct Done {
    /// What came of each use, in their order.
    pub uses: Vec<Fate>,
    /// How many transactions it took.
    pub transactions: usize,
}

impl Done {
    /// Nothing.
    #[must_use]
    pub fn none(job: &Job) -> Self {
        Self {
            uses: job.uses.iter().map(|_| Fate::Open).collect(),
            transactions: 0,
        }
    }

    fn is_open(&self, place: usize) -> bool {
        matches!(self.uses.get(place), Some(Fate::Open))
    }

    /// Whether the program refuses all of it.
    fn is_refused(&self) -> bool {
        let refused = |fate: &Fate| matches!(fate, Fate::Refused(_));
        self.uses.iter().all(refused)
    }

    fn set(&mut self, place: usize, fate: Fate) {
        if let Some(at) = self.uses.get_mut(place) {
            *at = fate;
        }
    }
}

/// What a job took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// The transaction that used the proof; `None`: the output had been used already.
    pub signature: Option<Signature>,
    /// How many transactions it took.
    pub transactions: usize,
}

/// Carries jobs out.
#[derive(Debug, Clone)]
pub struct Prover {
    client: Client,
    node: Arc<dyn BitcoinNode>,
    payer: Arc<Keypair>,
}

impl Prover {
    /// A prover whose `payer` pays fees and rent.
    #[must_use]
    pub fn new(client: Client, node: Arc<dyn BitcoinNode>, payer: Arc<Keypair>) -> Self {
        Self {
            client,
            node,
            payer,
        }
    }

    /// The Bitcoin node.
    #[must_use]
    pub fn node(&self) -> &dyn BitcoinNode {
        &*self.node
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What stands on chain for a job.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn observe(&self, job: &Job) -> Result<Observed, AccountError> {
        let (accounts, payer) = (self.client.accounts(), self.payer.address());
        let open = self.open(job).await?;
        let cursor = accounts.cursor(&payer, CURSOR_ID).await?;
        let buffer = accounts.buffer(&payer, job.buffer_id()).await?;
        Ok(Observed {
            relay: accounts.relay().await?,
            cursor: cursor.map(|cursor| CursorAt {
                height: cursor.height.get(),
                hash: cursor.hash,
            }),
            buffer: buffer.map(|buffer| BufferAt {
                length: buffer.length.get(),
                sha256: buffer.sha256,
                written: buffer.written.get(),
            }),
            open,
        })
    }

    /// The uses that are still to be made.
    async fn open(&self, job: &Job) -> Result<Vec<usize>, AccountError> {
        let accounts = self.client.accounts();
        let (mut settles, mut ids, mut mints, mut outpoints) = (vec![], vec![], vec![], vec![]);
        for (place, used) in job.uses.iter().enumerate() {
            match used.purpose {
                Purpose::MintCoinbase | Purpose::MintDeposit { .. } => {
                    mints.push(place);
                    outpoints.push(job.outpoint(used));
                }
                Purpose::Settle { redemption } => {
                    settles.push(place);
                    ids.push(redemption);
                }
            }
        }
        let records = accounts.records(&outpoints).await?;
        let redemptions = accounts.redemptions_of(&ids).await?;
        let is_open = |redemption: &Redemption| redemption.state == RedemptionState::Open as u8;
        let unminted = mints.into_iter().zip(records).filter(|(_, r)| r.is_none());
        let unsettled = settles
            .into_iter()
            .zip(redemptions)
            .filter(|(_, redemption)| redemption.as_ref().is_some_and(is_open));
        let mut open: Vec<usize> = unminted
            .map(|(place, _)| place)
            .chain(unsettled.map(|(place, _)| place))
            .collect();
        open.sort_unstable();
        Ok(open)
    }

    /// The transactions a job takes from here.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn plan(&self, job: &Job) -> Result<Vec<ProofStep>, ProveError> {
        let observed = self.observe(job).await?;
        let payer = self.payer.address();
        Ok(steps(job, &observed, self.client.program(), payer)?)
    }

    /// The draft of a job's step.
    ///
    /// # Errors
    /// [`ProveError`]: AdvanceCursor needs headers.
    pub async fn draft(
        &self,
        job: &Job,
        observed: &Observed,
        step: ProofStep,
    ) -> Result<Draft, ProveError> {
        let (program, payer) = (self.client.program(), self.payer.address());
        let instruction = match step {
            ProofStep::OpenCursor => program.open_cursor(payer, CURSOR_ID),
            ProofStep::AdvanceCursor { count, .. } => {
                let top = observed.cursor.map_or([0; 32], |cursor| cursor.hash);
                let headers = self.downwards(top, count).await?;
                program.advance_cursor(payer, CURSOR_ID, &headers)
            }
            ProofStep::CloseCursor => program.close_cursor(payer, CURSOR_ID),
            ProofStep::OpenBuffer => {
                let length = u32::try_from(job.proof().len()).unwrap_or(u32::MAX);
                program.open_buffer(payer, job.buffer_id(), length, job.digest())
            }
            ProofStep::WriteBuffer { offset, length } => {
                let piece = job
                    .proof()
                    .get(offset as usize..)
                    .and_then(|rest| rest.get(..length as usize))
                    .unwrap_or_default();
                program.write_buffer(payer, job.buffer_id(), offset, piece)
            }
            ProofStep::CloseBuffer => program.close_buffer(payer, job.buffer_id()),
            ProofStep::Use {
                cursor,
                buffer,
                count,
            } => {
                let how = (cursor, buffer, count);
                return Ok(plan::use_draft(job, observed, program, payer, how).0);
            }
        };
        Ok(Draft::new(payer, [instruction]))
    }

    /// Carries a job of one use out, from wherever it stands. The cursor stays open: see [`Self::close_cursor`].
    ///
    /// # Errors
    /// [`ProveError`]; running it again goes on from there.
    pub async fn prove(&self, job: &Job) -> Result<Proved, ProveError> {
        let mut done = Done::none(job);
        self.prove_each(job, &mut done).await?;
        let mut signature = None;
        for fate in done.uses {
            match fate {
                Fate::Used(by) => signature = Some(by),
                Fate::Refused(error) => return Err(error.into()),
                Fate::Open => {}
            }
        }
        Ok(Proved {
            signature,
            transactions: done.transactions,
        })
    }

    /// Carries a job out, from wherever it stands, and writes down what came of each use. One that the program refuses does not
    /// hold up the others.
    ///
    /// # Errors
    /// [`ProveError`]; what was done before is done, and running it again goes on from there.
    pub async fn prove_each(&self, job: &Job, done: &mut Done) -> Result<(), ProveError> {
        let (mut surprises, mut left) = (0, usize::MAX);
        loop {
            let mut observed = self.observe(job).await?;
            observed.open.retain(|place| done.is_open(*place));
            // Somebody else is at work on it: that is no sign that something is wrong.
            if observed.open.len() < left {
                (surprises, left) = (0, observed.open.len());
            }
            let (program, payer) = (self.client.program(), self.payer.address());
            let Some(step) = next(job, &observed, program, payer)? else {
                return Ok(());
            };
            let draft = self.draft(job, &observed, step).await?;
            let confirmed = match self.client.send(&draft, &[&self.payer]).await {
                Ok(confirmed) => confirmed,
                // The node that was asked was behind, or somebody else used the output: look again.
                Err(error) if is_surprise(&error) && surprises < MAX_SURPRISES => {
                    surprises += 1;
                    tracing::debug!(?step, %error, "looking again");
                    tokio::time::sleep(self.client.sender().options().poll).await;
                    continue;
                }
                Err(error) => match refused_use(step, &error, &observed.open) {
                    Some(place) => {
                        tracing::debug!(place, %error, "going on without it");
                        done.set(place, Fate::Refused(error));
                        // The buffer stays for the next attempt.
                        if done.is_refused() {
                            return Ok(());
                        }
                        continue;
                    }
                    None => return Err(error.into()),
                },
            };
            surprises = 0;
            done.transactions += 1;
            tracing::debug!(?step, signature = %confirmed.signature, "proving");
            if let ProofStep::Use { count, .. } = step {
                for place in observed.open.iter().take(count) {
                    done.set(*place, Fate::Used(confirmed.signature));
                }
            }
        }
    }

    /// Closes the payer's cursor, if it is open, and returns its rent.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn close_cursor(&self) -> Result<(), ProveError> {
        let payer = self.payer.address();
        if self
            .client
            .accounts()
            .cursor(&payer, CURSOR_ID)
            .await?
            .is_some()
        {
            let close = self.client.program().close_cursor(payer, CURSOR_ID);
            let draft = Draft::new(payer, [close]);
            self.client.send(&draft, &[&self.payer]).await?;
        }
        Ok(())
    }

    /// A block's headers and those below it, highest first.
    async fn downwards(&self, top: [u8; 32], count: u32) -> Result<Vec<Header>, ProveError> {
        let mut hash = BlockHash::from_byte_array(top);
        let mut headers = Vec::new();
        for _ in 0..count {
            let info = self.node.header(hash).await?;
            let header = info.ok_or(ProveError::NoBlock(hash))?.header;
            hash = header.prev_blockhash;
            headers.push(header);
        }
        Ok(headers)
    }
}
