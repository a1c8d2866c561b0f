//! The configuration as it is written: one struct per TOML table, every key optional where there is a default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that can be configured. Unknown keys are errors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Where everything that must last is kept.
    pub data_dir: PathBuf,
    /// The Koii task and this node's place in it.
    pub task: RawTask,
    /// The Bitcoin nodes.
    pub bitcoin: RawBitcoin,
    /// Where block rewards go.
    pub payout: RawPayout,
    /// The K2 program and how it is reached.
    pub k2: RawK2,
    /// The wallet block rewards are paid to; only custodians have one.
    pub custody: RawCustody,
    /// How rewards are shared.
    pub pplns: RawPplns,
    /// How other nodes' rounds are audited.
    pub audit: RawAudit,
    /// The Stratum server.
    pub stratum: RawStratum,
    /// The HTTP server.
    pub http: RawHttp,
    /// Where bundles of other nodes are fetched.
    pub content: RawContent,
    /// The IPFS network.
    pub ipfs: RawIpfs,
    /// The built-in miner.
    pub miner: RawMiner,
    /// The log.
    pub log: RawLog,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            task: RawTask::default(),
            bitcoin: RawBitcoin::default(),
            payout: RawPayout::default(),
            k2: RawK2::default(),
            custody: RawCustody::default(),
            pplns: RawPplns::default(),
            audit: RawAudit::default(),
            stratum: RawStratum::default(),
            http: RawHttp::default(),
            content: RawContent::default(),
            ipfs: RawIpfs::default(),
            miner: RawMiner::default(),
            log: RawLog::default(),
        }
    }
}

/// `[task]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTask {
    /// The Koii task id, base58. Required.
    pub id: String,
    /// This operator's K2 staking key, base58. Required.
    pub node: String,
}

/// `[bitcoin]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBitcoin {
    /// `mainnet`, `testnet4`, `signet` or `regtest`.
    pub network: String,
    /// Nodes in order of preference.
    pub nodes: Vec<RawBitcoinNode>,
    /// Without a Bitcoin node: base URLs of other operators' nodes, which give headers and templates.
    pub peers: Vec<String>,
    /// How many of `peers` must list a transaction alike before it is mined. With 1, one liar can make blocks invalid.
    pub peer_quorum: usize,
    /// With `peers`: a block to trust, `HEIGHT:HASH`, older than the task's first round. The first block of the chain by
    /// default, except on mainnet.
    pub checkpoint: String,
    /// A new template at least this often, in seconds.
    pub refresh_seconds: u64,
    /// How often the tip is asked for behind ZMQ and long polling, in milliseconds.
    pub poll_milliseconds: u64,
}

impl Default for RawBitcoin {
    fn default() -> Self {
        Self {
            network: "mainnet".to_owned(),
            nodes: Vec::new(),
            peers: Vec::new(),
            peer_quorum: 2,
            checkpoint: String::new(),
            refresh_seconds: 30,
            poll_milliseconds: 1000,
        }
    }
}

/// One entry of `bitcoin.nodes`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBitcoinNode {
    /// A name for logs; the URL's host by default.
    pub name: String,
    /// `http://127.0.0.1:8332`
    pub url: String,
    /// Cookie file (`<datadir>/.cookie`); this or user and password.
    pub cookie_file: Option<PathBuf>,
    /// RPC user.
    pub user: Option<String>,
    /// RPC password.
    pub password: Option<String>,
    /// The node's `-zmqpubhashblock` endpoint, e.g. `tcp://127.0.0.1:28332`.
    pub zmq_hashblock: Option<String>,
}

/// `[payout]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPayout {
    /// Address or descriptor of the pool's custody. Required, and the same on every node of the task.
    pub script: String,
    /// Further scripts an auditor accepts, while custody rotates.
    pub also_accepted: Vec<String>,
    /// The text in the coinbase.
    pub tag: String,
    /// The operator's fee in parts per million of every share.
    pub operator_fee_ppm: u32,
    /// Earnings below this many satoshis keep adding up, but get no leaf in the reward tree yet.
    pub leaf_minimum_sats: u64,
}

impl Default for RawPayout {
    fn default() -> Self {
        Self {
            script: String::new(),
            also_accepted: Vec::new(),
            tag: "/orcapool/".to_owned(),
            operator_fee_ppm: 10_000,
            leaf_minimum_sats: 1_000,
        }
    }
}

/// `[k2]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawK2 {
    /// The pool's program, whose reward tree is built. The same on every node of the task.
    pub program: String,
    /// JSON-RPC endpoints, in order of preference.
    pub rpc: Vec<String>,
    /// Keypair file of whoever signs, as Koii's and Solana's tools write it: only `orcapool k2` reads it.
    pub keypair: Option<PathBuf>,
    /// What a compute unit is paid, in millionths of a lamport.
    pub price_micro_lamports: u64,
}

impl Default for RawK2 {
    fn default() -> Self {
        Self {
            // The system program's address: a tree that no program will pay.
            program: "11111111111111111111111111111111".to_owned(),
            rpc: vec!["https://mainnet.koii.network".to_owned()],
            keypair: None,
            price_micro_lamports: 0,
        }
    }
}

/// `[custody]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCustody {
    /// The wallet's folder; `custody` in the data folder by default.
    pub dir: Option<PathBuf>,
    /// Where the wallet's blocks come from: `bitcoind` (`bitcoin.nodes`), `esplora` or `electrum`.
    pub backend: String,
    /// The Esplora or Electrum server, which is believed: run your own.
    pub url: String,
    /// No transaction may pay a higher fee rate, in satoshis a virtual byte.
    pub max_fee_rate_sat_vb: u64,
    /// No transaction may pay a higher fee, in satoshis.
    pub max_fee_sats: u64,
    /// A redemption that expires within this many blocks is not paid any more. A payment of it that is in no block is taken
    /// back at two thirds of them, by every custodian who signed it at half.
    pub expiry_margin_blocks: u32,
    /// Confirmations after which a payout counts as made.
    pub confirmations: u32,
}

impl Default for RawCustody {
    fn default() -> Self {
        Self {
            dir: None,
            backend: "bitcoind".to_owned(),
            url: String::new(),
            max_fee_rate_sat_vb: 50,
            max_fee_sats: 1_000_000,
            expiry_margin_blocks: 36,
            confirmations: 6,
        }
    }
}

/// `[pplns]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPplns {
    /// The window in multiples of the network's work for one block.
    pub multiple: u32,
    /// The window is never smaller than this many hashes (for networks whose blocks cost nothing).
    pub floor_hashes: u64,
}

impl Default for RawPplns {
    fn default() -> Self {
        Self {
            multiple: 2,
            floor_hashes: 65_536,
        }
    }
}

/// `[audit]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAudit {
    /// Header times are miners' clocks: the round's window is widened by this much when tips are looked up by time.
    pub time_grace_seconds: u32,
    /// How far another node's round may begin or end from what this node saw.
    pub clock_tolerance_seconds: u32,
    /// The largest bundle that is fetched whole, in bytes.
    pub max_bundle_bytes: u64,
}

impl Default for RawAudit {
    fn default() -> Self {
        Self {
            time_grace_seconds: 600,
            clock_tolerance_seconds: 1800,
            max_bundle_bytes: 256 << 20,
        }
    }
}

/// `[stratum]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawStratum {
    /// Addresses to listen on.
    pub listen: Vec<String>,
    /// The difficulty a session starts at.
    pub start_difficulty: f64,
    /// No session gets an easier one.
    pub min_difficulty: f64,
    /// What vardiff aims for.
    pub shares_per_minute: u32,
    /// Connections in total.
    pub max_connections: usize,
    /// Connections from one address.
    pub max_connections_per_ip: usize,
    /// How long a job may earn, in seconds.
    pub job_lifetime_seconds: u64,
    /// Disconnect after this long without a word, in seconds.
    pub idle_seconds: u64,
}

impl Default for RawStratum {
    fn default() -> Self {
        Self {
            listen: vec!["0.0.0.0:3333".to_owned()],
            start_difficulty: 1024.0,
            min_difficulty: 0.001,
            shares_per_minute: 18,
            max_connections: 4096,
            max_connections_per_ip: 256,
            job_lifetime_seconds: 600,
            idle_seconds: 600,
        }
    }
}

/// `[http]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHttp {
    /// Where the Orca sidecar and other nodes reach this one.
    pub listen: String,
    /// Where other nodes reach it, for example `http://203.0.113.9:8338`: submissions name it, so that whoever audits them
    /// gets their bundles here. Empty: they look elsewhere.
    pub public_url: String,
    /// Give headers and templates of this node's Bitcoin node to operators who have none (`/chain/...`).
    pub serve_chain: bool,
    /// Let other machines drive this node's rounds. The Orca sidecar calls from the pod itself and does not need it.
    pub control_from_anywhere: bool,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8080".to_owned(),
            public_url: String::new(),
            serve_chain: true,
            control_from_anywhere: false,
        }
    }
}

/// `[content]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawContent {
    /// Base URLs of other nodes and trustless gateways, asked for blocks this node lacks.
    pub gateways: Vec<String>,
    /// How long one source may take, in seconds.
    pub timeout_seconds: u64,
    /// Ask a submitter's node (its `http.public_url`) also on private networks and on this machine: only for a pool whose
    /// nodes all live there, because whoever submits could make this node ask anything in its network.
    pub private_submitters: bool,
}

impl Default for RawContent {
    fn default() -> Self {
        Self {
            gateways: Vec::new(),
            timeout_seconds: 60,
            private_submitters: false,
        }
    }
}

/// `[ipfs]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawIpfs {
    /// Kubo's RPC API (`http://127.0.0.1:5001`), which pins this node's bundles and is asked for others'; empty is none.
    pub rpc: String,
    /// File with its credentials, `bearer:TOKEN` or `basic:USER:PASSWORD`.
    pub auth_file: Option<PathBuf>,
    /// Public gateways, asked after `content.gateways`; those that Koii's own programs ask by default, none on regtest.
    /// `https://{cid}.ipfs.gateway.example` has the CID as host name.
    pub gateways: Option<Vec<String>>,
}

/// `[miner]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMiner {
    /// Threads; 0 leaves the built-in miner off.
    pub threads: usize,
    /// The K2 address that is paid; the node's own key by default.
    pub address: Option<String>,
    /// Hashes per second it may try in all; 0 is no limit.
    pub max_hash_rate: u64,
    /// The difficulty it asks for.
    pub difficulty: Option<f64>,
}

/// `[log]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// `text` or `json`.
    pub format: String,
    /// A `tracing` filter such as `info` or `orcapool=debug,stratum=trace`.
    pub level: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            format: "text".to_owned(),
            // actix announces each of its threads.
            level: "info,actix_server=warn".to_owned(),
        }
    }
}
