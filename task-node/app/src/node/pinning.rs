//! Has the operator's IPFS node pin what this node seals: the bundles of its rounds, and the lists that miners claim by.
//!
//! It goes on beside everything else and nothing waits for it: a round is submitted whether or not its bundle is pinned,
//! for this node serves the bundle itself. What is unpinned is not written down but looked for, in the store and then on
//! the IPFS node, so a restart, a lost repository, or a pin somebody removed need no special care.

use std::sync::Arc;
use std::time::Duration;

use content::kubo::Pinned;
use content::{KuboError, KuboRpc};
use store::StoreError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use work::RoundNumber;

use super::pin_book::{Next, PinBook};
use super::{IpfsView, Node};

/// What is new is looked for this often when nobody says that there is something.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Everything is looked at again this often.
const LOOK_AT_ALL_EVERY: Duration = Duration::from_secs(6 * 3600);
/// Rounds that are looked at while it goes on,
const NEW_ROUNDS: u32 = 16;
/// and when everything is.
const ALL_ROUNDS: u32 = 4096;
/// Settled rounds whose reward lists are pinned: claims need that of the round finalized on K2, which may lag behind.
const LISTS: usize = 8;

/// How the IPFS node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PinStatus {
    rpc: String,
    pinned: usize,
    waiting: usize,
    trouble: Option<String>,
}

impl PinStatus {
    /// Before the first attempt.
    pub(super) fn of(rpc: &KuboRpc) -> Self {
        Self {
            rpc: rpc.endpoint().to_string(),
            pinned: 0,
            waiting: 0,
            trouble: None,
        }
    }

    pub(super) fn view(&self) -> IpfsView {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        IpfsView {
            rpc: self.rpc.clone(),
            pinned: count(self.pinned),
            waiting: count(self.waiting),
            error: self.trouble.clone(),
        }
    }
}

/// Pins until `stop`.
pub(super) async fn follow(
    node: Arc<Node>,
    rpc: KuboRpc,
    status: watch::Sender<Option<PinStatus>>,
    stop: CancellationToken,
) {
    let pinner = Pinner {
        node,
        rpc,
        status,
        book: PinBook::default(),
        lists: Vec::new(),
    };
    // Cut off anywhere: an import that is repeated changes nothing.
    let _ = stop.run_until_cancelled(pinner.run()).await;
}

struct Pinner {
    node: Arc<Node>,
    rpc: KuboRpc,
    status: watch::Sender<Option<PinStatus>>,
    book: PinBook,
    /// The lists of the newest settled rounds, newest first: to make one anew is seconds of hashing.
    lists: Vec<(RoundNumber, Option<cid::Cid>)>,
}

impl Pinner {
    async fn run(mut self) {
        let mut looked_at_all = None;
        loop {
            let now = self.node.clock.monotonic();
            let all = looked_at_all.is_none_or(|at| now.saturating_sub(at) >= LOOK_AT_ALL_EVERY);
            if all {
                self.book.forget();
            }
            match self.look(if all { ALL_ROUNDS } else { NEW_ROUNDS }).await {
                Ok(()) if all => looked_at_all = Some(now),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot see which rounds are to be pinned");
                }
            }
            let patience = match self.book.next(self.node.clock.monotonic()) {
                Next::Pin(cid) => {
                    self.pin(cid).await;
                    self.report();
                    continue;
                }
                Next::WaitFor(time) => time.min(LOOK_EVERY),
                Next::WaitForMore => LOOK_EVERY,
            };
            self.report();
            tokio::select! {
                () = tokio::time::sleep(patience) => {}
                () = self.node.pin_soon.notified() => {}
            }
        }
    }

    /// Finds what belongs on the IPFS node.
    async fn look(&mut self, rounds: u32) -> Result<(), StoreError> {
        let rounds = self.node.store.rounds(rounds).await?;
        let bundles = rounds
            .iter()
            .filter_map(|record| Some(record.state.seal()?.cid));
        self.book.found(bundles);
        self.find_lists().await?;
        self.book
            .found(self.lists.iter().filter_map(|(_, list)| *list));
        Ok(())
    }

    async fn find_lists(&mut self) -> Result<(), StoreError> {
        let Some(newest) = self.node.store.newest_settled().await? else {
            return Ok(());
        };
        let wanted = std::iter::successors(Some(newest), |round| round.previous()).take(LISTS);
        let mut lists = Vec::new();
        for round in wanted {
            let known = self.lists.iter().find(|(of, _)| *of == round);
            match known {
                Some(known) => lists.push(*known),
                // The first round of the history has none before it.
                None => match self.node.settled(round).await {
                    Ok(Some(settled)) => {
                        lists.push((round, settled.list.as_ref().map(|(cid, _)| *cid)));
                    }
                    Ok(None) => break,
                    Err(refusal) => {
                        tracing::debug!(%round, reason = %refusal, "its reward list is looked for later");
                        break;
                    }
                },
            }
        }
        self.lists = lists;
        Ok(())
    }

    async fn pin(&mut self, cid: cid::Cid) {
        let node = &self.node;
        let outcome = self.rpc.pin(node.blocks(), cid, node.dag_limits()).await;
        match outcome {
            Ok(pinned) => {
                if self.book.pinned(cid) {
                    tracing::info!(rpc = %self.rpc.endpoint(), "the IPFS node does its work again");
                }
                match pinned {
                    Pinned::Now => tracing::info!(%cid, "pinned on the IPFS node"),
                    Pinned::Already => tracing::debug!(%cid, "is pinned on the IPFS node"),
                }
            }
            Err(KuboError::Local(error)) => {
                tracing::warn!(%cid, %error, "cannot be pinned: this node lacks a part of it");
                self.book.broken(cid);
            }
            Err(error) => {
                let now = self.node.clock.monotonic();
                // The same trouble at every attempt would fill the log.
                if self.book.failed(cid, error.to_string(), now) {
                    tracing::warn!(
                        rpc = %self.rpc.endpoint(),
                        %error,
                        "bundles are not pinned now; this node serves them itself and tries again"
                    );
                }
            }
        }
    }

    fn report(&self) {
        self.status.send_replace(Some(PinStatus {
            rpc: self.rpc.endpoint().to_string(),
            pinned: self.book.pinned_count(),
            waiting: self.book.waiting_count(),
            trouble: self.book.trouble().map(str::to_owned),
        }));
    }
}
