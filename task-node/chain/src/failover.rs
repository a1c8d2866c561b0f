//! [`FailoverNode`]: several nodes in order of preference behind one [`BitcoinNode`].
//!
//! A question goes to the first healthy node; one that fails, times out or lags behind the others by work is left
//! alone for a while ([`crate::health`]) and returned to when it is well. Demoted nodes are still asked, last, when
//! the healthy ones fail: the pool never refuses to try.
//!
//! A found block is different: it goes to every node at once, and to those that cannot be reached again and again
//! until [`FailoverOptions::submit_for`] is over, so that no node that is down can lose a block.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bitcoin::{Block, BlockHash, Network};
use futures::future::{BoxFuture, join_all};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    error::NodeError,
    health::{Condition, Health},
    node::{
        BitcoinNode, ChainInfo, HeaderInfo, LongPollId, NodeTemplate, SubmitOutcome,
        ZmqNotification,
    },
};

/// Times of the fail-over.
#[derive(Debug, Clone)]
pub struct FailoverOptions {
    /// How often the nodes' tips are compared.
    pub probe_every: Duration,
    /// How long a block is offered to a node that cannot be reached.
    pub submit_for: Duration,
}

impl Default for FailoverOptions {
    fn default() -> Self {
        Self {
            probe_every: Duration::from_secs(5),
            submit_for: Duration::from_secs(600),
        }
    }
}

/// One node's state, for `/healthz` and `doctor`.
#[derive(Debug, Clone)]
pub struct MemberStatus {
    /// The node's name.
    pub name: String,
    /// Healthy, or why it is left alone.
    pub condition: Condition,
    /// Its chain when last probed; `None` before the first answer.
    pub chain: Option<ChainInfo>,
    /// It is the node questions go to at present.
    pub active: bool,
}

struct Member {
    node: Arc<dyn BitcoinNode>,
    state: Mutex<MemberState>,
}

struct MemberState {
    health: Health,
    chain: Option<ChainInfo>,
}

impl Member {
    fn state(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self) {
        if self.state().health.on_success(Instant::now()) {
            tracing::info!(node = self.node.name(), "bitcoin node is well again");
        }
    }

    fn failed(&self, error: &NodeError) {
        if self
            .state()
            .health
            .on_failure(error.to_string(), Instant::now())
        {
            tracing::warn!(node = self.node.name(), %error, "bitcoin node is left alone for a while");
        }
    }
}

/// Several nodes as one.
pub struct FailoverNode {
    name: String,
    network: Network,
    members: Vec<Arc<Member>>,
    options: FailoverOptions,
}

impl fmt::Debug for FailoverNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailoverNode")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FailoverNode {
    /// `nodes` in order of preference; at least one, all configured for the same chain, no name twice.
    pub fn new(
        nodes: Vec<Arc<dyn BitcoinNode>>,
        options: FailoverOptions,
    ) -> Result<Self, NodeError> {
        let config = |node: &str, reason: &str| NodeError::Config {
            node: node.into(),
            reason: reason.into(),
        };
        let network = nodes
            .first()
            .map(|n| n.network())
            .ok_or_else(|| config("-", "no bitcoin node is configured"))?;
        let mut names: Vec<&str> = Vec::new();
        for node in &nodes {
            if node.network() != network {
                return Err(config(node.name(), "all nodes must be on the same chain"));
            }
            if names.contains(&node.name()) {
                return Err(config(
                    node.name(),
                    "two nodes have this name; give each its own",
                ));
            }
            names.push(node.name());
        }
        let name = names.join("+");
        let member = |node| {
            let state = Mutex::new(MemberState {
                health: Health::new(),
                chain: None,
            });
            Arc::new(Member { node, state })
        };
        Ok(Self {
            name,
            network,
            members: nodes.into_iter().map(member).collect(),
            options,
        })
    }

    /// Compares the nodes' tips at the configured interval until `cancel`. Without it a node that lags goes unnoticed.
    pub fn spawn_monitor(
        self: &Arc<Self>,
        cancel: CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let run = async {
                let mut tick = tokio::time::interval(this.options.probe_every);
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    tick.tick().await;
                    this.probe().await;
                }
            };
            let _ = cancel.run_until_cancelled(run).await;
        })
    }

    /// Asks every node where it stands, and demotes those behind the best by work.
    pub async fn probe(&self) {
        let answers = join_all(self.members.iter().map(|m| m.node.chain_info())).await;
        let best = answers
            .iter()
            .flatten()
            .max_by_key(|info| info.chain_work)
            .cloned();
        for (member, answer) in self.members.iter().zip(answers) {
            match answer {
                Err(error) => member.failed(&error),
                Ok(info) => {
                    let behind = best
                        .as_ref()
                        .filter(|best| best.chain_work > info.chain_work)
                        .map(|best| {
                            format!(
                                "its tip {} at height {} has less work than height {} elsewhere",
                                info.tip, info.height, best.height
                            )
                        });
                    let level = behind.is_none();
                    let demoted = {
                        let mut state = member.state();
                        state.chain = Some(info);
                        state.health.on_probe(behind.clone(), Instant::now())
                    };
                    if level {
                        member.succeeded();
                    } else if demoted {
                        tracing::warn!(
                            node = member.node.name(),
                            reason = behind.as_deref(),
                            "bitcoin node lags and is left alone"
                        );
                    }
                }
            }
        }
    }

    /// The state of every node, in order of preference.
    pub fn status(&self) -> Vec<MemberStatus> {
        let active = self.in_order().first().map(|m| m.node.name().to_owned());
        self.members
            .iter()
            .map(|member| {
                let state = member.state();
                MemberStatus {
                    name: member.node.name().to_owned(),
                    condition: state.health.condition().clone(),
                    chain: state.chain.clone(),
                    active: active.as_deref() == Some(member.node.name()),
                }
            })
            .collect()
    }

    /// The order in which nodes are asked: the available ones first, each group by preference.
    fn in_order(&self) -> Vec<Arc<Member>> {
        let now = Instant::now();
        let (mut available, left_alone): (Vec<_>, Vec<_>) = self
            .members
            .iter()
            .cloned()
            .partition(|m| m.state().health.is_available(now));
        available.extend(left_alone);
        available
    }

    /// The first answer of any node.
    async fn ask<T>(
        &self,
        method: &'static str,
        question: impl for<'a> Fn(&'a dyn BitcoinNode) -> BoxFuture<'a, Result<T, NodeError>>
        + Send
        + Sync,
    ) -> Result<T, NodeError>
    where
        T: Send,
    {
        let mut failures = Vec::new();
        for member in self.in_order() {
            match question(&*member.node).await {
                Ok(answer) => {
                    member.succeeded();
                    return Ok(answer);
                }
                Err(error) => {
                    member.failed(&error);
                    failures.push(error);
                }
            }
        }
        // One node's error says more than a list of one.
        Err(match failures.pop() {
            Some(only) if failures.is_empty() => only,
            last => {
                failures.extend(last);
                NodeError::AllFailed { method, failures }
            }
        })
    }

    /// The first node that knows: a block may have reached only some of them.
    async fn ask_who_knows<T>(
        &self,
        method: &'static str,
        question: impl for<'a> Fn(&'a dyn BitcoinNode) -> BoxFuture<'a, Result<Option<T>, NodeError>>
        + Send
        + Sync,
    ) -> Result<Option<T>, NodeError>
    where
        T: Send,
    {
        let mut failures = Vec::new();
        let mut answered = false;
        for member in self.in_order() {
            match question(&*member.node).await {
                Ok(Some(answer)) => {
                    member.succeeded();
                    return Ok(Some(answer));
                }
                Ok(None) => {
                    member.succeeded();
                    answered = true;
                }
                Err(error) => {
                    member.failed(&error);
                    failures.push(error);
                }
            }
        }
        if answered {
            Ok(None)
        } else {
            Err(NodeError::AllFailed { method, failures })
        }
    }
}

/// Offers a block to one node until it answers or the time is over.
async fn offer(
    member: &Member,
    block: &Block,
    until: tokio::time::Instant,
) -> Result<SubmitOutcome, NodeError> {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        match member.node.submit_block(block).await {
            Ok(outcome) => {
                member.succeeded();
                return Ok(outcome);
            }
            Err(error) => {
                member.failed(&error);
                let wait = backoff.failed();
                if tokio::time::Instant::now() + wait >= until {
                    return Err(error);
                }
                tracing::error!(node = member.node.name(), hash = %block.block_hash(), %error, ?wait,
                    "a found block could not be handed over; trying again");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

#[async_trait]
impl BitcoinNode for FailoverNode {
    fn name(&self) -> &str {
        &self.name
    }

    fn network(&self) -> Network {
        self.network
    }

    fn lowest_height(&self) -> u32 {
        let lowest = self.members.iter().map(|m| m.node.lowest_height());
        lowest.max().unwrap_or(0)
    }

    async fn block_template(&self) -> Result<NodeTemplate, NodeError> {
        self.ask("getblocktemplate", |node| node.block_template())
            .await
    }

    async fn wait_for_template(&self, id: &LongPollId) -> Result<Option<NodeTemplate>, NodeError> {
        let asked = self
            .in_order()
            .into_iter()
            .next()
            .filter(|m| *m.node.name() == *id.node);
        let Some(member) = asked else {
            // The identifier is of a node that is no longer the one to ask.
            return self.block_template().await.map(Some);
        };
        let answer = member.node.wait_for_template(id).await;
        match &answer {
            Ok(_) => member.succeeded(),
            Err(error) => member.failed(error),
        }
        answer
    }

    /// Returns with the first acceptance, or with the best answer when all have given one. Nodes still outstanding
    /// are served in the background, also when this future is dropped.
    async fn submit_block(&self, block: &Block) -> Result<SubmitOutcome, NodeError> {
        let until = tokio::time::Instant::now() + self.options.submit_for;
        let block = Arc::new(block.clone());
        let (answers, mut results) = mpsc::channel(self.members.len());
        for member in self.members.iter().cloned() {
            let (block, answers) = (Arc::clone(&block), answers.clone());
            tokio::spawn(async move {
                let answer = offer(&member, &block, until).await;
                tracing::info!(node = member.node.name(), hash = %block.block_hash(), ?answer, "block submitted");
                // The receiver is gone once another node has accepted.
                let _ = answers.send(answer).await;
            });
        }
        drop(answers);
        let mut best: Option<SubmitOutcome> = None;
        let mut failures = Vec::new();
        while let Some(answer) = results.recv().await {
            match answer {
                // Duplicate: this node holds it valid already, because another one was quicker to relay it.
                Ok(outcome @ (SubmitOutcome::Accepted | SubmitOutcome::Duplicate)) => {
                    return Ok(outcome);
                }
                Ok(outcome) => {
                    if best.as_ref().is_none_or(|b| outcome.rank() > b.rank()) {
                        best = Some(outcome);
                    }
                }
                Err(error) => failures.push(error),
            }
        }
        best.ok_or(NodeError::AllFailed {
            method: "submitblock",
            failures,
        })
    }

    async fn best_block_hash(&self) -> Result<BlockHash, NodeError> {
        self.ask("getbestblockhash", |node| node.best_block_hash())
            .await
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<HeaderInfo>, NodeError> {
        self.ask("getblockheader", move |node| node.header(hash))
            .await
    }

    async fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, NodeError> {
        self.ask("getblockhash", move |node| node.hash_at(height))
            .await
    }

    async fn block(&self, hash: BlockHash) -> Result<Option<Block>, NodeError> {
        self.ask_who_knows("getblock", move |node| node.block(hash))
            .await
    }

    async fn chain_info(&self) -> Result<ChainInfo, NodeError> {
        self.ask("getblockchaininfo", |node| node.chain_info())
            .await
    }

    async fn zmq_notifications(&self) -> Result<Vec<ZmqNotification>, NodeError> {
        self.ask("getzmqnotifications", |node| node.zmq_notifications())
            .await
    }
}
