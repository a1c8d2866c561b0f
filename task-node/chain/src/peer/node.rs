//! [`PeersNode`]: several peers as one [`BitcoinNode`].

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bitcoin::{Block, BlockHash, Network};
use futures::future::join_all;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use work::{BlockTemplate, Clock};

use super::{
    agreement::{Agreed, NextBlock, agree},
    checkpoint::Checkpoint,
    client::{PeerClient, PeerTimeouts},
    delivery::{Deliveries, deliver},
    follow,
    header_chain::HeaderChain,
    offer::Offer,
    witness::{Testimony, Witness},
};
use crate::{
    error::NodeError,
    node::{
        BitcoinNode, ChainInfo, HeaderInfo, LongPollId, NodeTemplate, SubmitOutcome,
        ZmqNotification,
    },
};

/// More peers than this say nothing new, and each may send megabytes.
const MAX_PEERS: usize = 16;

/// On a new tip, how long an empty block's template is held back for the peers' own.
const OFFERS_PATIENCE: Duration = Duration::from_secs(2);

/// Without a word from any peer for so long, the tip is not known any more.
const DEAF_AFTER: Duration = Duration::from_secs(45);

/// What a witness has more may be news that is on its way here. After so long it is none.
const NEWS_PATIENCE: Duration = Duration::from_secs(60);

/// How long a long poll lasts on a quiet chain.
const LONG_POLL: Duration = Duration::from_secs(120);

/// Offers of several peers come together: wait for the others of a change.
const SETTLE: Duration = Duration::from_millis(300);

/// How to reach peers, and what of them is believed.
#[derive(Debug, Clone)]
pub struct PeersOptions {
    /// Base URLs of other operators' nodes, none twice.
    pub urls: Vec<String>,
    /// How many must say the same of a transaction, or have a block.
    pub quorum: usize,
    /// The chain.
    pub network: Network,
    /// Where the header chain begins.
    pub checkpoint: Checkpoint,
    /// How long a peer may take.
    pub timeouts: PeerTimeouts,
}

/// One peer's state, for `/healthz` and `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its base URL.
    pub name: String,
    /// Its tip, by its own word.
    pub tip: Option<(u32, BlockHash)>,
    /// Blocks its tip is behind ours; `None` before its first answer, or where its tip is not on our chain.
    pub behind: Option<u32>,
    /// It gives a template for our tip.
    pub offers: bool,
    /// The last failure, until it answers again.
    pub failure: Option<String>,
    /// It was caught with something no honest peer says, and is left alone for now.
    pub set_aside: bool,
}

pub(super) struct Peer {
    pub(super) name: Arc<str>,
    pub(super) client: PeerClient,
}

/// What was heard of one peer.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) tip: Option<(u32, BlockHash)>,
    pub(super) offer: Option<Arc<Offer>>,
    pub(super) etag: Option<String>,
    pub(super) failure: Option<String>,
    pub(super) set_aside: bool,
    /// Its first turn is over, well or not.
    pub(super) tried: bool,
    pub(super) answered: Option<Instant>,
}

pub(super) struct State {
    pub(super) chain: Option<HeaderChain>,
    pub(super) heard: Vec<Heard>,
    pub(super) tip_since: Instant,
    /// Another record of the chain, and when it was heard.
    witness: Option<(Witness, Instant)>,
    /// Since when the witness has had more work, without a break.
    outweighed_since: Option<Instant>,
}

impl State {
    /// Whether the chain is what the peers have now.
    fn is_present(&self, now: Instant) -> bool {
        let heard = self.heard.iter().any(|heard| {
            heard
                .answered
                .is_some_and(|at| now.saturating_duration_since(at) < DEAF_AFTER)
        });
        // One peer alone, and be it the quickest, does not say what the tip is while the others were not asked.
        heard && self.heard.iter().all(|heard| heard.tried)
    }

    /// To be called whenever chain or witness changed.
    pub(super) fn weigh(&mut self, now: Instant) {
        let against = self.testimony().is_some_and(|t| t.is_against_peers());
        self.outweighed_since = match against {
            true => Some(self.outweighed_since.unwrap_or(now)),
            false => None,
        };
    }

    fn testimony(&self) -> Option<Testimony> {
        let (witness, _) = self.witness.as_ref()?;
        Some(witness.testify(self.chain.as_ref()?))
    }

    /// The testimony by which this chain is not to be mined on.
    fn outweighed(&self, now: Instant) -> Option<Testimony> {
        let since = self.outweighed_since?;
        let testimony = self.testimony().filter(Testimony::is_against_peers)?;
        let may_be_news =
            testimony.may_be_news() && now.saturating_duration_since(since) < NEWS_PATIENCE;
        (!may_be_news).then_some(testimony)
    }
}

/// Several peers as one node.
pub struct PeersNode {
    name: Arc<str>,
    pub(super) options: PeersOptions,
    pub(super) peers: Vec<Peer>,
    pub(super) clock: Arc<dyn Clock>,
    state: Mutex<State>,
    pub(super) deliveries: Deliveries,
    /// Counts changes of what [`Self::block_template`] would answer.
    generation: watch::Sender<u64>,
}

impl fmt::Debug for PeersNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeersNode")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PeersNode {
    /// Prepares the clients; nothing is sent before [`Self::spawn`].
    ///
    /// # Errors
    /// No peer, too many, one twice, an address that is none, or a quorum that cannot be met.
    pub fn new(options: PeersOptions, clock: Arc<dyn Clock>) -> Result<Self, NodeError> {
        let config = |node: &str, reason: String| NodeError::Config {
            node: node.into(),
            reason,
        };
        if options.urls.is_empty() || options.urls.len() > MAX_PEERS {
            return Err(config(
                "peers",
                format!("bitcoin.peers must name 1 to {MAX_PEERS} other nodes"),
            ));
        }
        if options.quorum == 0 || options.quorum > options.urls.len() {
            return Err(config(
                "peers",
                format!(
                    "bitcoin.peer_quorum must be 1 to {}, the number of bitcoin.peers",
                    options.urls.len()
                ),
            ));
        }
        let mut names = HashSet::new();
        let mut peers = Vec::new();
        for (index, url) in options.urls.iter().enumerate() {
            let name = url.trim_end_matches('/');
            // Not by its URL: one that is wrong may hold a password.
            let wrong = |reason| config(&format!("peers[{index}]"), reason);
            let client = PeerClient::new(url, options.timeouts).map_err(wrong)?;
            if !names.insert(name) {
                return Err(wrong("this peer is named before".into()));
            }
            peers.push(Peer {
                name: name.into(),
                client,
            });
        }
        let genesis = options.checkpoint == Checkpoint::genesis(options.network);
        let state = State {
            chain: genesis.then(|| HeaderChain::genesis(options.network)),
            heard: peers.iter().map(|_| Heard::default()).collect(),
            tip_since: Instant::now(),
            witness: None,
            outweighed_since: None,
        };
        Ok(Self {
            name: format!("{} peers", peers.len()).into(),
            options,
            peers,
            clock,
            state: Mutex::new(state),
            deliveries: Deliveries::default(),
            generation: watch::Sender::new(0),
        })
    }

    /// Follows every peer until `cancel`.
    pub fn spawn(self: &Arc<Self>, cancel: &CancellationToken) {
        for index in 0..self.peers.len() {
            let this = Arc::clone(self);
            let cancel = cancel.clone();
            tokio::spawn(async move {
                let _ = cancel
                    .run_until_cancelled(follow::forever(&this, index))
                    .await;
            });
        }
    }

    /// Asks every peer once, for whoever does not [`Self::spawn`].
    pub async fn refresh(&self) {
        join_all((0..self.peers.len()).map(|index| follow::once(self, index))).await;
    }

    /// How many of how many peers must agree.
    #[must_use]
    pub fn quorum(&self) -> (usize, usize) {
        (self.options.quorum, self.peers.len())
    }

    /// Every peer's state, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<PeerStatus> {
        let state = self.state();
        let tip = state.chain.as_ref().and_then(HeaderChain::tip);
        self.peers
            .iter()
            .zip(&state.heard)
            .map(|(peer, heard)| PeerStatus {
                name: peer.name.to_string(),
                tip: heard.tip,
                behind: heard.tip.and_then(|(_, hash)| {
                    let known = state.chain.as_ref()?.header(&hash)?;
                    let ours = tip.as_ref()?;
                    known
                        .is_active()
                        .then(|| ours.height.saturating_sub(known.height))
                }),
                offers: match (&heard.offer, &tip) {
                    (Some(offer), Some(tip)) => offer.prev_hash == tip.hash,
                    _ => false,
                },
                failure: heard.failure.clone(),
                set_aside: heard.set_aside,
            })
            .collect()
    }

    /// Holds the peers' chain against another record of it, until there is a newer one. Where that has more work, this node
    /// answers nothing but [`NodeError::Outweighed`]: at once where it is about more than two blocks, after a minute
    /// otherwise.
    pub fn hear(&self, witness: Witness) {
        let mut state = self.state();
        let now = Instant::now();
        state.witness = Some((witness, now));
        state.weigh(now);
    }

    /// What the witness says of the chain as it is now, and how long ago it was heard itself. `None`: there is no witness, or
    /// the peers have yet to tell where they stand.
    #[must_use]
    pub fn testimony(&self) -> Option<(Testimony, Duration)> {
        let state = self.state();
        let now = Instant::now();
        let (_, heard) = state.witness.as_ref().filter(|_| state.is_present(now))?;
        Some((state.testimony()?, now.saturating_duration_since(*heard)))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A template made now may differ from the last one.
    pub(super) fn changed(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Reads the chain, once it is the present one.
    fn with_chain<T>(
        &self,
        method: &'static str,
        read: impl FnOnce(&HeaderChain) -> Option<T>,
    ) -> Result<T, NodeError> {
        let state = self.state();
        let now = Instant::now();
        match &state.chain {
            Some(chain) if state.is_present(now) => {
                if let Some(testimony) = state.outweighed(now) {
                    return Err(NodeError::Outweighed {
                        node: self.name.to_string(),
                        reason: testimony.to_string(),
                    });
                }
                read(chain).ok_or_else(|| NodeError::ChainMoved {
                    node: self.name.to_string(),
                })
            }
            _ => Err(self.no_answer(method, &state)),
        }
    }

    fn no_answer(&self, method: &'static str, state: &State) -> NodeError {
        let failures: Vec<NodeError> = self
            .peers
            .iter()
            .zip(&state.heard)
            .filter_map(|(peer, heard)| {
                Some(NodeError::Peer {
                    node: peer.name.to_string(),
                    reason: heard.failure.clone()?,
                })
            })
            .collect();
        if failures.is_empty() {
            NodeError::Unsupported {
                node: self.name.to_string(),
                method,
                reason: "the peers' headers are still being read; ask again".into(),
            }
        } else {
            NodeError::AllFailed { method, failures }
        }
    }

    fn next_block(&self, method: &'static str) -> Result<NextBlock, NodeError> {
        let now = u32::try_from(self.clock.now().0).unwrap_or(u32::MAX);
        self.with_chain(method, |chain| {
            let tip = chain.tip()?;
            let cur_time = now.max(chain.next_min_time());
            Some(NextBlock {
                network: chain.network(),
                height: tip.height.checked_add(1)?,
                prev_hash: tip.hash,
                bits: chain.next_bits()?.at(tip.time(), cur_time),
                min_time: chain.next_min_time(),
                cur_time,
            })
        })
    }

    fn agree(&self) -> Result<(Agreed, NextBlock), NodeError> {
        let next = self.next_block("getblocktemplate")?;
        let offers: Vec<Arc<Offer>> = {
            let state = self.state();
            let offers = state.heard.iter().filter(|heard| !heard.set_aside);
            offers.filter_map(|heard| heard.offer.clone()).collect()
        };
        let offers: Vec<&Offer> = offers.iter().map(Arc::as_ref).collect();
        Ok((agree(&offers, self.options.quorum, &next), next))
    }

    /// Whether more offers for the present tip are worth waiting for.
    fn may_get_more(&self, agreed: &Agreed) -> bool {
        let state = self.state();
        let willing = state.heard.iter().filter(|heard| heard.failure.is_none());
        agreed.offers < self.options.quorum
            && willing.count() > agreed.offers
            && state.tip_since.elapsed() < OFFERS_PATIENCE
    }

    /// A header that no peer mentioned yet: a block that lost, which a job may have been built on.
    async fn ask_for_header(&self, hash: BlockHash) -> Result<Option<HeaderInfo>, NodeError> {
        let answers = join_all(self.peers.iter().map(|peer| peer.client.header(hash))).await;
        let mut failures = Vec::new();
        for (peer, answer) in self.peers.iter().zip(answers) {
            match answer {
                Ok(Some(header)) => {
                    let now = self.clock.now().0;
                    let mut state = self.state();
                    if let Some(chain) = &mut state.chain {
                        let taken = chain.accept(header, now);
                        let known = chain.header(&hash);
                        state.weigh(Instant::now());
                        if let Some(info) = known {
                            return Ok(Some(info));
                        }
                        tracing::debug!(peer = %peer.name, %hash, ?taken, "a header that does not belong here");
                    }
                }
                Ok(None) => {}
                Err(failure) => failures.push(NodeError::Peer {
                    node: peer.name.to_string(),
                    reason: failure.to_string(),
                }),
            }
        }
        // A block that nobody knows is an answer; that nobody could be asked is none.
        if failures.len() == self.peers.len() {
            return Err(NodeError::AllFailed {
                method: "getblockheader",
                failures,
            });
        }
        Ok(None)
    }
}

#[async_trait]
impl BitcoinNode for PeersNode {
    fn name(&self) -> &str {
        &self.name
    }

    fn network(&self) -> Network {
        self.options.network
    }

    fn lowest_height(&self) -> u32 {
        let state = self.state();
        state.chain.as_ref().map_or_else(
            || self.options.checkpoint.height,
            HeaderChain::lowest_height,
        )
    }

    async fn block_template(&self) -> Result<NodeTemplate, NodeError> {
        let mut generation = self.generation.subscribe();
        let (agreed, _) = loop {
            generation.mark_unchanged();
            let (agreed, next) = self.agree()?;
            if !self.may_get_more(&agreed) {
                break (agreed, next);
            }
            let _ = tokio::time::timeout(SETTLE, generation.changed()).await;
        };
        let template =
            BlockTemplate::new(&agreed.parts, self.options.network).map_err(|source| {
                NodeError::Template {
                    node: self.name.to_string(),
                    source,
                }
            })?;
        let seen = *generation.borrow();
        Ok(NodeTemplate {
            template: Arc::new(template),
            long_poll: Some(LongPollId {
                node: Arc::clone(&self.name),
                id: seen.to_string(),
            }),
            node: Arc::clone(&self.name),
            // Hearsay is not passed on.
            costs: None,
        })
    }

    async fn wait_for_template(&self, id: &LongPollId) -> Result<Option<NodeTemplate>, NodeError> {
        let mut generation = self.generation.subscribe();
        let news = generation.wait_for(|generation| generation.to_string() != id.id);
        if tokio::time::timeout(LONG_POLL, news).await.is_err() {
            return Ok(None);
        }
        tokio::time::sleep(SETTLE).await;
        self.block_template().await.map(Some)
    }

    async fn submit_block(&self, block: &Block) -> Result<SubmitOutcome, NodeError> {
        deliver(self, block).await
    }

    async fn best_block_hash(&self) -> Result<BlockHash, NodeError> {
        self.with_chain("getbestblockhash", |chain| chain.tip().map(|tip| tip.hash))
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<HeaderInfo>, NodeError> {
        match self.with_chain("getblockheader", |chain| Some(chain.header(&hash)))? {
            Some(known) => Ok(Some(known)),
            None => self.ask_for_header(hash).await,
        }
    }

    async fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, NodeError> {
        let lowest = self.lowest_height();
        if height < lowest {
            return Err(NodeError::BelowCheckpoint {
                node: self.name.to_string(),
                lowest,
            });
        }
        self.with_chain("getblockhash", |chain| Some(chain.hash_at(height)))
    }

    async fn block(&self, _: BlockHash) -> Result<Option<Block>, NodeError> {
        Err(NodeError::Unsupported {
            node: self.name.to_string(),
            method: "getblock",
            reason: "peers give headers and templates, no blocks; this needs a Bitcoin node (bitcoin.nodes)".into(),
        })
    }

    async fn chain_info(&self) -> Result<ChainInfo, NodeError> {
        let network = self.options.network;
        self.with_chain("getblockchaininfo", |chain| {
            let tip = chain.tip()?;
            Some(ChainInfo {
                network,
                height: tip.height,
                headers: tip.height,
                tip: tip.hash,
                chain_work: tip.chain_work,
                initial_block_download: false,
                verification_ppm: 1_000_000,
                difficulty: tip.header.difficulty_float().to_string(),
            })
        })
    }

    async fn zmq_notifications(&self) -> Result<Vec<ZmqNotification>, NodeError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
