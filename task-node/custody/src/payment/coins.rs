//! Which coins a payment must spend, and which it may.

use std::collections::{BTreeMap, BTreeSet};

use bdk_wallet::KeychainKind;
use bitcoin::{Amount, OutPoint, Txid};

use super::history::{is_before_birth, is_fenced};
use super::select::MAX_INPUTS;
use super::{History, Known, PlanInput, Reason};
use crate::view::{BURIED, Coin, Payment, Redemption, confirmations};

/// The coins a batch must spend - to exclude the live payments of its redemptions, and for the fence - and the payments it
/// replaces.
#[expect(clippy::type_complexity, reason = "the two are one answer")]
pub(super) fn forced<'a>(
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
pub(super) fn available(forced: &[&Coin], free: &[&Coin]) -> Amount {
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

pub(super) fn fenced(known: &Known<'_>, batch: &[&Redemption], why: &str) -> Vec<(u64, Reason)> {
    let old = batch
        .iter()
        .filter(|redemption| is_fenced(known, redemption));
    old.map(|redemption| (redemption.id, Reason::Fence(why.to_owned())))
        .collect()
}
