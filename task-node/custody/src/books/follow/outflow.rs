//! What one transaction of the wallet's coins does: whom it pays, what of it nothing explains.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, Transaction, TxOut, Txid};
use k2_interface::bitcoin::RedeemIds;
use ledger::books::SpendKind;

use super::FollowError;
use crate::books::facts::Facts;

/// A redemption's part of a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Off the reserves: what K2 burns.
    pub(super) amount: Amount,
    /// To the redeemer; the rest is its part of the fee.
    pub(super) paid: Amount,
}

/// A transaction that spends coins of the wallet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outflow {
    /// By redemption.
    pub(super) parts: BTreeMap<u64, Part>,
    /// What comes in by it all the same: somebody redeemed to the pool's address, or spends coins of his own beside the
    /// wallet's.
    pub(super) gifts: BTreeMap<OutPoint, Amount>,
    /// Fee that no redeemer bears.
    pub(super) fee: Amount,
    /// To another script that K2 honours.
    pub(super) moved: Amount,
    /// To anybody else, or more than a redemption is worth.
    pub(super) unexplained: Amount,
    /// Kept of what redeemers gave for the fee.
    pub(super) kept: Amount,
    /// Whether coins come back to a coinbase script, or go to another one of K2's.
    pub(super) sweeps: bool,
}

impl Outflow {
    /// What it is besides a payout; none: nothing.
    pub(super) fn rest(&self) -> Option<SpendKind> {
        let nothing = [self.fee, self.moved, self.unexplained, self.kept]
            .iter()
            .all(|amount| *amount == Amount::ZERO);
        if nothing {
            return None;
        }
        Some(if !self.parts.is_empty() {
            SpendKind::Payout
        } else if self.unexplained != Amount::ZERO {
            SpendKind::Unknown
        } else if self.sweeps {
            SpendKind::Sweep
        } else {
            SpendKind::Cancel
        })
    }
}

/// The inputs of a transaction that are the wallet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inputs {
    /// Their worth.
    sum: Amount,
    /// Whether there are no others.
    all: bool,
}

/// Which inputs are the wallet's; none: it spends nothing of the wallet's.
pub(super) fn own_inputs(
    facts: &Facts<'_>,
    transaction: &Transaction,
) -> Result<Option<Inputs>, FollowError> {
    let mut sum = None;
    let mut all = true;
    for input in &transaction.input {
        let outpoint = input.previous_output;
        if !facts.is_own(&outpoint) {
            all = false;
            continue;
        }
        let parent = facts.transactions.get(&outpoint.txid);
        let output = parent.and_then(|parent| at(&parent.transaction, outpoint.vout));
        let value = output.ok_or(FollowError::Incomplete(outpoint))?.value;
        sum = Some(add(sum.unwrap_or(Amount::ZERO), value)?);
    }
    Ok(sum.map(|sum| Inputs { sum, all }))
}

/// Takes a transaction apart. `amount` says what a redemption is worth, where that is known; `is_paid`, whether another
/// transaction that confirmed before has paid it.
pub(super) fn take_apart(
    facts: &Facts<'_>,
    txid: Txid,
    transaction: &Transaction,
    inputs: Inputs,
    amount: impl Fn(u64) -> Option<Amount>,
    is_paid: impl Fn(u64) -> bool,
) -> Result<Outflow, FollowError> {
    if !inputs.all {
        return with_others(facts, txid, transaction, inputs.sum);
    }
    let mut outflow = Outflow::default();
    let payees = payees(transaction);
    let mut left = inputs.sum;
    let mut unknown = Vec::new();
    let mut borne = Amount::ZERO;
    for (vout, output) in (0..).zip(&transaction.output) {
        left = left
            .checked_sub(output.value)
            .ok_or(FollowError::Impossible(txid))?;
        let outpoint = OutPoint::new(txid, vout);
        let is_own = facts.is_own(&outpoint);
        let payee = payees.get(&vout).filter(|id| {
            !outflow.parts.contains_key(id) && !is_paid(**id) && pays(facts, **id, output, is_own)
        });
        if let Some(id) = payee {
            if is_own {
                outflow.gifts.insert(outpoint, output.value);
            }
            let worth = amount(*id).unwrap_or_else(|| {
                unknown.push(*id);
                output.value
            });
            // More than it is worth is not what the redemption is owed.
            let paid = output.value.min(worth);
            outflow.unexplained = add(outflow.unexplained, less(output.value, paid))?;
            borne = add(borne, less(worth, paid))?;
            let part = Part {
                amount: worth,
                paid,
            };
            outflow.parts.insert(*id, part);
        } else if is_own {
            outflow.sweeps |= output.script_pubkey.as_script() == facts.coinbase_script;
        } else if facts.k2.scripts.contains(&output.script_pubkey) {
            outflow.moved = add(outflow.moved, output.value)?;
            outflow.sweeps = true;
        } else {
            outflow.unexplained = add(outflow.unexplained, output.value)?;
        }
    }
    let fee = left;
    if outflow.parts.is_empty() {
        outflow.fee = fee;
        return Ok(outflow);
    }
    // Redemptions whose accounts are closed bear what the others do not, in equal parts: the sum is what the transaction took
    // off the reserves, however they shared it.
    let mut rest = less(fee, borne);
    for (bearers, id) in (1..=unknown.len() as u64).rev().zip(&unknown) {
        let share = Amount::from_sat(rest.to_sat().div_ceil(bearers));
        rest = less(rest, share);
        if let Some(part) = outflow.parts.get_mut(id) {
            part.amount = add(part.amount, share)?;
            borne = add(borne, share)?;
        }
    }
    outflow.unexplained = add(outflow.unexplained, less(fee, borne))?;
    outflow.kept = less(borne, fee);
    Ok(outflow)
}

/// What a transaction that spends others' coins too leaves the wallet with: more than before, or less and nobody knows why.
/// Custodians sign none.
fn with_others(
    facts: &Facts<'_>,
    txid: Txid,
    transaction: &Transaction,
    inputs: Amount,
) -> Result<Outflow, FollowError> {
    let mut outputs = Amount::ZERO;
    let mut first = None;
    for (vout, output) in (0..).zip(&transaction.output) {
        let outpoint = OutPoint::new(txid, vout);
        if facts.is_own(&outpoint) {
            outputs = add(outputs, output.value)?;
            first = first.or(Some(outpoint));
        }
    }
    let more = less(outputs, inputs);
    let gift = first.filter(|_| more != Amount::ZERO);
    Ok(Outflow {
        gifts: gift.map(|outpoint| (outpoint, more)).into_iter().collect(),
        unexplained: less(inputs, outputs),
        ..Outflow::default()
    })
}

/// Which output is to pay which redemption, as the program on K2 judges it: of several that a transaction names, the n-th is
/// paid by the n-th output that holds no data; a single one by any.
fn payees(transaction: &Transaction) -> BTreeMap<u32, u64> {
    let outputs = (0..).zip(&transaction.output);
    let places: Vec<u32> = outputs
        .filter(|(_, output)| !output.script_pubkey.is_op_return())
        .map(|(vout, _)| vout)
        .collect();
    let sets = transaction.output.iter().filter_map(|output| {
        let ids = RedeemIds::parse(output.script_pubkey.as_bytes()).ok()?;
        Some(ids.ids().collect::<Vec<u64>>())
    });
    let sets: Vec<Vec<u64>> = sets.collect();
    if let [set] = sets.as_slice()
        && let [id] = set.as_slice()
    {
        return places.into_iter().map(|vout| (vout, *id)).collect();
    }
    let mut payees = BTreeMap::new();
    for ids in sets {
        for (vout, id) in places.iter().zip(ids) {
            payees.entry(*vout).or_insert(id);
        }
    }
    payees
}

/// Whether an output can be the payment of a redemption. One to the wallet itself is change, unless that is where the
/// redeemer wants it.
fn pays(facts: &Facts<'_>, id: u64, output: &TxOut, is_own: bool) -> bool {
    match facts.k2.redemptions.get(&id) {
        Some(redemption) => {
            let least = redemption.amount.checked_sub(redemption.max_fee);
            output.script_pubkey == redemption.script
                && least.is_some_and(|least| output.value >= least)
        }
        None => !is_own,
    }
}

fn at(transaction: &Transaction, vout: u32) -> Option<&TxOut> {
    let vout = usize::try_from(vout).ok()?;
    transaction.output.get(vout)
}

fn add(sum: Amount, more: Amount) -> Result<Amount, FollowError> {
    sum.checked_add(more).ok_or(FollowError::Overflow)
}

/// How much more the first is; nothing if it is less.
fn less(much: Amount, little: Amount) -> Amount {
    much.checked_sub(little).unwrap_or(Amount::ZERO)
}
