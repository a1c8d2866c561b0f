//! Does what [`advance`] decides: for each act the intent first, on the disk, then the act.

use std::collections::BTreeSet;

use bitcoin::{Amount, FeeRate, OutPoint};
use work::UnixTime;

use super::action::{Action, Policy, State};
use super::advance::advance;
use super::done::{Done, TurnError};
use super::outside::Outside;
use crate::fault;
use crate::journal::{BatchId, BatchState, Intent, Journal, JournalError, Kind};
use crate::payment::{self, Known, Plan, PlanInput, Reviewed, Waiting};
use crate::setup::Setup;
use crate::view::{BitcoinView, K2View, Payment};

/// One turn: what the coordinator knows at one moment, and what it may do.
pub struct Turn<'a> {
    /// Its journal.
    pub journal: &'a mut Journal,
    /// The wallet.
    pub setup: &'a Setup,
    /// The chain, by its own node.
    pub bitcoin: &'a BitcoinView,
    /// The pool's program, by its own endpoint.
    pub k2: &'a K2View,
    /// What it is set to.
    pub policy: &'a Policy,
    /// The fee that nodes ask for; none: not known.
    pub rate: Option<FeeRate>,
    /// The time.
    pub now: UnixTime,
    /// Files and the node.
    pub outside: &'a mut dyn Outside,
}

impl Turn<'_> {
    /// Does what is to be done now. What one batch fails at holds up no other.
    ///
    /// # Errors
    /// [`TurnError::Journal`]: nothing goes on without it.
    pub fn run(&mut self) -> Result<Vec<Done>, TurnError> {
        self.journal.see(self.k2.slot)?;
        let mut done = Vec::new();
        let actions = loop {
            let state = State::read(self.journal)?;
            let rate = self.rate.map(|rate| self.capped(rate));
            let actions = advance(&state, self.bitcoin, self.k2, self.policy, rate);
            // They come alone, and once they are written down they are known.
            let [Action::Adopt(_) | Action::TakeUp(_), ..] = actions.as_slice() else {
                break actions;
            };
            for action in actions {
                self.act(action, &mut done)?;
            }
        };
        for action in actions {
            self.act(action, &mut done)?;
        }
        Ok(done)
    }

    fn act(&mut self, action: Action, done: &mut Vec<Done>) -> Result<(), TurnError> {
        let (batch, act, result) = match action {
            Action::Adopt(payment) => {
                done.push(self.adopt(&payment)?);
                return Ok(());
            }
            Action::TakeUp(payment) => {
                let batch = self.journal.take_up(&payment, self.now)?;
                let txid = payment.txid;
                done.push(Done::TakenUp { batch, txid });
                return Ok(());
            }
            Action::Alarm(alarm) => {
                done.push(Done::Alarm(alarm));
                return Ok(());
            }
            Action::Record(id, state) => {
                done.push(self.record(id, state)?);
                return Ok(());
            }
            Action::Close(id) => {
                self.journal.close(id, self.now)?;
                return Ok(());
            }
            Action::Settle(id) => {
                let batch = self.journal.batch(id)?;
                done.extend(batch.state.height().map(|height| Done::ToSettle {
                    batch: id,
                    txid: batch.txid(),
                    height,
                    redemptions: batch.payment.ids.into_iter().collect(),
                }));
                return Ok(());
            }
            Action::Withdraw(id, stop) => {
                done.push(self.withdraw(id, &stop.to_string())?);
                return Ok(());
            }
            Action::HandOut(id) => (Some(id), "hand out", self.hand_out(id).map(|()| Vec::new())),
            Action::Send(id) => (Some(id), "send", self.send(id)),
            Action::Bump(id) => (Some(id), "bump", self.bump(id, None).map(|made| vec![made])),
            Action::Cancel(id, stop) => {
                tracing::warn!("{id} must not confirm: {stop}");
                let made = self.cancel(id, Some(stop));
                (Some(id), "cancel", made.map(|made| vec![made]))
            }
            Action::Plan => (None, "plan", self.plan()),
        };
        match result {
            Ok(more) => done.extend(more),
            Err(TurnError::Journal(error)) => return Err(error.into()),
            Err(error) => done.push(Done::Failed {
                batch,
                act,
                reason: error.to_string(),
            }),
        }
        Ok(())
    }

    fn adopt(&mut self, payment: &Payment) -> Result<Done, TurnError> {
        let txid = payment.txid;
        let transaction = self.outside.transaction(txid);
        // Unsigned, or not what it is said to be: not to be sent from here.
        let transaction = transaction.filter(|whole| {
            whole.compute_txid() == txid
                && whole.input.iter().all(|input| !input.witness.is_empty())
        });
        let batch = self
            .journal
            .adopt(payment, transaction.as_ref(), self.now)?;
        Ok(Done::Adopted { batch, txid })
    }

    fn record(&mut self, id: BatchId, state: BatchState) -> Result<Done, TurnError> {
        self.journal.set_state(id, state, self.now)?;
        if state == BatchState::Sent {
            // Somebody sent it: what it replaces is replaced, and its time runs.
            self.journal.sent(id, self.bitcoin.tip, self.now)?;
        }
        let txid = self.journal.batch(id)?.txid();
        Ok(Done::Stands {
            batch: id,
            txid,
            state,
        })
    }

    /// Ends what nobody has signed yet, as far as is known. Its redemptions are planned anew, by a transaction that excludes
    /// this one, should somebody have signed it after all.
    pub(super) fn withdraw(&mut self, id: BatchId, reason: &str) -> Result<Done, TurnError> {
        self.journal.note(Some(id), reason, self.now)?;
        self.journal
            .set_state(id, BatchState::Withdrawn, self.now)?;
        let batch = self.journal.batch(id)?;
        let removed = fault::around("outbox: remove", || self.outside.withdraw(&batch));
        if let Err(error) = removed {
            tracing::warn!("{id} is withdrawn, and its file could not be removed: {error}");
        }
        Ok(Done::Withdrawn {
            batch: id,
            reason: reason.to_owned(),
        })
    }

    fn hand_out(&mut self, id: BatchId) -> Result<(), TurnError> {
        let batch = self.journal.batch(id)?;
        let Some(psbt) = self.journal.psbt(id)? else {
            return Err(JournalError::Corrupt(format!("{id} is planned and has no PSBT")).into());
        };
        fault::around("outbox: write", || self.outside.hand_out(&batch, &psbt))
            .map_err(TurnError::Outside)
    }

    fn send(&mut self, id: BatchId) -> Result<Vec<Done>, TurnError> {
        let Some(transaction) = self.journal.transaction(id)? else {
            return Err(JournalError::Corrupt(format!("{id} has no transaction")).into());
        };
        let before = self.journal.batch(id)?;
        fault::around("node: send", || self.outside.send(&transaction))
            .map_err(TurnError::Outside)?;
        if before.state != BatchState::Signed && before.sent_at.is_some() {
            return Ok(Vec::new());
        }
        self.journal.sent(id, self.bitcoin.tip, self.now)?;
        if let Err(error) = fault::around("outbox: remove", || self.outside.withdraw(&before)) {
            tracing::warn!("{id} is sent, and its file could not be removed: {error}");
        }
        let txid = before.txid();
        Ok(vec![Done::Sent { batch: id, txid }])
    }

    /// Plans the payment of what is due, and hands it out.
    fn plan(&mut self) -> Result<Vec<Done>, TurnError> {
        let rate = self.rate()?;
        let plan = self.look(rate)?;
        let mut done: Vec<Done> = plan.waiting.iter().map(waits).collect();
        if let Some(reviewed) = &plan.payment {
            done.push(self.intend(Kind::Payout, reviewed, rate, None)?);
        }
        Ok(done)
    }

    /// What would be paid now and what not, and nothing is written.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn look(&mut self, rate: FeeRate) -> Result<Plan, TurnError> {
        let batches = self.journal.open_batches()?;
        // What was withdrawn is paid by another transaction that excludes it.
        let withdrawn: BTreeSet<u64> = batches
            .iter()
            .filter(|batch| batch.state == BatchState::Withdrawn)
            .flat_map(|batch| batch.payment.ids.iter().copied())
            .collect();
        let elsewhere: BTreeSet<u64> = batches
            .iter()
            .filter(|batch| batch.state != BatchState::Withdrawn && !batch.state.is_over())
            .flat_map(|batch| batch.payment.ids.iter().copied())
            .collect();
        let again = withdrawn.difference(&elsewhere).copied().collect();
        let made = self.with_input(rate, Amount::ZERO, &again, payment::plan)?;
        Ok(made?)
    }

    /// Writes a plan down and hands it out.
    pub(super) fn intend(
        &mut self,
        kind: Kind,
        reviewed: &Reviewed,
        rate: FeeRate,
        replaces: Option<BatchId>,
    ) -> Result<Done, TurnError> {
        let intent = Intent {
            kind,
            psbt: reviewed.psbt().clone(),
            fee: reviewed.fee(),
            rate,
            replaces,
        };
        let id = self.journal.plan(&intent, self.now)?;
        if let Err(TurnError::Outside(error)) = self.hand_out(id) {
            tracing::warn!(
                "{id} is planned, and its file could not be written: {error}; the next turn tries again"
            );
        }
        let ids = reviewed.payment().map(|payment| payment.ids);
        Ok(Done::Planned {
            batch: id,
            kind,
            txid: reviewed.txid(),
            redemptions: ids.into_iter().flatten().collect(),
            fee: reviewed.fee(),
            signatures: self.setup.threshold(),
        })
    }

    /// Calls a planner with all that is known.
    pub(super) fn with_input<T>(
        &mut self,
        rate: FeeRate,
        replaced_fee: Amount,
        again: &BTreeSet<u64>,
        planner: impl FnOnce(&PlanInput<'_>) -> T,
    ) -> Result<T, TurnError> {
        let signed = self.journal.payments()?;
        let reserved = self.reserved()?;
        let change = self.outside.change().map_err(TurnError::Outside)?;
        Ok(planner(&PlanInput {
            known: Known {
                setup: self.setup,
                bitcoin: self.bitcoin,
                k2: self.k2,
                signed: &signed,
                born: self.journal.born(),
                limits: &self.policy.limits,
            },
            fee_rate: rate,
            replaced_fee,
            change,
            reserved: &reserved,
            again,
        }))
    }

    /// Coins of sweeps and cancellations that may still confirm: no payment names them as taken.
    fn reserved(&self) -> Result<BTreeSet<OutPoint>, TurnError> {
        let batches = self.journal.open_batches()?;
        Ok(batches
            .iter()
            .filter(|batch| batch.kind != Kind::Payout && batch.state.is_in_flight())
            .flat_map(|batch| batch.payment.inputs.iter().copied())
            .collect())
    }

    pub(super) fn rate(&self) -> Result<FeeRate, TurnError> {
        let rate = self.rate.ok_or(TurnError::NoRate)?;
        Ok(self.capped(rate))
    }

    pub(super) fn capped(&self, rate: FeeRate) -> FeeRate {
        rate.min(self.policy.limits.max_fee_rate)
    }
}

fn waits(waiting: &Waiting) -> Done {
    Done::Waits {
        redemption: waiting.id,
        amount: waiting.amount,
        reason: waiting.reason.to_string(),
    }
}
