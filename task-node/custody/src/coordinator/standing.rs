//! Where a batch stands, by what chain and K2 show. What the journal says comes second.

use bitcoin::{OutPoint, Txid};
use k2_interface::state::RedemptionState;

use super::action::Stop;
use crate::journal::{Batch, BatchId, BatchState, Kind};
use crate::view::{BURIED, BitcoinView, K2View, confirmations};

/// Both views, and what the journal calls the transactions in them.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) batches: &'a [Batch],
    pub(super) bitcoin: &'a BitcoinView,
    pub(super) k2: &'a K2View,
}

/// What became of a redemption whose payment is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// K2 has not been shown it.
    Open,
    /// Its tokens are burned.
    Burned,
    /// Its tokens went back.
    Returned,
}

impl Sight<'_> {
    /// Where a batch stands now.
    pub(super) fn standing(&self, batch: &Batch) -> BatchState {
        if let Some(height) = self.mined(batch) {
            return self.mined_state(batch, height);
        }
        if batch.payment.is_dead(self.bitcoin) {
            return self.dead_state(batch);
        }
        let waits_for_block = if batch.is_complete {
            BatchState::Sent
        } else {
            // Whoever has it whole may send it yet.
            BatchState::Withdrawn
        };
        match batch.state {
            // K2 has burned the tokens: the payment is owed for good, wherever its block went.
            BatchState::Settled { .. } if self.is_burned(batch) => batch.state,
            BatchState::Replaced { by } if !self.is_over(by) => batch.state,
            _ if self.is_seen(batch.txid()) => BatchState::Sent,
            // A re-organisation took its block away. It was whole once, whoever has it.
            BatchState::Confirmed { .. }
            | BatchState::Settled { .. }
            | BatchState::Forfeited { .. } => BatchState::Sent,
            // What stood in its way is gone.
            BatchState::Cancelled { .. } | BatchState::Dead | BatchState::Replaced { .. } => {
                waits_for_block
            }
            state => state,
        }
    }

    /// Height of its block, if it is in one.
    pub(super) fn mined(&self, batch: &Batch) -> Option<u32> {
        let txid = batch.txid();
        let by_coin = batch.payment.inputs.iter().find_map(|input| {
            let spent = self.bitcoin.spent.get(input)?;
            (spent.by == txid).then_some(spent.height)
        });
        by_coin.or_else(|| {
            let payments = self.bitcoin.payments.iter();
            payments
                .filter(|payment| payment.txid == txid)
                .find_map(|payment| payment.height)
        })
    }

    /// The confirmed transaction that spends one of a batch's coins, and its height: while it stands, the batch cannot
    /// confirm.
    pub(super) fn rival(&self, batch: &Batch) -> Option<(Txid, u32)> {
        let spends = batch.payment.inputs.iter();
        spends
            .filter_map(|input| self.bitcoin.spent.get(input))
            .filter(|spent| spent.by != batch.txid())
            .map(|spent| (spent.by, spent.height))
            // The one that is buried deepest.
            .min_by_key(|(_, height)| *height)
    }

    /// Whether the node has seen it unconfirmed, now or once: then it is out in the world.
    fn is_seen(&self, txid: Txid) -> bool {
        let payments = &self.bitcoin.payments;
        payments
            .iter()
            .any(|payment| payment.txid == txid && payment.height.is_none())
    }

    /// Why a payout must not go on, if it must not. `margin`: blocks before an expiry from which on it must not.
    /// `is_planned`: no signature of it is known yet.
    pub(super) fn stop(&self, batch: &Batch, margin: u32, is_planned: bool) -> Option<Stop> {
        let height = self.bitcoin.tip.max(self.k2.relay_tip);
        let mut stop = None;
        for &id in &batch.payment.ids {
            let Some(redemption) = self.k2.redemptions.get(&id) else {
                stop = stop.or(Some(Stop::Closed { id }));
                continue;
            };
            let expires = redemption.expires;
            match redemption.state {
                // Only by a payment of this family, whose block is gone since: it is owed, whatever the others say.
                RedemptionState::Settled => return is_planned.then_some(Stop::Settled { id }),
                RedemptionState::Refunded => stop = stop.or(Some(Stop::Refunded { id })),
                RedemptionState::Open if height.saturating_add(margin) >= expires => {
                    stop = stop.or(Some(Stop::Expiring { id, expires }));
                }
                RedemptionState::Open => {}
            }
        }
        stop
    }

    fn mined_state(&self, batch: &Batch, height: u32) -> BatchState {
        if batch.kind != Kind::Payout {
            return if confirmations(self.bitcoin.tip, height) >= BURIED {
                BatchState::Settled { height }
            } else {
                BatchState::Confirmed { height }
            };
        }
        let fates = || self.fates(batch, height).map(|(_, fate)| fate);
        let refunded = |id| {
            let redemption = self.k2.redemptions.get(id);
            redemption.is_some_and(|known| known.state == RedemptionState::Refunded)
        };
        if batch.payment.ids.iter().any(refunded) {
            BatchState::Forfeited { height }
        } else if fates().any(|fate| fate == Fate::Open) {
            BatchState::Confirmed { height }
        } else if fates().any(|fate| fate == Fate::Returned) {
            BatchState::Forfeited { height }
        } else {
            BatchState::Settled { height }
        }
    }

    /// What became of the redemptions of a payment in the block at `height`.
    pub(super) fn fates(&self, batch: &Batch, height: u32) -> impl Iterator<Item = (u64, Fate)> {
        let ids = (0..).zip(&batch.payment.ids);
        ids.map(move |(vout, &id)| {
            let redemption = self.k2.redemptions.get(&id);
            let fate = match redemption.map(|redemption| redemption.state) {
                Some(RedemptionState::Open) => Fate::Open,
                Some(RedemptionState::Settled) => Fate::Burned,
                Some(RedemptionState::Refunded) => Fate::Returned,
                // Closed since. It may have been refunded in the same transaction, so what tells is the record of its payout.
                // The n-th output pays the n-th id.
                None if batch.state.is_settled()
                    || height < self.k2.records_from
                    || self.k2.paid.contains(&OutPoint::new(batch.txid(), vout)) =>
                {
                    Fate::Burned
                }
                None if self.k2.others.contains(&id) => Fate::Open,
                None => Fate::Returned,
            };
            (id, fate)
        })
    }

    fn dead_state(&self, batch: &Batch) -> BatchState {
        let Some((killer, _)) = self.rival(batch) else {
            return BatchState::Dead;
        };
        let killer = self.batches.iter().find(|other| other.txid() == killer);
        match killer.map(|killer| (killer.kind, killer.id)) {
            Some((kind, by)) if kind == batch.kind => BatchState::Replaced { by },
            Some((Kind::Cancel, by)) => BatchState::Cancelled { by },
            _ => BatchState::Dead,
        }
    }

    /// Whether K2 has burned the tokens of all its redemptions, as far as it still knows them.
    fn is_burned(&self, batch: &Batch) -> bool {
        batch.kind == Kind::Payout
            && batch.payment.ids.iter().all(|id| {
                let redemption = self.k2.redemptions.get(id);
                redemption.is_none_or(|known| known.state == RedemptionState::Settled)
            })
    }

    /// Whether a batch can never confirm; one that the journal has closed, in its time, was mined or dead.
    fn is_over(&self, id: BatchId) -> bool {
        let batch = self.batches.iter().find(|batch| batch.id == id);
        batch.is_some_and(|batch| batch.payment.is_dead(self.bitcoin))
    }
}
