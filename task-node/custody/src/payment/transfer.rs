//! Transactions that pay nobody: sweeps, and the cancelling of payments; and the bumping of any.

use std::collections::BTreeSet;

use bdk_wallet::KeychainKind;
use bitcoin::{Amount, OutPoint, Psbt, Script, ScriptBuf, TxOut};
use k2_interface::bitcoin::RedeemIds;

use super::coins::{conflict_coins, free_coins};
use super::draft::{Draft, check_rate, fee, fee_cap, script};
use super::{History, Known, PlanError, PlanInput, Reviewed, build, fee_of, review, sum, weight};
use crate::view::{Coin, Payment, Redemption};

/// The most coins one sweep spends: as many inputs of 15 cosigners' wallets as nodes relay. K2 is not shown it.
const MAX_SWEPT: usize = 200;

/// Moves the wallet's spendable coins to a coinbase script that K2 registers, the fee off the sum: a rotation's one
/// transaction, or the joining of many coins. Coins that live payments spend stay, and those that are worth less than the
/// fee of spending them; of more than one transaction can take, the largest go first.
///
/// # Errors
/// [`PlanError`].
pub fn sweep(input: &PlanInput<'_>, to: &Script) -> Result<Reviewed, PlanError> {
    check_rate(input)?;
    let known = &input.known;
    let history = History::new(known.signed, known.bitcoin);
    let worth = input
        .fee_rate
        .fee_wu(weight::input_weight(known.setup))
        .unwrap_or(Amount::MAX_MONEY);
    let mut coins = free_coins(input, &history, &BTreeSet::new());
    coins.retain(|coin| coin.txout.value > worth);
    coins.sort_unstable_by_key(|coin| (std::cmp::Reverse(coin.txout.value), coin.outpoint));
    coins.truncate(MAX_SWEPT);
    if coins.is_empty() {
        return Err(PlanError::Nothing("sweep"));
    }
    let psbt = transfer(input, coins, to.to_owned(), None)?;
    Ok(review(&psbt, known)?)
}

/// Makes the live payments of these redemptions impossible, by spending a coin of each to the wallet's own change. The
/// payments' other redemptions are cancelled with them.
///
/// # Errors
/// [`PlanError`].
pub fn cancel(input: &PlanInput<'_>, ids: &BTreeSet<u64>) -> Result<Reviewed, PlanError> {
    check_rate(input)?;
    let known = &input.known;
    let history = History::new(known.signed, known.bitcoin);
    let payments = entangled(known, &history, ids);
    if payments.is_empty() {
        return Err(PlanError::Nothing("cancel"));
    }
    if let Some(paid) = payments.iter().find(|payment| payment.height.is_some()) {
        let why = format!(
            "{} is in a block and can only be undone by a re-organisation",
            paid.txid
        );
        return Err(PlanError::Form(why));
    }
    let mut coins = conflict_coins(known, &payments).map_err(|payment| {
        let gone = payment.inputs.first().copied().unwrap_or_default();
        PlanError::CoinGone(gone)
    })?;
    let change = script(known, input.change)?;
    // The coin in common may be too small for the fee; the payments' other coins are at hand.
    let others: BTreeSet<OutPoint> = payments
        .iter()
        .flat_map(|payment| payment.inputs.iter().copied())
        .collect();
    let mut others: Vec<&Coin> = others
        .iter()
        .filter_map(|outpoint| known.bitcoin.coins.get(outpoint))
        .filter(|coin| coin.is_spendable(known.bitcoin.tip))
        .collect();
    others.sort_unstable_by_key(|coin| (coin.txout.value, coin.outpoint));
    loop {
        let fails = match transfer(input, coins.clone(), change.clone(), Some(input.change)) {
            Ok(psbt) => return Ok(review(&psbt, known)?),
            Err(error) => error,
        };
        let taken: BTreeSet<_> = coins.iter().map(|coin| coin.outpoint).collect();
        let more = others
            .pop()
            .filter(|_| matches!(fails, PlanError::Fee { .. }));
        match more {
            Some(coin) if !taken.contains(&coin.outpoint) => coins.push(coin),
            Some(_) => {}
            None => return Err(fails),
        }
    }
}

/// The live payments of these redemptions, and of all that those name, until no more come in: what conflicts with one of
/// them must conflict with every other one of the same redemption.
fn entangled<'h>(known: &Known<'h>, history: &'h History, ids: &BTreeSet<u64>) -> Vec<&'h Payment> {
    let mut ids = ids.clone();
    loop {
        let payments: Vec<_> = history
            .live(known.bitcoin)
            .filter(|payment| !payment.ids.is_disjoint(&ids))
            .collect();
        let before = ids.len();
        ids.extend(payments.iter().flat_map(|payment| payment.ids.iter()));
        if ids.len() == before {
            return payments;
        }
    }
}

/// The same transaction at a higher fee: the same coins, redemptions and change. Payouts shrink by what the fee grows
/// (`replaced_fee` is raised to the old fee).
///
/// # Errors
/// [`PlanError`].
pub fn bump(input: &PlanInput<'_>, psbt: &Psbt) -> Result<Reviewed, PlanError> {
    check_rate(input)?;
    let known = &input.known;
    let old = &psbt.unsigned_tx;
    let coins = old
        .input
        .iter()
        .map(|input| {
            let outpoint = input.previous_output;
            let coin = known.bitcoin.coins.get(&outpoint);
            coin.filter(|coin| coin.is_spendable(known.bitcoin.tip))
                .ok_or(PlanError::CoinGone(outpoint))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let old_fee = fee_of(&coins, old)
        .ok_or_else(|| PlanError::Form("its outputs exceed its inputs".to_owned()))?;
    let input = &PlanInput {
        replaced_fee: input.replaced_fee.max(old_fee),
        ..*input
    };
    let ids = old
        .output
        .last()
        .and_then(|output| RedeemIds::parse(output.script_pubkey.as_bytes()).ok())
        .map(|ids| ids.ids().collect::<Vec<_>>());
    let Some(ids) = ids else {
        let [output] = old.output.as_slice() else {
            return Err(PlanError::Form("it names no redemptions".to_owned()));
        };
        let change = change_index(known, &output.script_pubkey);
        let psbt = transfer(input, coins, output.script_pubkey.clone(), change)?;
        return Ok(review(&psbt, known)?);
    };
    let batch: Vec<&Redemption> = ids
        .iter()
        .filter_map(|id| known.k2.redemptions.get(id))
        .collect();
    if batch.len() < ids.len() {
        return Err(PlanError::Form(
            "K2 does not have all its redemptions".to_owned(),
        ));
    }
    let change = match old
        .output
        .get(ids.len())
        .filter(|_| old.output.len() > ids.len() + 1)
    {
        None => input.change,
        Some(output) => change_index(known, &output.script_pubkey)
            .ok_or_else(|| PlanError::Form("its change is not this wallet's".to_owned()))?,
    };
    let draft = Draft {
        coins,
        batch: &batch,
        change,
    };
    let fee = draft.fee(input)?;
    let Some(psbt) = draft.psbt(known, fee)? else {
        let most = batch
            .iter()
            .filter_map(|redemption| fee_cap(redemption))
            .fold(Amount::ZERO, |sum, cap| sum.checked_add(cap).unwrap_or(sum));
        return Err(PlanError::Fee { fee, most });
    };
    Ok(review(&psbt, known)?)
}

/// All coins to one script, less the fee.
fn transfer(
    input: &PlanInput<'_>,
    mut coins: Vec<&Coin>,
    to: ScriptBuf,
    change: Option<u32>,
) -> Result<Psbt, PlanError> {
    let known = &input.known;
    coins.sort_unstable_by_key(|coin| coin.outpoint);
    let spent = sum(coins.iter().map(|coin| coin.txout.value)).unwrap_or(Amount::ZERO);
    let mut unsigned = build::transaction(
        known.bitcoin,
        &coins,
        vec![TxOut {
            value: spent,
            script_pubkey: to,
        }],
    );
    let fee = fee(input, weight::signed_weight(known.setup, &unsigned))?;
    let output = unsigned
        .output
        .first_mut()
        .ok_or(PlanError::Nothing("transfer"))?;
    let most = spent
        .checked_sub(output.script_pubkey.minimal_non_dust())
        .unwrap_or(Amount::ZERO)
        .min(known.limits.max_fee);
    if fee > most {
        return Err(PlanError::Fee { fee, most });
    }
    output.value = spent.checked_sub(fee).unwrap_or(Amount::ZERO);
    let change = change.map(|index| (0, index));
    build::psbt(known.setup, known.bitcoin, &coins, unsigned, change)
}

/// Where change stands on its keychain.
fn change_index(known: &Known<'_>, script: &Script) -> Option<u32> {
    (0..known.change_bound()).rev().find(|index| {
        let own = known.setup.script(KeychainKind::Internal, *index);
        own.is_ok_and(|own| own.as_script() == script)
    })
}
