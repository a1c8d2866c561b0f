//! What is to be done now.

use std::collections::BTreeMap;

use bitcoin::{FeeRate, Txid};
use k2_interface::state::RedemptionState;

use super::action::{Action, Alarm, Policy, State, Stop};
use super::standing::Sight;
use crate::journal::{Batch, BatchState, Kind};
use crate::view::{BitcoinView, K2View, confirmations};

/// Depth at which a batch is done with: a day. Deeper than any re-organisation that K2 follows ([`BURIED`](crate::view::BURIED)),
/// because to look at a batch costs nothing.
const CLOSE_AFTER: u32 = 144;

/// What is to be done, in this order. `rate`: the fee that Bitcoin's nodes ask for now; `None`: not known, and nothing new is
/// planned.
///
/// Payments that the journal does not know come alone: they are written down before anything is decided.
#[must_use]
pub fn advance(
    state: &State,
    bitcoin: &BitcoinView,
    k2: &K2View,
    policy: &Policy,
    rate: Option<FeeRate>,
) -> Vec<Action> {
    let adopted = unknown(state, bitcoin);
    if !adopted.is_empty() {
        return adopted;
    }
    let sight = Sight {
        batches: &state.batches,
        bitcoin,
        k2,
        expiry_margin: policy.limits.expiry_margin,
    };
    let standings: Vec<(&Batch, BatchState)> = state
        .batches
        .iter()
        .map(|batch| (batch, sight.standing(batch)))
        .collect();
    let mut decision = Decision {
        sight,
        standings: &standings,
        policy,
        rate,
        in_flight: false,
        actions: Vec::new(),
    };
    for (batch, now) in &standings {
        if *now != batch.state {
            decision.actions.push(Action::Record(batch.id, *now));
        }
    }
    for (batch, now) in &standings {
        decision.batch(batch, *now);
    }
    decision.paid_twice();
    if !decision.in_flight && rate.is_some() && decision.is_due() {
        decision.actions.push(Action::Plan);
    }
    decision.actions
}

/// The payments in the chain or the memory pool that are none of the journal's.
fn unknown(state: &State, bitcoin: &BitcoinView) -> Vec<Action> {
    let is_known = |txid: &Txid| {
        state.closed.contains(txid) || state.batches.iter().any(|batch| batch.txid() == *txid)
    };
    let payments = bitcoin.payments.iter();
    payments
        // Anybody can name redemptions beside a gift to the wallet. Only what spends its coins is a payment.
        .filter(|payment| {
            payment
                .inputs
                .iter()
                .any(|input| bitcoin.coins.contains_key(input) || bitcoin.spent.contains_key(input))
        })
        .filter(|payment| !is_known(&payment.txid))
        .map(|payment| Action::Adopt(payment.clone()))
        .collect()
}

struct Decision<'a> {
    sight: Sight<'a>,
    standings: &'a [(&'a Batch, BatchState)],
    policy: &'a Policy,
    rate: Option<FeeRate>,
    /// Coins are promised that the chain does not show as spent.
    in_flight: bool,
    actions: Vec<Action>,
}

impl Decision<'_> {
    fn batch(&mut self, batch: &Batch, now: BatchState) {
        if let Some(height) = now.height()
            && self.sight.mined(batch).is_some()
        {
            return self.mined(batch, now, height);
        }
        match (now, self.sight.rival(batch)) {
            (BatchState::Settled { .. }, None) => self.owed(batch),
            (BatchState::Planned | BatchState::Signed, Some((by, _))) => {
                let stop = Stop::Spent { by };
                self.actions.push(Action::Withdraw(batch.id, stop));
            }
            (_, Some((_, height))) => self.outdone(batch, now, height),
            (BatchState::Planned | BatchState::Signed | BatchState::Sent, None) => {
                match batch.kind {
                    Kind::Payout => self.payout(batch, now),
                    Kind::Cancel | Kind::Sweep => self.own(batch, now),
                }
            }
            _ => {}
        }
    }

    /// In a block.
    fn mined(&mut self, batch: &Batch, now: BatchState, height: u32) {
        let is_deep = confirmations(self.sight.bitcoin.tip, height) >= CLOSE_AFTER;
        match now {
            // Where the relay is not that far there is nothing to prove against.
            BatchState::Confirmed { .. }
                if batch.kind == Kind::Payout && self.sight.k2.relay_tip >= height =>
            {
                self.actions.push(Action::Settle(batch.id));
            }
            BatchState::Forfeited { .. } => self.forfeited(batch),
            _ => {}
        }
        if is_deep
            && !batch.is_closed
            && matches!(
                now,
                BatchState::Settled { .. } | BatchState::Forfeited { .. }
            )
        {
            self.actions.push(Action::Close(batch.id));
        }
    }

    fn forfeited(&mut self, batch: &Batch) {
        let (k2, txid) = (self.sight.k2, batch.txid());
        let refunded = batch.payment.ids.iter().filter(|id| {
            k2.redemptions
                .get(id)
                .is_some_and(|redemption| redemption.state == RedemptionState::Refunded)
        });
        let alarms = refunded.map(|id| Action::Alarm(Alarm::PaidAndRefunded { id: *id, txid }));
        self.actions.extend(alarms);
    }

    /// K2 has burned for it, and its block is gone: it must come into another one.
    fn owed(&mut self, batch: &Batch) {
        self.in_flight = true;
        self.send(batch);
    }

    /// Something else spends one of its coins in a block.
    fn outdone(&mut self, batch: &Batch, now: BatchState, height: u32) {
        let is_deep = confirmations(self.sight.bitcoin.tip, height) >= CLOSE_AFTER;
        if is_deep && !now.is_in_flight() && !batch.is_closed {
            self.actions.push(Action::Close(batch.id));
        }
    }

    fn payout(&mut self, batch: &Batch, now: BatchState) {
        self.in_flight = true;
        let is_planned = now == BatchState::Planned;
        match self.sight.stop(batch, is_planned) {
            Some(stop) if is_planned => self.actions.push(Action::Withdraw(batch.id, stop)),
            _ if self.is_cancelled(batch) => {}
            // It is whole, so anybody who has it can send it, long after the tokens went back.
            Some(stop) => self.actions.push(Action::Cancel(batch.id, stop)),
            None if is_planned => self.actions.push(Action::HandOut(batch.id)),
            None => {
                self.send(batch);
                self.hurry(batch, now);
            }
        }
    }

    /// A sweep or a cancellation.
    fn own(&mut self, batch: &Batch, now: BatchState) {
        self.in_flight = true;
        match now {
            BatchState::Planned => self.actions.push(Action::HandOut(batch.id)),
            _ => {
                self.send(batch);
                self.hurry(batch, now);
            }
        }
    }

    /// A higher fee for what blocks pass by.
    fn hurry(&mut self, batch: &Batch, now: BatchState) {
        if now == BatchState::Sent && self.is_late(batch) && !self.is_replaced(batch) {
            self.actions.push(Action::Bump(batch.id));
        }
    }

    /// Gives it to the node, in every turn until it has a block: memory pools forget, and nodes mind nothing twice.
    fn send(&mut self, batch: &Batch) {
        self.actions.push(if batch.is_complete {
            Action::Send(batch.id)
        } else {
            Action::Alarm(Alarm::Unsendable { txid: batch.txid() })
        });
    }

    /// Whether a cancellation takes its coins back, or is to.
    fn is_cancelled(&self, batch: &Batch) -> bool {
        self.standings.iter().any(|(other, now)| {
            other.kind == Kind::Cancel
                && !now.is_over()
                && *now != BatchState::Withdrawn
                && !other.payment.inputs.is_disjoint(&batch.payment.inputs)
        })
    }

    /// Whether another batch is to take its place already.
    fn is_replaced(&self, batch: &Batch) -> bool {
        self.standings.iter().any(|(other, now)| {
            other.kind == batch.kind && other.replaces == Some(batch.id) && now.is_in_flight()
        })
    }

    /// Whether blocks pass it by because others pay more.
    fn is_late(&self, batch: &Batch) -> bool {
        let (Some(sent_at), Some(paid), Some(rate)) = (batch.sent_at, batch.rate, self.rate) else {
            return false;
        };
        let waited = self.sight.bitcoin.tip.saturating_sub(sent_at);
        // A quarter more, or it is not worth custodians' time; at least 1 sat/vB, which is what a replacement costs (BIP125).
        let (paid, rate) = (paid.to_sat_per_kwu(), rate.to_sat_per_kwu());
        let worth_it = paid.saturating_add((paid / 4).max(250));
        waited >= self.policy.bump_after && rate >= worth_it
    }

    /// Two payments of one redemption in blocks: somebody signed what the rules forbid.
    fn paid_twice(&mut self) {
        let mut paid: BTreeMap<u64, Txid> = BTreeMap::new();
        for (batch, _) in self.standings {
            if self.sight.mined(batch).is_none() {
                continue;
            }
            for &id in &batch.payment.ids {
                let second = batch.txid();
                if let Some(first) = paid.insert(id, second) {
                    self.actions
                        .push(Action::Alarm(Alarm::PaidTwice { id, first, second }));
                }
            }
        }
    }

    /// Whether a redemption waits for a payment that nothing of the journal's stands for.
    fn is_due(&self) -> bool {
        let Sight { k2, bitcoin, .. } = self.sight;
        let height = bitcoin.tip.max(k2.relay_tip);
        let soon = height.saturating_add(self.sight.expiry_margin);
        k2.redemptions.values().any(|redemption| {
            redemption.state == RedemptionState::Open
                && redemption.expires > soon
                && !self.standings.iter().any(|(batch, now)| {
                    now.height().is_some() && batch.payment.ids.contains(&redemption.id)
                })
        })
    }
}
