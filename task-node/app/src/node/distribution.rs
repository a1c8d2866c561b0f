//! Who is paid for a round: the same answer on every node that knows the same accepted submissions.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bitcoin::{Amount, BlockHash};
use chain::Standing;
use k2_interface::Role;
use ledger::Distribution;
use rounds::{
    AcceptedBundle, AcceptedRound, Bundle, BundleRoot, DistributeError, PayoutTerms, PayoutWindow,
    distribute,
};
use store::Accepted;
use work::RoundNumber;

use super::{DistributionView, EarnedView, Node};
use crate::refusal::Refusal;
use crate::requests::{DistributionRequest, OperatorList};

/// How many rounds one request may catch up on; older ones are named in the error.
const MAX_CATCH_UP: usize = 256;

/// Shares whose bundles are kept in memory between the rounds of one request, some 16 bytes each.
const MAX_SHARES_KEPT: u64 = 8_000_000;

/// Rounds that were read for one request. A window reaches far back in a small pool, and rounds that are caught up with
/// share most of it: the newest stay, as many as there is room for.
#[derive(Default)]
struct Read(BTreeMap<RoundNumber, Arc<AcceptedRound>>);

impl Read {
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
    /// The list of a round. Rounds before it that were never distributed here are distributed first, because miners'
    /// earnings add up.
    ///
    /// # Errors
    /// An earlier round's accepted submissions are not known, a bundle cannot be had, or the store fails.
    pub async fn distribute(
        &self,
        round: RoundNumber,
        request: DistributionRequest,
    ) -> Result<OperatorList, Refusal> {
        self.note_accepted(round, &request).await?;
        let first = request.first_round.unwrap_or(RoundNumber::ZERO);
        let _one_at_a_time = self.heavy.lock().await;

        let mut read = Read::default();
        let mut pending = vec![round];
        let mut previous = None;
        while let Some(before) = pending
            .last()
            .and_then(|oldest| oldest.previous())
            .filter(|before| *before >= first)
        {
            if let Some(bytes) = self.store.distribution(before).await? {
                previous = Some(Distribution::from_bytes(&bytes).map_err(unavailable)?);
                break;
            }
            if pending.len() >= MAX_CATCH_UP {
                return Err(Refusal::Conflict(format!(
                    "round {before} and rounds before it were not distributed by this node: start with them, or name the \
                     first round of this task's history as `firstRound`"
                )));
            }
            pending.push(before);
        }
        let mut list = OperatorList::new();
        for number in pending.into_iter().rev() {
            let distribution = self
                .distribute_one(number, first, request.bounty, previous.as_ref(), &mut read)
                .await?;
            list = distribution.koii_list();
            previous = Some(distribution);
        }
        Ok(list)
    }

    /// Remembers what K2 accepted: the request's submissions of the rounds it lists completely.
    async fn note_accepted(
        &self,
        round: RoundNumber,
        request: &DistributionRequest,
    ) -> Result<(), Refusal> {
        let complete = match &request.rounds {
            None => vec![round],
            Some(rounds) => rounds.clone(),
        };
        let mut accepted: BTreeMap<RoundNumber, Vec<Accepted>> = complete
            .into_iter()
            .chain([round])
            .map(|round| (round, Vec::new()))
            .collect();
        for submission in &request.submissions {
            let number = submission.round_number.unwrap_or(round);
            let list = accepted.get_mut(&number).ok_or_else(|| {
                Refusal::BadRequest(format!(
                    "a submission of round {number}, which `rounds` does not list"
                ))
            })?;
            if submission.votes.is_some_and(|votes| votes <= 0) {
                continue;
            }
            let node = submission.staking_key;
            match submission.cid {
                Some(cid) => list.push(Accepted { node, cid }),
                None => {
                    tracing::warn!(round = %number, %node, "an accepted submission names no bundle and earns nothing");
                }
            }
        }
        for (number, list) in accepted {
            let outcome =
                self.store
                    .set_accepted(number, list)
                    .await
                    .map_err(|error| match error {
                        store::StoreError::AcceptedTwice { .. } => {
                            Refusal::BadRequest(error.to_string())
                        }
                        error => error.into(),
                    })?;
            if outcome == store::SetOutcome::Replaced {
                tracing::warn!(round = %number, "K2's accepted submissions differ from those noted before");
            }
        }
        Ok(())
    }

    async fn distribute_one(
        &self,
        round: RoundNumber,
        first: RoundNumber,
        bounty: u64,
        previous: Option<&Distribution>,
        read: &mut Read,
    ) -> Result<Distribution, Refusal> {
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
        let window = window.finish().map_err(unavailable)?;
        let pot = self.pot(&*self.read_round(round, read).await?).await?;
        let carried = previous.map_or(Amount::ZERO, |previous| previous.record().undistributed);
        let distribution = distribute(
            &self.rules,
            round,
            &window,
            &PayoutTerms {
                program: self.program,
                bounty,
                pot: pot
                    .checked_add(carried)
                    .ok_or_else(|| unavailable(DistributeError::PotOverflow))?,
                previous,
            },
        )
        .map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let bytes = distribution.to_bytes().map_err(unavailable)?;
        let _ = self.store.set_distribution(round, bytes).await?;
        tracing::info!(
            %round,
            operators = distribution.record().operators.len(),
            pot = distribution.record().pot.to_sat(),
            "round distributed"
        );
        Ok(distribution)
    }

    /// The accepted bundles of a round, fetched where they are not here.
    async fn read_round(
        &self,
        round: RoundNumber,
        read: &mut Read,
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
        let failure = match self.auditor.read(&cid).await.map_err(unavailable)? {
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

    /// What the round's blocks on the best chain pay.
    async fn pot(&self, accepted: &AcceptedRound) -> Result<Amount, Refusal> {
        let mut on_best_chain: HashSet<BlockHash> = HashSet::new();
        for block in accepted.blocks() {
            let header = self.chain().header(block.hash).await.map_err(unavailable)?;
            if header.is_some_and(|header| matches!(header.standing, Standing::Active { .. })) {
                on_best_chain.insert(block.hash);
            }
        }
        accepted
            .pot(|hash| on_best_chain.contains(hash))
            .map_err(unavailable)
    }

    /// The distribution of a round, if this node computed it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn distribution(
        &self,
        round: RoundNumber,
    ) -> Result<Option<DistributionView>, Refusal> {
        let Some(bytes) = self.store.distribution(round).await? else {
            return Ok(None);
        };
        let distribution = Distribution::from_bytes(&bytes).map_err(unavailable)?;
        let record = distribution.record();
        let mut blocks = 0;
        for accepted in self.store.accepted(round).await?.unwrap_or_default() {
            let root = self.blocks.get(&accepted.cid).await.map_err(unavailable)?;
            if let Some(root) = root {
                let root = BundleRoot::decode(root.bytes()).map_err(unavailable)?;
                blocks += root.totals().blocks;
            }
        }
        Ok(Some(DistributionView {
            round: round.get(),
            blocks,
            pot: record.pot.to_sat(),
            window: record.window.to_string(),
            window_filled: record.reached.to_string(),
            operators: distribution.koii_list(),
            earned: record
                .miners
                .entries()
                .iter()
                .map(|entry| EarnedView {
                    role: match entry.role {
                        Role::Miner => "miner",
                        Role::Operator => "operator",
                    }
                    .to_owned(),
                    owner: entry.owner.to_string(),
                    cumulative: entry.sats.to_sat(),
                })
                .collect(),
            leaves: record.leaf_count,
            root: record.root.map(hex::encode),
        }))
    }
}

fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal::Unavailable(error.to_string())
}
