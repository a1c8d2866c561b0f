//! `orcapool k2 redeem` and `settle`: wrapped tokens back to BTC.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use bitcoin::{BlockHash, Txid};
use k2_client::redeem::{Redemptions, Request, Settler};

use super::session::Session;
use crate::cli::RedeemArgs;
use crate::commands::output;

const NOTHING_PAID: &str = "no open redemption is paid on Bitcoin as far as the relay reaches";

pub(super) async fn redeem(session: &Session, args: &RedeemArgs) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let redemptions = Redemptions::new(&session.client);
    if let Some(id) = args.refund {
        let draft = redemptions.refund_draft(keypair.address(), id).await?;
        let action = format!("refund redemption {id}");
        return session.act(&action, draft.instructions, &[&keypair]).await;
    }
    let (Some(amount), Some(to)) = (args.amount, &args.to) else {
        bail!("give --amount and --to, or --refund");
    };
    let config = session.client.accounts().config().await?;
    let request = Request::to_address(amount, args.max_fee, to, &config)?;
    if session.dry_run() {
        let own = keypair.address();
        let (draft, id) = redemptions.request_draft(own, own, &request).await?;
        return session.preview(&format!("redemption {id}"), &draft).await;
    }
    let requested = redemptions.request(&keypair, &keypair, &request).await?;
    if session.json {
        return output::json(&serde_json::json!({
            "redemption": requested.id,
            "signature": requested.confirmed.signature.to_string(),
            "slot": requested.confirmed.slot,
        }));
    }
    session.say(&format!(
        "redemption {}: {amount} sat for at least {} sat to {to} ({})",
        requested.id,
        amount.saturating_sub(args.max_fee),
        requested.confirmed.signature
    ))
}

/// Settles what Bitcoin shows to be paid: one transaction's payouts, or all since the oldest open request.
pub(super) async fn settle(
    session: &Session,
    transaction: Option<(Txid, BlockHash)>,
) -> anyhow::Result<()> {
    let settler = Settler::new(
        session.client.clone(),
        session.bitcoin()?,
        Arc::new(session.keypair()?),
    );
    let payouts = match transaction {
        Some((txid, block)) => settler.find_in(block, txid).await?,
        None => settler.find().await?,
    };
    if session.dry_run() {
        if payouts.is_empty() {
            return session.say(NOTHING_PAID);
        }
        for batch in Settler::batches(payouts) {
            let job = settler.job(&batch).await?;
            let prover = settler.prover();
            let steps = prover.plan(&job).await?;
            let step = steps.first().context("nothing to do")?;
            let draft = prover
                .draft(&job, &prover.observe(&job).await?, *step)
                .await?;
            let ids: Vec<String> = batch.iter().map(|p| p.redemption.to_string()).collect();
            let action = format!(
                "settle redemption {} (transaction 1 of {})",
                ids.join(", "),
                steps.len()
            );
            session.preview(&action, &draft).await?;
        }
        return Ok(());
    }
    let settled = settler.settle(payouts).await?;
    if session.json {
        return output::json(&settled);
    }
    for settled in &settled {
        let payout = &settled.payout;
        let how = match (&settled.signature, &settled.waiting) {
            (Some(signature), _) => format!("settled ({signature})"),
            (None, Some(waiting)) => format!("not yet: {waiting}"),
            (None, None) => "settled by somebody else meanwhile".to_owned(),
        };
        session.say(&format!(
            "redemption {}: {} sat by {}:{}: {how}",
            payout.redemption, payout.value, payout.txid, payout.vout
        ))?;
    }
    if settled.is_empty() {
        session.say(NOTHING_PAID)?;
    }
    Ok(())
}
