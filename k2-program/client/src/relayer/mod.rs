//! The header relayer: keeps the program's relay at the best chain of a Bitcoin node.
//!
//! It keeps nothing of its own. Every round reads the relay and the fork account anew, compares them with the node, and
//! submits what [`plan`] says; so it may be killed at any moment, and several may run side by side.

mod checkpoint;
#[cfg(test)]
mod node_tests;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use chain::{BitcoinNode, NodeError};
use k2_interface::bitcoin::Network;
use k2_interface::state::{Fork, MAX_REORG, Relay};
use k2_interface::{PoolError, Refusal};
use tokio_util::sync::CancellationToken;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use plan::{Blocked, Branch, Step, plan};

use crate::accounts::AccountError;
use crate::client::Client;
use crate::keypair::Keypair;
use crate::send::SendError;
use crate::transaction::Draft;
use crate::views::{bitcoin_network, network_name};

/// Headers read from the node at a time: enough for any fork, and for a relay that slept to catch up in a few rounds.
const WINDOW: u32 = 200;
/// How often in a row the plan may turn out to be outdated.
const MAX_SURPRISES: u32 = 5;

/// Why a round of the relayer ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The Bitcoin node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// An account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A transaction.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The relay cannot follow.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The node has none of the relay's last blocks.
    #[error(
        "the bitcoin node has none of the relay's blocks from {from} to {to}: it is still synchronizing, on another network, or far off the relay's chain"
    )]
    NothingInCommon {
        /// The lowest height compared.
        from: u32,
        /// The relay's tip.
        to: u32,
    },
    /// The pool is on another network than the node.
    #[error("the pool's relay is on {relay}, the bitcoin node on {node}")]
    Network {
        /// The relay's.
        relay: &'static str,
        /// The node's.
        node: bitcoin::Network,
    },
    /// The node's chain moved under every attempt to read it.
    #[error("the bitcoin node's chain, or the relay, moved at every attempt: try again")]
    Moving,
}

/// What one run has done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Relayed {
    /// The relay's tip before.
    pub from_height: u32,
    /// The relay's tip now.
    pub height: u32,
    /// The relay's best block now.
    pub hash: Option<BlockHash>,
    /// The node's tip, when it was looked at last.
    pub node_height: u32,
    /// Headers submitted.
    pub headers: usize,
    /// Transactions sent.
    pub transactions: usize,
}

/// Follows a node.
#[derive(Debug)]
pub struct Relayer {
    client: Client,
    node: Arc<dyn BitcoinNode>,
    payer: Arc<Keypair>,
}

/// What a round is planned from.
struct View {
    relay: Box<Relay>,
    fork: Option<Box<Fork>>,
    branch: Branch,
    node_height: u32,
}

impl Relayer {
    /// A relayer whose `payer` pays fees, and the rent of a fork account while there is one.
    #[must_use]
    pub fn new(client: Client, node: Arc<dyn BitcoinNode>, payer: Arc<Keypair>) -> Self {
        Self {
            client,
            node,
            payer,
        }
    }

    /// What would be submitted now.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn plan(&self) -> Result<Vec<Step>, RelayError> {
        let view = self.look().await?;
        Ok(plan(&view.relay, view.fork.as_deref(), &view.branch)?)
    }

    /// The draft of a step.
    #[must_use]
    pub fn draft(&self, step: &Step) -> Draft {
        let (program, payer) = (self.client.program(), self.payer.address());
        let instruction = match step {
            Step::Submit { headers, .. } => program.submit_headers(headers),
            Step::Fork {
                base_height,
                headers,
            } => program.submit_fork(payer, *base_height, headers),
            Step::CloseFork => program.close_fork(payer),
        };
        Draft::new(payer, [instruction])
    }

    /// Brings the relay to the node's tip.
    ///
    /// # Errors
    /// [`RelayError`]; what was submitted before stays submitted.
    pub async fn relay_once(&self) -> Result<Relayed, RelayError> {
        let mut done: Option<Relayed> = None;
        let mut surprises = 0;
        loop {
            let view = self.look().await?;
            let height = view.relay.tip_height.get();
            let now = done.get_or_insert(Relayed {
                from_height: height,
                height,
                hash: None,
                node_height: 0,
                headers: 0,
                transactions: 0,
            });
            now.height = height;
            now.node_height = view.node_height;
            now.hash = view
                .relay
                .entry(height)
                .map(|entry| BlockHash::from_byte_array(entry.hash));
            let steps = plan(&view.relay, view.fork.as_deref(), &view.branch)?;
            if steps.is_empty() {
                return Ok(now.clone());
            }
            for step in &steps {
                match self.client.send(&self.draft(step), &[&self.payer]).await {
                    Ok(confirmed) => {
                        surprises = 0;
                        now.transactions += 1;
                        now.headers += step.headers().len();
                        tracing::info!(%step, signature = %confirmed.signature, "relayed");
                    }
                    // Another relayer was first, or the relay moved on: look again.
                    Err(error) if is_surprise(&error) && surprises < MAX_SURPRISES => {
                        surprises += 1;
                        tracing::debug!(%step, %error, "planning anew");
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Follows the node until `stop`, looking every `interval`. Errors are logged; the pause doubles with each failure, up
    /// to ten times the interval.
    pub async fn run(&self, interval: Duration, stop: CancellationToken) {
        let mut pause = interval;
        let mut last = None;
        loop {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = self.relay_once() => result,
            };
            pause = match result {
                Ok(relayed) => {
                    if last != Some(relayed.height) {
                        tracing::info!(
                            height = relayed.height,
                            node = relayed.node_height,
                            headers = relayed.headers,
                            "the relay follows the node"
                        );
                        last = Some(relayed.height);
                    }
                    interval
                }
                Err(error) => {
                    tracing::warn!(%error, "relaying; trying again");
                    pause.saturating_mul(2).min(interval.saturating_mul(10))
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn look(&self) -> Result<View, RelayError> {
        let accounts = self.client.accounts();
        for _ in 0..MAX_SURPRISES {
            let relay = accounts.relay().await?;
            same_network(&relay, self.node.network())?;
            let fork = accounts.fork(&self.payer.address()).await?;
            let info = self.node.chain_info().await?;
            let base_height = self.common(&relay, info.height).await?;
            let end = info.height.min(base_height.saturating_add(WINDOW));
            if let Some(headers) = self.headers(&relay, base_height, end).await? {
                let branch = Branch {
                    base_height,
                    headers,
                };
                return Ok(View {
                    relay,
                    fork,
                    branch,
                    node_height: info.height,
                });
            }
        }
        Err(RelayError::Moving)
    }

    /// The highest block of the relay that is on the node's best chain.
    async fn common(&self, relay: &Relay, node_height: u32) -> Result<u32, RelayError> {
        let to = relay.tip_height.get();
        // One deeper than can be followed, so that the planner can say so.
        let from = relay
            .oldest_height
            .get()
            .max(to.saturating_sub(MAX_REORG + 1));
        for height in (from..=to.min(node_height)).rev() {
            let entry = relay.entry(height).ok_or(Blocked::Ring { height })?;
            let hash = self.node.hash_at(height).await?;
            if hash.is_some_and(|hash| hash.to_byte_array() == entry.hash) {
                return Ok(height);
            }
        }
        Err(RelayError::NothingInCommon { from, to })
    }

    /// The node's headers above `base` up to `end`; `None`: its chain moved.
    async fn headers(
        &self,
        relay: &Relay,
        base: u32,
        end: u32,
    ) -> Result<Option<Vec<Header>>, RelayError> {
        let entry = relay.entry(base).ok_or(Blocked::Ring { height: base })?;
        let mut parent = BlockHash::from_byte_array(entry.hash);
        let mut headers = Vec::new();
        for height in base.saturating_add(1)..=end {
            let Some(hash) = self.node.hash_at(height).await? else {
                return Ok(None);
            };
            let Some(info) = self.node.header(hash).await? else {
                return Ok(None);
            };
            if info.header.prev_blockhash != parent {
                return Ok(None);
            }
            parent = hash;
            headers.push(info.header);
        }
        Ok(Some(headers))
    }
}

fn same_network(relay: &Relay, node: bitcoin::Network) -> Result<(), RelayError> {
    match Network::try_from(relay.network) {
        Ok(network) if bitcoin_network(network) == node => Ok(()),
        known => Err(RelayError::Network {
            relay: known.map_or("an unknown network", network_name),
            node,
        }),
    }
}

/// Refusals that say the accounts are no longer what the plan was made from.
fn is_surprise(error: &SendError) -> bool {
    use k2_interface::AccountFault::{AlreadyInitialized, Uninitialized};
    matches!(
        error.refusal(),
        Some(
            Refusal::Rule(
                PoolError::UnknownParent
                    | PoolError::NotMoreWork
                    | PoolError::ForkMoved
                    | PoolError::ForkBase
                    | PoolError::ForkFull
            ) | Refusal::Account(AlreadyInitialized | Uninitialized, _)
        )
    )
}

impl Step {
    /// The headers submitted.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        match self {
            Self::Submit { headers, .. } | Self::Fork { headers, .. } => headers,
            Self::CloseFork => &[],
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Submit {
                parent_height,
                headers,
            } => {
                let first = parent_height.saturating_add(1);
                let last = u64::from(*parent_height) + headers.len() as u64;
                write!(f, "headers {first} to {last}")
            }
            Self::Fork {
                base_height,
                headers,
            } => write!(
                f,
                "{} headers of a branch from block {base_height} on",
                headers.len()
            ),
            Self::CloseFork => f.write_str("close the fork account"),
        }
    }
}
