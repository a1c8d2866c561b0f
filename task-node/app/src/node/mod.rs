//! A pool node: all parts wired together.
//!
//! [`run`] starts it; [`Node`] is what HTTP handlers call.

mod accepted;
mod audit;
mod best_chain;
mod blocks;
mod data_dir;
mod distribution;
mod feed;
mod gateways;
mod mode;
mod outside;
mod pin_book;
mod pinning;
pub(crate) mod relay_witness;
mod rewards;
mod rounds;
mod settlement;
mod settling;
mod sinks;
mod start;
mod stats;
mod status;
mod views;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::rounds::{Auditor, PoolRules, RoundJumps, RoundKeeper};
use ::work::{Clock, K2Address, RoundNumber, TaskId, UnixTime};
use chain::peer::{ChainSource, PeersNode};
use chain::{BitcoinNode, Condition, FailoverNode, TemplateFeed, WatcherPhase};
use content::{BlockStore, DagLimits, NodeUrl};
use k2_interface::Role;
use store::ShareStore;
use stratum::Server;
use tokio::sync::{Mutex, Notify, watch};

pub use data_dir::check_data_dir;
pub use mode::bitcoin_mode;
pub use settlement::Settled;
pub use start::{
    Bitcoin, open_bitcoin, open_blocks, open_fetcher, open_store, open_store_to_read, run,
};
pub(crate) use status::{room, stored};
pub(crate) use views::peer_text;
pub use views::{
    AuditView, BlockView, ClaimView, DistributionView, EarnedView, Health, IpfsView,
    MaturedBlockView, RejectedView, RewardView, RewardsView, RoundView, SettlementView, Stats,
    WorkerView,
};

use crate::refusal::Refusal;
use gateways::Gateways;
use outside::Outside;
use pinning::PinStatus;
use settlement::Settling;
use status::{EarnedCache, Fetched};

/// A running node.
pub struct Node {
    task: TaskId,
    key: K2Address,
    program: K2Address,
    rules: Arc<PoolRules>,
    max_bundle_bytes: u64,
    clock: Arc<dyn Clock>,
    store: Arc<dyn ShareStore>,
    blocks: Arc<dyn BlockStore>,
    auditor: Auditor,
    /// Where accepted submissions say that their bundles are.
    gateways: Gateways,
    /// Where this node's are, for those who audit them.
    public_url: Option<NodeUrl>,
    bitcoin: Arc<FailoverNode>,
    bitcoin_mode: String,
    peers: Option<Arc<PeersNode>>,
    chain_source: Option<Arc<ChainSource>>,
    templates: TemplateFeed,
    keeper: RoundKeeper,
    jumps: Mutex<RoundJumps>,
    /// A round Koii asked for while there was no template.
    wanted: Mutex<Option<RoundNumber>>,
    stratum: Server,
    /// Audits and distributions hold whole bundles in memory: one at a time.
    heavy: Mutex<()>,
    settling: Mutex<Settling>,
    /// When this process began.
    started: UnixTime,
    data_dir: PathBuf,
    template_refresh: Duration,
    /// Whom the built-in miner works for, if it is on.
    built_in: Option<K2Address>,
    earned: Mutex<EarnedCache>,
    fetched: Mutex<Fetched>,
    outside: Outside,
    /// Rounds may have become ready to be settled.
    settle_soon: Notify,
    /// How the IPFS node does; `None` without one.
    pins: watch::Receiver<Option<PinStatus>>,
    /// There may be something new to pin.
    pin_soon: Notify,
}

impl Node {
    /// Where this node stands.
    pub async fn health(&self) -> Health {
        let watcher = self.templates.status().borrow().clone();
        let template = self.templates.latest();
        let round = *self.keeper.claimed().borrow();
        let height = template.as_ref().map(|template| template.height());
        let ready = matches!(watcher.phase, WatcherPhase::Running) && template.is_some();
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
            (_, Some(error), _) if !ready => format!("no work: {error}"),
            (_, Some(error), _) => format!("mining, but: {error}"),
            (_, None, None) => "ready, waiting for the first round".to_owned(),
            (_, None, Some(round)) => format!("mining for round {round}"),
        };
        let members = match &self.peers {
            Some(_) => Vec::new(),
            None => self.bitcoin.status(),
        };
        let peers = self.peers.as_ref().map(|peers| peers.status());
        let peers = peers.into_iter().flatten().map(|peer| {
            let text = peer_text(&peer);
            (peer.name, text)
        });
        let bitcoin_nodes = members
            .into_iter()
            .map(|member| {
                let height = member
                    .chain
                    .as_ref()
                    .map(|chain| format!(", height {}", chain.height))
                    .unwrap_or_default();
                let active = if member.active { ", in use" } else { "" };
                let condition = match member.condition {
                    Condition::Demoted { reason, .. } => format!("left alone for now: {reason}"),
                    _ => "healthy".to_owned(),
                };
                (member.name, format!("{condition}{height}{active}"))
            })
            .chain(peers)
            .collect();
        Health {
            ready,
            message,
            round: round.map(RoundNumber::get),
            height,
            bitcoin_mode: self.bitcoin_mode.clone(),
            bitcoin_nodes,
        }
    }

    /// The node's content-addressed blocks.
    #[must_use]
    pub fn blocks(&self) -> Arc<dyn BlockStore> {
        Arc::clone(&self.blocks)
    }

    /// How much of a DAG this node looks at.
    #[must_use]
    pub fn dag_limits(&self) -> DagLimits {
        DagLimits {
            max_total_bytes: self.max_bundle_bytes,
            ..DagLimits::default()
        }
    }

    /// What this node gives to operators without a Bitcoin node, if it gives anything.
    #[must_use]
    pub fn chain_source(&self) -> Option<&Arc<ChainSource>> {
        self.chain_source.as_ref()
    }

    fn chain(&self) -> &dyn BitcoinNode {
        self.bitcoin.as_ref()
    }
}

/// Trouble of this node's own: asking again later may work.
fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal::Unavailable(error.to_string())
}

fn role_name(role: Role) -> String {
    let name = match role {
        Role::Miner => "miner",
        Role::Operator => "operator",
    };
    name.to_owned()
}
