//! [`ChainSource`]: what a node with a `bitcoind` of its own gives to nodes without.
//!
//! Strangers ask, so nothing they do may load the `bitcoind`: tip, headers and template are answered from memory, which one
//! task fills as the chain grows. The two questions that do reach the node, a header off the chain and a found block, are
//! asked one at a time, and a block only after its header has shown the proof of work that this very chain demands.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use bitcoin::{
    Block, BlockHash, CompactTarget, block::Header, consensus, consensus::Params,
    hex::DisplayHex as _,
};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{HEADER_BYTES, MAX_HEADERS, MAX_TIP_WAIT_SECONDS, SubmitMessage, TipMessage, offer};
use crate::{
    error::NodeError,
    feed::{TemplateFeed, TemplateUpdate},
    node::{BitcoinNode, SubmitOutcome},
};

/// Headers below the tip that are read at the start; older ones when somebody asks.
const FIRST_HEADERS: u32 = 144;
/// Older headers read in one go: a new tip waits for no more than these.
const READ_AT_ONCE: u32 = 200;
/// Headers kept: about five years, 34 MB. Who needs older ones has too old a checkpoint.
const MOST_HEADERS: usize = 262_144;
/// Callers that may wait for a new tip at once; more are answered without a wait.
const MOST_WAITING: usize = 256;
/// Look-ups of headers off the chain at once, and how long one waits for its turn.
const LOOK_UPS: usize = 1;
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(2);
/// Found blocks in hand at once.
const SUBMISSIONS: usize = 2;
/// Blocks remembered as taken.
const REMEMBERED: usize = 64;
/// A found block may build on the tip or on a block this far below.
const SUBMIT_DEPTH: usize = 6;
/// A failed read of headers is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// A template as bytes that are shared between answers.
#[derive(Debug, Clone)]
pub struct TemplateBytes {
    /// Changes with the bytes; in double quotes as HTTP wants it.
    pub etag: String,
    /// JSON.
    pub json: Arc<[u8]>,
}

/// An answer to a question for headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadersAnswer {
    /// Headers of the active chain, 80 bytes each; none above the tip.
    Headers(Vec<u8>),
    /// Not read from the node yet: ask again in a moment.
    Later,
    /// Below what this node gives.
    TooOld {
        /// The lowest height it gives.
        lowest: u32,
    },
}

/// Why a header could not be looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookUpError {
    /// Too many questions at once.
    #[error("too many look-ups at once: ask again")]
    Busy,
    /// The node did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Why a block goes no further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockRefusal {
    /// Not a block.
    #[error("not a block: {0}")]
    Malformed(String),
    /// Too many blocks at once.
    #[error("too many blocks at once: send it again")]
    Busy,
    /// The node did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
}

#[derive(Debug)]
struct Snapshot {
    tip: TipMessage,
    bits: CompactTarget,
    update: TemplateUpdate,
    json: OnceLock<Result<TemplateBytes, String>>,
}

/// The active chain's newest headers, without a gap.
#[derive(Debug, Default)]
struct Headers {
    base: u32,
    list: VecDeque<(BlockHash, Header)>,
}

impl Headers {
    fn position(&self, hash: &BlockHash) -> Option<usize> {
        // What is asked about is near the tip.
        self.list.iter().rposition(|(known, _)| known == hash)
    }
}

/// The serving side.
#[derive(Debug)]
pub struct ChainSource {
    node: Arc<dyn BitcoinNode>,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    headers: RwLock<Headers>,
    /// The lowest height somebody asked for.
    wanted: Mutex<Option<u32>>,
    want: Notify,
    waiting: Semaphore,
    look_ups: Semaphore,
    submissions: Semaphore,
    taken: Mutex<VecDeque<BlockHash>>,
}

impl ChainSource {
    /// Serves what `templates` publishes and `node` knows, until `cancel`.
    pub fn spawn(
        node: Arc<dyn BitcoinNode>,
        templates: TemplateFeed,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        let source = Arc::new(Self {
            node,
            snapshot: watch::Sender::new(None),
            headers: RwLock::default(),
            wanted: Mutex::new(None),
            want: Notify::new(),
            waiting: Semaphore::new(MOST_WAITING),
            look_ups: Semaphore::new(LOOK_UPS),
            submissions: Semaphore::new(SUBMISSIONS),
            taken: Mutex::default(),
        });
        let this = Arc::clone(&source);
        tokio::spawn(async move {
            let _ = cancel.run_until_cancelled(this.run(templates)).await;
        });
        source
    }

    async fn run(&self, mut templates: TemplateFeed) {
        loop {
            tokio::select! {
                update = templates.next() => match update {
                    Some(update) => self.publish(update).await,
                    None => return,
                },
                () = self.want.notified() => {
                    let wanted = lock(&self.wanted).take();
                    if let Some(wanted) = wanted
                        && let Err(error) = self.read_down(wanted).await
                    {
                        tracing::debug!(%error, "headers for peers could not be read");
                    }
                }
            }
        }
    }

    /// Headers first: a tip that is announced can be asked about.
    async fn publish(&self, update: TemplateUpdate) {
        let hash = update.template.prev_hash();
        let height = update.template.height().saturating_sub(1);
        for _ in 0..3 {
            match self.follow(hash, height).await {
                Ok(()) => {
                    self.snapshot.send_replace(Some(Arc::new(Snapshot {
                        tip: TipMessage {
                            network: self.node.network().to_core_arg().to_owned(),
                            height,
                            hash,
                        },
                        bits: CompactTarget::from_consensus(update.template.nbits().to_consensus()),
                        update,
                        json: OnceLock::new(),
                    })));
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "headers for peers could not be read");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Makes the kept headers lead to `tip`: down from it to one that is kept.
    async fn follow(&self, tip: BlockHash, height: u32) -> Result<(), NodeError> {
        let mut new = Vec::new();
        let mut hash = tip;
        let mut at = height;
        let keep = loop {
            let position = read(&self.headers).position(&hash);
            if let Some(position) = position {
                break position + 1;
            }
            let known = self.header_of(hash).await?;
            new.push((hash, known));
            if at == 0 || new.len() >= FIRST_HEADERS as usize {
                break 0;
            }
            hash = known.prev_blockhash;
            at -= 1;
        };
        let mut headers = write(&self.headers);
        headers.list.truncate(keep);
        if keep == 0 {
            headers.base = at;
        }
        headers.list.extend(new.into_iter().rev());
        while headers.list.len() > MOST_HEADERS {
            headers.list.pop_front();
            headers.base += 1;
        }
        Ok(())
    }

    /// Reads older headers, some at a time.
    async fn read_down(&self, wanted: u32) -> Result<(), NodeError> {
        for _ in 0..READ_AT_ONCE {
            let (base, lowest) = {
                let headers = read(&self.headers);
                if headers.list.len() >= MOST_HEADERS {
                    return Ok(());
                }
                (
                    headers.base,
                    headers.list.front().map(|(_, header)| *header),
                )
            };
            let Some(lowest) = lowest.filter(|_| base > wanted) else {
                return Ok(());
            };
            let hash = lowest.prev_blockhash;
            let header = self.header_of(hash).await?;
            let mut headers = write(&self.headers);
            headers.list.push_front((hash, header));
            headers.base = base - 1;
        }
        // The rest in turns.
        self.ask_for(wanted);
        Ok(())
    }

    async fn header_of(&self, hash: BlockHash) -> Result<Header, NodeError> {
        let known = self.node.header(hash).await?;
        known
            .map(|known| known.header)
            .ok_or_else(|| NodeError::UnknownBlock {
                node: self.node.name().into(),
                hash,
            })
    }

    fn ask_for(&self, wanted: u32) {
        let mut lowest = lock(&self.wanted);
        *lowest = Some(lowest.map_or(wanted, |lowest| lowest.min(wanted)));
        drop(lowest);
        self.want.notify_one();
    }

    /// The tip; `None` before the first template.
    #[must_use]
    pub fn tip(&self) -> Option<TipMessage> {
        self.snapshot.borrow().as_ref().map(|s| s.tip.clone())
    }

    /// As [`Self::tip`], but while it is `known` the answer waits, for [`MAX_TIP_WAIT_SECONDS`] at most.
    pub async fn tip_after(&self, known: BlockHash, wait: Duration) -> Option<TipMessage> {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return self.tip();
        };
        let mut snapshots = self.snapshot.subscribe();
        let news = snapshots.wait_for(|now| now.as_ref().is_some_and(|now| now.tip.hash != known));
        let wait = wait.min(Duration::from_secs(MAX_TIP_WAIT_SECONDS));
        let _ = tokio::time::timeout(wait, news).await;
        self.tip()
    }

    /// The template of the tip. `None` before the first; `Err` says what the node lacks for it.
    pub fn template(&self) -> Option<Result<TemplateBytes, String>> {
        let snapshot = self.snapshot.borrow().clone()?;
        // Written once for all who ask, and not at all where nobody does.
        let json = snapshot.json.get_or_init(|| {
            let costs = snapshot.update.costs.as_deref().unwrap_or_default();
            let json = offer::encode(&snapshot.update.template, costs)?;
            let digest = <bitcoin::hashes::sha256::Hash as bitcoin::hashes::Hash>::hash(&json);
            let digest: &[u8] = digest.as_ref();
            Ok(TemplateBytes {
                etag: format!("\"{}\"", digest.to_lower_hex_string()),
                json: json.into(),
            })
        });
        Some(json.clone())
    }

    /// Headers of the active chain from a height on, at most `count` and [`MAX_HEADERS`].
    pub fn headers(&self, from: u32, count: u32) -> HeadersAnswer {
        let headers = read(&self.headers);
        if headers.list.is_empty() {
            return HeadersAnswer::Later;
        }
        let Some(skip) = from.checked_sub(headers.base) else {
            if headers.list.len() >= MOST_HEADERS {
                return HeadersAnswer::TooOld {
                    lowest: headers.base,
                };
            }
            drop(headers);
            self.ask_for(from);
            return HeadersAnswer::Later;
        };
        let chosen = headers.list.iter().skip(skip as usize);
        let mut bytes = Vec::new();
        for (_, header) in chosen.take(count.min(MAX_HEADERS) as usize) {
            bytes.extend_from_slice(&consensus::serialize(header));
        }
        HeadersAnswer::Headers(bytes)
    }

    /// A header by its hash, also of a block that lost. `None`: the node does not know it.
    ///
    /// # Errors
    /// [`LookUpError`]; asking again later may work.
    pub async fn header(&self, hash: BlockHash) -> Result<Option<[u8; HEADER_BYTES]>, LookUpError> {
        let known = {
            let headers = read(&self.headers);
            headers
                .position(&hash)
                .and_then(|at| headers.list.get(at).map(|(_, header)| *header))
        };
        let header = match known {
            Some(header) => Some(header),
            None => {
                let turn = tokio::time::timeout(LOOK_UP_PATIENCE, self.look_ups.acquire()).await;
                let Ok(Ok(_turn)) = turn else {
                    return Err(LookUpError::Busy);
                };
                self.node.header(hash).await?.map(|known| known.header)
            }
        };
        Ok(header.and_then(|header| consensus::serialize(&header).try_into().ok()))
    }

    /// Judges a block by its first 80 bytes, before the rest is even read. `Ok(None)`: let it come.
    ///
    /// # Errors
    /// It cannot be a block this node would want.
    pub fn judge_header(
        &self,
        bytes: &[u8; HEADER_BYTES],
    ) -> Result<Option<SubmitMessage>, BlockRefusal> {
        let malformed = |reason: &str| BlockRefusal::Malformed(reason.to_owned());
        let header: Header =
            consensus::deserialize(bytes).map_err(|error| malformed(&error.to_string()))?;
        let hash = header.block_hash();
        let said = |reason: &str| {
            Ok(Some(SubmitMessage {
                outcome: Some(reason.to_owned()),
            }))
        };
        if lock(&self.taken).contains(&hash) {
            return said("duplicate");
        }
        let headers = read(&self.headers);
        if headers.position(&hash).is_some() {
            return said("duplicate");
        }
        let recent = headers.list.len().saturating_sub(SUBMIT_DEPTH + 1);
        let mut candidates = headers.list.range(recent..);
        if !candidates.any(|(known, _)| *known == header.prev_blockhash) {
            // bitcoind's word for it, which keeps the finder offering.
            return said("prev-blk-not-found");
        }
        let position = headers.position(&header.prev_blockhash);
        let sibling = position.and_then(|at| headers.list.get(at + 1));
        let tip_bits = self.snapshot.borrow().as_ref().map(|now| now.bits);
        // Children of one parent carry the same target.
        let Some(bits) = sibling.map(|(_, header)| header.bits).or(tip_bits) else {
            return said("prev-blk-not-found");
        };
        let params = Params::new(self.node.network());
        let late = params.allow_min_difficulty_blocks
            && header.bits == params.max_attainable_target.to_compact_lossy();
        if header.bits != bits && !late {
            return said("bad-diffbits");
        }
        if header.validate_pow(header.target()).is_err() {
            return said("high-hash");
        }
        Ok(None)
    }

    /// Hands a block, whose header passed [`Self::judge_header`], to the node.
    ///
    /// # Errors
    /// [`BlockRefusal`]; what the node itself says of it is an answer, not an error.
    pub async fn submit(&self, bytes: &[u8]) -> Result<SubmitMessage, BlockRefusal> {
        let head = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| BlockRefusal::Malformed("shorter than a header".into()))?;
        let Ok(_turn) = self.submissions.try_acquire() else {
            return Err(BlockRefusal::Busy);
        };
        if let Some(said) = self.judge_header(head)? {
            return Ok(said);
        }
        let block: Block = consensus::deserialize(bytes)
            .map_err(|error| BlockRefusal::Malformed(error.to_string()))?;
        // A header that others found can be sent with any rubbish behind it.
        if !block.check_merkle_root() || !block.check_witness_commitment() {
            return Err(BlockRefusal::Malformed(
                "its transactions are not those its header commits to".into(),
            ));
        }
        let hash = block.block_hash();
        let outcome = self.node.submit_block(&block).await?;
        tracing::info!(%hash, ?outcome, "a peer handed over a block");
        // Only what is in good hands is remembered: a refusal must not outlive its reason.
        if outcome.is_in_good_hands() {
            let mut taken = lock(&self.taken);
            taken.push_back(hash);
            if taken.len() > REMEMBERED {
                taken.pop_front();
            }
        }
        Ok(SubmitMessage {
            outcome: match outcome {
                SubmitOutcome::Accepted => None,
                SubmitOutcome::Duplicate => Some("duplicate".into()),
                SubmitOutcome::Inconclusive => Some("inconclusive".into()),
                SubmitOutcome::Rejected(reason) => Some(reason),
            },
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
