//! The built-in miner as part of a node.
//!
//! It speaks Stratum to its own node over an in-memory stream: the same session, share check and store as any miner, no
//! second way for a share to be credited, and no port.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use miner::{EngineSettings, Miner, PoolUrl, SessionEnd};
use pow::ShareDifficulty;
use stratum::{PortSettings, Server};
use tokio_util::sync::CancellationToken;

use crate::config::MinerSettings;

/// The built-in miner's worker name.
pub(crate) const BUILT_IN_WORKER: &str = "built-in";
/// What is in flight between miner and session at most.
const STREAM_BYTES: usize = 64 * 1024;
/// Between one session of the built-in miner and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Settings of the search loops.
///
/// `threads` and `max_hash_rate` are as configured; a rate of 0 is no limit.
pub(crate) fn engine(threads: usize, max_hash_rate: u64) -> EngineSettings {
    EngineSettings {
        threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
        hashes_per_second: NonZeroU64::new(max_hash_rate),
        ..EngineSettings::default()
    }
}

/// Mines for this very node until `stop`.
pub(crate) async fn built_in(
    settings: MinerSettings,
    server: Server,
    port: PortSettings,
    stop: CancellationToken,
) {
    let pool: PoolUrl = match "stratum+tcp://localhost:3333".parse() {
        Ok(pool) => pool,
        Err(error) => return tracing::error!(%error, "the built-in miner cannot start"),
    };
    let miner = Miner::new(miner::MinerSettings {
        // Never dialled: the stream below leads to this node.
        pool,
        user: format!("{}.{BUILT_IN_WORKER}", settings.address),
        password: "x".to_owned(),
        suggest_difficulty: settings.difficulty.map(ShareDifficulty::announced),
        engine: engine(settings.threads, settings.max_hash_rate.unwrap_or(0)),
    });
    let mut miner = match miner {
        Ok(miner) => miner,
        Err(error) => return tracing::error!(%error, "the built-in miner cannot start"),
    };
    tracing::info!(threads = settings.threads, address = %settings.address, "built-in miner starts");
    while !stop.is_cancelled() {
        let (here, there) = tokio::io::duplex(STREAM_BYTES);
        let (end, ()) = tokio::join!(miner.serve(here, &stop), server.serve_stream(there, port));
        match end {
            SessionEnd::Stopped => return,
            end => tracing::info!(?end, "the built-in miner starts again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
