//! Gathers what an audit needs (blocks, headers, this node's own view of the round) and runs it.
//!
//! Two kinds of "no" are kept apart. A bundle that is wrong, or that its submitter does not serve, gets a verdict. A
//! question this node cannot answer because its own disk, Bitcoin node or network is down gets none
//! ([`AuditUnavailable`]): voting against an honest node for one's own trouble would cost that node's miners a round.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use chain::BitcoinNode;
use cid::Cid;
use content::{Fetcher, NodeUrl};
use store::{RoundRecord, ShareStore};
use tokio::sync::Mutex;
use work::{K2Address, RoundNumber, UnixTime};

use crate::audit::{
    AuditSummary, Expectation, RoundWindow, Submitted, audit, audit_parts, check_head,
};
use crate::audit_failure::AuditFailure;
use crate::bundle::Bundle;
use crate::bundle_fetch::{fetch_parts, fetch_root, fetch_whole};
use crate::bundle_root::BundleHead;
use crate::facts::{AllowedBits, ChainFacts, HeaderFact, HeightRange};
use crate::rules::PoolRules;
use crate::sampling::chunks_to_open;
use crate::seen::SeenInRound;
use crate::unavailable::{AuditUnavailable, Stop};

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
    max_bundle_bytes: u64,
    serve_within: Duration,
}

/// How long a bundle may take to be served once its root is here. The sidecar gives up on `/audit` after 300 s, and then
/// there is no vote: whoever serves a lie drop by drop must not get away with it. 60 MB are 2.4 Mbit/s.
const SERVE_WITHIN: Duration = Duration::from_secs(200);

/// What of a bundle is opened.
#[derive(Debug, Clone, Copy)]
enum Opening {
    Whole,
    Sample { seed: [u8; 32], samples: NonZeroU32 },
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
            max_bundle_bytes: u64::MAX,
            serve_within: SERVE_WITHIN,
        }
    }

    /// How long a bundle may take to be served once its root is here, 200 seconds unless set.
    #[must_use]
    pub fn with_serve_within(mut self, limit: Duration) -> Self {
        self.serve_within = limit;
        self
    }

    /// Bundles whose root lets them have more than `limit` bytes are only audited by sample. Without it every bundle
    /// there can be is fetched whole ([`MAX_BUNDLE_BYTES`](crate::MAX_BUNDLE_BYTES)).
    #[must_use]
    pub fn with_max_bundle_bytes(mut self, limit: u64) -> Self {
        self.max_bundle_bytes = limit;
        self
    }

    /// The same auditor, which asks for blocks at `submitter` too: where the node that submitted says that it is. That can
    /// make a bundle available, and has no say in anything else.
    #[must_use]
    pub fn asking(&self, submitter: Option<&NodeUrl>) -> Self {
        Self {
            fetcher: self.fetcher.asking(submitter),
            ..self.clone()
        }
    }

    /// Audits a submission, every share of it; `now` is the wall clock.
    ///
    /// # Errors
    /// [`AuditUnavailable`] when there can be no verdict.
    pub async fn audit(
        &self,
        submission: &Submission,
        now: UnixTime,
    ) -> Result<AuditVerdict, AuditUnavailable> {
        verdict(self.judge(submission, Opening::Whole, now).await)
    }

    /// Audits the chunks of a submission that hold `samples` randomly chosen hashes of its work, and fetches no other
    /// chunk. `seed` is the hash of a K2 block after the submission; [`chunks_to_open`] says what a sample is worth.
    ///
    /// # Errors
    /// As [`Self::audit`], but no bundle is too large.
    pub async fn audit_sample(
        &self,
        submission: &Submission,
        seed: [u8; 32],
        samples: NonZeroU32,
        now: UnixTime,
    ) -> Result<AuditVerdict, AuditUnavailable> {
        let opening = Opening::Sample { seed, samples };
        verdict(self.judge(submission, opening, now).await)
    }

    /// Reads a bundle that was accepted, fetching what is not here. A distribution needs all of it, so the limit for
    /// audits does not count here.
    ///
    /// # Errors
    /// As [`Self::audit`]; the inner error says why it is no bundle or that nobody serves it.
    pub async fn read(&self, cid: &Cid) -> Result<Result<Bundle, AuditFailure>, AuditUnavailable> {
        let read = async |fetcher: &Fetcher| {
            let root = fetch_root(fetcher, *cid).await?;
            fetch_whole(fetcher, root).await
        };
        if self.fetcher.asks_submitter() {
            // A submitter that gives a byte now and then must not hold a distribution up for ever. What came is kept.
            let reading = Box::pin(read(&self.fetcher));
            if let Ok(read) = tokio::time::timeout(self.serve_within, reading).await {
                return verdict(read);
            }
        }
        verdict(Box::pin(read(&self.fetcher.asking(None))).await)
    }

    async fn judge(
        &self,
        submission: &Submission,
        opening: Opening,
        now: UnixTime,
    ) -> Result<AuditSummary, Stop> {
        let root = fetch_root(&self.fetcher, submission.submitted.cid).await?;
        let window = self.window(submission.round, now).await?;
        // Before megabytes are fetched for it.
        check_head(
            root.root.head(),
            &expectation(&self.rules, submission, window),
        )?;

        let bundle = match opening {
            Opening::Whole => {
                let (most, limit) = (root.most_bytes(), self.max_bundle_bytes);
                if most > limit {
                    return Err(AuditUnavailable::TooLarge { most, limit }.into());
                }
                self.in_time(fetch_whole(&self.fetcher, root)).await?
            }
            Opening::Sample { seed, samples } => {
                let chunks = chunks_to_open(&root.cid, &root.root, &seed, samples.get())
                    .map_err(AuditFailure::from)?;
                self.in_time(fetch_parts(&self.fetcher, root, &chunks))
                    .await?
            }
        };
        let facts = self.facts(&bundle).await?;
        let (rules, submission) = (Arc::clone(&self.rules), *submission);
        let capacity = self.seen_capacity;
        // Waited for here and not on the other thread: a caller that goes away while it waits takes its bundle along,
        // else callers that come and go could fill the memory with bundles.
        let mut rounds = Arc::clone(&self.seen).lock_owned().await;
        let verdict = tokio::task::spawn_blocking(move || {
            let seen = rounds
                .entry(submission.round)
                .or_insert_with(|| SeenInRound::new(capacity));
            // A sample of everything shows what only all chunks together can show.
            let run = if bundle.is_whole() {
                audit
            } else {
                audit_parts
            };
            let verdict = run(
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

    /// The root came, so there is a network and a source: what does not follow is not served.
    async fn in_time(
        &self,
        fetch: impl Future<Output = Result<Bundle, Stop>>,
    ) -> Result<Bundle, Stop> {
        let limit = self.serve_within;
        tokio::time::timeout(limit, fetch)
            .await
            .unwrap_or_else(|_| {
                let reason = format!("the whole of it was not served within {limit:?}");
                Err(AuditFailure::Unavailable(reason).into())
            })
    }

    /// When the round began and ended, as far as this node saw it.
    async fn window(&self, round: RoundNumber, now: UnixTime) -> Result<RoundWindow, Stop> {
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
        Ok(own_window(record.as_ref(), before.as_ref(), now))
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

/// A verdict that says more about this node than about the bundle is none.
fn verdict<T>(outcome: Result<T, Stop>) -> Result<Result<T, AuditFailure>, AuditUnavailable> {
    match outcome {
        Ok(found) => Ok(Ok(found)),
        Err(Stop::Verdict(failure)) if failure.is_own_trouble() => {
            Err(AuditUnavailable::SeenFull(failure))
        }
        Err(Stop::Verdict(failure)) => Ok(Err(failure)),
        Err(Stop::Unavailable(trouble)) => Err(trouble),
    }
}

fn expectation<'a>(
    rules: &'a PoolRules,
    submission: &Submission,
    window: RoundWindow,
) -> Expectation<'a> {
    Expectation {
        rules,
        round: submission.round,
        node: submission.node,
        submitted: submission.submitted,
        window: Some(window),
    }
}

/// What this node's records say of when a round began and ended everywhere.
///
/// It began after the one before it did. When this node opened the round itself proves nothing: a node that was off for
/// an hour opened it late, and must not vote against everybody who was there in time.
///
/// Nobody can have closed it in the future. That this node closed it earlier proves nothing about another one that was
/// asked later, beyond the tolerance of the rules.
fn own_window(
    record: Option<&RoundRecord>,
    before: Option<&RoundRecord>,
    now: UnixTime,
) -> RoundWindow {
    let closed_at = record.and_then(|record| record.state.closed().map(|closed| closed.at));
    RoundWindow {
        opened_at: before.map_or(UnixTime(0), |before| before.opened.at),
        closed_at: Some(closed_at.map_or(now, |own| own.min(now))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bitcoin::hashes::Hash as _;
    use pow::Work;
    use store::{Mark, RoundState, Tip};

    use super::*;

    fn record(round: u64, opened: u64, closed: Option<u64>) -> RoundRecord {
        let mark = |at| Mark {
            at: UnixTime(at),
            tip: Tip {
                hash: BlockHash::all_zeros(),
                height: 0,
            },
        };
        RoundRecord {
            round: RoundNumber::new(round).unwrap(),
            opened: mark(opened),
            state: closed.map_or(RoundState::Open, |closed| RoundState::Closed(mark(closed))),
            shares: 0,
            work: Work::ZERO,
        }
    }

    #[test]
    fn a_node_that_slept_through_the_beginning_does_not_hold_it_against_others() {
        // Round 7 began at 3600 for everybody; this node was off and was told of it at 7000.
        let (before, late) = (record(6, 20, Some(7010)), record(7, 7000, None));
        let window = own_window(Some(&late), Some(&before), UnixTime(7200));
        assert!(window.opened_at <= UnixTime(3600));
        // Before the one before it nobody can have begun.
        assert_eq!(window.opened_at, UnixTime(20));
        // It may have begun at any time where this node was not there for the one before.
        let window = own_window(Some(&late), None, UnixTime(7200));
        assert_eq!(window.opened_at, UnixTime(0));
    }

    #[test]
    fn a_round_ends_in_the_past() {
        for (closed, end) in [(None, 7200), (Some(7100), 7100), (Some(9000), 7200)] {
            let own = record(7, 3600, closed);
            let window = own_window(Some(&own), None, UnixTime(7200));
            assert_eq!(window.closed_at, Some(UnixTime(end)));
        }
        assert_eq!(
            own_window(None, None, UnixTime(5)).closed_at,
            Some(UnixTime(5))
        );
    }
}
