//! Which redemptions are paid now, by which transaction.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, FeeRate, OutPoint, TxOut, Txid};
use k2_interface::bitcoin::redeem_ids::MAX_SPAN;
use k2_interface::state::RedemptionState;

use super::coins::{available, fenced, forced, free_coins};
use super::draft::{Draft, check_rate, fee_cap, script};
use super::history::{check_fence, is_fenced};
use super::select::select;
use super::{History, Known, MAX_PAYOUTS, MAX_PROVABLE, Refused, Reviewed, review};
use crate::view::Redemption;

/// What a coordinator asks for.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// What it knows.
    pub known: Known<'a>,
    /// The rate of fee it wants to pay.
    pub fee_rate: FeeRate,
    /// The fees of what the new transaction replaces, all together (BIP125 rule 3); zero: it replaces nothing.
    pub replaced_fee: Amount,
    /// The next index on the keychain of change.
    pub change: u32,
    /// Coins that other transactions in flight spend: they are left alone.
    pub reserved: &'a BTreeSet<OutPoint>,
    /// Redemptions to pay anew though a live payment names them. Of both payments one at most can confirm.
    pub again: &'a BTreeSet<u64>,
}

/// What is paid and what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The payment, which passed this coordinator's own review; none: nothing can be paid now.
    pub payment: Option<Reviewed>,
    /// The open redemptions that it does not pay, by id.
    pub waiting: Vec<Waiting>,
}

/// A redemption that is not paid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub id: u64,
    /// How much it is.
    pub amount: Amount,
    /// Why.
    pub reason: Reason,
}

/// Why a redemption is not paid now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A transaction pays it.
    #[error("{0} pays it")]
    InPayment(Txid),
    /// It is paid; K2 does not know yet.
    #[error("{0} paid it and waits for its settlement on K2")]
    Paid(Txid),
    /// Too late.
    #[error("it can be refunded from height {0} on, which is too near")]
    Expiring(u32),
    /// Its block is not here yet.
    #[error("it was requested at height {0}, which this node has not reached")]
    TooEarly(u32),
    /// Its share of the fee.
    #[error("its share of the fee would be {share}, and it bears {most} only")]
    MaxFee {
        /// What it would have to bear.
        share: Amount,
        /// What it bears.
        most: Amount,
    },
    /// Nothing nodes relay would be left of it.
    #[error("what is left of it after the fee is dust")]
    Dust,
    /// More than there is.
    #[error("the wallet has {0} that it can spend")]
    Funds(Amount),
    /// It waits for the next one.
    #[error("the next payment takes it")]
    NextBatch,
    /// No coin is left by which a new payment excludes an older one.
    #[error("{0} may pay it still, and none of that transaction's coins can be spent now")]
    Conflict(Txid),
    /// Older than the journal.
    #[error("{0}")]
    Fence(String),
}

/// Why there is no transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Above the cap.
    #[error(
        "{asked} sat/kwu is above the cap of {cap} sat/kwu (a fourth of sat/kvB): raise custody's max_fee_rate, or wait"
    )]
    FeeRate {
        /// Asked for.
        asked: u64,
        /// The cap.
        cap: u64,
    },
    /// Above the absolute cap, or too much for who bears it.
    #[error("the fee would be {fee}, and {most} is the most")]
    Fee {
        /// It.
        fee: Amount,
        /// The most.
        most: Amount,
    },
    /// A coin of the replaced transaction is gone.
    #[error("{0} is spent, or not in a block any more: the transaction cannot confirm")]
    CoinGone(OutPoint),
    /// Nothing to do.
    #[error("there is nothing to {0}")]
    Nothing(&'static str),
    /// Not a transaction of the pool.
    #[error("this is no transaction that can be bumped: {0}")]
    Form(String),
    /// The view is not whole.
    #[error("the transaction {0} is not in the wallet's view: sync the wallet from its birthday")]
    NoFunding(Txid),
    /// The wallet cannot be derived.
    #[error("the wallet's descriptor: {0}")]
    Descriptor(String),
    /// The own review.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Plans one payment. Redemptions are served by their ids; one that cannot be paid holds up no other.
///
/// # Errors
/// [`PlanError`].
pub fn plan(input: &PlanInput<'_>) -> Result<Plan, PlanError> {
    check_rate(input)?;
    let known = &input.known;
    let history = History::new(known.signed, known.bitcoin);
    let mut waiting: BTreeMap<u64, Reason> = BTreeMap::new();
    for redemption in open(known) {
        if let Some(reason) = not_now(input, &history, redemption) {
            waiting.insert(redemption.id, reason);
        }
    }
    loop {
        let (batch, next) = batch(known, &waiting);
        if batch.is_empty() {
            return Ok(finish(known, None, waiting, &next));
        }
        match attempt(input, &history, &batch)? {
            Attempt::Payment(payment) => {
                return Ok(finish(known, Some(*payment), waiting, &next));
            }
            Attempt::Without(reasons) => waiting.extend(reasons),
        }
    }
}

fn finish(
    known: &Known<'_>,
    payment: Option<Reviewed>,
    mut reasons: BTreeMap<u64, Reason>,
    next: &[u64],
) -> Plan {
    reasons.extend(next.iter().map(|id| (*id, Reason::NextBatch)));
    let waiting = open(known)
        .filter_map(|redemption| {
            Some(Waiting {
                id: redemption.id,
                amount: redemption.amount,
                reason: reasons.remove(&redemption.id)?,
            })
        })
        .collect();
    Plan { payment, waiting }
}

fn open<'a>(known: &Known<'a>) -> impl Iterator<Item = &'a Redemption> + use<'a> {
    let redemptions = known.k2.redemptions.values();
    redemptions.filter(|redemption| redemption.state == RedemptionState::Open)
}

/// What no choice of batch or coins would change.
fn not_now(input: &PlanInput<'_>, history: &History, redemption: &Redemption) -> Option<Reason> {
    let known = &input.known;
    if let Some(paid) = history.confirmed(known.bitcoin, redemption.id) {
        return Some(Reason::Paid(paid.txid));
    }
    if !input.again.contains(&redemption.id)
        && let Some(payment) = history.naming(known.bitcoin, redemption.id).next()
    {
        return Some(Reason::InPayment(payment.txid));
    }
    if known.expires_soon(redemption) {
        return Some(Reason::Expiring(redemption.expires));
    }
    if known.bitcoin.tip < redemption.requested {
        return Some(Reason::TooEarly(redemption.requested));
    }
    let Some(most) = fee_cap(redemption) else {
        return Some(Reason::Dust);
    };
    // A redeemer bears at least what its own output adds: nobody pays more because another one is in the batch.
    let output = TxOut {
        value: redemption.amount,
        script_pubkey: redemption.script.clone(),
    };
    let share = input.fee_rate.fee_wu(output.weight())?;
    (share > most).then_some(Reason::MaxFee { share, most })
}

/// The lowest ids that fit one transaction, and those of the others.
fn batch<'a>(
    known: &Known<'a>,
    waiting: &BTreeMap<u64, Reason>,
) -> (Vec<&'a Redemption>, Vec<u64>) {
    let mut batch: Vec<&Redemption> = Vec::new();
    let mut next = Vec::new();
    for redemption in open(known).filter(|redemption| !waiting.contains_key(&redemption.id)) {
        let first = batch.first().map_or(redemption.id, |first| first.id);
        if batch.len() < MAX_PAYOUTS && redemption.id - first < MAX_SPAN {
            batch.push(redemption);
        } else {
            next.push(redemption.id);
        }
    }
    (batch, next)
}

/// What became of a batch.
enum Attempt {
    Payment(Box<Reviewed>),
    /// These must be left out first.
    Without(Vec<(u64, Reason)>),
}

impl Attempt {
    /// One is left out: the last one.
    fn without_last(batch: &[&Redemption], reason: Reason) -> Self {
        let last = batch.last().map(|redemption| (redemption.id, reason));
        Self::Without(last.into_iter().collect())
    }
}

fn attempt(
    input: &PlanInput<'_>,
    history: &History,
    batch: &[&Redemption],
) -> Result<Attempt, PlanError> {
    let known = &input.known;
    let (forced, replaced) = match forced(known, history, batch) {
        Ok(forced) => forced,
        Err(reasons) => return Ok(Attempt::Without(reasons)),
    };
    let free = free_coins(input, history, &replaced);
    let within = available(&forced, &free);
    let mut owed = Amount::ZERO;
    for redemption in batch {
        match owed.checked_add(redemption.amount) {
            Some(sum) if sum <= within => owed = sum,
            _ => {
                let reason = Reason::Funds(within);
                return Ok(Attempt::Without(vec![(redemption.id, reason)]));
            }
        }
    }
    let change_script = script(known, input.change)?;
    let dust = change_script.minimal_non_dust();
    let Some(coins) = select(&forced, &free, owed, dust) else {
        return Ok(Attempt::without_last(batch, Reason::Funds(within)));
    };
    let inputs = coins.iter().map(|coin| coin.outpoint).collect();
    if batch.iter().any(|redemption| is_fenced(known, redemption))
        && let Err(refused) = check_fence(known, &inputs)
    {
        return Ok(Attempt::Without(fenced(known, batch, &refused.detail)));
    }
    let draft = Draft {
        coins,
        batch,
        change: input.change,
    };
    let fee = draft.fee(input)?;
    if fee > known.limits.max_fee {
        if batch.len() > 1 {
            return Ok(Attempt::without_last(batch, Reason::NextBatch));
        }
        let most = known.limits.max_fee;
        return Err(PlanError::Fee { fee, most });
    }
    if draft.unsigned(known)?.base_size() > MAX_PROVABLE && batch.len() > 1 {
        return Ok(Attempt::without_last(batch, Reason::NextBatch));
    }
    let Some(psbt) = draft.psbt(known, fee)? else {
        // All together bear too little, though each bears its own output: without one of them fewer coins may do. The
        // one that bears least goes first.
        let least = batch
            .iter()
            .rev()
            .min_by_key(|redemption| fee_cap(redemption));
        let share = fee / batch.len() as u64;
        let reason = least.map(|redemption| {
            let most = fee_cap(redemption).unwrap_or(Amount::ZERO);
            (redemption.id, Reason::MaxFee { share, most })
        });
        return Ok(Attempt::Without(reason.into_iter().collect()));
    };
    Ok(Attempt::Payment(Box::new(review(&psbt, known)?)))
}
