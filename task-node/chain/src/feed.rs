//! What the watcher hands out: work, and its own state.

use std::sync::Arc;

use bitcoin::BlockHash;
use tokio::sync::watch;
use work::BlockTemplate;

use crate::{
    node::{NodeTemplate, TransactionCost},
    zmq::{ZmqEndpoint, ZmqStatus},
};

/// New work.
#[derive(Debug, Clone)]
pub struct TemplateUpdate {
    /// The validated template.
    pub template: Arc<BlockTemplate>,
    /// The previous block is another than in the update this receiver got before: all older jobs are stale.
    pub clean: bool,
    /// The node it came from.
    pub node: Arc<str>,
    /// What that node says its transactions pay and cost.
    pub costs: Option<Arc<[TransactionCost]>>,
}

/// A receiver of work. Each clone keeps its own account of what it has seen, so a slow receiver that skips an update
/// still learns of every change of the previous block.
#[derive(Debug, Clone)]
pub struct TemplateFeed {
    templates: watch::Receiver<Option<NodeTemplate>>,
    status: watch::Receiver<WatcherStatus>,
    last: Option<BlockHash>,
}

impl TemplateFeed {
    pub(crate) fn new(
        templates: watch::Receiver<Option<NodeTemplate>>,
        status: watch::Receiver<WatcherStatus>,
    ) -> Self {
        Self {
            templates,
            status,
            last: None,
        }
    }

    /// Waits for work that is newer than what this receiver has seen, skipping what has been replaced meanwhile.
    /// `None`: the watcher has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<TemplateUpdate> {
        loop {
            self.templates.changed().await.ok()?;
            let current = self.templates.borrow_and_update().clone();
            if let Some(current) = current {
                let prev = current.template.prev_hash();
                let clean = self.last.replace(prev) != Some(prev);
                return Some(TemplateUpdate {
                    template: current.template,
                    clean,
                    node: current.node,
                    costs: current.costs,
                });
            }
        }
    }

    /// The latest template, if there is one, without waiting.
    pub fn latest(&self) -> Option<Arc<BlockTemplate>> {
        self.templates
            .borrow()
            .as_ref()
            .map(|t| Arc::clone(&t.template))
    }

    /// The watcher's state; [`watch::Receiver::changed`] wakes on every change.
    pub fn status(&self) -> watch::Receiver<WatcherStatus> {
        self.status.clone()
    }
}

/// What the watcher is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatcherPhase {
    /// No node has answered yet.
    Connecting,
    /// The node is in initial block download; mining now would be on an old block.
    Syncing {
        /// Height of the last verified block.
        height: u32,
        /// Height of the best header.
        headers: u32,
        /// Share verified, parts per million.
        verification_ppm: u32,
    },
    /// Templates are published.
    Running,
    /// The watcher was stopped.
    Stopped,
}

/// The watcher's state, for `/healthz` and `doctor`.
#[derive(Debug, Clone)]
pub struct WatcherStatus {
    /// What it is doing.
    pub phase: WatcherPhase,
    /// The last failure, until something succeeds.
    pub error: Option<String>,
    /// When a template was last published. Miners work on outdated fees, or worse, when this is long ago.
    pub published: Option<std::time::Instant>,
    /// One entry a configured ZMQ endpoint.
    pub zmq: Vec<(ZmqEndpoint, ZmqStatus)>,
}
