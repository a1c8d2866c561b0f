//! Gathers what an audit needs (blocks, headers, this node's own view of the round) and runs it.
//!
//! Two kinds of "no" are kept apart. A bundle that is wrong, or that its submitter does not serve, gets a verdict. A
//! question this node cannot answer because its own disk, Bitcoin node or network is down gets none
//! ([`AuditUnavailable`]): voting against an honest node for one's own trouble would cost that node's miners a round.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bitcoin::BlockHash;
use bytes::Bytes;
use chain::BitcoinNode;
use cid::Cid;
use content::fetch::SourceError;
use content::{DagLimits, FetchError, Fetcher};
use store::ShareStore;
use tokio::sync::Mutex;
use work::{K2Address, RoundNumber, UnixTime};

use crate::audit::{AuditSummary, Expectation, RoundWindow, Submitted, audit, check_head};
use crate::audit_failure::AuditFailure;
use crate::bundle::Bundle;
use crate::bundle_root::{BundleHead, BundleRoot, MAX_BUNDLE_BLOCKS, MAX_BUNDLE_BYTES};
use crate::facts::{AllowedBits, ChainFacts, HeaderFact, HeightRange};
use crate::rules::PoolRules;
use crate::seen::SeenInRound;

/// Rounds whose shares are remembered; Koii audits a round within the next few.
const REMEMBERED_ROUNDS: usize = 8;

/// A submission to be audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission {
    /// The round.
    pub round: RoundNumber,
    /// The node that submitted it.
    pub node: K2Address,
    /// What it submitted.
    pub submitted: Submitted,
}

/// Why this node cannot judge now. Ask again later, or another node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditUnavailable {
    /// The Bitcoin node.
    #[error(transparent)]
    Bitcoin(#[from] chain::NodeError),
    /// The share store.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The block store, or the HTTP client.
    #[error(transparent)]
    Content(Box<FetchError>),
    /// No source could be reached at all: that says more about this node's network than about the bundle.
    #[error(
        "none of the sources for bundles can be reached ({0}): check this node's network and its list of sources"
    )]
    NoSource(String),
    /// The memory for shares of one round is used up.
    #[error("{0}")]
    SeenFull(AuditFailure),
    /// Work was cut off because the process is ending.
    #[error("the audit was cut off; ask again")]
    CutOff,
}

/// What came of an audit.
pub type AuditVerdict = Result<AuditSummary, AuditFailure>;

/// Audits submissions.
#[derive(Clone)]
pub struct Auditor {
    rules: Arc<PoolRules>,
    fetcher: Fetcher,
    bitcoin: Arc<dyn BitcoinNode>,
    store: Arc<dyn ShareStore>,
    seen: Arc<Mutex<BTreeMap<RoundNumber, SeenInRound>>>,
    seen_capacity: usize,
}

impl Auditor {
    /// An auditor that remembers at most `seen_capacity` shares a round.
    #[must_use]
    pub fn new(
        rules: Arc<PoolRules>,
        fetcher: Fetcher,
        bitcoin: Arc<dyn BitcoinNode>,
        store: Arc<dyn ShareStore>,
        seen_capacity: usize,
    ) -> Self {
        Self {
            rules,
            fetcher,
            bitcoin,
            store,
            seen: Arc::default(),
            seen_capacity,
        }
    }

    /// Audits a submission; `now` is the wall clock.
    ///
    /// # Errors
    /// [`AuditUnavailable`] when there can be no verdict.
    pub async fn audit(
        &self,
        submission: &Submission,
        now: UnixTime,
    ) -> Result<AuditVerdict, AuditUnavailable> {
        match self.judge(submission, now).await {
            Ok(summary) => Ok(Ok(summary)),
            Err(Stop::Verdict(failure)) if failure.is_own_trouble() => {
                Err(AuditUnavailable::SeenFull(failure))
            }
            Err(Stop::Verdict(failure)) => Ok(Err(failure)),
            Err(Stop::Unavailable(trouble)) => Err(trouble),
        }
    }

    /// Reads a bundle that was accepted, fetching what is not here.
    ///
    /// # Errors
    /// As [`Self::audit`]; the inner error says why it is no bundle or that nobody serves it.
    pub async fn read(&self, cid: &Cid) -> Result<Result<Bundle, AuditFailure>, AuditUnavailable> {
        match self.fetch(*cid).await {
            Ok(bundle) => Ok(Ok(bundle)),
            Err(Stop::Verdict(failure)) => Ok(Err(failure)),
            Err(Stop::Unavailable(trouble)) => Err(trouble),
        }
    }

    async fn judge(&self, submission: &Submission, now: UnixTime) -> Result<AuditSummary, Stop> {
        let cid = submission.submitted.cid;
        let root = self.fetcher.fetch_block(&cid).await?;
        let root = BundleRoot::decode(root.bytes()).map_err(AuditFailure::from)?;
        let window = self.window(submission.round, now).await?;
        // Before megabytes are fetched for it.
        check_head(root.head(), &expectation(&self.rules, submission, window))?;

        let bundle = self.fetch(cid).await?;
        let facts = self.facts(&bundle).await?;
        let (rules, submission) = (Arc::clone(&self.rules), *submission);
        let (seen, capacity) = (Arc::clone(&self.seen), self.seen_capacity);
        let verdict = tokio::task::spawn_blocking(move || {
            let mut rounds = seen.blocking_lock();
            let seen = rounds
                .entry(submission.round)
                .or_insert_with(|| SeenInRound::new(capacity));
            let verdict = audit(
                &bundle,
                &expectation(&rules, &submission, window),
                &facts,
                seen,
            );
            while rounds.len() > REMEMBERED_ROUNDS {
                rounds.pop_first();
            }
            verdict
        });
        Ok(verdict.await.map_err(|_| AuditUnavailable::CutOff)??)
    }

    /// Fetches a whole bundle and reads it.
    async fn fetch(&self, cid: Cid) -> Result<Bundle, Stop> {
        let limits = DagLimits {
            max_blocks: MAX_BUNDLE_BLOCKS,
            max_total_bytes: MAX_BUNDLE_BYTES as u64,
            max_depth: 1,
        };
        // The root's links are checked before they are followed, so that only a bundle's blocks are asked for.
        let root_block = self.fetcher.fetch_block(&cid).await?;
        let root = BundleRoot::decode(root_block.bytes()).map_err(AuditFailure::from)?;
        self.fetcher.fetch_dag(&cid, limits).await?;
        let mut blocks: HashMap<Cid, Bytes> = HashMap::new();
        for link in root.links() {
            if let Some(block) = self
                .fetcher
                .store()
                .get(link)
                .await
                .map_err(FetchError::from)?
            {
                blocks.insert(*link, block.into_bytes());
            }
        }
        let read = tokio::task::spawn_blocking(move || {
            Bundle::read(&cid, root_block.bytes(), |link| blocks.get(link).cloned())
        });
        Ok(read
            .await
            .map_err(|_| AuditUnavailable::CutOff)?
            .map_err(AuditFailure::from)?)
    }

    /// When the round began and ended here. Its beginning counts only if this node was already running: whoever joins
    /// in the middle of a round saw it begin later than everybody else.
    async fn window(&self, round: RoundNumber, now: UnixTime) -> Result<Option<RoundWindow>, Stop> {
        let record = self
            .store
            .round(round)
            .await
            .map_err(AuditUnavailable::from)?;
        let before = match round.previous() {
            Some(previous) => self
                .store
                .round(previous)
                .await
                .map_err(AuditUnavailable::from)?,
            None => None,
        };
        let opened_at = match (&record, before) {
            (Some(record), Some(_)) => record.opened.at,
            _ => UnixTime(0),
        };
        // Nobody can have closed a round in the future. That this node closed it earlier proves nothing about another
        // one that was asked later, beyond the tolerance of the rules.
        let closed_at = record.and_then(|record| record.state.closed().map(|closed| closed.at));
        Ok(Some(RoundWindow {
            opened_at,
            closed_at: Some(closed_at.map_or(now, |own| own.min(now))),
        }))
    }

    async fn facts(&self, bundle: &Bundle) -> Result<ChainFacts, Stop> {
        let head = bundle.root().head();
        let (opened, closed) = self.ranges(head).await?;
        let mut headers = HashMap::new();
        let previous = bundle.jobs().iter().map(|job| job.prev_hash());
        for hash in [head.opened.tip, head.closed.tip]
            .into_iter()
            .chain(previous)
        {
            if headers.contains_key(&hash) {
                continue;
            }
            // The audit stops at the first block that is unknown or out of range; more look-ups would only be work that
            // a forger can make others do.
            let Some(fact) = self.header(hash).await? else {
                break;
            };
            headers.insert(hash, fact);
            if !(opened.low..=closed.high).contains(&fact.height) {
                break;
            }
        }
        Ok(ChainFacts {
            opened,
            closed,
            headers,
        })
    }

    async fn ranges(&self, head: &BundleHead) -> Result<(HeightRange, HeightRange), Stop> {
        let grace = u64::from(self.rules.time_grace_seconds());
        let mut ranges = Vec::with_capacity(2);
        for at in [head.opened.at, head.closed.at] {
            let before = self.tip_at(at.minus(grace)).await?;
            let after = self.tip_at(at.plus(grace)).await?;
            ranges.push(HeightRange::around(before, after));
        }
        Ok((ranges[0], ranges[1]))
    }

    async fn tip_at(&self, at: UnixTime) -> Result<u32, Stop> {
        let time = u32::try_from(at.0).unwrap_or(u32::MAX);
        let height = chain::headers::tip_height_at(&*self.bitcoin, time)
            .await
            .map_err(AuditUnavailable::from)?;
        Ok(height.unwrap_or(0))
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<HeaderFact>, Stop> {
        let mut facts = chain::headers::header_facts(&*self.bitcoin, &[hash])
            .await
            .map_err(AuditUnavailable::from)?;
        Ok(facts.remove(&hash).map(|fact| HeaderFact {
            height: fact.height,
            min_child_time: fact.median_time_past.saturating_add(1),
            child_bits: AllowedBits {
                regular: fact.child_bits.regular.to_consensus(),
                late: fact.child_bits.late.map(|bits| bits.to_consensus()),
            },
        }))
    }
}

impl std::fmt::Debug for Auditor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auditor")
            .field("rules", &self.rules.digest())
            .finish_non_exhaustive()
    }
}

fn expectation<'a>(
    rules: &'a PoolRules,
    submission: &Submission,
    window: Option<RoundWindow>,
) -> Expectation<'a> {
    Expectation {
        rules,
        round: submission.round,
        node: submission.node,
        submitted: submission.submitted,
        window,
    }
}

/// Why an audit ends early.
enum Stop {
    Verdict(AuditFailure),
    Unavailable(AuditUnavailable),
}

impl From<AuditFailure> for Stop {
    fn from(failure: AuditFailure) -> Self {
        Self::Verdict(failure)
    }
}

impl From<AuditUnavailable> for Stop {
    fn from(trouble: AuditUnavailable) -> Self {
        Self::Unavailable(trouble)
    }
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Unavailable { ref failures, .. } => {
                let unreachable = |error: &SourceError| {
                    matches!(
                        error,
                        SourceError::Unreachable(_) | SourceError::Timeout(_) | SourceError::Idle
                    )
                };
                if failures.iter().all(|failure| unreachable(&failure.error)) {
                    Self::Unavailable(AuditUnavailable::NoSource(error.to_string()))
                } else {
                    Self::Verdict(AuditFailure::Unavailable(error.to_string()))
                }
            }
            FetchError::Invalid(violation) => {
                Self::Verdict(AuditFailure::Content(Box::new(violation)))
            }
            trouble => Self::Unavailable(AuditUnavailable::Content(Box::new(trouble))),
        }
    }
}
