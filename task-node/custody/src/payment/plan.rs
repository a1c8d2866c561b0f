//! Which redemptions are paid now, by which transaction.

use std::collections::{BTreeMap, BTreeSet};

use bdk_wallet::KeychainKind;
use bitcoin::{Amount, FeeRate, OutPoint, ScriptBuf, TxOut, Txid};
use k2_interface::bitcoin::RedeemIds;
use k2_interface::bitcoin::redeem_ids::MAX_SPAN;
use k2_interface::state::RedemptionState;

use super::history::{check_fence, is_before_birth, is_fenced};
use super::select::{MAX_INPUTS, select};
use super::split::split;
use super::{
    History, INCREMENTAL_RELAY, Known, MAX_PAYOUTS, MAX_WEIGHT, Refused, Reviewed, build, review,
    weight,
};
use crate::view::{BURIED, Coin, Payment, Redemption, confirmations};

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

/// What a redemption can bear of the fee: its highest fee, and no more than leaves it an output. None: nothing would.
pub(super) fn fee_cap(redemption: &Redemption) -> Option<Amount> {
    let room = redemption
        .amount
        .checked_sub(redemption.script.minimal_non_dust())?;
    Some(room.min(redemption.max_fee))
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
    if draft.weight(known)? > MAX_WEIGHT && batch.len() > 1 {
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

/// The coins a batch must spend - to exclude the live payments of its redemptions, and for the fence - and the payments it
/// replaces.
#[expect(clippy::type_complexity, reason = "the two are one answer")]
fn forced<'a>(
    known: &Known<'a>,
    history: &History,
    batch: &[&Redemption],
) -> Result<(Vec<&'a Coin>, BTreeSet<Txid>), Vec<(u64, Reason)>> {
    let bitcoin = known.bitcoin;
    let mut forced = Vec::new();
    let replaced: Vec<&Payment> = history
        .live(bitcoin)
        .filter(|payment| {
            batch
                .iter()
                .any(|redemption| payment.ids.contains(&redemption.id))
        })
        .collect();
    match conflict_coins(known, &replaced) {
        Ok(coins) => forced.extend(coins),
        Err(payment) => {
            let ids = batch.iter().map(|redemption| redemption.id);
            let ids = ids.filter(|id| payment.ids.contains(id));
            return Err(ids.map(|id| (id, Reason::Conflict(payment.txid))).collect());
        }
    }
    if batch.iter().any(|redemption| is_fenced(known, redemption)) {
        let old = bitcoin.coins.values().filter(|coin| {
            // What an unburied transaction left: spending it, this one stands and falls with that one.
            let fresh = coin
                .height
                .is_some_and(|height| confirmations(bitcoin.tip, height) < BURIED);
            is_before_birth(known, coin) || (fresh && coin.keychain == KeychainKind::Internal)
        });
        let old: Vec<_> = old.collect();
        if let Some(coin) = old.iter().find(|coin| !coin.is_spendable(bitcoin.tip)) {
            let why = format!(
                "{} must be spent with it, which is not possible yet",
                coin.outpoint
            );
            return Err(fenced(known, batch, &why));
        }
        if old.len() > MAX_INPUTS {
            let why = format!(
                "{} old coins must be spent with it: sweep the wallet first",
                old.len()
            );
            return Err(fenced(known, batch, &why));
        }
        forced.extend(old);
    }
    let replaced = replaced.into_iter().map(|payment| payment.txid).collect();
    Ok((forced, replaced))
}

/// One spendable coin of each of these payments, few altogether: the one that most of them have in common first.
///
/// # Errors
/// The payment none of whose coins can be spent now.
pub(super) fn conflict_coins<'a, 'p>(
    known: &Known<'a>,
    payments: &[&'p Payment],
) -> Result<Vec<&'a Coin>, &'p Payment> {
    let bitcoin = known.bitcoin;
    let mut left = payments.to_vec();
    let mut coins = Vec::new();
    while let Some(first) = left.first() {
        let candidates = first.inputs.iter().filter_map(|input| {
            let coin = bitcoin.coins.get(input)?;
            coin.is_spendable(bitcoin.tip).then_some(coin)
        });
        let shared = |coin: &&Coin| {
            let sharing = left.iter();
            sharing
                .filter(|payment| payment.inputs.contains(&coin.outpoint))
                .count()
        };
        let Some(coin) = candidates.max_by_key(shared) else {
            return Err(first);
        };
        coins.push(coin);
        left.retain(|payment| !payment.inputs.contains(&coin.outpoint));
    }
    Ok(coins)
}

/// Spendable coins that nothing else in flight needs.
pub(super) fn free_coins<'a>(
    input: &PlanInput<'a>,
    history: &History,
    replaced: &BTreeSet<Txid>,
) -> Vec<&'a Coin> {
    let bitcoin = input.known.bitcoin;
    let busy: BTreeSet<OutPoint> = history
        .live(bitcoin)
        .filter(|payment| !replaced.contains(&payment.txid))
        .flat_map(|payment| payment.inputs.iter().copied())
        .collect();
    let coins = bitcoin.coins.values();
    coins
        .filter(|coin| coin.is_spendable(bitcoin.tip))
        .filter(|coin| !busy.contains(&coin.outpoint) && !input.reserved.contains(&coin.outpoint))
        .collect()
}

/// What one transaction can spend at most.
fn available(forced: &[&Coin], free: &[&Coin]) -> Amount {
    let taken: BTreeSet<_> = forced.iter().map(|coin| coin.outpoint).collect();
    let mut values: Vec<Amount> = free
        .iter()
        .filter(|coin| !taken.contains(&coin.outpoint))
        .map(|coin| coin.txout.value)
        .collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    let room = MAX_INPUTS.saturating_sub(taken.len());
    let forced: BTreeMap<_, _> = forced
        .iter()
        .map(|coin| (coin.outpoint, coin.txout.value))
        .collect();
    values
        .into_iter()
        .take(room)
        .chain(forced.into_values())
        .fold(Amount::ZERO, |sum, value| {
            sum.checked_add(value).unwrap_or(sum)
        })
}

fn fenced(known: &Known<'_>, batch: &[&Redemption], why: &str) -> Vec<(u64, Reason)> {
    let old = batch
        .iter()
        .filter(|redemption| is_fenced(known, redemption));
    old.map(|redemption| (redemption.id, Reason::Fence(why.to_owned())))
        .collect()
}

/// A payment whose coins are chosen.
pub(super) struct Draft<'a, 'b> {
    pub(super) coins: Vec<&'a Coin>,
    /// By id.
    pub(super) batch: &'b [&'a Redemption],
    /// Index of the change.
    pub(super) change: u32,
}

impl Draft<'_, '_> {
    /// What comes back: the coins less what is owed.
    fn change_amount(&self) -> Option<Amount> {
        let coins = self.coins.iter().map(|coin| coin.txout.value);
        let owed = self.batch.iter().map(|redemption| redemption.amount);
        let coins = coins.fold(Some(Amount::ZERO), |sum, value| sum?.checked_add(value));
        let owed = owed.fold(Some(Amount::ZERO), |sum, value| sum?.checked_add(value));
        coins?.checked_sub(owed?)
    }

    /// The outputs at these shares of the fee, and whether one of them is change.
    fn outputs(
        &self,
        known: &Known<'_>,
        shares: &[Amount],
    ) -> Result<(Vec<TxOut>, bool), PlanError> {
        let mut outputs: Vec<TxOut> = self
            .batch
            .iter()
            .zip(shares)
            .map(|(redemption, share)| TxOut {
                value: redemption
                    .amount
                    .checked_sub(*share)
                    .unwrap_or(Amount::ZERO),
                script_pubkey: redemption.script.clone(),
            })
            .collect();
        let change = self.change_amount().ok_or(PlanError::Form(
            "the coins are worth less than is owed".to_owned(),
        ))?;
        let comes_back = change > Amount::ZERO;
        if comes_back {
            outputs.push(TxOut {
                value: change,
                script_pubkey: script(known, self.change)?,
            });
        }
        let ids: Vec<_> = self.batch.iter().map(|redemption| redemption.id).collect();
        let data = RedeemIds::encode(&ids).map_err(|error| PlanError::Form(error.to_string()))?;
        outputs.push(TxOut {
            value: Amount::ZERO,
            script_pubkey: ScriptBuf::from_bytes(data),
        });
        Ok((outputs, comes_back))
    }

    fn weight(&self, known: &Known<'_>) -> Result<bitcoin::Weight, PlanError> {
        let shares = vec![Amount::ZERO; self.batch.len()];
        let (outputs, _) = self.outputs(known, &shares)?;
        let unsigned = build::transaction(known.bitcoin, &self.coins, outputs);
        Ok(weight::signed_weight(known.setup, &unsigned))
    }

    /// What miners get: by weight, and enough to replace what is replaced.
    pub(super) fn fee(&self, input: &PlanInput<'_>) -> Result<Amount, PlanError> {
        fee(input, self.weight(&input.known)?)
    }

    /// None: the redeemers cannot bear this fee.
    pub(super) fn psbt(
        &self,
        known: &Known<'_>,
        fee: Amount,
    ) -> Result<Option<bitcoin::Psbt>, PlanError> {
        let caps: Vec<_> = self
            .batch
            .iter()
            .map(|redemption| fee_cap(redemption).unwrap_or(Amount::ZERO))
            .collect();
        let Some(shares) = split(fee, &caps) else {
            return Ok(None);
        };
        let (outputs, comes_back) = self.outputs(known, &shares)?;
        let change = comes_back.then_some((self.batch.len(), self.change));
        let unsigned = build::transaction(known.bitcoin, &self.coins, outputs);
        build::psbt(known.setup, known.bitcoin, &self.coins, unsigned, change).map(Some)
    }
}

/// The fee of a transaction of this weight (BIP125 rules 3 and 4 where it replaces others).
pub(super) fn fee(input: &PlanInput<'_>, weight: bitcoin::Weight) -> Result<Amount, PlanError> {
    let most = input.known.limits.max_fee;
    let too_much = PlanError::Fee {
        fee: Amount::MAX_MONEY,
        most,
    };
    let Some(by_rate) = input.fee_rate.fee_wu(weight) else {
        return Err(too_much);
    };
    if input.replaced_fee == Amount::ZERO {
        return Ok(by_rate);
    }
    let added = INCREMENTAL_RELAY.fee_wu(weight);
    match added.and_then(|added| input.replaced_fee.checked_add(added)) {
        Some(least) => Ok(by_rate.max(least)),
        None => Err(too_much),
    }
}

pub(super) fn check_rate(input: &PlanInput<'_>) -> Result<(), PlanError> {
    let cap = input.known.limits.max_fee_rate;
    if input.fee_rate > cap {
        return Err(PlanError::FeeRate {
            asked: input.fee_rate.to_sat_per_kwu(),
            cap: cap.to_sat_per_kwu(),
        });
    }
    Ok(())
}

/// The script of change at an index.
pub(super) fn script(known: &Known<'_>, index: u32) -> Result<ScriptBuf, PlanError> {
    known
        .setup
        .script(KeychainKind::Internal, index)
        .map_err(|error| PlanError::Descriptor(error.to_string()))
}
