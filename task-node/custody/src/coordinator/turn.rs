//! Does what [`advance`] decides: for each act the intent first, on the disk, then the act.

use std::collections::BTreeSet;

use bitcoin::{Amount, FeeRate, OutPoint, Psbt, Script, Transaction, Txid};
use serde::Serialize;
use work::UnixTime;

use super::action::{Action, Alarm, Policy, State, Stop};
use super::advance::advance;
use crate::fault;
use crate::journal::{Batch, BatchId, BatchState, Intent, Journal, JournalError, Kind};
use crate::payment::{
    self, CombineError, FinishError, INCREMENTAL_RELAY, Known, Plan, PlanError, PlanInput, Refused,
    Reviewed, SignError, Signer, Waiting,
};
use crate::setup::Setup;
use crate::view::{BitcoinView, K2View, Payment};

/// Why something outside could not be done: a file, a node.
pub type OutsideError = Box<dyn std::error::Error + Send + Sync>;

/// What a turn reaches outside the journal. Everything may be asked for twice.
pub trait Outside {
    /// The next index on the keychain of change.
    ///
    /// # Errors
    /// The wallet cannot be written.
    fn change(&mut self) -> Result<u32, OutsideError>;

    /// A transaction the wallet has seen, whole.
    fn transaction(&self, txid: Txid) -> Option<Transaction>;

    /// Puts a PSBT where custodians find it. It stays as it is if it is there.
    ///
    /// # Errors
    /// It cannot be written.
    fn hand_out(&mut self, batch: &Batch, psbt: &Psbt) -> Result<(), OutsideError>;

    /// Takes it away again.
    ///
    /// # Errors
    /// It cannot be removed.
    fn withdraw(&mut self, batch: &Batch) -> Result<(), OutsideError>;

    /// Gives a transaction to the Bitcoin node. One that it has already is as good as taken.
    ///
    /// # Errors
    /// The node refuses it, or cannot be asked.
    fn send(&mut self, transaction: &Transaction) -> Result<(), OutsideError>;
}

/// Why a turn, or something a person asks for, was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TurnError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The payment.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The own review.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A file or a node.
    #[error("{0}")]
    Outside(OutsideError),
    /// A key.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Signed files.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// Signed files.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// Not of this coordinator.
    #[error(
        "transaction {0} is none of this coordinator's: `orcapool payout list` shows what it handed out"
    )]
    Foreign(Txid),
    /// What is asked does not fit where the batch stands.
    #[error("{batch} is {state}: {hint}")]
    State {
        /// Which.
        batch: BatchId,
        /// Where it stands.
        state: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Coins are promised already.
    #[error("{0} is in flight: wait until it is confirmed, or cancel it")]
    InFlight(BatchId),
    /// Nobody knows the fee.
    #[error("the node cannot say what fee is needed: give --fee-rate")]
    NoRate,
}

/// Something that was done, or was not and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Done {
    /// A payment that the journal did not know is in it now.
    Adopted {
        /// Its number.
        batch: BatchId,
        /// Which.
        txid: Txid,
    },
    /// A batch stands elsewhere than before.
    Stands {
        /// Which.
        batch: BatchId,
        /// Its transaction.
        txid: Txid,
        /// Where.
        #[serde(flatten)]
        state: BatchState,
    },
    /// A batch is to be signed.
    Planned {
        /// Its number.
        batch: BatchId,
        /// What it is for.
        kind: Kind,
        /// Its transaction.
        txid: Txid,
        /// The redemptions it pays.
        redemptions: Vec<u64>,
        /// What miners get, in sats.
        fee: Amount,
        /// How many custodians have to sign.
        signatures: usize,
    },
    /// Its signatures are complete.
    Signed {
        /// Which.
        batch: BatchId,
        /// Its transaction.
        txid: Txid,
    },
    /// The node has it.
    Sent {
        /// Which.
        batch: BatchId,
        /// Its transaction.
        txid: Txid,
    },
    /// An act failed; the next turn tries again.
    Failed {
        /// Which batch; none: a plan.
        batch: Option<BatchId>,
        /// What was to be done.
        act: &'static str,
        /// Why it was not.
        reason: String,
    },
    /// A batch is not to be signed any more.
    Withdrawn {
        /// Which.
        batch: BatchId,
        /// Why.
        reason: String,
    },
    /// A batch is in a block, and K2 can be shown.
    ToSettle {
        /// Which.
        batch: BatchId,
        /// Its transaction.
        txid: Txid,
        /// The block's height.
        height: u32,
        /// What it settles.
        redemptions: Vec<u64>,
    },
    /// A redemption that is not paid now.
    Waits {
        /// Which.
        redemption: u64,
        /// How much it is, in sats.
        amount: Amount,
        /// Why.
        reason: String,
    },
    /// People have to look at something.
    Alarm(Alarm),
}

/// What became of signed files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Submitted {
    /// The transaction is whole and written down; the next turn sends it.
    Complete {
        /// Its batch.
        batch: BatchId,
        /// Which.
        txid: Txid,
    },
    /// More signatures are needed.
    Incomplete {
        /// Its batch.
        batch: BatchId,
        /// Which.
        txid: Txid,
        /// Valid ones of the input that has fewest.
        have: usize,
        /// The threshold.
        need: usize,
    },
}

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
            let [Action::Adopt(_), ..] = actions.as_slice() else {
                break actions;
            };
            for action in actions {
                if let Action::Adopt(payment) = action {
                    done.push(self.adopt(&payment)?);
                }
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
    fn withdraw(&mut self, id: BatchId, reason: &str) -> Result<Done, TurnError> {
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

    /// Plans the same payment at a higher fee; without a rate, at what nodes ask for now.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn bump(&mut self, id: BatchId, rate: Option<FeeRate>) -> Result<Done, TurnError> {
        let batch = self.journal.batch(id)?;
        if !matches!(batch.state, BatchState::Sent | BatchState::Signed) {
            return Err(TurnError::State {
                batch: id,
                state: batch.state.name(),
                hint: "only what was sent and waits for a block can be bumped",
            });
        }
        let Some(psbt) = self.journal.psbt(id)? else {
            return Err(TurnError::State {
                batch: id,
                state: batch.state.name(),
                hint: "it was found on the chain, and only whoever made it can bump it; or cancel it",
            });
        };
        let rate = match rate {
            Some(rate) => rate,
            None => self.rate()?,
        };
        let again = batch.payment.ids.clone();
        let replaced = batch.fee.unwrap_or(Amount::ZERO);
        let made = self.with_input(rate, replaced, &again, |input| payment::bump(input, &psbt))?;
        self.intend(batch.kind, &made?, rate, Some(id))
    }

    /// Plans to take a payment's coins back. `stop`: why, if nobody asked for it.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn cancel(&mut self, id: BatchId, stop: Option<Stop>) -> Result<Done, TurnError> {
        let batch = self.journal.batch(id)?;
        let hint = match batch.state {
            // Nobody has signed it, as far as is known here.
            BatchState::Planned => {
                return self.withdraw(id, "withdrawn by hand");
            }
            BatchState::Signed | BatchState::Sent | BatchState::Replaced { .. } => None,
            BatchState::Withdrawn => None,
            BatchState::Confirmed { .. }
            | BatchState::Settled { .. }
            | BatchState::Forfeited { .. } => Some("what is in a block cannot be taken back"),
            BatchState::Cancelled { .. } | BatchState::Dead => Some("it can never confirm"),
        };
        let hint = match (hint, batch.kind) {
            (None, Kind::Payout) => None,
            (None, _) => Some("only payments of redemptions are cancelled; bump it instead"),
            (hint, _) => hint,
        };
        if let Some(hint) = hint {
            return Err(TurnError::State {
                batch: id,
                state: batch.state.name(),
                hint,
            });
        }
        let replaced = self.fee(&batch)?;
        // Nodes take a replacement only at a higher rate than what it replaces, too.
        let least = batch.rate.unwrap_or(FeeRate::BROADCAST_MIN);
        let least = least
            .to_sat_per_kwu()
            .saturating_add(INCREMENTAL_RELAY.to_sat_per_kwu());
        let least = FeeRate::from_sat_per_kwu(least);
        let rate = self.capped(self.rate.map_or(least, |rate| rate.max(least)));
        let ids = batch.payment.ids.clone();
        let made = self.with_input(rate, replaced, &ids, |input| payment::cancel(input, &ids))?;
        if let Some(stop) = stop {
            self.journal.note(Some(id), &stop.to_string(), self.now)?;
        }
        self.intend(Kind::Cancel, &made?, rate, Some(id))
    }

    /// Plans to move all that can be spent to a script that K2 registers.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn sweep(&mut self, to: &Script, rate: Option<FeeRate>) -> Result<Done, TurnError> {
        let batches = self.journal.open_batches()?;
        let busy = batches.iter().find(|batch| batch.state.is_in_flight());
        if let Some(busy) = busy {
            return Err(TurnError::InFlight(busy.id));
        }
        let rate = match rate {
            Some(rate) => rate,
            None => self.rate()?,
        };
        let none = BTreeSet::new();
        let made = self.with_input(rate, Amount::ZERO, &none, |input| payment::sweep(input, to))?;
        self.intend(Kind::Sweep, &made?, rate, None)
    }

    /// Takes in signed files of one transaction. What is complete is written down, and sent by the next turn.
    ///
    /// # Errors
    /// [`TurnError`].
    pub fn submit(&mut self, psbts: &[Psbt]) -> Result<Submitted, TurnError> {
        let Some(first) = psbts.first() else {
            return Err(CombineError::Nothing.into());
        };
        let txid = first.unsigned_tx.compute_txid();
        let batches = self.journal.open_batches()?;
        let Some(batch) = batches.into_iter().find(|batch| batch.txid() == txid) else {
            return Err(TurnError::Foreign(txid));
        };
        if batch.state == BatchState::Withdrawn {
            return Err(TurnError::State {
                batch: batch.id,
                state: batch.state.name(),
                hint: "it is not to be signed any more: throw the file away",
            });
        }
        if batch.is_complete {
            let batch = batch.id;
            return Ok(Submitted::Complete { batch, txid });
        }
        // The coordinator's own file comes first: of the others nothing is taken but signatures.
        let own = self.journal.psbt(batch.id)?;
        let all: Vec<Psbt> = own.into_iter().chain(psbts.iter().cloned()).collect();
        let combined = payment::combine(&all)?;
        let whole = match payment::finalize(&combined, self.setup, self.bitcoin) {
            Ok(whole) => whole,
            Err(FinishError::Incomplete { have, need, .. }) => {
                return Ok(Submitted::Incomplete {
                    batch: batch.id,
                    txid,
                    have,
                    need,
                });
            }
            Err(error) => return Err(error.into()),
        };
        self.journal.complete(batch.id, &whole, self.now)?;
        let batch = batch.id;
        Ok(Submitted::Complete { batch, txid })
    }

    /// Signs a planned batch as a custodian does: reviewed by every rule and written down first.
    ///
    /// # Errors
    /// [`TurnError`]; [`TurnError::Refused`] names the rule.
    pub fn sign(&mut self, id: BatchId, signer: &dyn Signer) -> Result<Psbt, TurnError> {
        let Some(psbt) = self.journal.psbt(id)? else {
            return Err(TurnError::Foreign(self.journal.batch(id)?.txid()));
        };
        let signed = self.journal.payments()?;
        let known = Known {
            setup: self.setup,
            bitcoin: self.bitcoin,
            k2: self.k2,
            signed: &signed,
            born: self.journal.born(),
            limits: &self.policy.limits,
        };
        let reviewed = payment::review(&psbt, &known)?;
        let intended = reviewed.intend(|payment| self.journal.record_signed(payment))?;
        Ok(payment::sign(&intended, signer)?)
    }

    /// Writes a plan down and hands it out.
    fn intend(
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
    fn with_input<T>(
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

    /// What a batch and those it stands in for cost, at most.
    fn fee(&self, batch: &Batch) -> Result<Amount, TurnError> {
        if let Some(fee) = batch.fee {
            return Ok(fee);
        }
        let Some(transaction) = self.journal.transaction(batch.id)? else {
            return Ok(Amount::ZERO);
        };
        let coins = &self.bitcoin.coins;
        let values = batch.payment.inputs.iter();
        let values = values.filter_map(|input| coins.get(input).map(|coin| coin.txout.value));
        let outputs = transaction.output.iter().map(|output| output.value);
        Ok(sum(values)
            .checked_sub(sum(outputs))
            .unwrap_or(Amount::ZERO))
    }

    fn rate(&self) -> Result<FeeRate, TurnError> {
        let rate = self.rate.ok_or(TurnError::NoRate)?;
        Ok(self.capped(rate))
    }

    fn capped(&self, rate: FeeRate) -> FeeRate {
        rate.min(self.policy.limits.max_fee_rate)
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    amounts.fold(Amount::ZERO, |sum, value| {
        sum.checked_add(value).unwrap_or(Amount::MAX_MONEY)
    })
}

fn waits(waiting: &Waiting) -> Done {
    Done::Waits {
        redemption: waiting.id,
        amount: waiting.amount,
        reason: waiting.reason.to_string(),
    }
}
