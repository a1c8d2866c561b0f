//! `orcapool k2 mint`: what Bitcoin paid to custody becomes wrapped tokens in the vault.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use bitcoin::{BlockHash, Txid};
use k2_client::mint::{MintReport, Minter, Origin, Standing};

use super::session::Session;
use crate::commands::output;

pub(super) async fn run(session: &Session, from: Option<u32>) -> anyhow::Result<()> {
    let minter = minter(session)?;
    let from = match from {
        Some(height) => height,
        None => session.client.accounts().relay().await?.oldest_height.get(),
    };
    if session.dry_run() {
        return preview(session, &minter, minter.scan(from).await?).await;
    }
    report(session, &minter.mint_since(from).await?)
}

/// Mints one transaction's outputs to the deposit script.
pub(super) async fn deposit(session: &Session, txid: Txid, block: BlockHash) -> anyhow::Result<()> {
    let minter = minter(session)?;
    let header = session
        .bitcoin()?
        .header(block)
        .await?
        .with_context(|| format!("the Bitcoin node has no block {block}"))?;
    let mut found = minter.look([header.height]).await?;
    found.retain(|sighting| {
        sighting.payment.txid == txid && sighting.payment.origin == Origin::Deposit
    });
    if found.is_empty() {
        bail!("transaction {txid} in block {block} does not pay the deposit script");
    }
    if session.dry_run() {
        return preview(session, &minter, found).await;
    }
    report(session, &minter.mint(found).await?)
}

fn minter(session: &Session) -> anyhow::Result<Minter> {
    Ok(Minter::new(
        session.client.clone(),
        session.bitcoin()?,
        Arc::new(session.keypair()?),
    ))
}

async fn preview(
    session: &Session,
    minter: &Minter,
    found: Vec<k2_client::mint::Sighting>,
) -> anyhow::Result<()> {
    let config = session.client.accounts().config().await?;
    for sighting in &found {
        let payment = &sighting.payment;
        if sighting.standing != Standing::Ready {
            continue;
        }
        let job = minter.job(payment, &config).await?;
        let steps = minter.prover().plan(&job).await?;
        let Some(step) = steps.first() else { continue };
        let observed = minter.prover().observe(&job).await?;
        let draft = minter.prover().draft(&job, &observed, *step).await?;
        let action = format!(
            "mint {} sat of block {} (transaction 1 of {})",
            payment.value,
            payment.height,
            steps.len()
        );
        session.preview(&action, &draft).await?;
    }
    report(
        session,
        &MintReport {
            open: found,
            ..MintReport::default()
        },
    )
}

fn report(session: &Session, report: &MintReport) -> anyhow::Result<()> {
    if session.json {
        return output::json(report);
    }
    for minted in &report.minted {
        let payment = &minted.payment;
        let how = match &minted.signature {
            Some(signature) => format!("{signature}"),
            None => "by somebody else meanwhile".to_owned(),
        };
        session.say(&format!(
            "minted {} sat of block {} ({how})",
            payment.value, payment.height
        ))?;
    }
    for sighting in &report.open {
        let payment = &sighting.payment;
        let why = match &sighting.standing {
            Standing::Minted => continue,
            Standing::Ready => "ready".to_owned(),
            Standing::Waiting { ready_at } => format!("waits for relay height {ready_at}"),
            Standing::Never { reason } => format!("never: {reason}"),
        };
        session.say(&format!(
            "        {} sat of block {}: {why}",
            payment.value, payment.height
        ))?;
    }
    if let Some(reason) = &report.stopped {
        session.say(&format!("stopped: {reason}"))?;
    }
    session.say(&format!(
        "{} minted now, {} before, {} open",
        report.minted.len(),
        report.known,
        report.open.len()
    ))
}
