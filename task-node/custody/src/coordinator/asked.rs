//! What people ask for, and custodians answer: bumps, cancellations, sweeps, signatures.

use std::collections::BTreeSet;

use bitcoin::{Amount, FeeRate, Psbt, Script};

use super::action::Stop;
use super::done::{Done, Submitted, TurnError};
use super::standing::Sight;
use super::turn::Turn;
use crate::journal::{Batch, BatchId, BatchState, Kind};
use crate::payment::{self, CombineError, FinishError, INCREMENTAL_RELAY, Known, Signer};

impl Turn<'_> {
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
        let again = &batch.payment.ids;
        let replaced = batch.fee.unwrap_or(Amount::ZERO);
        let made = self.with_input(rate, replaced, again, |input| payment::bump(input, &psbt))?;
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
            BatchState::Withdrawn | BatchState::Loose => None,
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
        let ids = &batch.payment.ids;
        let made = self.with_input(rate, replaced, ids, |input| payment::cancel(input, ids))?;
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
        // By what the views show: no turn may have seen yet that the last one is in a block.
        let sight = Sight {
            batches: &batches,
            bitcoin: self.bitcoin,
            k2: self.k2,
        };
        let mut busy = batches.iter();
        let busy = busy.find(|batch| sight.standing(batch).is_in_flight());
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
        let intended =
            reviewed.intend(|payment, cost| self.journal.record_signed(payment, cost))?;
        Ok(payment::sign(&intended, signer)?)
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
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    amounts.fold(Amount::ZERO, |sum, value| {
        sum.checked_add(value).unwrap_or(Amount::MAX_MONEY)
    })
}
