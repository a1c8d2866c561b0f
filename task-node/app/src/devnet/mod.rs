//! `orcapool devnet`: a whole local pool on real parts.
//!
//! It starts a bitcoind on a private chain, task nodes and miners as processes of their own, and then plays Koii: it sends
//! every node the very HTTP requests the Orca sidecar sends ([`orca`]), counts the votes, and compares the lists. After each
//! round the blocks are made to mature, and the miners are paid on a local K2 by the pool's program (`k2`).

pub mod child;
mod custody;
mod k2;
mod keys;
mod network;
pub mod orca;
pub mod report;
mod rounds;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tokio_util::sync::CancellationToken;

use crate::cli::DevnetArgs;
use network::Network;
use report::Report;

/// Progress goes to standard error, so that `--json` leaves standard output to the report.
fn say(text: &str) {
    tracing::info!(target: "devnet", "{text}");
}

/// Runs the devnet; the report's `ok` says whether all that must hold held.
///
/// # Errors
/// A part that cannot be started, or that ended by itself.
pub async fn run(args: &DevnetArgs, stop: CancellationToken) -> anyhow::Result<Report> {
    // Held to the end: a temporary directory is removed when it is dropped.
    let temporary;
    let dir: PathBuf = match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
            let empty = std::fs::read_dir(dir)?.next().is_none();
            ensure!(
                empty,
                "{} is not empty: name a new directory",
                dir.display()
            );
            std::path::absolute(dir)?
        }
        None => {
            temporary = tempfile::tempdir().context("temporary directory")?;
            temporary.path().to_owned()
        }
    };
    say(&format!("data and logs in {}", dir.display()));

    let mut network = Network::start(args, &dir, &stop).await?;
    let mut played = tokio::select! {
        played = rounds::play(args, &mut network) => played,
        () = stop.cancelled() => Err(anyhow::anyhow!("stopped before the last round")),
    };
    if args.keep && played.is_ok() && !stop.is_cancelled() {
        say("still running, as asked with --keep:");
        for node in &network.nodes {
            say(&format!(
                "  {}  dashboard http://{}/  miners connect to stratum+tcp://{}",
                node.orca.name, node.http, node.stratum
            ));
        }
        if let Some(k2) = &network.k2 {
            say(&format!(
                "  K2       {}  program {}  wrapped BTC {}  keypairs in {}",
                k2.rpc_url(),
                k2::program(),
                k2.mint(),
                dir.join("keys").display()
            ));
        }
        say("Ctrl-C stops everything");
        tokio::select! {
            () = stop.cancelled() => {}
            ended = network.watch() => if let Err(error) = ended { played = Err(error) },
        }
    }
    say("stopping all processes");
    network.stop().await;
    played
}
