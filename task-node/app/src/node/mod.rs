//! A pool node: all parts wired together.
//!
//! [`run`] starts it; [`Node`] is what HTTP handlers call.

mod audit;
mod blocks;
mod distribution;
mod feed;
mod rounds;
mod sinks;
mod start;
mod stats;
mod views;

use std::sync::Arc;

use bitcoin::Network;
use chain::{BitcoinNode, FailoverNode, WatcherPhase, WatcherStatus};
use content::{DirStore, Fetcher};
use store::ShareStore;
use stratum::{CurrentWork, ServerHandle};
use tokio::sync::{Mutex, watch};
use ::work::{Clock, K2Address, RoundNumber, TaskId};

pub use start::{open_store, open_store_to_read, run};
pub use views::{
    AuditView, BlockView, DistributionView, EarnedView, Health, RoundView, Stats, WorkerView,
};

use ::rounds::PoolRules;

/// A running node.
pub struct Node {
    task: TaskId,
    key: K2Address,
    network: Network,
    rules: PoolRules,
    max_bundle_bytes: u64,
    clock: Arc<dyn Clock>,
    store: Arc<dyn ShareStore>,
    blocks: Arc<DirStore>,
    fetcher: Fetcher,
    bitcoin: Arc<FailoverNode>,
    watcher: watch::Receiver<WatcherStatus>,
    work: watch::Receiver<Option<Arc<CurrentWork>>>,
    round: watch::Sender<Option<RoundNumber>>,
    stratum: ServerHandle,
    /// Opening, closing and sealing happen one after the other; audits and reads do not wait for them.
    lifecycle: Mutex<()>,
    /// Two audits of large bundles at once would double the memory they need.
    audits: Mutex<()>,
}

impl Node {
    /// Where this node stands.
    pub async fn health(&self) -> Health {
        let watcher = self.watcher.borrow().clone();
        let work = self.work.borrow().clone();
        let round = *self.round.borrow();
        let height = work.as_ref().map(|work| work.template().block().height());
        let templates = matches!(watcher.phase, WatcherPhase::Running);
        let message = match (&watcher.phase, &watcher.error, round) {
            (WatcherPhase::Connecting, error, _) => format!(
                "waiting for a Bitcoin node{}",
                error
                    .as_ref()
                    .map(|error| format!(": {error}"))
                    .unwrap_or_default()
            ),
            (
                WatcherPhase::Syncing {
                    height,
                    headers,
                    verification_ppm,
                },
                _,
                _,
            ) => format!(
                "the Bitcoin node is synchronising: block {height} of {headers}, {:.2} %",
                f64::from(*verification_ppm) / 10_000.0
            ),
            (WatcherPhase::Stopped, _, _) => "stopping".to_owned(),
            (_, Some(error), _) => format!("mining, but: {error}"),
            (_, None, None) => "ready, waiting for the first round".to_owned(),
            (_, None, Some(round)) => format!("mining for round {round}"),
        };
        let bitcoin_nodes = self
            .bitcoin
            .status()
            .into_iter()
            .map(|member| {
                let height = member
                    .chain
                    .as_ref()
                    .map(|chain| format!(", height {}", chain.height))
                    .unwrap_or_default();
                let active = if member.active { ", in use" } else { "" };
                (member.name, format!("{}{height}{active}", member.condition))
            })
            .collect();
        Health {
            ready: templates,
            message,
            round: round.map(RoundNumber::get),
            height,
            bitcoin_nodes,
        }
    }

    fn chain(&self) -> &dyn BitcoinNode {
        self.bitcoin.as_ref()
    }
}
