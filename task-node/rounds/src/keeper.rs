//! Carries out what [`RoundBook`] decides: opens, closes and seals rounds in the store.

use std::sync::Arc;
use std::time::Duration;

use content::BlockStore;
use store::{CloseOutcome, Mark, OpenOutcome, RoundRecord, RoundShares, Seal, ShareStore};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};
use work::{RoundNumber, UnixTime};

use crate::builder::{BundleBuilder, EncodedBundle};
use crate::bundle_error::BundleError;
use crate::bundle_root::{BundleHead, Moment};
use crate::round::{RoundAction, RoundBook, RoundEvent};
use crate::rules::PoolRules;

/// How many rounds are looked at after a start. Older ones are no longer asked for: Koii keeps submissions for a few.
const RESTORED_ROUNDS: u32 = 1024;

/// Why a round could not be moved on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// The share store failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The block store failed.
    #[error(transparent)]
    Blocks(#[from] content::StoreError),
    /// The shares do not fit a bundle.
    #[error("round {round} cannot be made into a bundle: {source}")]
    Bundle {
        /// The round.
        round: RoundNumber,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// The store contradicts itself.
    #[error("round {0} is closed without a time: the store is damaged, restore it from a backup")]
    NoClose(RoundNumber),
    /// Work was cut off because the process is ending.
    #[error("sealing round {0} was cut off; ask again")]
    CutOff(RoundNumber),
}

/// Keeps a node's rounds.
pub struct RoundKeeper {
    store: Arc<dyn ShareStore>,
    blocks: Arc<dyn BlockStore>,
    rules: Arc<PoolRules>,
    /// One step at a time: a second request for the same round finds the first one's result.
    book: Mutex<RoundBook>,
    claimed: watch::Sender<Option<RoundNumber>>,
    drain: Duration,
}

impl RoundKeeper {
    /// Takes up the rounds where the store has them. `drain` is how long shares of a round may still be on their way
    /// when its successor is opened only because it is being sealed: that long it stays open.
    ///
    /// # Errors
    /// [`KeeperError::Store`].
    pub async fn new(
        store: Arc<dyn ShareStore>,
        blocks: Arc<dyn BlockStore>,
        rules: Arc<PoolRules>,
        drain: Duration,
    ) -> Result<Self, KeeperError> {
        let records = store.rounds(RESTORED_ROUNDS).await?;
        let book = RoundBook::restore(&records);
        let (claimed, _) = watch::channel(book.claimed());
        Ok(Self {
            store,
            blocks,
            rules,
            book: Mutex::new(book),
            claimed,
            drain,
        })
    }

    /// The round new jobs have to claim; changes as rounds begin. `None` before the first.
    #[must_use]
    pub fn claimed(&self) -> watch::Receiver<Option<RoundNumber>> {
        self.claimed.subscribe()
    }

    /// Koii says a round has begun. Idempotent.
    ///
    /// # Errors
    /// [`KeeperError::Store`]; ask again.
    pub async fn start(&self, round: RoundNumber, mark: Mark) -> Result<(), KeeperError> {
        let mut book = self.book.lock().await;
        let actions = book.on_event(RoundEvent::Start(round));
        self.run(&mut book, actions, &|| mark).await
    }

    /// Koii asks for the submission of a round: seals it if that has not happened. `None` if the round never began.
    /// `mark` gives the present time and tip.
    ///
    /// # Errors
    /// [`KeeperError`]; ask again.
    pub async fn submission(
        &self,
        round: RoundNumber,
        mark: &(dyn Fn() -> Mark + Send + Sync),
    ) -> Result<Option<Seal>, KeeperError> {
        let mut book = self.book.lock().await;
        let actions = book.on_event(RoundEvent::SubmissionAsked(round));
        self.run(&mut book, actions, mark).await?;
        let record = self.store.round(round).await?;
        Ok(record.and_then(|record| record.state.seal().copied()))
    }

    async fn run(
        &self,
        book: &mut RoundBook,
        actions: Vec<RoundAction>,
        mark: &(dyn Fn() -> Mark + Send + Sync),
    ) -> Result<(), KeeperError> {
        let mut todo: std::collections::VecDeque<_> = actions.into();
        while let Some(action) = todo.pop_front() {
            let event = match action {
                RoundAction::Open(round) => {
                    let outcome = self.store.open_round(round, mark()).await?;
                    match outcome {
                        OpenOutcome::Opened | OpenOutcome::AlreadyOpen => {
                            info!(%round, "round opened")
                        }
                        OpenOutcome::Finished | OpenOutcome::Behind { .. } => {
                            warn!(%round, ?outcome, "the store is ahead of the rounds known here");
                            continue;
                        }
                    }
                    RoundEvent::Opened(round)
                }
                RoundAction::Claim(round) => {
                    self.claimed.send_replace(Some(round));
                    // Only a round that is being sealed waits for this one's jobs to reach the miners.
                    if todo
                        .iter()
                        .any(|next| matches!(next, RoundAction::Close(_)))
                    {
                        tokio::time::sleep(self.drain).await;
                    }
                    continue;
                }
                RoundAction::Close(round) => {
                    let closed = self.close(round, mark()).await?;
                    info!(%round, ?closed, "round closed");
                    RoundEvent::Closed(round)
                }
                RoundAction::Seal(round) => {
                    let seal =
                        seal(&*self.store, &*self.blocks, &self.rules, round, mark().at).await?;
                    info!(%round, cid = %seal.cid, shares = seal.shares, "round sealed");
                    RoundEvent::Sealed(round)
                }
            };
            // What follows from a step comes before the next one: miners get their jobs before the round is closed.
            for action in book.on_event(event).into_iter().rev() {
                todo.push_front(action);
            }
        }
        Ok(())
    }

    async fn close(&self, round: RoundNumber, mut mark: Mark) -> Result<CloseOutcome, KeeperError> {
        // A clock that was set back must not make a round end before it began: no auditor would take it.
        if let Some(record) = self.store.round(round).await? {
            mark.at = mark.at.max(record.opened.at);
        }
        Ok(self.store.close_round(round, mark).await?)
    }
}

impl std::fmt::Debug for RoundKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoundKeeper")
            .field("claimed", &*self.claimed.borrow())
            .finish_non_exhaustive()
    }
}

/// Makes the bundle of a closed round, stores its blocks, the root last, and seals the round. Repeating it after a
/// crash gives the same bundle.
///
/// # Errors
/// [`KeeperError`].
pub async fn seal(
    store: &dyn ShareStore,
    blocks: &dyn BlockStore,
    rules: &PoolRules,
    round: RoundNumber,
    at: UnixTime,
) -> Result<Seal, KeeperError> {
    let record = store
        .round(round)
        .await?
        .ok_or(KeeperError::NoClose(round))?;
    if let Some(seal) = record.state.seal() {
        return Ok(*seal);
    }
    let head = head(store, rules, &record)?;
    let shares = store.round_shares(round).await?;
    // A million shares take seconds to sort and hash; other requests must not wait for them.
    let bundle = tokio::task::spawn_blocking(move || encode_round(head, &shares))
        .await
        .map_err(|_| KeeperError::CutOff(round))?
        .map_err(|source| KeeperError::Bundle { round, source })?;
    for block in &bundle.blocks {
        blocks.put(block).await?;
    }
    let totals = bundle.root.totals();
    let seal = Seal {
        cid: bundle.cid,
        root: *bundle.root.sum_root(),
        shares: totals.shares,
        work: totals.work,
        at,
    };
    let _ = store.seal_round(round, seal).await?;
    Ok(seal)
}

fn head(
    store: &dyn ShareStore,
    rules: &PoolRules,
    record: &RoundRecord,
) -> Result<BundleHead, KeeperError> {
    let moment = |mark: &Mark| Moment {
        at: mark.at,
        height: mark.tip.height,
        tip: mark.tip.hash,
    };
    let closed = record
        .state
        .closed()
        .ok_or(KeeperError::NoClose(record.round))?;
    Ok(BundleHead {
        task: store.identity().task,
        round: record.round,
        node: store.identity().node,
        network: rules.network(),
        rules: rules.digest(),
        opened: moment(&record.opened),
        closed: moment(closed),
    })
}

/// The bundle of a round's stored shares.
///
/// # Errors
/// [`BundleError`] when they do not fit one.
pub fn encode_round(head: BundleHead, shares: &RoundShares) -> Result<EncodedBundle, BundleError> {
    let mut builder = BundleBuilder::new(head);
    let mut jobs = std::collections::HashMap::with_capacity(shares.jobs.len());
    for (id, template) in &shares.jobs {
        jobs.insert(*id, builder.job(template)?);
    }
    for share in &shares.shares {
        let job = *jobs
            .get(&share.job)
            .ok_or(BundleError::UnknownJob(share.job))?;
        let claim = &share.claim;
        builder.push(
            job,
            claim.miner,
            claim.difficulty,
            &claim.extension,
            &share.fields,
            share.is_block,
        )?;
    }
    builder.finish()
}
