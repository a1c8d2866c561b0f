//! `orcapool k2 keep`: what an operator's node owes K2, again and again.
//!
//! Every step looks at K2 anew and does what is missing, so keepers of several operators may run side by side and any of
//! them may be stopped: headers, matured coinbases, the own vote for each settled round, finalization, payouts that settle
//! redemptions.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k2_client::mint::Minter;
use k2_client::redeem::Settler;
use k2_client::relayer::Relayer;
use k2_client::rounds::{Root, RoundError, Rounds};
use k2_client::{Client, Keypair};
use k2_interface::state::{Config, ProposalState};
use tokio_util::sync::CancellationToken;
use work::RoundNumber;

use super::session::Session;
use super::settlement;
use crate::commands::stop_on_signal;

pub(super) async fn run(session: &Session, node: &str, every: u64) -> anyhow::Result<()> {
    let keypair = Arc::new(session.keypair()?);
    let bitcoin = session.bitcoin()?;
    let client = session.client.clone();
    let parts = || (client.clone(), Arc::clone(&bitcoin), Arc::clone(&keypair));
    let (a, b, c) = parts();
    let relayer = Relayer::new(a, b, c);
    let (a, b, c) = parts();
    let minter = Minter::new(a, b, c);
    let (a, b, c) = parts();
    let settler = Settler::new(a, b, c);
    let stop = stop_on_signal()?;
    tracing::info!(operator = %keypair.address(), node, "keeping");
    let every = Duration::from_secs(every);
    // Side by side: a backlog of coinbases must not keep the operator from voting, nor a slow task node the relay.
    tokio::join!(
        again("relay", every, &stop, || async {
            relayer.relay_once().await?;
            Ok(())
        }),
        again("mint", every, &stop, || mint(&client, &minter)),
        again("round", every, &stop, || round(&client, &keypair, node)),
        again("settle", every, &stop, || async {
            settler.settle_all().await?;
            Ok(())
        }),
    );
    Ok(())
}

/// Does one part until it is told to stop. What fails is done again at the next turn.
async fn again<F>(part: &str, every: Duration, stop: &CancellationToken, turn: impl Fn() -> F)
where
    F: Future<Output = anyhow::Result<()>>,
{
    loop {
        let result = tokio::select! {
            () = stop.cancelled() => return,
            result = turn() => result,
        };
        if let Err(error) = result {
            tracing::warn!(part, "{error:#}");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn mint(client: &Client, minter: &Minter) -> anyhow::Result<()> {
    let from = client.accounts().relay().await?.oldest_height.get();
    let report = minter.mint_since(from).await?;
    if !report.minted.is_empty() {
        tracing::info!(coinbases = report.minted.len(), "minted");
    }
    if let Some(reason) = report.stopped {
        tracing::warn!("minting stopped: {reason}");
    }
    Ok(())
}

/// Sees one root through: the earliest that is proposed on top of the root in force and that the own node computed too;
/// where there is none, the newest settled round's.
///
/// One at a time, because a root that goes into force makes all others that were proposed before it stale.
async fn round(client: &Client, keypair: &Keypair, node: &str) -> anyhow::Result<()> {
    let rounds = Rounds::new(client);
    let config = client.accounts().config().await?;
    let root = match proposed(client, node, &config).await? {
        Some(root) => Some(root),
        None => newest(client, node, &config).await?,
    };
    let Some(root) = root else { return Ok(()) };
    vote(&rounds, keypair, &root).await?;
    match rounds.finalize(keypair, root.round).await {
        Ok(Some(_)) => tracing::info!(round = root.round, total = root.total, "in force"),
        Ok(None) => {}
        Err(error @ RoundError::NotReady { .. }) => tracing::debug!("{error}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn proposed(client: &Client, node: &str, config: &Config) -> anyhow::Result<Option<Root>> {
    for (_, proposal) in client.accounts().all_proposals().await? {
        if proposal.state != ProposalState::Open as u8
            || proposal.previous_root != config.rewards.root
            || is_past(config, proposal.round.get())
        {
            continue;
        }
        // A round this node has not settled, or computed otherwise, is for others to see through.
        if let Ok(Some(root)) = own(client, node, proposal.round.get()).await
            && root.is_proposed_by(&proposal)
        {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

async fn newest(client: &Client, node: &str, config: &Config) -> anyhow::Result<Option<Root>> {
    match settlement::newest(node).await? {
        Some(round) if !is_past(config, round) => own(client, node, round).await,
        _ => Ok(None),
    }
}

fn is_past(config: &Config, round: u64) -> bool {
    config.rewards.finalized.get() > 0 && round <= config.rewards.round.get()
}

async fn own(client: &Client, node: &str, round: u64) -> anyhow::Result<Option<Root>> {
    let round = RoundNumber::new(round).context("a round number")?;
    let settled = settlement::fetch(node, round).await?;
    settlement::root(&settled, client.program().id())
}

/// Attests what others proposed, if it is the same; proposes where nobody did.
async fn vote(rounds: &Rounds<'_>, keypair: &Keypair, root: &Root) -> anyhow::Result<()> {
    match rounds.attest(keypair, root).await {
        Ok(attested) => {
            for (proposer, _) in attested {
                tracing::info!(round = root.round, %proposer, "attested");
            }
        }
        Err(RoundError::NotProposed { .. }) => {
            rounds.propose(keypair, root).await?;
            tracing::info!(round = root.round, total = root.total, "proposed");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
