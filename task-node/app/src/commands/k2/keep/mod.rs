//! `orcapool k2 keep`: what an operator's node owes K2, again and again.
//!
//! Every step looks at K2 anew and does what is missing, so keepers of several operators may run side by side and any of
//! them may be stopped: headers, matured coinbases, the own vote for each settled round, finalization, payouts that settle
//! redemptions.

mod mint;
mod round;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use k2_client::mint::Minter;
use k2_client::redeem::Settler;
use k2_client::relayer::Relayer;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use crate::commands::stop_on_signal;
use mint::Minting;
use round::Voter;

pub(super) async fn run(session: &Session, node: &str, every: u64) -> anyhow::Result<()> {
    ensure!(
        !session.dry_run(),
        "keep goes on for ever and has no --dry-run: `k2 relay`, `mint`, `propose`, `attest`, `finalize` and `settle` have one"
    );
    let keypair = Arc::new(session.keypair()?);
    let bitcoin = session.bitcoin()?;
    let client = session.client.clone();
    let parts = || (client.clone(), Arc::clone(&bitcoin), Arc::clone(&keypair));
    let (a, b, c) = parts();
    let relayer = Relayer::new(a, b, c);
    let (a, b, c) = parts();
    let minting = Minting::new(&client, Minter::new(a, b, c), node);
    let (a, b, c) = parts();
    let settler = Settler::new(a, b, c);
    let voter = Voter::new(&client, &keypair, node);
    let stop = stop_on_signal()?;
    tracing::info!(operator = %keypair.address(), node, "keeping");
    let every = Duration::from_secs(every);
    // Side by side: a backlog of coinbases must not keep the operator from voting.
    tokio::join!(
        // One after the other. A block leaves the ring as the relay goes on, and costs a walk of the cursor then; and mint and
        // settle have the payer's one cursor in common, which each closes when it is done.
        again(every, &stop, || async {
            note("relay", relayer.relay_once().await);
            note("mint", minting.turn().await);
            note("settle", settler.settle_all().await);
        }),
        again(every, &stop, || async {
            note("round", voter.turn().await);
        }),
    );
    Ok(())
}

/// Does one part until it is told to stop.
async fn again<F>(every: Duration, stop: &CancellationToken, turn: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = turn() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// What fails is told, and done again at the next turn.
fn note<T>(part: &str, result: Result<T, impl Into<anyhow::Error>>) {
    if let Err(error) = result {
        let error: anyhow::Error = error.into();
        tracing::warn!(part, "{error:#}");
    }
}
