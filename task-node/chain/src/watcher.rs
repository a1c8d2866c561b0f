//! Watches a node and publishes work: a fresh template when the tip changes, when better transactions come in, and at
//! least every [`WatcherOptions::refresh`].
//!
//! Four things make it ask the node: a ZMQ notice (milliseconds), the long poll (one outstanding), a poll of the tip
//! hash (default each second, because the other two can die silently: DATUM gateway #3, #37) and the refresh interval.
//! Whatever the reason, the answer passes `tip_guard` before it is published, so a late answer or a lagging
//! node never takes miners back to an older tip. `clean` is decided by the previous block's hash, never by height.

use std::{sync::Arc, time::Duration};

use bitcoin::BlockHash;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    error::NodeError,
    feed::{TemplateFeed, WatcherPhase, WatcherStatus},
    node::{BitcoinNode, LongPollId, NodeTemplate},
    tip_guard::{Judgement, Tip, View, judge},
    zmq::{self, Subscription, ZmqEndpoint},
};

/// A node that answers long polls at once must not be asked in a tight loop.
const LONG_POLL_SPACING: Duration = Duration::from_secs(1);

/// A failure that lasts is logged again this often.
const REPEAT_LOG: Duration = Duration::from_secs(30);

/// How often the state of the subscriptions is looked at.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// How the watcher watches.
#[derive(Debug, Clone)]
pub struct WatcherOptions {
    /// Interval of the tip poll. Also how soon a failed fetch is tried again.
    pub poll: Duration,
    /// The longest a template may get before it is replaced by a fresher one of the same tip.
    pub refresh: Duration,
    /// Keep a long poll outstanding.
    pub long_poll: bool,
    /// `hashblock` publishers, each with the node that should be behind it.
    pub zmq: Vec<(Arc<dyn BitcoinNode>, ZmqEndpoint)>,
}

impl Default for WatcherOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            refresh: Duration::from_secs(30),
            long_poll: true,
            zmq: Vec::new(),
        }
    }
}

/// Starts watching `node` until `cancel`.
pub fn spawn(
    node: Arc<dyn BitcoinNode>,
    options: WatcherOptions,
    cancel: CancellationToken,
) -> TemplateFeed {
    let (template_tx, templates) = watch::channel(None);
    let status = WatcherStatus {
        phase: WatcherPhase::Connecting,
        error: None,
        published: None,
        zmq: Vec::new(),
    };
    let (status_tx, status) = watch::channel(status);
    // Sixteen blocks the watcher has not looked at yet are as good as one.
    let (notice_tx, notices) = mpsc::channel(16);
    let subscriptions = options
        .zmq
        .iter()
        .map(|(publisher, endpoint)| {
            let subscription = zmq::subscribe(
                Arc::clone(publisher),
                endpoint.clone(),
                notice_tx.clone(),
                cancel.clone(),
            );
            (endpoint.clone(), subscription)
        })
        .collect();
    let watcher = Watcher {
        node,
        options,
        templates: template_tx,
        status: status_tx.clone(),
        tip: None,
        subscriptions,
        failing_since_log: None,
    };
    tokio::spawn(async move {
        // Held here so that the channel never closes, also without any subscription.
        let _keep_open = notice_tx;
        let _ = cancel.run_until_cancelled(watcher.run(notices)).await;
        status_tx.send_modify(|s| s.phase = WatcherPhase::Stopped);
    });
    TemplateFeed::new(templates, status)
}

/// Why the node was asked; tells whether a template of the same tip is worth publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// News of another tip. A template of the old one would only make miners switch twice.
    News,
    /// Time for fresher transactions.
    Refresh,
}

struct Watcher {
    node: Arc<dyn BitcoinNode>,
    options: WatcherOptions,
    templates: watch::Sender<Option<NodeTemplate>>,
    status: watch::Sender<WatcherStatus>,
    /// The block the published template builds on.
    tip: Option<Tip>,
    subscriptions: Vec<(ZmqEndpoint, Subscription)>,
    failing_since_log: Option<Instant>,
}

/// What a long poll comes back with.
type LongPoll = BoxFuture<'static, Result<Option<NodeTemplate>, NodeError>>;

impl Watcher {
    async fn run(mut self, mut notices: mpsc::Receiver<BlockHash>) {
        self.wait_until_ready().await;
        let mut poll = tokio::time::interval(self.options.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut show = tokio::time::interval(STATUS_EVERY);
        let mut refresh_at = Instant::now();
        let mut long_poll: Option<LongPoll> = None;
        let mut long_poll_from = Instant::now();
        let mut long_poll_backoff = Backoff::new(LONG_POLL_SPACING, Duration::from_secs(30));
        loop {
            if self.options.long_poll && long_poll.is_none() {
                long_poll = self.start_long_poll(long_poll_from);
            }
            let waiting = async {
                match long_poll.as_mut() {
                    Some(wait) => wait.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(hash) = notices.recv() => {
                    if self.tip.is_none_or(|tip| tip.hash != hash) && self.fetch(Cause::News).await {
                        refresh_at = Instant::now() + self.options.refresh;
                    }
                }
                answer = waiting => {
                    long_poll = None;
                    long_poll_from = Instant::now() + LONG_POLL_SPACING;
                    match answer {
                        Ok(answer) => {
                            long_poll_backoff.reset();
                            if let Some(template) = answer
                                && self.consider(template, Cause::Refresh).await
                            {
                                refresh_at = Instant::now() + self.options.refresh;
                            }
                        }
                        Err(error) => {
                            long_poll_from = Instant::now() + long_poll_backoff.failed();
                            tracing::debug!(%error, "long poll ended");
                        }
                    }
                }
                _ = poll.tick() => match self.node.best_block_hash().await {
                    Ok(hash) => {
                        let same = self.tip.is_some_and(|tip| tip.hash == hash);
                        // After a failure only a template shows that the node is well again.
                        let cause = if same { Cause::Refresh } else { Cause::News };
                        if !(same && self.status.borrow().error.is_none()) && self.fetch(cause).await {
                            refresh_at = Instant::now() + self.options.refresh;
                        }
                    }
                    Err(error) => self.failed(&error),
                },
                () = tokio::time::sleep_until(refresh_at) => {
                    // On failure the poll tries again; this timer alone would spin.
                    let wait = if self.fetch(Cause::Refresh).await { self.options.refresh } else { self.options.poll };
                    refresh_at = Instant::now() + wait;
                }
                _ = show.tick() => self.update_zmq_status(),
            }
        }
    }

    /// Until a node answers on the right chain and is out of initial block download.
    async fn wait_until_ready(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
        let mut last_log: Option<Instant> = None;
        loop {
            match self.node.chain_info().await {
                // During it bitcoind refuses templates.
                Ok(info) if !info.is_downloading() => {
                    tracing::info!(node = self.node.name(), chain = info.network.to_core_arg(), height = info.height,
                        tip = %info.tip, "bitcoin node is ready");
                    self.status.send_modify(|s| {
                        s.error = None;
                        s.phase = WatcherPhase::Running;
                    });
                    return;
                }
                Ok(info) => {
                    backoff.reset();
                    if last_log.is_none_or(|at| at.elapsed() >= REPEAT_LOG) {
                        last_log = Some(Instant::now());
                        tracing::info!(
                            node = self.node.name(),
                            height = info.height,
                            headers = info.headers,
                            percent = info.verification_ppm / 10_000,
                            "waiting for the bitcoin node to finish its initial block download"
                        );
                    }
                    self.status.send_modify(|s| {
                        s.error = None;
                        s.phase = WatcherPhase::Syncing {
                            height: info.height,
                            headers: info.headers,
                            verification_ppm: info.verification_ppm,
                        };
                    });
                }
                Err(error) => self.failed(&error),
            }
            tokio::time::sleep(backoff.failed()).await;
        }
    }

    fn start_long_poll(&self, not_before: Instant) -> Option<LongPoll> {
        let id: LongPollId = self.templates.borrow().as_ref()?.long_poll.clone()?;
        let node = Arc::clone(&self.node);
        Some(
            async move {
                tokio::time::sleep_until(not_before).await;
                node.wait_for_template(&id).await
            }
            .boxed(),
        )
    }

    /// Asks for a template and publishes it if it may be; true when it was published.
    async fn fetch(&mut self, cause: Cause) -> bool {
        match self.node.block_template().await {
            Ok(template) => self.consider(template, cause).await,
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    async fn consider(&mut self, candidate: NodeTemplate, cause: Cause) -> bool {
        let mut tip = Tip {
            hash: candidate.template.prev_hash(),
            height: candidate.template.height().saturating_sub(1),
            chain_work: None,
        };
        let view = match self.view_of_current(&tip).await {
            Ok(view) => view,
            Err(error) => {
                self.failed(&error);
                return false;
            }
        };
        if view == View::Unknown && self.tip.is_some() {
            tip.chain_work = self.chain_work(tip.hash).await;
        }
        match judge(self.tip.as_ref(), &tip, view) {
            Judgement::Refresh => {
                self.succeeded();
                if cause == Cause::News {
                    return false;
                }
                self.publish(candidate);
            }
            Judgement::NewTip => {
                tracing::info!(node = %candidate.node, height = candidate.template.height(), previous = %tip.hash,
                    transactions = candidate.template.transactions().len(), "new work on a new tip");
                self.succeeded();
                self.publish(candidate);
                // Not of the first tip: it is older than the subscriptions, which cannot have heard of it.
                if self.tip.is_some() {
                    self.tell_zmq(tip.hash);
                }
                // After publishing: miners must not wait for what is needed only to judge the next template.
                if tip.chain_work.is_none() {
                    tip.chain_work = self.chain_work(tip.hash).await;
                }
                self.tip = Some(tip);
            }
            Judgement::Outdated => {
                tracing::debug!(node = %candidate.node, previous = %tip.hash, "a template of an older tip was dropped");
                self.status.send_modify(|s| {
                    s.error = Some(format!(
                        "bitcoin node {} offers work on {}, an older tip",
                        candidate.node, tip.hash
                    ));
                });
                return false;
            }
        }
        true
    }

    /// How the node sees the block being mined on; asked only when the candidate builds on another.
    async fn view_of_current(&self, candidate: &Tip) -> Result<View, NodeError> {
        let Some(current) = self.tip.filter(|tip| tip.hash != candidate.hash) else {
            return Ok(View::Unknown);
        };
        Ok(match self.node.header(current.hash).await? {
            None => View::Unknown,
            Some(header) if header.is_active() => View::Active,
            Some(_) => View::Stale,
        })
    }

    async fn chain_work(&self, hash: BlockHash) -> Option<bitcoin::Work> {
        self.node
            .header(hash)
            .await
            .ok()
            .flatten()
            .map(|header| header.chain_work)
    }

    fn publish(&self, template: NodeTemplate) {
        self.templates.send_replace(Some(template));
        self.status
            .send_modify(|s| s.published = Some(std::time::Instant::now()));
    }

    fn tell_zmq(&self, hash: BlockHash) {
        for (_, subscription) in &self.subscriptions {
            subscription.tip_is_known(hash);
        }
    }

    fn update_zmq_status(&self) {
        let zmq: Vec<_> = self
            .subscriptions
            .iter()
            .map(|(e, s)| (e.clone(), s.status()))
            .collect();
        self.status.send_if_modified(|s| {
            let changed = s.zmq != zmq;
            s.zmq = zmq;
            changed
        });
    }

    fn succeeded(&mut self) {
        self.failing_since_log = None;
        self.status.send_if_modified(|s| s.error.take().is_some());
    }

    /// Logged at once, then every half minute while it lasts.
    fn failed(&mut self, error: &NodeError) {
        // Away, a node leaves its last template worth mining on; on a chain that lost it never was.
        if error.is_outweighed() {
            self.tip = None;
            self.templates
                .send_if_modified(|template| template.take().is_some());
        }
        if self
            .failing_since_log
            .is_none_or(|at| at.elapsed() >= REPEAT_LOG)
        {
            self.failing_since_log = Some(Instant::now());
            if error.is_warming_up() {
                tracing::info!(%error, "the bitcoin node is not ready yet");
            } else {
                tracing::error!(%error, "no new work from the bitcoin node");
            }
        }
        self.status
            .send_modify(|s| s.error = Some(error.to_string()));
    }
}
