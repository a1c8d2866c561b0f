//! The rules of a transaction that names redemptions.

use bitcoin::{Amount, Psbt, TxOut};
use k2_interface::bitcoin::RedeemIds;
use k2_interface::state::RedemptionState;

use super::super::history::{check_fence, is_fenced};
use super::super::rule::{Refused, Rule, refuse};
use super::super::split::split;
use super::super::{MAX_PAYOUTS, MAX_PROVABLE, draft, sum};
use super::transfer::own_change;
use super::{Change, Facts, Payout, Purpose};
use crate::view::Redemption;

pub(super) fn payout(psbt: &Psbt, facts: &Facts<'_>) -> Result<Purpose, Refused> {
    let outputs = &psbt.unsigned_tx.output;
    let ids = data(outputs)?;
    let redemptions = ids
        .iter()
        .map(|id| redemption(facts, *id))
        .collect::<Result<Vec<_>, _>>()?;
    let paying = &outputs[..outputs.len() - 1];
    if paying.len() < redemptions.len() {
        let detail = format!("{} are named and {} paid", redemptions.len(), paying.len());
        return refuse(Rule::MissingOutput, detail);
    }
    let (paying, rest) = paying.split_at(redemptions.len());
    if rest.len() > 1 {
        let detail = format!("output {} is neither", redemptions.len() + 1);
        return refuse(Rule::ExtraOutput, detail);
    }
    provable(psbt, &redemptions)?;
    for (n, output) in paying.iter().enumerate() {
        script(n, output, &redemptions)?;
    }
    let payouts = redemptions
        .iter()
        .zip(paying)
        .map(|(redemption, output)| amount(redemption, output))
        .collect::<Result<Vec<_>, _>>()?;
    let change = change(psbt, facts, &redemptions, rest.first())?;
    facts.check_fee()?;
    fair(facts.fee, &redemptions, &payouts)?;
    for redemption in &redemptions {
        let bitcoin = facts.known.bitcoin;
        facts
            .history
            .check_conflict(bitcoin, facts.txid, &facts.inputs, redemption.id)?;
    }
    if let Some(old) = redemptions
        .iter()
        .find(|redemption| is_fenced(facts.known, redemption))
    {
        check_fence(facts.known, &facts.inputs).map_err(|refused| Refused {
            detail: format!("redemption {}: {}", old.id, refused.detail),
            ..refused
        })?;
    }
    Ok(Purpose::Payout { payouts, change })
}

/// The ids that are named, ascending.
fn data(outputs: &[TxOut]) -> Result<Vec<u64>, Refused> {
    let mut data = outputs
        .iter()
        .enumerate()
        .filter(|(_, output)| output.script_pubkey.is_op_return());
    let Some((n, output)) = data.next() else {
        return refuse(Rule::DataMissing, "there is no OP_RETURN output");
    };
    if let Some((n, _)) = data.next() {
        return refuse(
            Rule::DataRepeated,
            format!("output {n} is another OP_RETURN output"),
        );
    }
    if n + 1 != outputs.len() {
        return refuse(
            Rule::DataNotLast,
            format!("it is output {n} of {}", outputs.len()),
        );
    }
    if output.value != Amount::ZERO {
        return refuse(Rule::DataValue, format!("it carries {}", output.value));
    }
    let ids = RedeemIds::parse(output.script_pubkey.as_bytes())
        .map_err(|error| Refused::new(Rule::DataMalformed, error.to_string()))?;
    if ids.count() > MAX_PAYOUTS {
        return refuse(Rule::TooManyPayouts, format!("it names {}", ids.count()));
    }
    Ok(ids.ids().collect())
}

fn redemption<'a>(facts: &Facts<'a>, id: u64) -> Result<&'a Redemption, Refused> {
    let known = facts.known;
    let Some(redemption) = known.k2.redemptions.get(&id) else {
        let detail = format!("redemption {id} is not there at slot {}", known.k2.slot);
        return refuse(Rule::UnknownRedemption, detail);
    };
    match redemption.state {
        RedemptionState::Open => {}
        RedemptionState::Settled => {
            return refuse(Rule::SettledRedemption, format!("redemption {id} is"));
        }
        RedemptionState::Refunded => {
            return refuse(Rule::RefundedRedemption, format!("redemption {id} is"));
        }
    }
    if let Some(paid) = facts.history.confirmed(known.bitcoin, id) {
        let height = paid.height.unwrap_or_default();
        let detail = format!(
            "redemption {id} is paid by {} at height {height}",
            paid.txid
        );
        return refuse(Rule::PaidRedemption, detail);
    }
    if known.expires_soon(redemption) {
        let detail = format!(
            "redemption {id} can be refunded from height {} on; it is {} now, and {} blocks are the least",
            redemption.expires,
            known.height(),
            known.limits.expiry_margin
        );
        return refuse(Rule::ExpiringRedemption, detail);
    }
    Ok(redemption)
}

/// Whether K2 can be shown the payment, whatever block it comes into: it takes no proof that is too long, and none of a block
/// at or below the height of the request. Such blocks are found anew in a re-organisation, with whatever lies in memory pools
/// by then; a lock time keeps the payment out of them.
fn provable(psbt: &Psbt, redemptions: &[&Redemption]) -> Result<(), Refused> {
    let transaction = &psbt.unsigned_tx;
    let length = transaction.base_size();
    if length > MAX_PROVABLE {
        let detail =
            format!("it has {length} bytes without witnesses, and {MAX_PROVABLE} are the most");
        return refuse(Rule::Unprovable, detail);
    }
    let locked = transaction.lock_time.to_consensus_u32();
    match redemptions.iter().find(|one| one.requested > locked) {
        None => Ok(()),
        Some(early) => refuse(
            Rule::TooEarly,
            format!(
                "redemption {} was requested at height {} and the lock time is {locked}",
                early.id, early.requested
            ),
        ),
    }
}

fn script(n: usize, output: &TxOut, redemptions: &[&Redemption]) -> Result<(), Refused> {
    let expected = redemptions[n];
    if output.script_pubkey == expected.script {
        return Ok(());
    }
    let other = redemptions
        .iter()
        .find(|other| other.script == output.script_pubkey);
    match other {
        Some(other) => refuse(
            Rule::SwappedOutput,
            format!(
                "output {n} must pay redemption {} and pays {}",
                expected.id, other.id
            ),
        ),
        None => refuse(
            Rule::WrongScript,
            format!(
                "output {n} must pay redemption {} to the script {:x} and pays {:x}",
                expected.id, expected.script, output.script_pubkey
            ),
        ),
    }
}

fn amount(redemption: &Redemption, output: &TxOut) -> Result<Payout, Refused> {
    let Redemption { id, amount, .. } = *redemption;
    let paid = output.value;
    let Some(fee) = amount.checked_sub(paid) else {
        let detail = format!("redemption {id} of {amount} gets {paid}");
        return refuse(Rule::Overpaid, detail);
    };
    if fee > redemption.max_fee {
        let detail = format!(
            "redemption {id} of {amount} gets {paid}; its highest fee is {}",
            redemption.max_fee
        );
        return refuse(Rule::Underpaid, detail);
    }
    if paid < output.script_pubkey.minimal_non_dust() {
        return refuse(Rule::Dust, format!("redemption {id} gets {paid}"));
    }
    Ok(Payout {
        id,
        script: redemption.script.clone(),
        amount,
        paid,
        fee,
    })
}

fn change(
    psbt: &Psbt,
    facts: &Facts<'_>,
    redemptions: &[&Redemption],
    output: Option<&TxOut>,
) -> Result<Option<Change>, Refused> {
    let change = output
        .map(|_| own_change(psbt, facts.known, redemptions.len()))
        .transpose()?;
    let Some(owed) = sum(redemptions.iter().map(|redemption| redemption.amount)) else {
        return refuse(Rule::Overspent, "more is owed than there can be");
    };
    let Some(expected) = facts.spent.checked_sub(owed) else {
        let detail = format!("{owed} is owed and the inputs are worth {}", facts.spent);
        return refuse(Rule::Overspent, detail);
    };
    let given = change.map_or(Amount::ZERO, |change| change.amount);
    if given != expected {
        let detail = format!("it is {given} and must be {expected}");
        return refuse(Rule::ChangeAmount, detail);
    }
    Ok(change)
}

/// The split is a function of the fee, so no redeemer bears more than its part.
fn fair(fee: Amount, redemptions: &[&Redemption], payouts: &[Payout]) -> Result<(), Refused> {
    let caps: Vec<_> = redemptions
        .iter()
        .map(|redemption| draft::fee_cap(redemption).unwrap_or(Amount::ZERO))
        .collect();
    let Some(shares) = split(fee, &caps) else {
        return refuse(Rule::UnfairFee, format!("they cannot bear {fee} together"));
    };
    for (payout, share) in payouts.iter().zip(shares) {
        if payout.fee != share {
            let detail = format!(
                "redemption {} bears {} and its part is {share}",
                payout.id, payout.fee
            );
            return refuse(Rule::UnfairFee, detail);
        }
    }
    Ok(())
}
