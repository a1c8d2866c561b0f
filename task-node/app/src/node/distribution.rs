//! Who is paid for a round: the same answer on every node that knows the same accepted submissions.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bitcoin::{Amount, BlockHash};
use chain::Standing;
use k2_interface::Role;
use ledger::Distribution;
use rounds::{
    AcceptedBundle, AcceptedRound, BundleRoot, DistributeError, PayoutTerms, distribute,
    payout_window,
};
use store::Accepted;
use work::RoundNumber;

use super::{DistributionView, EarnedView, Node};
use crate::http::HttpError;
use crate::requests::{DistributionRequest, OperatorList};

/// How many rounds one request may catch up on; older ones are named in the error.
const MAX_CATCH_UP: usize = 256;

/// Rounds with their bundles, as far as they have been read.
type Read = BTreeMap<RoundNumber, AcceptedRound>;

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
    ) -> Result<OperatorList, HttpError> {
        self.note_accepted(round, &request).await?;
        let first = request.first_round.unwrap_or(RoundNumber::ZERO);
        let _one_at_a_time = self.heavy.lock().await;

        let mut read = Read::new();
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
                return Err(HttpError::Conflict(format!(
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
    ) -> Result<(), HttpError> {
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
                HttpError::BadRequest(format!(
                    "a submission of round {number}, which `rounds` does not list"
                ))
            })?;
            if submission.votes.is_none_or(|votes| votes > 0) {
                list.push(Accepted {
                    node: submission.staking_key,
                    cid: submission.cid,
                });
            }
        }
        for (number, list) in accepted {
            let outcome =
                self.store
                    .set_accepted(number, list)
                    .await
                    .map_err(|error| match error {
                        store::StoreError::AcceptedTwice { .. } => {
                            HttpError::BadRequest(error.to_string())
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
    ) -> Result<Distribution, HttpError> {
        let window = loop {
            match payout_window(&self.rules, round, first, |number| read.get(&number)) {
                Ok(window) => break window,
                Err(DistributeError::MissingRound { round: missing, .. }) => {
                    let accepted = self.read_round(missing).await?;
                    read.insert(missing, accepted);
                }
                Err(error) => return Err(unavailable(error)),
            }
        };
        // A window without any work asks for no round.
        let accepted = match read.entry(round) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.read_round(round).await?),
        };
        let pot = self.pot(accepted).await?;
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
        .map_err(|error| HttpError::BadRequest(error.to_string()))?;
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
    async fn read_round(&self, round: RoundNumber) -> Result<AcceptedRound, HttpError> {
        let accepted = self.store.accepted(round).await?.ok_or_else(|| {
            HttpError::Conflict(format!(
                "the accepted submissions of round {round} are not known to this node: send them along and list the \
                 round in `rounds`, or name a later `firstRound`"
            ))
        })?;
        let mut bundles = Vec::with_capacity(accepted.len());
        for Accepted { node, cid } in accepted {
            let bundle = self
                .auditor
                .read(&cid)
                .await
                .map_err(unavailable)?
                .map_err(|failure| {
                    HttpError::Unavailable(format!(
                        "the accepted bundle {cid} of {node} in round {round} cannot be read: {failure}"
                    ))
                })?;
            // Unpacking a large bundle hashes every share once.
            let bundle = tokio::task::spawn_blocking(move || AcceptedBundle::new(Arc::new(bundle)))
                .await
                .map_err(unavailable)?
                .map_err(unavailable)?;
            bundles.push(bundle);
        }
        AcceptedRound::new(round, bundles).map_err(unavailable)
    }

    /// What the round's blocks on the best chain pay.
    async fn pot(&self, accepted: &AcceptedRound) -> Result<Amount, HttpError> {
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
    ) -> Result<Option<DistributionView>, HttpError> {
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

fn unavailable(error: impl std::fmt::Display) -> HttpError {
    HttpError::Unavailable(error.to_string())
}
