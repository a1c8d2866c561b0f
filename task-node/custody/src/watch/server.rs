//! Script by script from an Esplora or Electrum server, where an operator has no node.
//!
//! A server tells the history of scripts, so it has to be asked about each: all that were given out and [`AHEAD`] more of
//! each keychain, and in a wallet's first sync, or after a
//! long time, as many as a gap of [`GAP`](super::GAP) needs. What is found may give out
//! further scripts, so it is asked again until nothing new comes.

use std::ops::ControlFlow;
use std::time::Duration;

use bdk_electrum::electrum_client::{self, ElectrumApi as _};
use bdk_electrum::{BdkElectrumClient, electrum_client::Client as ElectrumClient};
use bdk_esplora::EsploraExt as _;
use bdk_esplora::esplora_client::{BlockingClient, Builder};
use bdk_wallet::chain::spk_client::{FullScanRequest, FullScanResponse, SyncRequest, SyncResponse};
use bdk_wallet::{KeychainKind, Update};
use bitcoin::constants::genesis_block;
use bitcoin::{BlockHash, Network, ScriptBuf};

use super::{GAP, Progress, Watch, WatchError};
use crate::view::COINBASE_MATURITY;

/// How many scripts that were not given out here are asked for each time: another custodian may have given them out.
const AHEAD: u32 = 20;
/// After so many blocks it does not rely on what was given out here, but looks through the whole gap.
const LONG_AGO: u32 = 144;
/// Requests at a time.
const PARALLEL: usize = 4;
/// Scripts in one request to an Electrum server.
const BATCH: usize = 50;
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is tried again.
const RETRIES: u8 = 2;

/// Where a script stands: keychain and index.
type Place = (KeychainKind, u32);

/// What both kinds of servers can do.
trait Server {
    fn name(&self) -> &str;
    fn height(&self) -> Result<u32, WatchError>;
    fn block_hash(&self, height: u32) -> Result<BlockHash, WatchError>;
    fn scan(
        &self,
        request: FullScanRequest<KeychainKind>,
    ) -> Result<FullScanResponse<KeychainKind>, WatchError>;
    fn ask(&self, request: SyncRequest<Place>) -> Result<SyncResponse, WatchError>;
}

struct Esplora(BlockingClient);

impl Server for Esplora {
    fn name(&self) -> &str {
        self.0.url()
    }

    fn height(&self) -> Result<u32, WatchError> {
        let height = self.0.get_height();
        height.map_err(|error| WatchError::source(self.name(), &error))
    }

    fn block_hash(&self, height: u32) -> Result<BlockHash, WatchError> {
        let hash = self.0.get_block_hash(height);
        hash.map_err(|error| WatchError::source(self.name(), &error))
    }

    fn scan(
        &self,
        request: FullScanRequest<KeychainKind>,
    ) -> Result<FullScanResponse<KeychainKind>, WatchError> {
        self.0
            .full_scan(request, GAP as usize, PARALLEL)
            .map_err(|error| WatchError::source(self.name(), &error))
    }

    fn ask(&self, request: SyncRequest<Place>) -> Result<SyncResponse, WatchError> {
        self.0
            .sync(request, PARALLEL)
            .map_err(|error| WatchError::source(self.name(), &error))
    }
}

struct Electrum {
    url: String,
    client: BdkElectrumClient<ElectrumClient>,
}

impl Server for Electrum {
    fn name(&self) -> &str {
        &self.url
    }

    fn height(&self) -> Result<u32, WatchError> {
        match self.client.inner.block_headers_subscribe() {
            Ok(tip) => {
                u32::try_from(tip.height).map_err(|error| WatchError::source(&self.url, &error))
            }
            Err(error) => Err(WatchError::source(&self.url, &error)),
        }
    }

    fn block_hash(&self, height: u32) -> Result<BlockHash, WatchError> {
        let header = self
            .client
            .inner
            .block_header(usize::try_from(height).unwrap_or(usize::MAX));
        match header {
            Ok(header) => Ok(header.block_hash()),
            Err(error) => Err(WatchError::source(&self.url, &error)),
        }
    }

    fn scan(
        &self,
        request: FullScanRequest<KeychainKind>,
    ) -> Result<FullScanResponse<KeychainKind>, WatchError> {
        self.client
            .full_scan(request, GAP as usize, BATCH, false)
            .map_err(|error| WatchError::source(&self.url, &error))
    }

    fn ask(&self, request: SyncRequest<Place>) -> Result<SyncResponse, WatchError> {
        self.client
            .sync(request, BATCH, false)
            .map_err(|error| WatchError::source(&self.url, &error))
    }
}

impl Esplora {
    fn new(url: &str) -> Self {
        let builder = Builder::new(url.trim_end_matches('/'))
            .timeout(TIMEOUT.as_secs())
            .max_retries(usize::from(RETRIES));
        Self(builder.build_blocking())
    }
}

impl Electrum {
    fn new(url: &str) -> Result<Self, WatchError> {
        let config = electrum_client::Config::builder()
            .timeout(Some(TIMEOUT))
            .retry(RETRIES)
            .build();
        match ElectrumClient::from_config(url, config) {
            Ok(client) => Ok(Self {
                url: url.to_owned(),
                client: BdkElectrumClient::new(client),
            }),
            Err(error) => Err(WatchError::source(url, &error)),
        }
    }
}

pub(super) fn esplora_height(url: &str, network: Network) -> Result<u32, WatchError> {
    let server = Esplora::new(url);
    check(&server, network)?;
    server.height()
}

pub(super) fn electrum_height(url: &str, network: Network) -> Result<u32, WatchError> {
    let server = Electrum::new(url)?;
    check(&server, network)?;
    server.height()
}

pub(super) fn esplora(
    watch: &mut Watch,
    url: &str,
    now: u64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<u32, WatchError> {
    sync(watch, &Esplora::new(url), now, progress)
}

pub(super) fn electrum(
    watch: &mut Watch,
    url: &str,
    now: u64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<u32, WatchError> {
    let server = Electrum::new(url)?;
    // What is known need not be fetched again.
    let known = watch.wallet.tx_graph().full_txs().map(|node| node.tx);
    server.client.populate_tx_cache(known);
    sync(watch, &server, now, progress)
}

/// A server of another network would show an empty wallet.
fn check(server: &impl Server, network: Network) -> Result<(), WatchError> {
    let genesis = server.block_hash(0)?;
    if genesis == genesis_block(network).block_hash() {
        return Ok(());
    }
    Err(WatchError::WrongNetwork {
        wallet: network,
        node: format!("a chain whose first block is {genesis}"),
    })
}

/// Returns by how many blocks the chain grew.
fn sync(
    watch: &mut Watch,
    server: &impl Server,
    now: u64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<u32, WatchError> {
    check(server, watch.setup().network())?;
    let start = watch.tip().height;
    if start.saturating_add(LONG_AGO) < server.height()? || start == 0 {
        let request = watch.wallet.start_full_scan_at(watch.stamp(now)).build();
        let found = server.scan(request)?;
        apply(watch, server, found.into())?;
    }
    loop {
        let height = watch.tip().height;
        if progress(Progress {
            height,
            tip: height,
        })
        .is_break()
        {
            return Err(WatchError::Stopped);
        }
        let before = watch.wallet.spk_index().last_revealed_indices();
        let request = watch
            .wallet
            .start_sync_with_revealed_spks_at(watch.stamp(now))
            .spks_with_indexes(ahead(watch)?)
            .build();
        let found = server.ask(request)?;
        apply(watch, server, found.into())?;
        // Ends: each turn needs a new script with a history.
        if watch.wallet.spk_index().last_revealed_indices() == before {
            return Ok(watch.tip().height.saturating_sub(start));
        }
    }
}

/// Scripts that were not given out here.
fn ahead(watch: &Watch) -> Result<Vec<(Place, ScriptBuf)>, WatchError> {
    let mut scripts = Vec::new();
    for keychain in [KeychainKind::External, KeychainKind::Internal] {
        let next = watch
            .wallet
            .derivation_index(keychain)
            .map_or(0, |last| last.saturating_add(1));
        for index in next..next.saturating_add(AHEAD) {
            let script = watch.setup().script(keychain, index)?;
            scripts.push(((keychain, index), script));
        }
    }
    Ok(scripts)
}

fn apply(watch: &mut Watch, server: &impl Server, update: Update) -> Result<(), WatchError> {
    if let Some(theirs) = &update.chain {
        let tip = watch.wallet.latest_checkpoint();
        // As with a node: whoever has none of the last 100 blocks is on another chain.
        let common = tip.iter().take(COINBASE_MATURITY as usize + 1).find(|own| {
            let their = theirs.get(own.height());
            their.is_some_and(|their| their.hash() == own.hash())
        });
        let Some(common) = common else {
            return Err(WatchError::OtherChain {
                tip: tip.height(),
                checked: COINBASE_MATURITY,
            });
        };
        if common.height() == theirs.height() && theirs.height() < tip.height() {
            return Err(WatchError::NodeBehind {
                node: theirs.height(),
                wallet: tip.height(),
            });
        }
    }
    watch
        .wallet
        .apply_update(update)
        .map_err(|error| WatchError::source(server.name(), &error))?;
    watch.persist()
}
