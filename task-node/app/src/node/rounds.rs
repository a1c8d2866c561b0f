//! Rounds as Koii drives them.

use std::sync::Arc;
use std::time::Duration;

use rounds::KeeperError;
use store::{Mark, Tip};
use work::RoundNumber;

use super::Node;
use crate::http::HttpError;
use crate::requests::SubmissionView;

/// The longest `/task` waits for a round to be open.
const AT_ONCE: Duration = Duration::from_secs(1);

impl Node {
    /// Opens a round; says what happened.
    ///
    /// # Errors
    /// The round is behind the newest one, or the store fails.
    pub async fn start_round(self: &Arc<Self>, round: RoundNumber) -> Result<String, HttpError> {
        if let Some(newest) = *self.keeper.claimed().borrow()
            && round < newest
        {
            return match self.store.round(round).await? {
                Some(_) => Ok(format!(
                    "round {round} was opened before; round {newest} is newest"
                )),
                None => Err(HttpError::Conflict(format!(
                    "round {round} is behind round {newest}, which this node is mining for: rounds only move forward"
                ))),
            };
        }
        let Some(mark) = self.mark() else {
            // Koii asks once. Without a tip no round can be opened, so it is opened as soon as there is one.
            let mut wanted = self.wanted.lock().await;
            if wanted.is_none_or(|wanted| wanted < round) {
                *wanted = Some(round);
                drop(wanted);
                self.open_later(round);
            }
            return Ok(format!(
                "round {round} begins as soon as a Bitcoin node gives a template"
            ));
        };
        // Sealing a large round holds the keeper for seconds, and `/task` must return at once: the opening goes on by
        // itself if it takes longer.
        let node = Arc::clone(self);
        let opening = tokio::spawn(async move {
            node.keeper.start(round, mark).await.inspect_err(|error| {
                tracing::error!(%error, %round, "the round could not be opened");
            })
        });
        match tokio::time::timeout(AT_ONCE, opening).await {
            Err(_) => Ok(format!(
                "round {round} begins as soon as the one before it is sealed"
            )),
            Ok(Err(error)) => Err(HttpError::Unavailable(error.to_string())),
            Ok(Ok(opened)) => {
                opened?;
                Ok(format!("mining for round {round}"))
            }
        }
    }

    /// Waits for the first template, then opens `round` unless a later one came meanwhile.
    fn open_later(self: &Arc<Self>, round: RoundNumber) {
        let node = Arc::clone(self);
        let mut templates = self.templates.clone();
        tokio::spawn(async move {
            if templates.next().await.is_none() {
                return;
            }
            let is_latest = *node.wanted.lock().await == Some(round);
            if let (true, Some(mark)) = (is_latest, node.mark())
                && let Err(error) = node.keeper.start(round, mark).await
            {
                tracing::error!(%error, %round, "the round could not be opened");
            }
        });
    }

    /// Seals a round and says what is in it.
    ///
    /// # Errors
    /// This node took no part in it, or it cannot be sealed now.
    pub async fn submission(&self, round: RoundNumber) -> Result<SubmissionView, HttpError> {
        let not_ours = || {
            HttpError::NotFound(format!(
                "this node has no submission for round {round}: it was not asked to mine for it"
            ))
        };
        let record = self.store.round(round).await?.ok_or_else(not_ours)?;
        // A restart without a Bitcoin node must not keep a finished round from being submitted.
        let opened = record.opened;
        let mark = || {
            self.mark().unwrap_or(Mark {
                at: self.clock.now(),
                tip: opened.tip,
            })
        };
        let seal = self
            .keeper
            .submission(round, &mark)
            .await?
            .ok_or_else(not_ours)?;
        Ok(SubmissionView {
            cid: seal.cid,
            shares: seal.shares,
            work: seal.work,
            difficulty: seal.work.difficulty_for_display(),
            root: hex::encode(seal.root),
        })
    }

    /// Now, on both clocks; `None` before the first template.
    fn mark(&self) -> Option<Mark> {
        let template = self.templates.latest()?;
        Some(Mark {
            at: self.clock.now(),
            tip: Tip {
                hash: template.prev_hash(),
                height: template.height().saturating_sub(1),
            },
        })
    }
}

impl From<KeeperError> for HttpError {
    fn from(error: KeeperError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
