//! The configuration in checked types.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::content::NodeUrl;
use bitcoin::{Amount, Network, ScriptBuf};
use chain::{Auth, RpcOptions, ZmqEndpoint, peer::PeersOptions};
use ledger::Fee;
use pow::{ShareDifficulty, Work};
use rounds::{PoolRules, RulesParts};
use work::{K2Address, PayoutScript, PoolTag, TaskId};

use super::content::{self, ContentSettings};
use super::peers::bitcoin_peers;
use super::raw::{RawBitcoinNode, RawConfig};
use crate::http::ControlAccess;

/// What is wrong with a configuration, each line with the key to change.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The Stratum server.
#[derive(Debug, Clone)]
pub struct StratumSettings {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The difficulty a session starts at.
    pub start_difficulty: ShareDifficulty,
    /// No session gets an easier one.
    pub min_difficulty: ShareDifficulty,
    /// What vardiff aims for.
    pub shares_per_minute: u32,
    /// Connections in total.
    pub max_connections: usize,
    /// Connections from one address.
    pub max_connections_per_ip: usize,
    /// How long a job may earn.
    pub job_lifetime: Duration,
    /// Disconnect after this long without a word.
    pub idle: Duration,
}

/// The HTTP server.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where other nodes reach it.
    pub public_url: Option<NodeUrl>,
    /// Where the routes that drive rounds may be called from.
    pub control: ControlAccess,
    /// Whether operators without a Bitcoin node are served.
    pub serve_chain: bool,
}

/// The built-in miner.
#[derive(Debug, Clone)]
pub struct MinerSettings {
    /// Threads, at least one.
    pub threads: usize,
    /// Who is paid.
    pub address: K2Address,
    /// Hashes per second in all; `None` is no limit.
    pub max_hash_rate: Option<u64>,
    /// The difficulty it asks for.
    pub difficulty: Option<ShareDifficulty>,
}

/// A node's whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything that must last is kept.
    pub data_dir: PathBuf,
    /// The Koii task.
    pub task: TaskId,
    /// This operator's K2 staking key.
    pub node: K2Address,
    /// The Bitcoin network.
    pub network: Network,
    /// Bitcoin nodes in order of preference; none where there are peers.
    pub bitcoin_nodes: Vec<(RpcOptions, Option<ZmqEndpoint>)>,
    /// Other operators' nodes that take the place of a Bitcoin node.
    pub bitcoin_peers: Option<PeersOptions>,
    /// A new template at least this often.
    pub template_refresh: Duration,
    /// How often the tip is asked for.
    pub tip_poll: Duration,
    /// Where block rewards go.
    pub payout: PayoutScript,
    /// The text in the coinbase.
    pub pool_tag: PoolTag,
    /// The K2 program that pays miners.
    pub program: K2Address,
    /// JSON-RPC endpoints of K2, best first.
    pub k2_rpc: Vec<String>,
    /// What all nodes of the task must agree on.
    pub rules: PoolRules,
    /// The largest bundle that is fetched whole, in bytes.
    pub max_bundle_bytes: u64,
    /// The Stratum server.
    pub stratum: StratumSettings,
    /// The HTTP server.
    pub http: HttpSettings,
    /// Whom to ask for blocks, and which IPFS node pins.
    pub content: ContentSettings,
    /// The built-in miner, if it is on.
    pub miner: Option<MinerSettings>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The `tracing` filter.
    pub log_level: String,
}

/// Collects complaints, so that all are reported at once.
#[derive(Default)]
pub(super) struct Complaints(pub(super) Vec<String>);

impl Complaints {
    pub(super) fn check<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|error| self.0.push(format!("{key}: {error}")))
            .ok()
    }

    pub(super) fn require(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push(message());
        }
    }

    fn required<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        text: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if text.trim().is_empty() {
            self.0
                .push(format!("{key} is required, for example {example}"));
            return None;
        }
        self.check(key, parse(text.trim()))
    }
}

/// What the commands on K2 need of a configuration; a miner that claims has no more of it than this.
#[derive(Debug, Clone)]
pub struct K2Settings {
    /// JSON-RPC endpoints, best first.
    pub rpc: Vec<String>,
    /// The pool's program.
    pub program: K2Address,
    /// Keypair file of whoever signs.
    pub keypair: Option<PathBuf>,
    /// Micro-lamports a compute unit.
    pub price: u64,
    /// The Bitcoin network.
    pub network: Network,
    /// Bitcoin nodes in order of preference; there may be none.
    pub bitcoin_nodes: Vec<RpcOptions>,
    /// Custody, if it is configured.
    pub payout: Option<PayoutScript>,
    /// Whom to ask for blocks.
    pub content: ContentSettings,
}

impl TryFrom<&RawConfig> for K2Settings {
    type Error = ConfigError;

    fn try_from(raw: &RawConfig) -> Result<Self, Self::Error> {
        let mut complaints = Complaints::default();
        let settings = parse_k2(raw, &mut complaints);
        match settings {
            Some(settings) if complaints.0.is_empty() => Ok(settings),
            _ => Err(ConfigError(complaints.0)),
        }
    }
}

fn parse_k2(raw: &RawConfig, complaints: &mut Complaints) -> Option<K2Settings> {
    let program = complaints.check("k2.program", raw.k2.program.parse::<K2Address>());
    let network = complaints.check("bitcoin.network", network(&raw.bitcoin.network))?;
    let bitcoin_nodes = raw
        .bitcoin
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| bitcoin_node(index, node, network, complaints))
        .map(|(options, _)| options)
        .collect();
    let script = raw.payout.script.trim();
    let payout = if script.is_empty() {
        None
    } else {
        complaints.check("payout.script", PayoutScript::parse(script, network))
    };
    Some(K2Settings {
        rpc: raw.k2.rpc.clone(),
        program: program?,
        keypair: raw.k2.keypair.clone(),
        price: raw.k2.price_micro_lamports,
        network,
        bitcoin_nodes,
        payout,
        content: content::parse(raw, complaints),
    })
}

impl TryFrom<&RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: &RawConfig) -> Result<Self, Self::Error> {
        let mut complaints = Complaints::default();
        match parse(raw, &mut complaints) {
            Some(config) if complaints.0.is_empty() => Ok(config),
            _ => Err(ConfigError(complaints.0)),
        }
    }
}

/// Every line up to the first `?` runs whatever is wrong, so that one run reports every wrong key.
fn parse(raw: &RawConfig, complaints: &mut Complaints) -> Option<Config> {
    let task = complaints.required(
        "task.id",
        &raw.task.id,
        "task.id = \"<the Koii task's address>\"",
        str::parse::<TaskId>,
    );
    let node = complaints.required(
        "task.node",
        &raw.task.node,
        "task.node = \"<your K2 staking key's address>\"",
        str::parse::<K2Address>,
    );
    let network = complaints.check("bitcoin.network", network(&raw.bitcoin.network));
    let (nodes, peers) = (!raw.bitcoin.nodes.is_empty(), !raw.bitcoin.peers.is_empty());
    complaints.require(nodes || peers, || {
        "bitcoin.nodes is required, for example [[bitcoin.nodes]] url = \"http://127.0.0.1:8332\", \
         cookie_file = \"/home/me/.bitcoin/.cookie\", zmq_hashblock = \"tcp://127.0.0.1:28332\"; \
         or, without a Bitcoin node, bitcoin.peers = [\"http://other-node:8080\", ...]"
            .to_owned()
    });
    complaints.require(!(nodes && peers), || {
        "bitcoin.peers: not beside bitcoin.nodes, a node of one's own is better: remove one of the two"
            .to_owned()
    });
    complaints.require((1..=600).contains(&raw.bitcoin.refresh_seconds), || {
        "bitcoin.refresh_seconds must be 1 to 600".to_owned()
    });
    complaints.require(
        (50..=60_000).contains(&raw.bitcoin.poll_milliseconds),
        || "bitcoin.poll_milliseconds must be 50 to 60000".to_owned(),
    );
    let operator_fee = complaints.check(
        "payout.operator_fee_ppm",
        Fee::from_ppm(raw.payout.operator_fee_ppm),
    );
    complaints.require(raw.pplns.multiple > 0, || {
        "pplns.multiple must be at least 1".to_owned()
    });
    complaints.require(!raw.stratum.listen.is_empty(), || {
        "stratum.listen needs at least one address, for example [\"0.0.0.0:3333\"]".to_owned()
    });
    complaints.require((1..=600).contains(&raw.stratum.shares_per_minute), || {
        "stratum.shares_per_minute must be 1 to 600".to_owned()
    });
    complaints.require(raw.stratum.max_connections > 0, || {
        "stratum.max_connections must be at least 1".to_owned()
    });
    let listen: Vec<SocketAddr> = raw
        .stratum
        .listen
        .iter()
        .filter_map(|text| complaints.check("stratum.listen", socket(text)))
        .collect();
    let start_difficulty = complaints.check(
        "stratum.start_difficulty",
        ShareDifficulty::at_most(raw.stratum.start_difficulty),
    );
    let min_difficulty = complaints.check(
        "stratum.min_difficulty",
        ShareDifficulty::at_least(raw.stratum.min_difficulty),
    );
    let http_listen = complaints.check("http.listen", socket(&raw.http.listen));
    if let Some(http) = http_listen {
        // The Orca sidecar listens on 3004 in the same network namespace.
        complaints.require(http.port() != 3004, || {
            "http.listen: port 3004 belongs to the Orca sidecar".to_owned()
        });
    }
    let public_url = match raw.http.public_url.trim() {
        "" => None,
        url => complaints.check("http.public_url", url.parse::<NodeUrl>()),
    };
    let content = content::parse(raw, complaints);
    let pool_tag = complaints.check("payout.tag", PoolTag::new(raw.payout.tag.as_bytes()));
    let program = complaints.check("k2.program", raw.k2.program.parse::<K2Address>());
    let log_format = match raw.log.format.as_str() {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        other => {
            complaints
                .0
                .push(format!("log.format: `{other}` is neither text nor json"));
            None
        }
    };
    complaints.check(
        "log.level",
        raw.log.level.parse::<tracing_subscriber::EnvFilter>(),
    );
    let miner_address = raw
        .miner
        .address
        .as_deref()
        .map(|text| complaints.check("miner.address", text.parse::<K2Address>()));
    let miner_difficulty = raw
        .miner
        .difficulty
        .map(|wanted| complaints.check("miner.difficulty", ShareDifficulty::at_most(wanted)));
    complaints.require(raw.miner.threads <= 1024, || {
        "miner.threads must be at most 1024".to_owned()
    });

    // What follows depends on the network.
    let network = network?;
    let payout = complaints.required(
        "payout.script",
        &raw.payout.script,
        "payout.script = \"bc1q...\" or an output descriptor",
        |text| PayoutScript::parse(text, network),
    );
    let mut payout_scripts: Vec<ScriptBuf> = payout
        .iter()
        .map(|script| script.as_script().to_owned())
        .collect();
    for text in &raw.payout.also_accepted {
        payout_scripts.extend(
            complaints
                .check("payout.also_accepted", PayoutScript::parse(text, network))
                .map(|script| script.as_script().to_owned()),
        );
    }
    let bitcoin_nodes = raw
        .bitcoin
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| bitcoin_node(index, node, network, complaints))
        .collect();
    let bitcoin_peers = bitcoin_peers(&raw.bitcoin, network, complaints);

    let task = task?;
    let node = node?;
    let operator_fee = operator_fee?;
    let miner = if raw.miner.threads == 0 {
        None
    } else {
        Some(MinerSettings {
            threads: raw.miner.threads,
            address: miner_address.unwrap_or(Some(node))?,
            max_hash_rate: (raw.miner.max_hash_rate > 0).then_some(raw.miner.max_hash_rate),
            difficulty: miner_difficulty.flatten(),
        })
    };
    let rules = complaints.check(
        "rules",
        PoolRules::new(RulesParts {
            task,
            network,
            payout_scripts,
            operator_fee,
            pplns_multiple: raw.pplns.multiple,
            pplns_floor: Work::from_hashes(u128::from(raw.pplns.floor_hashes)),
            leaf_minimum: Amount::from_sat(raw.payout.leaf_minimum_sats),
            time_grace_seconds: raw.audit.time_grace_seconds,
            clock_tolerance_seconds: raw.audit.clock_tolerance_seconds,
        }),
    );
    Some(Config {
        data_dir: raw.data_dir.clone(),
        task,
        node,
        network,
        bitcoin_nodes,
        bitcoin_peers,
        template_refresh: Duration::from_secs(raw.bitcoin.refresh_seconds),
        tip_poll: Duration::from_millis(raw.bitcoin.poll_milliseconds),
        payout: payout?,
        pool_tag: pool_tag?,
        program: program?,
        k2_rpc: raw.k2.rpc.clone(),
        rules: rules?,
        max_bundle_bytes: raw.audit.max_bundle_bytes,
        stratum: StratumSettings {
            listen,
            start_difficulty: start_difficulty?,
            min_difficulty: min_difficulty?,
            shares_per_minute: raw.stratum.shares_per_minute,
            max_connections: raw.stratum.max_connections,
            max_connections_per_ip: raw.stratum.max_connections_per_ip,
            job_lifetime: Duration::from_secs(raw.stratum.job_lifetime_seconds),
            idle: Duration::from_secs(raw.stratum.idle_seconds),
        },
        http: HttpSettings {
            listen: http_listen?,
            public_url,
            control: if raw.http.control_from_anywhere {
                ControlAccess::Anywhere
            } else {
                ControlAccess::Loopback
            },
            serve_chain: raw.http.serve_chain,
        },
        content,
        miner,
        log_format: log_format?,
        log_level: raw.log.level.clone(),
    })
}

pub(super) fn network(text: &str) -> Result<Network, String> {
    match text {
        "mainnet" | "main" | "bitcoin" => Ok(Network::Bitcoin),
        "testnet4" => Ok(Network::Testnet4),
        "signet" => Ok(Network::Signet),
        "regtest" => Ok(Network::Regtest),
        other => Err(format!(
            "`{other}` is none of mainnet, testnet4, signet, regtest"
        )),
    }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not of the form 0.0.0.0:3333"))
}

pub(super) fn bitcoin_node(
    index: usize,
    raw: &RawBitcoinNode,
    network: Network,
    complaints: &mut Complaints,
) -> Option<(RpcOptions, Option<ZmqEndpoint>)> {
    let key = format!("bitcoin.nodes[{index}]");
    let auth = match (&raw.cookie_file, &raw.user, &raw.password) {
        (Some(path), None, None) => Some(Auth::CookieFile(path.clone())),
        (None, Some(user), Some(password)) => Some(Auth::Password {
            user: user.clone(),
            password: password.clone(),
        }),
        _ => {
            complaints.0.push(format!(
                "{key}: give either cookie_file, or user and password"
            ));
            None
        }
    };
    let zmq = match &raw.zmq_hashblock {
        None => None,
        Some(text) => {
            Some(complaints.check(&format!("{key}.zmq_hashblock"), text.parse::<ZmqEndpoint>())?)
        }
    };
    if raw.url.trim().is_empty() {
        complaints.0.push(format!(
            "{key}.url is required, for example http://127.0.0.1:8332"
        ));
        return None;
    }
    let name = if raw.name.is_empty() {
        let host = raw.url.rsplit('@').next().unwrap_or_default();
        host.trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned()
    } else {
        raw.name.clone()
    };
    Some((RpcOptions::new(name, raw.url.trim(), auth?, network), zmq))
}
