//! Getting blocks this node lacks from other nodes, trustless gateways and the RPC API of an IPFS node.
//!
//! Sources are asked in the operator's order with hedging: the next one is asked as well as soon as the one before it
//! fails or stays silent for [`FetchOptions::hedge_after`], and the first answer that hashes right wins. Racing all of
//! them would multiply everybody's traffic by their number; asking strictly in turn would wait a full timeout for each
//! dead one. The source that answered last is asked first for the next block, and one that served wrong bytes is not
//! asked again within the same call. [`Fetcher::asking`] adds the node that submitted a bundle, which has a place of its own
//! besides the others' and is asked second, until it shows to be the best.
//!
//! For a DAG the root is fetched first. If nothing it links is here, the source that had it is asked for the whole DAG
//! as one CAR; what that does not bring is fetched block by block. Every verified block goes to the store at once, so
//! a call that is cut off, or fails, leaves less to do for the next.

mod error;
mod http;
mod node_url;
mod order;
mod reach;
mod source;
mod submitter;
mod tls;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use cid::Cid;
use futures::{StreamExt as _, stream::FuturesUnordered};

pub use error::{FetchError, SourceError, SourceFailure};
pub(crate) use http::{answer_of, builder as http_client, read_limited, transport_error};
pub use node_url::{NodeUrl, NodeUrlError};
pub(crate) use source::write_without_credentials;
pub use source::{Source, SourceUrlError};

use self::{http::Client, order::Order, reach::Reach, submitter::Submitter};
use crate::{
    block::{Block, check_cid},
    car::CarError,
    dag::{Accepted, DagLimits, DagViolation, Frontier},
    store::BlockStore,
};

/// How patient and how greedy a [`Fetcher`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchOptions {
    /// The longest one request may take, from connecting to the last byte.
    pub timeout: Duration,
    /// The longest a source may stay silent within a request.
    pub idle_timeout: Duration,
    /// When to ask the next source as well.
    pub hedge_after: Duration,
    /// Sources asked for one block at the same time, at most.
    pub max_racing: usize,
    /// Blocks fetched at the same time, at most.
    pub parallel_blocks: usize,
    /// Whether [submitters](Fetcher::asking) may be on private networks and on this machine.
    pub private_submitters: bool,
}

impl Default for FetchOptions {
    /// 60 s for a request (as Koii's own clients allow), 15 s of silence, the next source after 2 s, 3 sources for a
    /// block, 8 blocks, submitters in the public Internet only.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(15),
            hedge_after: Duration::from_secs(2),
            max_racing: 3,
            parallel_blocks: 8,
            private_submitters: false,
        }
    }
}

/// What [`Fetcher::fetch_dag`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagReport {
    /// The root.
    pub root: Cid,
    /// Blocks of the DAG; all are in the store.
    pub blocks: usize,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// How many of them were in the store before.
    pub already_present: usize,
    /// Which source failed how, on the way to success.
    pub failures: Vec<SourceFailure>,
}

/// Fetches blocks from a list of sources into a store.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    sources: Arc<[Source]>,
    submitter: Option<Arc<Submitter>>,
    store: Arc<dyn BlockStore>,
    options: FetchOptions,
}

impl Fetcher {
    /// A fetcher that asks `sources` in their order. No source is fine: it then finds what the store holds.
    ///
    /// # Errors
    /// [`FetchError::Setup`] where TLS cannot be set up.
    pub fn new(
        sources: Vec<Source>,
        store: Arc<dyn BlockStore>,
        options: FetchOptions,
    ) -> Result<Self, FetchError> {
        Ok(Self {
            client: Client::new(&options)?,
            sources: sources.into(),
            submitter: None,
            store,
            options,
        })
    }

    /// The same fetcher, which also asks the node at `url` for what it submitted. A URL that leads nowhere it may lead,
    /// or to somebody who is slow or lies, keeps nothing from coming from the other sources.
    #[must_use]
    pub fn asking(&self, url: Option<&NodeUrl>) -> Self {
        let reach = match self.options.private_submitters {
            true => Reach::PrivateToo,
            false => Reach::Public,
        };
        Self {
            submitter: url.map(|url| Arc::new(Submitter::new(url, reach))),
            ..self.clone()
        }
    }

    /// Whether a submitter is asked too.
    #[must_use]
    pub const fn asks_submitter(&self) -> bool {
        self.submitter.is_some()
    }

    /// The store fetched blocks go to.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn BlockStore> {
        &self.store
    }

    /// One block, from the store or a source; in the store afterwards.
    ///
    /// # Errors
    /// [`FetchError::Invalid`] for a CID no block can have, [`FetchError::Unavailable`], [`FetchError::LocalStore`].
    pub async fn fetch_block(&self, cid: &Cid) -> Result<Block, FetchError> {
        check_cid(cid).map_err(|error| DagViolation::root(*cid, error))?;
        if let Some(block) = self.store.get(cid).await? {
            return Ok(block);
        }
        let order = self.order();
        let block = self.fetch_from_sources(*cid, &order).await?;
        self.store.put(&block).await?;
        Ok(block)
    }

    /// The whole DAG under `root`, in the store afterwards. Dropping the future stops every request.
    ///
    /// # Errors
    /// [`FetchError::Invalid`] where the DAG itself breaks a rule or a limit (no source can mend that),
    /// [`FetchError::Unavailable`] where no source has a block of it, [`FetchError::LocalStore`].
    pub async fn fetch_dag(&self, root: &Cid, limits: DagLimits) -> Result<DagReport, FetchError> {
        let mut job = DagJob {
            fetcher: self,
            order: self.order(),
            frontier: Frontier::new(*root, limits)?,
            scheduled: HashSet::new(),
            absent: VecDeque::new(),
            already_present: 0,
        };
        job.run().await?;
        Ok(DagReport {
            root: *root,
            blocks: job.frontier.blocks(),
            bytes: job.frontier.bytes(),
            already_present: job.already_present,
            failures: job.order.into_failures(),
        })
    }

    /// The submitter has the index behind the sources.
    fn order(&self) -> Order {
        Order::new(self.sources.len(), self.submitter.is_some())
    }

    async fn get_block(&self, index: usize, cid: &Cid) -> Result<Block, SourceError> {
        match (self.sources.get(index), &self.submitter) {
            (Some(source), _) => self.client.get_block(source, cid).await,
            (None, Some(submitter)) => submitter.get_block(&self.client, cid).await,
            // No order has such an index.
            (None, None) => Err(SourceError::NotFound(404)),
        }
    }

    /// As [`Client::get_car`].
    async fn get_car(
        &self,
        index: usize,
        frontier: &mut Frontier,
    ) -> Result<Result<usize, CarError>, SourceError> {
        let (client, store) = (&self.client, &*self.store);
        match (self.sources.get(index), &self.submitter) {
            (Some(source), _) => client.get_car(source, frontier, store).await,
            (None, Some(submitter)) => submitter.get_car(client, frontier, store).await,
            (None, None) => Err(SourceError::NotFound(404)),
        }
    }

    /// Asks source after source for one block until one has it.
    async fn fetch_from_sources(&self, cid: Cid, order: &Order) -> Result<Block, FetchError> {
        let mut candidates = order.candidates().into_iter().peekable();
        let mut racing = FuturesUnordered::new();
        // Those that are no longer asked, then those that fail now.
        let mut failures = order.banned_failures();
        // The submitter takes no other source's place.
        let places = self.options.max_racing.max(1) + usize::from(self.submitter.is_some());
        loop {
            if racing.is_empty() && candidates.peek().is_none() {
                return Err(FetchError::Unavailable { cid, failures });
            }
            if racing.len() < places
                && let Some(index) = candidates.next()
            {
                racing.push(async move { (index, self.get_block(index, &cid).await) });
            }
            let may_hedge = racing.len() < places && candidates.peek().is_some();
            let outcome = tokio::select! {
                outcome = racing.next() => outcome,
                () = tokio::time::sleep(self.options.hedge_after), if may_hedge => None,
            };
            match outcome {
                Some((index, Ok(block))) => {
                    order.answered(index);
                    return Ok(block);
                }
                Some((index, Err(error))) => {
                    let failure = self.failure(index, error);
                    order.failed(index, &failure);
                    failures.push(failure);
                }
                None => {}
            }
        }
    }

    fn failure(&self, index: usize, error: SourceError) -> SourceFailure {
        let (source, error) = match (self.sources.get(index), &self.submitter) {
            (Some(source), _) => (Some(source), error),
            (None, Some(submitter)) => {
                let error = SourceError::Submitter(Box::new(error));
                (Some(submitter.source()), error)
            }
            (None, None) => (None, error),
        };
        let url = source.map(ToString::to_string).unwrap_or_default();
        tracing::debug!(url, %error, "source failed");
        SourceFailure { url, error }
    }
}

/// One [`Fetcher::fetch_dag`] under way.
struct DagJob<'a> {
    fetcher: &'a Fetcher,
    order: Order,
    frontier: Frontier,
    /// Every block looked for so far, so that none is looked for twice.
    scheduled: HashSet<Cid>,
    /// Blocks the store lacks.
    absent: VecDeque<Cid>,
    already_present: usize,
}

impl DagJob<'_> {
    async fn run(&mut self) -> Result<(), FetchError> {
        let root = *self.frontier.root();
        self.look_in_store(vec![root]).await?;
        if !self.frontier.has_seen(&root) {
            self.absent.clear();
            let block = self.fetcher.fetch_from_sources(root, &self.order).await?;
            self.keep(&block).await?;
        }
        // With a part of the DAG here, a CAR would bring it all over again.
        if self.frontier.blocks() == 1 && self.absent.len() > 1 {
            self.try_car().await?;
        }
        self.fetch_absent().await
    }

    /// Follows `wanted` through the store as far as it goes.
    async fn look_in_store(&mut self, mut wanted: Vec<Cid>) -> Result<(), FetchError> {
        while let Some(cid) = wanted.pop() {
            if !self.scheduled.insert(cid) {
                continue;
            }
            match self.fetcher.store.get(&cid).await? {
                None => self.absent.push_back(cid),
                Some(block) => {
                    self.already_present += 1;
                    if let Accepted::New(links) = self.frontier.accept(&block)? {
                        wanted.extend(links);
                    }
                }
            }
        }
        Ok(())
    }

    async fn keep(&mut self, block: &Block) -> Result<(), FetchError> {
        // First the rules: a block of an invalid DAG is not worth its place.
        if let Some(vetted) = self.frontier.vet(block)? {
            self.fetcher.store.put(block).await?;
            let links = self.frontier.admit(vetted);
            self.look_in_store(links).await?;
        }
        Ok(())
    }

    /// Asks the best source for the whole DAG. Only the DAG's own faults and the store's are errors here.
    async fn try_car(&mut self) -> Result<(), FetchError> {
        let Some(index) = self.order.candidates().first().copied() else {
            return Ok(());
        };
        match self.fetcher.get_car(index, &mut self.frontier).await {
            Ok(Ok(_)) => {}
            Ok(Err(CarError::Store(error))) => return Err(error.into()),
            // Blocks that nothing links are the source's fault, every other violation is the DAG's.
            Ok(Err(CarError::Dag(violation)))
                if !matches!(violation, DagViolation::Unexpected { .. }) =>
            {
                return Err(violation.into());
            }
            Ok(Err(error)) => self.source_failed(index, SourceError::of_car(error)),
            Err(error) => self.source_failed(index, error),
        }
        // Whatever it brought is in the frontier; what is left goes the other way.
        let missing = self.frontier.missing();
        self.absent.clear();
        self.scheduled.retain(|cid| self.frontier.has_seen(cid));
        self.look_in_store(missing).await
    }

    fn source_failed(&self, index: usize, error: SourceError) {
        let failure = self.fetcher.failure(index, error);
        self.order.failed(index, &failure);
    }

    async fn fetch_absent(&mut self) -> Result<(), FetchError> {
        let fetcher = self.fetcher;
        let parallel = fetcher.options.parallel_blocks.max(1);
        let order = self.order.clone();
        let order = &order;
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < parallel
                && let Some(cid) = self.absent.pop_front()
            {
                under_way.push(fetcher.fetch_from_sources(cid, order));
            }
            let Some(outcome) = under_way.next().await else {
                return Ok(());
            };
            self.keep(&outcome?).await?;
        }
    }
}

/// A TLS client for tests of requests that are not sent.
#[cfg(test)]
pub(crate) fn tls_for_tests() -> rustls::ClientConfig {
    #[allow(clippy::unwrap_used, reason = "a test's set-up")]
    tls::client_config(tls::roots()).unwrap()
}
