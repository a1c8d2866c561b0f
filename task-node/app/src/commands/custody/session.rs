//! What every command on the pool's Bitcoin starts from: settings, the wallet's folder, its chain, and K2.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use chain::BitcoinNode;
use custody::watch::{Progress, Synced, Watch, WatchError};
use custody::{BitcoinView, K2View};
use k2_client::Client;
use tokio_util::sync::CancellationToken;

use super::k2_view::wallet_view;
use crate::cli::CustodyArgs;
use crate::commands::{k2, output, stop_on_signal};
use crate::config::{CustodySettings, K2Settings, LogFormat, load};
use crate::logging;

/// How often a long sync says where it is.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// A command on the pool's Bitcoin at work.
pub(crate) struct Session {
    /// What is configured, with the command line's `--wallet` in place.
    pub(crate) settings: CustodySettings,
    /// The rest that custody needs: the program on K2, its endpoints, the Bitcoin nodes.
    pub(crate) k2: K2Settings,
    /// JSON instead of sentences.
    pub(crate) json: bool,
    stop: CancellationToken,
}

impl Session {
    /// Starts the log and reads the settings. Nothing is opened or asked yet.
    pub(crate) fn open(args: &CustodyArgs) -> anyhow::Result<Self> {
        logging::start(LogFormat::Text, "warn,orcapool=info")?;
        let wrong = |error: String| anyhow::anyhow!("the configuration is wrong:\n{error}");
        let raw = load(args.config.config.as_deref(), &args.config.assignments())
            .map_err(|error| wrong(error.to_string()))?;
        let mut settings =
            CustodySettings::try_from(&raw).map_err(|error| wrong(error.to_string()))?;
        let k2 = K2Settings::try_from(&raw).map_err(|error| wrong(error.to_string()))?;
        if let Some(dir) = &args.wallet {
            settings.dir.clone_from(dir);
        }
        Ok(Self {
            settings,
            k2,
            json: args.json,
            stop: stop_on_signal()?,
        })
    }

    /// Cancelled by Ctrl-C or SIGTERM.
    pub(crate) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The wallet of the configured folder, as of its last sync.
    pub(crate) async fn watch(&self) -> anyhow::Result<Watch> {
        self.watch_in(self.settings.dir.clone()).await
    }

    /// The wallet of another folder, such as the old one of an upgrade.
    pub(crate) async fn watch_in(&self, dir: PathBuf) -> anyhow::Result<Watch> {
        let watch = blocking(move || Watch::open(&dir)).await?;
        let network = self.settings.network;
        ensure!(
            watch.setup().network() == network,
            "the wallet in {} is on {}, and `bitcoin.network` says {network}: which of the two is wrong?",
            watch.dir().path().display(),
            watch.setup().network(),
        );
        Ok(watch)
    }

    /// Brings a wallet to the tip of the chain. The sources are tried in their order until one answers.
    pub(crate) async fn sync(&self, mut watch: Watch) -> anyhow::Result<(Watch, Synced)> {
        let sources = self.settings.sources.clone();
        ensure!(
            !sources.is_empty(),
            "the wallet needs a Bitcoin node: give -c with [[bitcoin.nodes]] in the file, or set `custody.backend` and \
             `custody.url` to an Esplora or Electrum server"
        );
        let now = now()?;
        let stop = self.stop.clone();
        blocking(move || {
            let mut last = None;
            for source in &sources {
                match watch.sync(source, now, &mut say_progress(&stop)) {
                    Ok(synced) => return Ok((watch, synced)),
                    // Another node may be further, or there at all.
                    Err(
                        error @ (WatchError::Source { .. }
                        | WatchError::NodeSyncing { .. }
                        | WatchError::NodeBehind { .. }
                        | WatchError::Pruned { .. }),
                    ) => {
                        if sources.len() > 1 {
                            tracing::warn!("{error}; trying the next one");
                        }
                        last = Some(error);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(last.map_or_else(|| anyhow::anyhow!("no source"), Into::into))
        })
        .await
    }

    /// Height of the best block of the first source that answers.
    pub(crate) async fn height(&self) -> anyhow::Result<u32> {
        let (sources, network) = (self.settings.sources.clone(), self.settings.network);
        blocking(move || {
            let mut last = None;
            for source in &sources {
                match source.height(network) {
                    Ok(height) => return Ok(height),
                    Err(error) => last = Some(error),
                }
            }
            let error = last.map_or_else(
                || anyhow::anyhow!("no Bitcoin node is configured"),
                Into::into,
            );
            Err(error)
        })
        .await
    }

    /// The pool's program on its cluster.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        k2::client(&self.k2)
    }

    /// The configured Bitcoin nodes, to send to.
    pub(crate) fn bitcoin(&self) -> anyhow::Result<Arc<dyn BitcoinNode>> {
        k2::bitcoin(&self.k2)
    }

    /// The wallet, synced, and the two views that every decision takes.
    pub(crate) async fn views(&self) -> anyhow::Result<(Watch, BitcoinView, K2View)> {
        let (watch, _) = self.sync(self.watch().await?).await?;
        let bitcoin = watch.view();
        let own = watch.setup().coinbase_script()?;
        let k2 = wallet_view(&self.client()?, self.settings.network, &own)
            .await
            .context("K2 could not be read")?;
        Ok((watch, bitcoin, k2))
    }

    /// A sentence on standard output; in JSON a note, so that a script always reads something.
    pub(crate) fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.json {
            return output::json(&serde_json::json!({ "note": text }));
        }
        Ok(output::line(text)?)
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> anyhow::Result<u64> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock says it is before 1970")?;
    Ok(since.as_secs())
}

/// Runs what waits for disks and nodes on a thread that may wait.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    E: Into<anyhow::Error> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .context("a thread ended early")?
        .map_err(Into::into)
}

fn say_progress(stop: &CancellationToken) -> impl FnMut(Progress) -> ControlFlow<()> + use<> {
    let stop = stop.clone();
    let mut said = Instant::now();
    move |Progress { height, tip }| {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            tracing::info!("block {height} of {tip}");
        }
        if stop.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
