//! Who is paid for a round: the same answer on every node that knows the same accepted submissions.
//!
//! Koii's operators are paid from it at once. What it says of the miners is provisional: its pot counts the blocks that are
//! on the best chain now (see `settlement` for what they get in the end).

use std::collections::{BTreeMap, HashSet};

use bitcoin::{Amount, BlockHash};
use ledger::Distribution;
use rounds::{AcceptedRound, BundleRoot, DistributeError, PayoutTerms, distribute};
use store::{Accepted, RoundState, SetOutcome, StoreError};
use work::RoundNumber;

use super::accepted::RoundsRead;
use super::best_chain::BestChain;
use super::{DistributionView, EarnedView, Node, role_name, unavailable};
use crate::refusal::Refusal;
use crate::requests::{DistributionRequest, OperatorList};

/// How many rounds one request may catch up on; older ones are named in the error.
pub(super) const MAX_CATCH_UP: usize = 256;

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
        self.refuse_open_round(round, &request).await?;
        self.note_first_round(request.first_round).await?;
        self.note_accepted(round, &request).await?;
        let first = request.first_round.unwrap_or(RoundNumber::ZERO);
        let _one_at_a_time = self.heavy.lock().await;

        let mut read = RoundsRead::default();
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
        self.settle_while_read(round, &mut read).await;
        Ok(list)
    }

    /// What K2 shows of a round that is not over is not all there will be. Noted as its accepted submissions, it could
    /// settle the round, without its blocks, for good.
    async fn refuse_open_round(
        &self,
        round: RoundNumber,
        request: &DistributionRequest,
    ) -> Result<(), Refusal> {
        let mined = *self.keeper.claimed().borrow();
        let begun = mined.max(*self.wanted.lock().await);
        for asked in request.rounds.iter().flatten().chain([&round]) {
            let is_open = || async {
                let record = self.store.round(*asked).await?;
                Ok::<_, Refusal>(record.is_some_and(|record| record.state == RoundState::Open))
            };
            if Some(*asked) > begun || (mined == Some(*asked) && is_open().await?) {
                return Err(Refusal::Unavailable(format!(
                    "round {asked} is not over, as far as this node was told: ask again when /task has named the next one"
                )));
            }
        }
        Ok(())
    }

    /// Remembers from which round on this task's rounds are settled.
    async fn note_first_round(&self, named: Option<RoundNumber>) -> Result<(), Refusal> {
        let first = match named {
            Some(named) => named,
            None if self.store.first_round().await?.is_some() => return Ok(()),
            None => RoundNumber::ZERO,
        };
        match self.store.set_first_round(first).await {
            Ok(SetOutcome::Unchanged) => Ok(()),
            Ok(SetOutcome::New | SetOutcome::Replaced) => {
                self.let_settling_go_on().await;
                Ok(())
            }
            // The operators' list is answered all the same: no settlement depends on it.
            Err(error @ StoreError::FirstRoundSettled { .. }) => {
                tracing::error!(%error, "`firstRound` of a distribution request is not that of the settlements");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
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
                Some(cid) => {
                    self.gateways.note(number, node, submission.gateway.clone());
                    list.push(Accepted { node, cid });
                }
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
                        StoreError::AcceptedTwice { .. } => Refusal::BadRequest(error.to_string()),
                        error => error.into(),
                    })?;
            if outcome != SetOutcome::Unchanged {
                self.let_settling_go_on().await;
            }
            if outcome == SetOutcome::Replaced {
                let settled = self.store.newest_settled().await?;
                let is_settled = settled.is_some_and(|newest| number <= newest);
                tracing::warn!(round = %number, is_settled, "K2's accepted submissions differ from those noted before");
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
        read: &mut RoundsRead,
    ) -> Result<Distribution, Refusal> {
        let window = self.payout_window(round, first, read).await?;
        let accepted = self.read_round(round, read).await?;
        let pot = self.provisional_pot(&accepted).await?;
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
            "round distributed; its pot is provisional until it is settled"
        );
        Ok(distribution)
    }

    /// What the round's blocks pay that are on the best chain now.
    async fn provisional_pot(&self, accepted: &AcceptedRound) -> Result<Amount, Refusal> {
        let best = BestChain::now(self.chain(), self.clock.now()).await?;
        let heights = accepted.blocks().map(|block| block.height).collect();
        let on_best_chain: HashSet<BlockHash> =
            best.hashes_at(heights).await?.into_values().collect();
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
        let first = self.store.first_round().await?;
        let settled = self.store.newest_settled().await?;
        Ok(Some(DistributionView {
            round: round.get(),
            settled: first.is_some_and(|first| first <= round)
                && settled.is_some_and(|newest| round <= newest),
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
                    role: role_name(entry.role),
                    owner: entry.owner.to_string(),
                    cumulative: entry.sats.to_sat(),
                })
                .collect(),
            leaves: record.leaf_count,
            root: record.root.map(hex::encode),
        }))
    }
}
