//! Settles rounds without being asked, as their blocks mature.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use work::RoundNumber;

use super::Node;
use super::accepted::RoundsRead;
use super::settlement::Held;
use crate::refusal::Refusal;

/// When it is tried again without a new block or distribution: somebody may serve a missing bundle again.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// How many rounds are settled before audits and distributions get their turn.
const BATCH: usize = 16;

/// Settles whatever can be settled, after each new block and each distribution, until `stop`.
pub(super) async fn follow(node: Arc<Node>, stop: CancellationToken) {
    let following = async {
        let mut templates = node.templates.clone();
        let mut told = None;
        loop {
            tokio::select! {
                update = templates.next() => match update {
                    None => return,
                    Some(update) if !update.clean => continue,
                    Some(_) => {}
                },
                () = node.settle_soon.notified() => {}
                () = tokio::time::sleep(AT_LEAST_EVERY) => {}
            }
            let trouble = loop {
                match node.settle_some().await {
                    Ok(true) => {}
                    Ok(false) => break None,
                    Err(refusal) => break Some(refusal),
                }
            };
            // The same trouble at every block would fill the log.
            if let Some(refusal) = &trouble
                && told.as_ref() != Some(refusal)
            {
                tracing::warn!(reason = %refusal, "rounds cannot be settled now");
            }
            told = trouble.or(told);
        }
    };
    // Cut off anywhere: a settlement is stored whole or not at all, and computed again alike.
    let _ = stop.run_until_cancelled(following).await;
}

impl Node {
    /// Settles a few rounds; `true` if there may be more.
    async fn settle_some(&self) -> Result<bool, Refusal> {
        if self.next_ready().await?.is_none() {
            return Ok(false);
        }
        let _one_at_a_time = self.heavy.lock().await;
        let mut read = RoundsRead::default();
        for _ in 0..BATCH {
            if self.next_ready().await?.is_none() {
                return Ok(false);
            }
            match self.settle_next(&mut read).await? {
                Ok(_) => {}
                Err(Held::Undecided(undecided)) => {
                    tracing::debug!(%undecided, "a round waits to be settled");
                    return Ok(false);
                }
                Err(Held::Trouble(refusal, _)) => return Err(refusal),
            }
        }
        Ok(true)
    }

    /// The next round, if this node knows which submissions were accepted in it and nothing is known to hold it up.
    async fn next_ready(&self) -> Result<Option<RoundNumber>, Refusal> {
        if self.store.first_round().await?.is_none() {
            return Ok(None);
        }
        let (_, next) = self.next_to_settle().await?;
        if self.store.accepted(next).await?.is_none() || self.held(next).await?.is_some() {
            return Ok(None);
        }
        Ok(Some(next))
    }
}
