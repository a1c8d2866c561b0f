//! `orcapool mine`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use miner::{Miner, MinerSettings};

use super::stop_on_signal;
use crate::cli::MineArgs;
use crate::config::LogFormat;
use crate::{logging, mining};

/// How often progress is logged.
const PROGRESS: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &MineArgs) -> anyhow::Result<ExitCode> {
    logging::start(LogFormat::Text, &args.log_level)?;
    let stop = stop_on_signal()?;
    let miner = Miner::new(MinerSettings {
        pool: args.url.parse().context("--url")?,
        user: args.user.clone(),
        password: args.password.clone(),
        suggest_difficulty: None,
        engine: mining::engine(usize::from(args.threads), args.max_hash_rate),
    })?;
    let stats = miner.stats();
    let progress = tokio::spawn(async move {
        loop {
            tokio::time::sleep(PROGRESS).await;
            let now = stats.snapshot();
            tracing::info!(
                accepted = now.accepted,
                rejected = now.rejected.total(),
                hashes_per_second = now.hash_rate,
                "mining"
            );
        }
    });
    let total = miner.run(stop).await;
    progress.abort();
    tracing::info!(
        accepted = total.accepted,
        rejected = total.rejected.total(),
        "stopped"
    );
    Ok(ExitCode::SUCCESS)
}
