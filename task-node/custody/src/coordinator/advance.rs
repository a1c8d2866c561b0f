//! What is to be done now.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{FeeRate, Txid};
use k2_interface::state::RedemptionState;

use super::action::{Action, Alarm, Policy, Role, State, Stop};
use super::standing::{Fate, Sight};
use crate::journal::{Batch, BatchState, Kind};
use crate::view::{BitcoinView, K2View, confirmations};

/// Confirmations on K2's relay after which a payment should have been settled: twice what K2 asks for as a rule.
const UNSETTLED_AFTER: u32 = 12;

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
        cancelling: BTreeSet::new(),
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
    let plans = policy.role == Role::Coordinator && rate.is_some();
    if plans && !decision.in_flight && decision.is_due() {
        decision.actions.push(Action::Plan);
    }
    decision.actions
}

/// The payments that are none of the journal's batches: those in the chain or the memory pool, and those that were signed here
/// and that nobody has sent.
fn unknown(state: &State, bitcoin: &BitcoinView) -> Vec<Action> {
    let is_known = |txid: &Txid| {
        state.closed.contains(txid) || state.batches.iter().any(|batch| batch.txid() == *txid)
    };
    let payments = bitcoin.payments.iter();
    let seen = payments
        // Anybody can name redemptions beside a gift to the wallet. Only what spends its coins is a payment.
        .filter(|payment| {
            payment
                .inputs
                .iter()
                .any(|input| bitcoin.coins.contains_key(input) || bitcoin.spent.contains_key(input))
        })
        .filter(|payment| !is_known(&payment.txid))
        .map(|payment| Action::Adopt(payment.clone()));
    let is_seen = |txid: &Txid| bitcoin.payments.iter().any(|seen| seen.txid == *txid);
    let signed = state.signed.iter();
    let signed = signed
        .filter(|payment| !is_seen(&payment.txid) && !is_known(&payment.txid))
        .filter(|payment| !payment.is_dead(bitcoin))
        .map(|payment| Action::TakeUp(payment.clone()));
    seen.chain(signed).collect()
}

struct Decision<'a> {
    sight: Sight<'a>,
    standings: &'a [(&'a Batch, BatchState)],
    policy: &'a Policy,
    rate: Option<FeeRate>,
    /// Coins are promised that the chain does not show as spent.
    in_flight: bool,
    /// Redemptions whose payments this turn cancels.
    cancelling: BTreeSet<u64>,
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
            (BatchState::Planned | BatchState::Signed | BatchState::Sent, None)
                if batch.kind != Kind::Payout =>
            {
                self.transfer(batch, now);
            }
            (BatchState::Planned, None) => self.planned(batch),
            (BatchState::Signed | BatchState::Sent, None) => self.under_way(batch, now),
            (BatchState::Withdrawn | BatchState::Loose, None) => self.elsewhere(batch),
            _ => {}
        }
    }

    /// In a block.
    fn mined(&mut self, batch: &Batch, now: BatchState, height: u32) {
        let is_deep = confirmations(self.sight.bitcoin.tip, height) >= CLOSE_AFTER;
        match now {
            BatchState::Confirmed { .. } if batch.kind == Kind::Payout => {
                self.confirmed(batch, height);
            }
            BatchState::Forfeited { .. } => self.forfeited(batch, height),
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

    /// Paid, and K2 has not burned for all of it.
    fn confirmed(&mut self, batch: &Batch, height: u32) {
        let relayed = confirmations(self.sight.k2.relay_tip, height);
        self.forfeited(batch, height);
        // Where the relay is not that far there is nothing to prove against.
        if relayed > 0 && self.policy.role == Role::Coordinator {
            self.actions.push(Action::Settle(batch.id));
        }
        // The turn that finds it there settles it; one after that has tried in vain.
        if relayed > UNSETTLED_AFTER && matches!(batch.state, BatchState::Confirmed { .. }) {
            let txid = batch.txid();
            let alarm = Alarm::Unsettled { txid, height };
            self.actions.push(Action::Alarm(alarm));
        }
    }

    /// Tells what was paid and refunded.
    fn forfeited(&mut self, batch: &Batch, height: u32) {
        let txid = batch.txid();
        let fates = self.sight.fates(batch, height);
        let returned = fates.filter(|(_, fate)| *fate == Fate::Returned);
        let alarms = returned.map(|(id, _)| Action::Alarm(Alarm::PaidAndRefunded { id, txid }));
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

    /// Waits for signatures. Nobody gives one any more within the whole margin.
    fn planned(&mut self, batch: &Batch) {
        self.in_flight = true;
        let margin = self.policy.limits.expiry_margin;
        self.actions
            .push(match self.sight.stop(batch, margin, true) {
                Some(stop) => Action::Withdraw(batch.id, stop),
                None => Action::HandOut(batch.id),
            });
    }

    /// Whole here, or seen on the network.
    fn under_way(&mut self, batch: &Batch, now: BatchState) {
        self.in_flight = true;
        match self.sight.stop(batch, self.margin(), false) {
            Some(stop) => self.must_not_confirm(batch, stop),
            None if self.is_cancelled(batch) => {}
            None => {
                self.send(batch);
                self.hurry(batch, now);
            }
        }
    }

    /// Handed out or signed, and neither whole here nor seen on the network. Whoever gave the last signature may have it whole:
    /// he could hold it back until its redemption has expired, take the tokens back, and send it then.
    fn elsewhere(&mut self, batch: &Batch) {
        if self.policy.threshold == 1 {
            return;
        }
        match self.sight.stop(batch, self.margin(), false) {
            Some(stop) if !self.is_superseded(batch, stop) => self.must_not_confirm(batch, stop),
            _ => {}
        }
    }

    /// Blocks before an expiry from which on a payment is taken back.
    const fn margin(&self) -> u32 {
        match self.policy.role {
            Role::Coordinator => self.policy.limits.cancel_margin(),
            Role::Custodian => self.policy.limits.guard_margin(),
        }
    }

    /// It is whole, or may be, so somebody can send it long after the tokens went back: its coins must be spent.
    fn must_not_confirm(&mut self, batch: &Batch, stop: Stop) {
        if self.policy.threshold > 1 {
            let txid = batch.txid();
            let alarm = Alarm::Withheld { txid, stop };
            self.actions.push(Action::Alarm(alarm));
        }
        let ids = &batch.payment.ids;
        // One cancellation takes back all payments of a redemption.
        let is_cancelling = !self.cancelling.is_disjoint(ids);
        self.cancelling.extend(ids);
        if !is_cancelling && !self.is_cancelled(batch) {
            self.in_flight = true;
            self.actions.push(Action::Cancel(batch.id, stop));
        }
    }

    /// A sweep or a cancellation.
    fn transfer(&mut self, batch: &Batch, now: BatchState) {
        // Nobody signs the cancellation of what nobody signed, and nothing waits for that.
        self.in_flight |= now != BatchState::Planned || !self.cancels_elsewhere(batch);
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
        let is_passed_by = now == BatchState::Sent && self.is_late(batch);
        if is_passed_by && batch.is_own && !self.is_replaced(batch) {
            self.actions.push(Action::Bump(batch.id));
        }
    }

    /// Gives it to the node, in every turn until it has a block: memory pools forget, and nodes mind nothing twice.
    fn send(&mut self, batch: &Batch) {
        if batch.is_complete {
            self.actions.push(Action::Send(batch.id));
        } else if self.policy.role == Role::Coordinator {
            let alarm = Alarm::Unsendable { txid: batch.txid() };
            self.actions.push(Action::Alarm(alarm));
        }
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

    /// Whether it cancels what was only handed out.
    fn cancels_elsewhere(&self, batch: &Batch) -> bool {
        batch.kind == Kind::Cancel
            && self.standings.iter().any(|(other, now)| {
                Some(other.id) == batch.replaces
                    && matches!(now, BatchState::Withdrawn | BatchState::Loose)
            })
    }

    /// Whether a payment of other redemptions that was sent excludes it, and there is time to wait for its block.
    fn is_superseded(&self, batch: &Batch, stop: Stop) -> bool {
        let height = self.sight.bitcoin.tip.max(self.sight.k2.relay_tip);
        let last = self.policy.limits.last_margin();
        let is_time =
            matches!(stop, Stop::Expiring { expires, .. } if height.saturating_add(last) < expires);
        is_time
            && self.standings.iter().any(|(other, now)| {
                other.id != batch.id
                    && other.kind == Kind::Payout
                    && *now == BatchState::Sent
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
        let soon = height.saturating_add(self.policy.limits.expiry_margin);
        k2.redemptions.values().any(|redemption| {
            redemption.state == RedemptionState::Open
                && redemption.expires > soon
                && !self.standings.iter().any(|(batch, now)| {
                    now.height().is_some() && batch.payment.ids.contains(&redemption.id)
                })
        })
    }
}
