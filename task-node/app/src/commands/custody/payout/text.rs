//! What happened, in words.

use bitcoin::{Amount, Txid};
use custody::coordinator::{Done, Submitted};
use custody::journal::{Batch, BatchState, Event, Kind};
use custody::payment::Plan;
use k2_client::redeem::Settled;
use serde::Serialize;

use crate::commands::custody::session::Session;
use crate::commands::output;

/// One event, as a line or an object.
pub(super) fn say(session: &Session, done: &Done) -> anyhow::Result<()> {
    if session.json {
        return output::json(done);
    }
    Ok(output::line(&sentence(done))?)
}

fn sentence(done: &Done) -> String {
    match done {
        Done::Adopted { batch, txid } => {
            format!("{batch}: {txid} pays redemptions and was not known here; it is followed now")
        }
        Done::TakenUp { batch, txid } => {
            format!("{batch}: {txid} was signed here; it is watched over now")
        }
        Done::Stands { batch, txid, state } => format!("{batch}: {} ({txid})", words(*state)),
        Done::Planned {
            batch,
            kind,
            txid,
            redemptions,
            fee,
            signatures,
        } => {
            let what = match kind {
                Kind::Payout => format!("pays {}", count(redemptions.len(), "redemption")),
                Kind::Cancel => "takes a payment's coins back".to_owned(),
                Kind::Sweep => "moves the wallet's coins to the registered script".to_owned(),
            };
            let sign = count(*signatures, "custodian");
            format!(
                "{batch}: {what} for a fee of {}; {sign} to sign outbox/{txid}.psbt",
                sats(*fee)
            )
        }
        Done::Sent { batch, txid } => format!("{batch}: sent ({txid})"),
        Done::Failed { batch, act, reason } => match batch {
            Some(batch) => format!("{batch}: not done ({act}): {reason}"),
            None => format!("not done ({act}): {reason}"),
        },
        Done::Withdrawn { batch, reason } => {
            format!("{batch}: withdrawn, not to be signed any more: {reason}")
        }
        Done::ToSettle {
            batch,
            txid,
            height,
            redemptions,
        } => format!(
            "{batch}: {txid} is in block {height} and settles {}",
            count(redemptions.len(), "redemption")
        ),
        Done::Waits {
            redemption,
            amount,
            reason,
        } => format!("redemption {redemption}: {} wait: {reason}", sats(*amount)),
        Done::Alarm(alarm) => format!("ALARM: {alarm}"),
    }
}

pub(super) fn submitted(session: &Session, submitted: &Submitted) -> anyhow::Result<()> {
    if session.json {
        return output::json(submitted);
    }
    let text = match submitted {
        Submitted::Complete { batch, txid } => format!("{batch}: {txid} is signed"),
        Submitted::Incomplete {
            batch,
            txid,
            have,
            need,
        } => format!("{batch}: {txid} has {have} of {need} signatures: nothing is sent yet"),
    };
    Ok(output::line(&text)?)
}

pub(super) fn settled(session: &Session, settled: &Settled) -> anyhow::Result<()> {
    if session.json {
        return output::json(settled);
    }
    let payout = &settled.payout;
    let how = match (&settled.signature, &settled.waiting) {
        (Some(signature), _) => format!("settled on K2 ({signature})"),
        (None, Some(waiting)) => format!("not settled yet: {waiting}"),
        (None, None) => "settled by somebody else meanwhile".to_owned(),
    };
    Ok(output::line(&format!(
        "redemption {}: {} by {}:{}: {how}",
        payout.redemption,
        sats(Amount::from_sat(payout.value)),
        payout.txid,
        payout.vout
    ))?)
}

/// What would be paid.
pub(super) fn plan(session: &Session, plan: &Plan, batches: &[Batch]) -> anyhow::Result<()> {
    let in_flight = batches.iter().find(|batch| batch.state.is_in_flight());
    let payment = plan.payment.as_ref();
    let redemptions: Vec<u64> = payment
        .and_then(custody::payment::Reviewed::payment)
        .map(|payment| payment.ids.into_iter().collect())
        .unwrap_or_default();
    if session.json {
        let waiting: Vec<_> = plan
            .waiting
            .iter()
            .map(|waiting| {
                serde_json::json!({
                    "redemption": waiting.id,
                    "sats": waiting.amount.to_sat(),
                    "reason": waiting.reason.to_string(),
                })
            })
            .collect();
        return output::json(&serde_json::json!({
            "redemptions": redemptions,
            "fee_sats": payment.map(|payment| payment.fee().to_sat()),
            "weight": payment.map(|payment| payment.weight().to_wu()),
            "in_flight": in_flight.map(|batch| batch.id),
            "waiting": waiting,
        }));
    }
    match payment {
        Some(payment) => output::line(&format!(
            "{} would be paid, for a fee of {}: {}",
            count(redemptions.len(), "redemption"),
            sats(payment.fee()),
            numbers(&redemptions)
        ))?,
        None => output::line("nothing can be paid now")?,
    }
    if let Some(batch) = in_flight {
        let (id, state) = (batch.id, batch.state.name());
        output::line(&format!("{id} is {state}: it comes first"))?;
    }
    for waiting in &plan.waiting {
        output::line(&format!(
            "redemption {}: {} wait: {}",
            waiting.id,
            sats(waiting.amount),
            waiting.reason
        ))?;
    }
    Ok(())
}

/// A batch for scripts.
#[derive(Debug, Serialize)]
pub(super) struct BatchRow<'a> {
    batch: u32,
    kind: &'a str,
    #[serde(flatten)]
    state: BatchState,
    txid: Txid,
    redemptions: &'a std::collections::BTreeSet<u64>,
    fee_sats: Option<u64>,
    replaces: Option<u32>,
    created: u64,
    updated: u64,
}

impl<'a> BatchRow<'a> {
    pub(super) fn of(batch: &'a Batch) -> Self {
        Self {
            batch: batch.id.0,
            kind: batch.kind.name(),
            state: batch.state,
            txid: batch.txid(),
            redemptions: &batch.payment.ids,
            fee_sats: batch.fee.map(Amount::to_sat),
            replaces: batch.replaces.map(|id| id.0),
            created: batch.created.0,
            updated: batch.updated.0,
        }
    }
}

/// Batches as a table.
pub(super) fn table(batches: &[Batch]) -> String {
    if batches.is_empty() {
        return "no batches: `orcapool payout plan` shows what is due".to_owned();
    }
    let mut text = format!(
        "{:>5}  {:6}  {:28}  {:>4}  {:>12}  transaction\n",
        "batch", "kind", "state", "pays", "fee"
    );
    for batch in batches {
        let fee = batch.fee.map_or_else(|| "-".to_owned(), sats);
        text.push_str(&format!(
            "{:>5}  {:6}  {:28}  {:>4}  {fee:>12}  {}\n",
            batch.id.0,
            batch.kind.name(),
            words(batch.state),
            batch.payment.ids.len(),
            batch.txid()
        ));
    }
    text
}

/// One batch with its history.
pub(super) fn one(session: &Session, batch: &Batch, events: &[Event]) -> anyhow::Result<()> {
    if session.json {
        output::json(&BatchRow::of(batch))?;
        for event in events {
            output::json(event)?;
        }
        return Ok(());
    }
    let ids: Vec<u64> = batch.payment.ids.iter().copied().collect();
    output::line(&table(std::slice::from_ref(batch)))?;
    if !ids.is_empty() {
        output::line(&format!("redemptions {}", numbers(&ids)))?;
    }
    for event in events {
        output::line(&format!("{}  {}", event.at, event.what))?;
    }
    Ok(())
}

fn words(state: BatchState) -> String {
    match (state.height(), state.other()) {
        (Some(height), _) => format!("{} in block {height}", state.name()),
        (_, Some(other)) => format!("{} by {other}", state.name()),
        _ => match state {
            BatchState::Planned => "waits for signatures".to_owned(),
            BatchState::Sent => "waits for a block".to_owned(),
            other => other.name().to_owned(),
        },
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

fn numbers(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    ids.join(", ")
}

fn sats(amount: Amount) -> String {
    format!("{} sat", amount.to_sat())
}
