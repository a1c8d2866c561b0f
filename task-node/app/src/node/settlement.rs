//! What miners and operators get for a round in the end.
//!
//! Rounds are settled one after the other, each once all its blocks are decided ([`rounds::DecidedRound`]). The result is
//! kept for ever, its reward list goes to the block store, and every node that knows the same accepted submissions comes to
//! the same CID.

use std::sync::Arc;

use cid::Cid;
use ledger::RewardList;
use rounds::{DecidedRound, EncodedRewardList, Settlement, SettlementTerms, Undecided, decided_at};
use work::{RoundNumber, UnixTime};

use super::accepted::RoundsRead;
use super::best_chain::BestChain;
use super::distribution::MAX_CATCH_UP;
use super::{Node, unavailable};
use crate::refusal::Refusal;

/// For how long the same trouble is answered from memory, in seconds: to look again takes reading bundles.
const TROUBLE_KEPT: u64 = 30;

/// A settled round with its reward list.
#[derive(Debug)]
pub struct Settled {
    /// The settlement.
    pub settlement: Settlement,
    /// The reward list and its name; none while nobody has earned enough for a leaf.
    pub list: Option<(Cid, RewardList)>,
}

/// What is remembered between questions.
#[derive(Default)]
pub(super) struct Settling {
    /// The newest settled round: wallets ask for it.
    newest: Option<Arc<Settled>>,
    /// Why the next one is not.
    pub(super) held: Option<(RoundNumber, Held)>,
}

/// Why a round is not settled yet.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// One of its blocks is not decided.
    Undecided(Undecided),
    /// Something is missing or broken.
    Trouble(Refusal, UnixTime),
}

impl Held {
    fn refuse(self, asked: RoundNumber) -> Refusal {
        match self {
            Self::Undecided(undecided) => {
                Refusal::Conflict(format!("round {asked} is not settled yet: {undecided}"))
            }
            Self::Trouble(refusal, _) => refusal,
        }
    }
}

impl Node {
    /// The settlement of a round. Rounds before it that are not settled are settled first, at most 256 in one go.
    ///
    /// # Errors
    /// Its blocks, or those of a round before it, are not decided yet: the error says which block lacks how many
    /// confirmations. Or this node was never told which submissions were accepted, a bundle cannot be had, or the store
    /// or the Bitcoin node fails.
    pub async fn settle(&self, round: RoundNumber) -> Result<Arc<Settled>, Refusal> {
        if let Some(settled) = self.settled(round).await? {
            return Ok(settled);
        }
        let (first, next) = self.next_to_settle().await?;
        if round < first {
            return Err(Refusal::NotFound(format!(
                "round {round} is before round {first}, with which the history of this task begins"
            )));
        }
        // Whoever asks again and again neither waits for nor holds up those who have work to do.
        if let Some(held) = self.held(next).await? {
            return Err(held.refuse(round));
        }
        let _one_at_a_time = self.heavy.lock().await;
        let mut read = RoundsRead::default();
        for _ in 0..MAX_CATCH_UP {
            let (_, next) = self.next_to_settle().await?;
            if next > round {
                break;
            }
            let settled = self.settle_next(&mut read).await?;
            settled.map_err(|held| held.refuse(round))?;
        }
        self.settled(round).await?.ok_or_else(|| {
            Refusal::Conflict(format!(
                "round {round} is not settled yet: {MAX_CATCH_UP} rounds before it were settled now; ask again"
            ))
        })
    }

    /// The newest settled round.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn newest_settled(&self) -> Result<Option<Arc<Settled>>, Refusal> {
        match self.store.newest_settled().await? {
            Some(newest) => self.settled(newest).await,
            None => Ok(None),
        }
    }

    /// The first round of the history and the oldest round that is not settled.
    pub(super) async fn next_to_settle(&self) -> Result<(RoundNumber, RoundNumber), Refusal> {
        let first = self.store.first_round().await?.ok_or_else(|| {
            Refusal::Conflict(
                "no distribution was asked of this node yet: it does not know which submissions were accepted"
                    .to_owned(),
            )
        })?;
        let newest = self.store.newest_settled().await?;
        Ok((first, newest.map_or(first, RoundNumber::next)))
    }

    /// Why `round`, the next one, is held up, as far as that is known without looking again.
    pub(super) async fn held(&self, round: RoundNumber) -> Result<Option<Held>, Refusal> {
        let held = self.settling.lock().await.held.clone();
        Ok(match held.filter(|(at, _)| *at == round) {
            None => None,
            Some((_, Held::Undecided(undecided))) => {
                let tip = self.chain().chain_info().await.map_err(unavailable)?.height;
                let still = tip < decided_at(undecided.height);
                still.then(|| {
                    let confirmations = (tip + 1).saturating_sub(undecided.height);
                    Held::Undecided(Undecided {
                        confirmations,
                        ..undecided
                    })
                })
            }
            Some((_, Held::Trouble(refusal, since))) => {
                // Also when the clock was set back.
                let is_recent = self.clock.now().0.abs_diff(since.0) < TROUBLE_KEPT;
                is_recent.then_some(Held::Trouble(refusal, since))
            }
        })
    }

    /// Forgets why the next round was held up: what this node knows of accepted submissions has changed.
    pub(super) async fn let_settling_go_on(&self) {
        self.settling.lock().await.held = None;
    }

    /// Settles `round` if it is the next one and nothing is to be waited for; else remembers for what. Called while its
    /// bundles are in memory for its distribution, when looking costs nothing.
    pub(super) async fn settle_while_read(&self, round: RoundNumber, read: &mut RoundsRead) {
        let is_next = matches!(self.next_to_settle().await, Ok((_, next)) if next == round);
        if is_next {
            // Trouble shows again, and is told, when the background tries.
            let _ = self.settle_next(read).await;
        }
        self.settle_soon.notify_one();
    }

    /// Settles the oldest round that is not settled. The caller holds `heavy`.
    pub(super) async fn settle_next(
        &self,
        read: &mut RoundsRead,
    ) -> Result<Result<Arc<Settled>, Held>, Refusal> {
        let (first, round) = self.next_to_settle().await?;
        // Somebody else may just have found out.
        if let Some(held) = self.held(round).await? {
            return Ok(Err(held));
        }
        let outcome = self.settle_one(round, first, read).await;
        let outcome =
            outcome.unwrap_or_else(|refusal| Err(Held::Trouble(refusal, self.clock.now())));
        let mut settling = self.settling.lock().await;
        match &outcome {
            Ok(settled) => {
                settling.newest = Some(Arc::clone(settled));
                settling.held = None;
            }
            Err(held) => settling.held = Some((round, held.clone())),
        }
        Ok(outcome)
    }

    async fn settle_one(
        &self,
        round: RoundNumber,
        first: RoundNumber,
        read: &mut RoundsRead,
    ) -> Result<Result<Arc<Settled>, Held>, Refusal> {
        let accepted = self.read_round(round, read).await?;
        let best = BestChain::now(self.chain(), self.clock.now()).await?;
        let decided = match DecidedRound::new(&accepted, best.tip()) {
            Ok(decided) => decided,
            Err(undecided) => return Ok(Err(Held::Undecided(undecided))),
        };
        let hashes = best.hashes_at(decided.heights()).await?;
        best.check_unmoved().await?;
        let blocks = decided.matured(&hashes).map_err(unavailable)?;

        let window = self.payout_window(round, first, read).await?;
        let previous = match round.previous().filter(|previous| *previous >= first) {
            None => None,
            Some(previous) => Some(self.settled(previous).await?.ok_or_else(|| {
                Refusal::Unavailable(format!("the settlement of round {previous} is missing"))
            })?),
        };
        let (rules, program) = (Arc::clone(&self.rules), self.program);
        // A large tree is seconds of hashing.
        let settling = tokio::task::spawn_blocking(move || {
            let terms = SettlementTerms {
                program,
                blocks: &blocks,
                previous: previous.as_ref().map(|previous| &previous.settlement),
            };
            let settlement = Settlement::compute(&rules, round, &window, &terms);
            let settlement = settlement.map_err(unavailable)?;
            let bytes = settlement.to_bytes().map_err(unavailable)?;
            let (settled, encoded) = with_list(settlement)?;
            Ok::<_, Refusal>((settled, encoded, bytes))
        });
        let (settled, encoded, bytes) = settling.await.map_err(unavailable)??;
        // The list first: a settled round without its list would be one that nobody can claim.
        self.serve(encoded.as_ref()).await?;
        let _ = self.store.set_settlement(round, bytes).await?;
        self.pin_soon.notify_one();
        let record = settled.settlement.distribution().record();
        tracing::info!(
            %round,
            blocks = settled.settlement.blocks().len(),
            pot = record.pot.to_sat(),
            leaves = record.leaf_count,
            list = settled.list.as_ref().map(|(cid, _)| cid.to_string()),
            "round settled"
        );
        Ok(Ok(Arc::new(settled)))
    }

    /// A settled round, from memory if it is the newest one.
    pub(super) async fn settled(
        &self,
        round: RoundNumber,
    ) -> Result<Option<Arc<Settled>>, Refusal> {
        if let Some(newest) = &self.settling.lock().await.newest
            && newest.settlement.round() == round
        {
            return Ok(Some(Arc::clone(newest)));
        }
        let Some(bytes) = self.store.settlement(round).await? else {
            return Ok(None);
        };
        let reading = tokio::task::spawn_blocking(move || {
            with_list(Settlement::from_bytes(&bytes).map_err(unavailable)?)
        });
        let (settled, encoded) = reading.await.map_err(unavailable)??;
        let settled = Arc::new(settled);
        if self.store.newest_settled().await? == Some(round) {
            // Also mends a block store that was lost or damaged: claims need the newest list.
            self.serve(encoded.as_ref()).await?;
            let mut settling = self.settling.lock().await;
            let is_newer = |newest: &Arc<Settled>| newest.settlement.round() > round;
            if !settling.newest.as_ref().is_some_and(is_newer) {
                settling.newest = Some(Arc::clone(&settled));
            }
        }
        Ok(Some(settled))
    }

    /// Puts the blocks of a reward list where `/ipfs` finds them.
    async fn serve(&self, list: Option<&EncodedRewardList>) -> Result<(), Refusal> {
        for block in list.iter().flat_map(|list| &list.blocks) {
            self.blocks.put(block).await.map_err(unavailable)?;
        }
        Ok(())
    }
}

fn with_list(settlement: Settlement) -> Result<(Settled, Option<EncodedRewardList>), Refusal> {
    let list = RewardList::from_distribution(settlement.distribution()).map_err(unavailable)?;
    let encoded = list.as_ref().map(EncodedRewardList::new).transpose();
    let encoded = encoded.map_err(unavailable)?;
    let list = encoded.as_ref().map(|encoded| encoded.cid).zip(list);
    Ok((Settled { settlement, list }, encoded))
}
