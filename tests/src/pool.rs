//! A pool of real processes: one bitcoind, and `orcapool run` as often as asked.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bitcoin::{BlockHash, Script};
use chain::bitcoind::find_binary;
use chain::{Bitcoind, BitcoindOptions, PrivateChain, RpcNode, StoppedBitcoind};
use orcapool::devnet::child::OwnChild;
use orcapool::devnet::orca::OrcaNode;
use tempfile::TempDir;
use work::{PayoutScript, TaskId};

use crate::address;

/// The script all test pools pay to: the public key of private key 1.
const PAYOUT: &str = "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)";

/// What a test pool looks like.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// The chain.
    pub chain: PrivateChain,
    /// How many task nodes with a Bitcoin node.
    pub nodes: usize,
    /// How many more that have the others as peers in its place. They are given, and [`Self::further_peers`] with them.
    pub without_bitcoind: usize,
    /// Further `bitcoin.peers` of those.
    pub further_peers: Vec<String>,
    /// Where sessions start, and the lowest they may go.
    pub difficulty: f64,
    /// Threads of each node's built-in miner.
    pub miner_threads: usize,
    /// Further configuration of every node, as `key=value`.
    pub settings: Vec<String>,
}

impl Default for PoolOptions {
    /// One node on regtest without a miner of its own, shares of about a million hashes.
    fn default() -> Self {
        Self {
            chain: PrivateChain::Regtest,
            nodes: 1,
            without_bitcoind: 0,
            further_peers: Vec::new(),
            difficulty: 1.0 / 4096.0,
            miner_threads: 0,
            settings: Vec::new(),
        }
    }
}

/// One running task node.
#[derive(Debug)]
pub struct TestNode {
    /// Its sidecar's side.
    pub orca: OrcaNode,
    /// HTTP address.
    pub http: SocketAddr,
    /// Stratum address.
    pub stratum: SocketAddr,
    /// Where it keeps everything.
    pub dir: PathBuf,
    process: Option<OwnChild>,
}

/// The whole pool; its processes are killed when it is dropped.
#[derive(Debug)]
pub struct TestPool {
    /// The Koii task.
    pub task: TaskId,
    /// The task nodes.
    pub nodes: Vec<TestNode>,
    bitcoind: Option<Bitcoind>,
    // Last, so that it is removed after the processes that write into it.
    _dir: TempDir,
}

impl TestPool {
    /// Starts a pool and waits until every node has a template.
    ///
    /// # Errors
    /// Whatever could not be started.
    pub async fn start(options: &PoolOptions) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let bitcoind = Bitcoind::start(BitcoindOptions::new(
            find_binary(None)?,
            dir.path().join("bitcoind"),
            options.chain,
        ))
        .await?;
        let payout = PayoutScript::parse(PAYOUT, options.chain.network())?;
        // One block ends initial block download; above height 16 coinbases have an ordinary BIP34 push.
        let blocks = match options.chain {
            PrivateChain::Regtest => 17,
            PrivateChain::PrivateSignet => 1,
        };
        bitcoind.generate(blocks, payout.as_script()).await?;
        let task = TaskId::from_bytes(*address("task").as_bytes());

        let addresses: Vec<(SocketAddr, SocketAddr)> = (0..options.nodes
            + options.without_bitcoind)
            .map(|_| Ok((free_port()?, free_port()?)))
            .collect::<anyhow::Result<_>>()?;
        let mut nodes = Vec::new();
        for (index, (http, stratum)) in addresses.iter().enumerate() {
            let name = format!("node-{}", index + 1);
            let node_dir = dir.path().join(&name);
            std::fs::create_dir_all(&node_dir)?;
            let others: Vec<String> = addresses
                .iter()
                .filter(|(other, _)| other != http)
                .map(|(other, _)| format!("\"http://{other}\""))
                .collect();
            let network = match options.chain {
                PrivateChain::Regtest => "regtest",
                PrivateChain::PrivateSignet => "signet",
            };
            let key = address(&name);
            let bitcoin = if index < options.nodes {
                format!(
                    "[[bitcoin.nodes]]\nurl = \"http://127.0.0.1:{rpc}\"\ncookie_file = \"{cookie}\"\nzmq_hashblock = \"{zmq}\"\n",
                    rpc = bitcoind.rpc_port(),
                    cookie = bitcoind.cookie_file().display(),
                    zmq = bitcoind.zmq_endpoint(),
                )
            } else {
                let peers = addresses.iter().take(options.nodes);
                let peers = peers.map(|(http, _)| format!("http://{http}"));
                let peers: Vec<String> = peers.chain(options.further_peers.clone()).collect();
                format!("peers = {peers:?}\n")
            };
            let toml = format!(
                "data_dir = \"{data}\"\n\
                 [task]\nid = \"{task}\"\nnode = \"{key}\"\n\
                 [bitcoin]\nnetwork = \"{network}\"\n{bitcoin}\
                 [payout]\nscript = \"{PAYOUT}\"\n\
                 [pplns]\nfloor_hashes = 16777216\n\
                 [audit]\ntime_grace_seconds = 10\nclock_tolerance_seconds = 60\n\
                 [stratum]\nlisten = [\"{stratum}\"]\nstart_difficulty = {difficulty:?}\nmin_difficulty = {difficulty:?}\n\
                 [http]\nlisten = \"{http}\"\n\
                 [content]\ngateways = [{gateways}]\ntimeout_seconds = 10\n\
                 [ipfs]\ngateways = []\n\
                 [miner]\nthreads = {threads}\nmax_hash_rate = 400000\n",
                data = node_dir.join("data").display(),
                difficulty = options.difficulty,
                gateways = others.join(", "),
                threads = options.miner_threads,
            );
            std::fs::write(node_dir.join("orcapool.toml"), toml)?;
            let mut node = TestNode {
                orca: OrcaNode::new(name, format!("http://{http}"), key)?,
                http: *http,
                stratum: *stratum,
                dir: node_dir,
                process: None,
            };
            node.start(&options.settings).await?;
            nodes.push(node);
        }
        Ok(Self {
            task,
            nodes,
            bitcoind: Some(bitcoind),
            _dir: dir,
        })
    }

    /// The Bitcoin node's RPC.
    ///
    /// # Errors
    /// It is away.
    pub fn bitcoin(&self) -> anyhow::Result<Arc<RpcNode>> {
        Ok(self.bitcoind.as_ref().context("bitcoind is away")?.node())
    }

    /// Mines blocks that pay `script`, without any of the task nodes.
    ///
    /// # Errors
    /// The Bitcoin node is away, or refuses.
    pub async fn generate(&self, blocks: u32, script: &Script) -> anyhow::Result<Vec<BlockHash>> {
        let bitcoind = self.bitcoind.as_ref().context("bitcoind is away")?;
        Ok(bitcoind.generate(blocks, script).await?)
    }

    /// Stops the Bitcoin node; the result starts it again, on the same ports with a new cookie. (Killed without a word it
    /// would forget blocks it has not flushed yet, and with them what the pool builds on.)
    ///
    /// # Errors
    /// It is away already.
    pub async fn stop_bitcoind(&mut self) -> anyhow::Result<StoppedBitcoind> {
        let bitcoind = self.bitcoind.take().context("bitcoind is away")?;
        Ok(bitcoind.stop().await?)
    }

    /// Starts the Bitcoin node again.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_bitcoind(&mut self, stopped: StoppedBitcoind) -> anyhow::Result<()> {
        self.bitcoind = Some(stopped.start().await?);
        Ok(())
    }
}

impl TestNode {
    /// The node's configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("orcapool.toml")
    }

    /// Starts the process and waits until it hands out work.
    ///
    /// # Errors
    /// It ends, or is not ready within a minute; the end of its log is part of the error.
    pub async fn start(&mut self, settings: &[String]) -> anyhow::Result<()> {
        let mut arguments = vec![
            "run".to_owned(),
            "--config".to_owned(),
            self.config().display().to_string(),
        ];
        arguments.extend(settings.iter().map(|setting| format!("--set={setting}")));
        self.process = Some(OwnChild::start(
            orcapool_binary()?,
            &self.orca.name,
            &arguments,
            &self.log(),
        )?);
        let ready = async {
            self.orca.wait_healthy().await?;
            while !self.orca.is_ready().await? {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(Duration::from_secs(60), ready).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.context(self.last_words())),
            Err(_) => anyhow::bail!("not ready within a minute\n{}", self.last_words()),
        }
    }

    /// Kills it without a word (SIGKILL).
    ///
    /// # Errors
    /// It was not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("not running")?;
        process.kill().await
    }

    /// Stops it as a pod manager does (SIGTERM).
    ///
    /// # Errors
    /// It was not running, or ended with an error.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("not running")?;
        let status = process.stop().await?;
        ensure!(status.success(), "{status}\n{}", self.last_words());
        Ok(())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref()?.id()
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("node.log")
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Runs `orcapool <arguments> --config <this node's>` and returns standard output, standard error and exit code.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<(String, String, i32)> {
        let output = Command::new(orcapool_binary()?)
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .output()?;
        Ok((
            String::from_utf8(output.stdout)?,
            String::from_utf8(output.stderr)?,
            output.status.code().unwrap_or(-1),
        ))
    }
}

/// A loopback port that is free now.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The program under test.
///
/// `cargo test --workspace` has built it before any test runs. With only this package under test it may be older than the
/// sources; then it is built here.
///
/// # Errors
/// It does not build.
pub fn orcapool_binary() -> anyhow::Result<&'static Path> {
    static BINARY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    if let Some(binary) = BINARY.get() {
        return Ok(binary);
    }
    // target/<profile>/deps/<this test> -> target/<profile>
    let here = std::env::current_exe()?;
    let deps = here.parent().context("where tests are built")?;
    let profile_dir = deps.parent().context("where tests are built")?;
    let binary = profile_dir.join("orcapool");
    if !is_newer_than_its_library(&binary, deps)? {
        build(profile_dir)?;
    }
    Ok(BINARY.get_or_init(|| binary))
}

fn is_newer_than_its_library(binary: &Path, deps: &Path) -> anyhow::Result<bool> {
    let Ok(built) = binary.metadata().and_then(|metadata| metadata.modified()) else {
        return Ok(false);
    };
    for entry in std::fs::read_dir(deps)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_library = name.starts_with("liborcapool-") && name.ends_with(".rlib");
        if is_library && entry.metadata()?.modified()? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

fn build(profile_dir: &Path) -> anyhow::Result<()> {
    let target_dir = profile_dir.parent().context("target directory")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "build",
            "--locked",
            "--package",
            "orcapool-app",
            "--bin",
            "orcapool",
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if profile_dir.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().context("running cargo")?;
    ensure!(
        output.status.success(),
        "orcapool does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
