//! The accepted bundles of rounds: fetched, unpacked, and kept for as long as one request needs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::Window;
use rounds::{AcceptedBundle, AcceptedRound, Bundle, DistributeError, PayoutWindow};
use store::Accepted;
use work::RoundNumber;

use super::{Node, unavailable};
use crate::refusal::Refusal;

/// Shares whose bundles are kept in memory between the rounds of one request, some 16 bytes each.
const MAX_SHARES_KEPT: u64 = 8_000_000;

/// Rounds that were read for one request. A window reaches far back in a small pool, and rounds that are caught up with
/// share most of it: the newest stay, as many as there is room for.
#[derive(Default)]
pub(super) struct RoundsRead(BTreeMap<RoundNumber, Arc<AcceptedRound>>);

impl RoundsRead {
    fn keep(&mut self, accepted: Arc<AcceptedRound>) {
        self.0.insert(accepted.round(), accepted);
        while self.0.len() > 1 && self.shares() > MAX_SHARES_KEPT {
            self.0.pop_first();
        }
    }

    fn shares(&self) -> u64 {
        let bundles = self.0.values().flat_map(|accepted| accepted.bundles());
        bundles
            .map(|accepted| accepted.bundle().root().totals().shares)
            .sum()
    }
}

impl Node {
    /// The window of shares that `round` pays, back to round `first` at most.
    pub(super) async fn payout_window(
        &self,
        round: RoundNumber,
        first: RoundNumber,
        read: &mut RoundsRead,
    ) -> Result<Window, Refusal> {
        let mut window = PayoutWindow::new(&self.rules, round, first);
        while let Some(wanted) = window.wanted() {
            let accepted = self.read_round(wanted, read).await?;
            let rules = Arc::clone(&self.rules);
            // Hashes every share: seconds for a large round, which no other request must wait for.
            let filled = tokio::task::spawn_blocking(move || {
                window.add(&rules, &accepted)?;
                Ok::<_, DistributeError>(window)
            });
            window = filled.await.map_err(unavailable)?.map_err(unavailable)?;
        }
        window.finish().map_err(unavailable)
    }

    /// The accepted bundles of a round, fetched where they are not here.
    pub(super) async fn read_round(
        &self,
        round: RoundNumber,
        read: &mut RoundsRead,
    ) -> Result<Arc<AcceptedRound>, Refusal> {
        if let Some(accepted) = read.0.get(&round) {
            return Ok(Arc::clone(accepted));
        }
        let accepted = self.store.accepted(round).await?.ok_or_else(|| {
            Refusal::Conflict(format!(
                "the accepted submissions of round {round} are not known to this node: send them along and list the \
                 round in `rounds`, or name a later `firstRound`"
            ))
        })?;
        let mut bundles = Vec::with_capacity(accepted.len());
        for accepted in accepted {
            if let Some(bundle) = self.read_accepted(round, accepted).await? {
                // Unpacking a large bundle hashes every share once.
                let rules = Arc::clone(&self.rules);
                let weighed = tokio::task::spawn_blocking(move || {
                    AcceptedBundle::new(Arc::new(bundle), &rules)
                });
                let bundle = weighed.await.map_err(unavailable)?.map_err(unavailable)?;
                bundles.push(bundle);
            }
        }
        let accepted = Arc::new(AcceptedRound::new(round, bundles).map_err(unavailable)?);
        read.keep(Arc::clone(&accepted));
        Ok(accepted)
    }

    /// One accepted bundle; `None` where what was accepted is no bundle of its submitter in this round.
    ///
    /// Koii lets a submission pass that no auditor happened to draw. If its bytes say that it cannot count, they say so
    /// to every node: it earns nothing, and must not keep everybody else from being paid.
    async fn read_accepted(
        &self,
        round: RoundNumber,
        Accepted { node, cid }: Accepted,
    ) -> Result<Option<Bundle>, Refusal> {
        let auditor = self.auditor.asking(self.gateways.of(round, node).as_ref());
        let failure = match auditor.read(&cid).await.map_err(unavailable)? {
            Ok(bundle) => {
                let head = bundle.root().head();
                // Not its rules: rounds from before a change of them count on.
                let network = self.rules.network();
                if (head.task, head.network, head.round, head.node)
                    == (self.task, network, round, node)
                {
                    return Ok(Some(bundle));
                }
                format!(
                    "it is that of node {} in round {} of task {}",
                    head.node, head.round, head.task
                )
            }
            Err(failure) if failure.is_in_the_bytes() => failure.to_string(),
            Err(failure) => {
                return Err(Refusal::Unavailable(format!(
                    "the accepted bundle {cid} of {node} in round {round} cannot be read: {failure}"
                )));
            }
        };
        tracing::warn!(%round, %node, %cid, failure, "an accepted submission earns nothing");
        Ok(None)
    }
}
