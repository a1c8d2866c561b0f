//! Starting a node and stopping it.
//!
//! The HTTP server listens first: Orca's health poll begins with the container, and slow work (a synchronising Bitcoin
//! node) must not look like a dead pod.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use anyhow::Context as _;
use chain::peer::{ChainSource, PeersNode};
use chain::{BitcoinNode, FailoverNode, FailoverOptions, RpcNode, WatcherOptions, watcher};
use content::{BlockStore, DirStore, FetchOptions, Fetcher, KuboRpc};
use rounds::{Auditor, RoundJumps, RoundKeeper};
use store::{Identity, ShareStore, SqliteStore};
use stratum::{
    Limits, OsRandomness, PortSettings, Server, ServerParts, ServerSettings, SessionSettings,
};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use work::{Clock, SystemClock};

use super::feed::{self, JobConstants};
use super::gateways::Gateways;
use super::outside::Outside;
use super::pinning::{self, PinStatus};
use super::sinks::{NodeSink, StoreSink};
use super::{Node, bitcoin_mode, blocks, check_data_dir, relay_witness, settling};
use crate::config::Config;
use crate::{http, mining};

/// The store's file in the data directory.
const STORE_FILE: &str = "orcapool.sqlite";
/// Where blocks of bundles are kept.
const BLOCKS_DIR: &str = "blocks";
/// Where found Bitcoin blocks wait until a node has them.
const FOUND_DIR: &str = "found";
/// Shares of a round that is being sealed may be on their way from miners this long.
const DRAIN: Duration = Duration::from_millis(500);
/// Shares of one round whose hashes an auditor remembers, about 50 bytes each.
const REMEMBERED_SHARES: usize = 8_000_000;
/// A pod manager kills ten seconds after SIGTERM.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(8);

/// Opens the node's store for writing.
///
/// # Errors
/// A data directory that cannot be used, or the store's own, with where it is.
pub fn open_store(config: &Config) -> anyhow::Result<SqliteStore> {
    check_data_dir(&config.data_dir)?;
    let identity = Identity {
        task: config.task,
        node: config.node,
    };
    Ok(SqliteStore::open(
        &config.data_dir.join(STORE_FILE),
        identity,
    )?)
}

/// Opens the node's store for reading, also while the node runs.
///
/// # Errors
/// The store's own.
pub fn open_store_to_read(config: &Config) -> anyhow::Result<SqliteStore> {
    Ok(SqliteStore::open_read_only(
        &config.data_dir.join(STORE_FILE),
    )?)
}

/// Where this node's blocks are.
///
/// # Errors
/// The directory cannot be used.
pub fn open_blocks(config: &Config) -> anyhow::Result<DirStore> {
    Ok(DirStore::open(config.data_dir.join(BLOCKS_DIR))?)
}

/// A fetcher over the configured sources that keeps what it fetches in `blocks`.
///
/// # Errors
/// The IPFS node's credentials cannot be read.
pub fn open_fetcher(config: &Config, blocks: Arc<dyn BlockStore>) -> anyhow::Result<Fetcher> {
    let timeout = config.content.timeout;
    let options = FetchOptions {
        timeout,
        idle_timeout: timeout.min(FetchOptions::default().idle_timeout),
        private_submitters: config.content.private_submitters,
        ..FetchOptions::default()
    };
    Ok(Fetcher::new(config.content.sources()?, blocks, options)?)
}

/// Where a node has its knowledge of Bitcoin from.
#[derive(Debug)]
pub struct Bitcoin {
    /// All of it behind one.
    pub node: Arc<FailoverNode>,
    /// The peers that take the place of a Bitcoin node, if they do.
    pub peers: Option<Arc<PeersNode>>,
    /// How to watch it.
    pub watcher: WatcherOptions,
}

/// The configured Bitcoin nodes behind one, in order of preference, with the single ones for their ZMQ endpoints; or the
/// peers in their place, still unasked.
///
/// # Errors
/// A node that is configured wrongly.
pub fn open_bitcoin(config: &Config) -> anyhow::Result<Bitcoin> {
    let mut nodes: Vec<Arc<dyn BitcoinNode>> = Vec::new();
    let mut zmq = Vec::new();
    for (options, endpoint) in &config.bitcoin_nodes {
        let node: Arc<dyn BitcoinNode> = Arc::new(RpcNode::new(options.clone())?);
        if let Some(endpoint) = endpoint {
            zmq.push((Arc::clone(&node), endpoint.clone()));
        }
        nodes.push(node);
    }
    let mut peers = None;
    if let Some(options) = &config.bitcoin_peers {
        let node = Arc::new(PeersNode::new(
            options.clone(),
            Arc::new(SystemClock::new()),
        )?);
        nodes.push(Arc::clone(&node) as Arc<dyn BitcoinNode>);
        peers = Some(node);
    }
    let node = FailoverNode::new(nodes, FailoverOptions::default())?;
    let watcher = WatcherOptions {
        poll: config.tip_poll,
        refresh: config.template_refresh,
        zmq,
        ..WatcherOptions::default()
    };
    Ok(Bitcoin {
        node: Arc::new(node),
        peers,
        watcher,
    })
}

/// Runs a node until `stop`.
///
/// # Errors
/// Whatever keeps it from starting: a taken port, a store in use, a configuration that cannot work.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let http_listener = TcpListener::bind(config.http.listen)
        .with_context(|| format!("http.listen {}: is the port taken?", config.http.listen))?;
    http_listener.set_nonblocking(true)?;
    let mut stratum_listeners = Vec::new();
    for address in &config.stratum.listen {
        stratum_listeners.push(
            tokio::net::TcpListener::bind(address)
                .await
                .with_context(|| {
                    format!(
                        "stratum.listen {address}: is the port taken? (a Koii host uses 3333 itself)"
                    )
                })?,
        );
    }

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store: Arc<dyn ShareStore> = Arc::new(open_store(&config)?);
    let blocks: Arc<dyn BlockStore> = Arc::new(open_blocks(&config)?);
    let found_dir = config.data_dir.join(FOUND_DIR);
    std::fs::create_dir_all(&found_dir)?;
    let fetcher = open_fetcher(&config, Arc::clone(&blocks))?;
    let kubo = config.content.rpc()?.map(KuboRpc::new).transpose()?;
    let (pin_status, pins) = watch::channel(kubo.as_ref().map(PinStatus::of));
    let Bitcoin {
        node: bitcoin,
        peers,
        watcher: watcher_options,
    } = open_bitcoin(&config)?;
    let mode = bitcoin_mode(&config);
    tracing::info!(mode, "Bitcoin");
    if let Some(peers) = &peers {
        peers.spawn(&stop);
    }
    let _monitor = bitcoin.spawn_monitor(stop.clone());
    let chain: Arc<dyn BitcoinNode> = Arc::clone(&bitcoin) as Arc<dyn BitcoinNode>;
    let templates = watcher::spawn(Arc::clone(&chain), watcher_options, stop.clone());
    let tasks = TaskTracker::new();
    if let Some(peers) = &peers
        && let Some(k2) = relay_witness::client(&config)?
    {
        tasks.spawn(relay_witness::follow(k2, Arc::clone(peers), stop.clone()));
    }
    // What this node itself has from peers it does not pass on: it could vouch for none of it.
    let chain_source = (config.http.serve_chain && peers.is_none())
        .then(|| ChainSource::spawn(Arc::clone(&chain), templates.clone(), stop.clone()));

    let rules = Arc::new(config.rules.clone());
    let keeper = RoundKeeper::new(
        Arc::clone(&store),
        Arc::clone(&blocks),
        Arc::clone(&rules),
        DRAIN,
    )
    .await?;
    let newest = store.latest_round().await?;
    let newest = newest.map(|record| (record.round, record.opened.at));

    let auditor = Auditor::new(
        Arc::clone(&rules),
        fetcher,
        Arc::clone(&chain),
        Arc::clone(&store),
        REMEMBERED_SHARES,
    )
    .with_max_bundle_bytes(config.max_bundle_bytes);

    let (work_sender, work) = watch::channel(None);
    let mut feed = tasks.spawn(feed::run(
        JobConstants {
            task: config.task,
            node: config.node,
            payout: config.payout.clone(),
            pool_tag: config.pool_tag.clone(),
        },
        templates.clone(),
        keeper.claimed(),
        work_sender,
        stop.clone(),
    ));
    tasks.spawn(blocks::follow(
        Arc::clone(&chain),
        Arc::clone(&store),
        found_dir.clone(),
        stop.clone(),
    ));

    let server = Server::start(ServerParts {
        settings: server_settings(&config),
        work,
        shares: Arc::new(StoreSink {
            store: Arc::clone(&store),
        }),
        blocks: Arc::new(NodeSink {
            chain,
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            found_dir,
            tasks: tasks.clone(),
        }),
        clock: Arc::clone(&clock),
        random: Arc::new(OsRandomness),
        boot: store.next_boot().await?,
    });
    let port = PortSettings {
        start_difficulty: config.stratum.start_difficulty,
    };
    for listener in stratum_listeners {
        tracing::info!(address = %listener.local_addr()?, "Stratum listens");
        let server = server.clone();
        tasks.spawn(async move { server.listen(listener, port).await });
    }
    if let Some(settings) = &config.miner {
        tasks.spawn(mining::built_in(
            settings.clone(),
            server.clone(),
            port,
            stop.clone(),
        ));
    }

    let outside = Outside::new(
        config.content.gateways.clone(),
        &config.k2_rpc,
        config.program,
    )?;
    let node = Arc::new(Node {
        task: config.task,
        key: config.node,
        program: config.program,
        rules,
        max_bundle_bytes: config.max_bundle_bytes,
        started: clock.now(),
        data_dir: config.data_dir.clone(),
        template_refresh: config.template_refresh,
        built_in: config.miner.as_ref().map(|miner| miner.address),
        earned: Mutex::default(),
        fetched: Mutex::default(),
        outside,
        clock,
        store,
        blocks,
        auditor,
        gateways: Gateways::default(),
        public_url: config.http.public_url.clone(),
        bitcoin,
        bitcoin_mode: mode,
        peers,
        chain_source,
        templates,
        keeper,
        jumps: Mutex::new(RoundJumps::after(newest)),
        wanted: Mutex::new(None),
        stratum: server.clone(),
        heavy: Mutex::new(()),
        settling: Mutex::default(),
        settle_soon: Notify::new(),
        pins,
        pin_soon: Notify::new(),
    });
    tasks.spawn(settling::follow(Arc::clone(&node), stop.clone()));
    if let Some(kubo) = kubo {
        let pinning = pinning::follow(Arc::clone(&node), kubo, pin_status, stop.clone());
        tasks.spawn(pinning);
    }
    let http = http::serve(http_listener, web::Data::from(node), config.http.control)?;
    let handle = http.handle();
    tracing::info!(address = %config.http.listen, "HTTP listens");
    let mut http = tokio::spawn(http);

    let failure = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        ended = &mut http => Some(match ended {
            Ok(Ok(())) => anyhow::anyhow!("the HTTP server ended"),
            Ok(Err(error)) => anyhow::Error::new(error).context("HTTP server"),
            Err(error) => anyhow::Error::new(error).context("HTTP server"),
        }),
        // Miners would go on with what they have until it expires. Whoever started this process can start it again.
        _ = &mut feed => Some(anyhow::anyhow!("no more work for miners: the watch over the Bitcoin node ended")),
    };
    // Shares first: what was taken from a miner is stored and acknowledged before the process ends.
    stop.cancel();
    let drained = async {
        server.shutdown().await;
        tasks.close();
        tasks.wait().await;
        handle.stop(true).await;
    };
    if tokio::time::timeout(SHUTDOWN_PATIENCE, drained)
        .await
        .is_err()
    {
        tracing::warn!("not everything ended in time; acknowledged shares are on disk");
    }
    tracing::info!("stopped");
    failure.map_or(Ok(()), Err)
}

fn server_settings(config: &Config) -> ServerSettings {
    ServerSettings {
        session: SessionSettings {
            min_difficulty: config.stratum.min_difficulty,
            shares_per_minute: config.stratum.shares_per_minute,
            job_lifetime: config.stratum.job_lifetime,
            idle_timeout: config.stratum.idle,
            ..SessionSettings::default()
        },
        limits: Limits {
            max_connections: config.stratum.max_connections,
            max_connections_per_ip: config.stratum.max_connections_per_ip,
            ..Limits::default()
        },
    }
}
