//! The processes of a devnet and how they are wired.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chain::bitcoind::find_binary;
use chain::{Bitcoind, BitcoindOptions, PrivateChain};
use tokio_util::sync::CancellationToken;
use work::{K2Address, TaskId};

use super::child::OwnChild;
use super::custody::DevnetCustody;
use super::k2::{self, DevnetK2};
use super::keys::address;
use super::orca::OrcaNode;
use super::say;
use crate::cli::{DevnetArgs, DevnetChain};

/// What each miner may try per second, so that a devnet leaves the machine usable.
const HASH_RATE: u64 = 200_000;

/// How long a node may take from its start to its first template.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// One task node.
#[derive(Debug)]
pub(super) struct TaskNode {
    /// Its sidecar's side.
    pub(super) orca: OrcaNode,
    /// HTTP address.
    pub(super) http: SocketAddr,
    /// Stratum address.
    pub(super) stratum: SocketAddr,
    process: OwnChild,
    miner: OwnChild,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Network {
    /// The Koii task they all serve.
    pub(super) task: TaskId,
    /// The task nodes.
    pub(super) nodes: Vec<TaskNode>,
    /// The Bitcoin node.
    pub(super) bitcoind: Bitcoind,
    /// Who holds what the blocks pay.
    pub(super) custody: DevnetCustody,
    /// The local K2; none on a chain whose coinbases take too long to mature.
    pub(super) k2: Option<DevnetK2>,
}

/// Parameters that differ between the two chains.
struct Tuning {
    chain: PrivateChain,
    network: &'static str,
    /// Starting and lowest share difficulty.
    difficulty: f64,
    shares_per_minute: u32,
    /// A hundred blocks mined at once carry times that run ahead of the clock, as each must be after the median of the last
    /// eleven: some seventeen seconds for each round that is made to mature.
    time_grace_seconds: u32,
    /// Regtest blocks cost two hashes, so twice a block's work would be a window of one share.
    pplns_floor: u64,
}

impl From<DevnetChain> for Tuning {
    fn from(chain: DevnetChain) -> Self {
        match chain {
            DevnetChain::Regtest => Self {
                chain: PrivateChain::Regtest,
                network: "regtest",
                difficulty: 1.0 / 4096.0,
                shares_per_minute: 12,
                time_grace_seconds: 3_600,
                pplns_floor: 1 << 24,
            },
            DevnetChain::Signet => Self {
                chain: PrivateChain::PrivateSignet,
                network: "signet",
                difficulty: 1.0 / 16384.0,
                shares_per_minute: 30,
                time_grace_seconds: 10,
                pplns_floor: 65_536,
            },
        }
    }
}

fn built_in_miner(node: &str) -> String {
    format!("{node} built-in miner")
}

fn stratum_miner(node: &str) -> String {
    format!("{node} stratum miner")
}

impl Network {
    /// Starts all of it and waits until every node hands out work.
    pub(super) async fn start(
        args: &DevnetArgs,
        dir: &Path,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let tuning = Tuning::from(args.chain);
        let binary = match &args.bitcoind {
            Some(binary) => binary.clone(),
            None => find_binary(None)?,
        };
        let program = std::env::current_exe().context("where this program is")?;
        let custody =
            DevnetCustody::create(&program, dir, tuning.chain.network(), args.single_sig)?;
        say(&format!("custody is {}", custody.describe()));
        say(&format!(
            "starting {} ({})",
            binary.display(),
            tuning.network
        ));
        let bitcoind = Bitcoind::start(BitcoindOptions::new(
            binary,
            dir.join("bitcoind"),
            tuning.chain,
        ))
        .await?;
        if args.chain == DevnetChain::Signet {
            say("mining the first block of the private signet (about five million hashes)");
        }
        // One block takes the node out of initial block download.
        bitcoind.generate(1, custody.payout().as_script()).await?;

        let task = TaskId::from_bytes(*address("task").as_bytes());
        let plans: Vec<Plan> = (1..=args.nodes)
            .map(|number| Plan::new(number, dir))
            .collect::<anyhow::Result<_>>()?;
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        let k2 = match k2_program(args)? {
            Some(so) => Some(
                DevnetK2::start(
                    &so,
                    k2_client::views::program_network(tuning.chain.network())
                        .context("the network")?,
                    custody.payout(),
                    bitcoind.node(),
                    &names,
                )
                .await?,
            ),
            None => {
                say("without K2: coinbases take 100 blocks to mature");
                None
            }
        };
        let everybody: Vec<String> = names
            .iter()
            .flat_map(|name| [name.clone(), built_in_miner(name), stratum_miner(name)])
            .collect();
        DevnetK2::write_keypairs(&dir.join("keys"), &everybody)?;
        let mut network = Self {
            task,
            nodes: Vec::new(),
            bitcoind,
            custody,
            k2,
        };
        network
            .custody
            .configure(tuning.network, &network.bitcoind, network.k2.as_ref())?;
        for plan in &plans {
            let toml = plan.configuration(&tuning, task, &network, &plans)?;
            network.nodes.push(plan.start(&program, &toml, &tuning)?);
        }
        let ready = tokio::select! {
            ready = network.wait_ready() => ready,
            () = stop.cancelled() => Err(anyhow::anyhow!("stopped during start-up")),
        };
        if let Err(error) = ready {
            network.stop().await;
            return Err(error);
        }
        Ok(network)
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            let deadline = tokio::time::Instant::now() + READY_PATIENCE;
            // An error only means that it does not listen yet; a node that cannot start says why and ends.
            while !node.orca.is_ready().await.unwrap_or(false) {
                node.process.check_alive()?;
                ensure!(
                    tokio::time::Instant::now() < deadline,
                    "{} has no template after a minute: see node.log in its directory",
                    node.orca.name
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            say(&format!(
                "{} is ready: http://{} stratum+tcp://{}",
                node.orca.name, node.http, node.stratum
            ));
        }
        Ok(())
    }

    /// Who has this address.
    pub(super) fn name_of(&self, owner: &str) -> String {
        self.nodes
            .iter()
            .flat_map(|node| {
                let name = &node.orca.name;
                [name.clone(), built_in_miner(name), stratum_miner(name)]
            })
            .find(|name| address(name).to_string() == owner)
            .unwrap_or_default()
    }

    /// Fails as soon as a process has ended by itself.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.bitcoind.ended()? {
            anyhow::bail!("bitcoind ended ({status}): see its debug.log in the data directory");
        }
        for node in &mut self.nodes {
            node.process.check_alive()?;
            node.miner.check_alive()?;
        }
        Ok(())
    }

    /// Returns when a process has ended by itself.
    pub(super) async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            self.check_alive()?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Stops everything, miners first, so that no share is on its way when its node goes.
    pub(super) async fn stop(self) {
        let mut nodes = self.nodes;
        for child in nodes.iter_mut().map(|node| &mut node.miner) {
            report(child.stop().await);
        }
        for child in nodes.iter_mut().map(|node| &mut node.process) {
            report(child.stop().await);
        }
        if let Some(k2) = self.k2 {
            k2.stop().await;
        }
        if let Err(error) = self.bitcoind.stop().await {
            tracing::warn!(%error, "bitcoind");
        }
    }
}

fn report(stopped: anyhow::Result<std::process::ExitStatus>) {
    match stopped {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::warn!(%status, "a child did not end cleanly"),
        Err(error) => tracing::warn!(%error, "stopping a child"),
    }
}

/// Names, keys and addresses of one node, known before any is started because they list each other.
struct Plan {
    name: String,
    key: K2Address,
    http: SocketAddr,
    stratum: SocketAddr,
    dir: PathBuf,
}

impl Plan {
    fn new(number: u16, dir: &Path) -> anyhow::Result<Self> {
        let name = format!("node-{number}");
        let dir = dir.join(&name);
        std::fs::create_dir_all(&dir)?;
        Ok(Self {
            key: address(&name),
            http: free_port()?,
            stratum: free_port()?,
            name,
            dir,
        })
    }

    fn configuration(
        &self,
        tuning: &Tuning,
        task: TaskId,
        network: &Network,
        all: &[Plan],
    ) -> anyhow::Result<String> {
        use toml::{Table, Value};
        let table = |entries: Vec<(&str, Value)>| {
            Value::Table(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<Table>(),
            )
        };
        let text = |value: &dyn ToString| Value::String(value.to_string());
        let others: Vec<Value> = all
            .iter()
            .filter(|plan| plan.name != self.name)
            .map(|plan| Value::String(format!("http://{}", plan.http)))
            .collect();
        let configuration = table(vec![
            ("data_dir", text(&self.dir.join("data").display())),
            (
                "task",
                table(vec![("id", text(&task)), ("node", text(&self.key))]),
            ),
            (
                "bitcoin",
                table(vec![
                    ("network", text(&tuning.network)),
                    (
                        "nodes",
                        Value::Array(vec![table(vec![
                            (
                                "url",
                                text(&format!("http://127.0.0.1:{}", network.bitcoind.rpc_port())),
                            ),
                            (
                                "cookie_file",
                                text(&network.bitcoind.cookie_file().display()),
                            ),
                            ("zmq_hashblock", text(&network.bitcoind.zmq_endpoint())),
                        ])]),
                    ),
                ]),
            ),
            (
                "payout",
                table(vec![("script", text(&network.custody.address()))]),
            ),
            ("k2", table(vec![("program", text(&k2::program()))])),
            (
                "pplns",
                table(vec![(
                    "floor_hashes",
                    Value::Integer(i64::try_from(tuning.pplns_floor)?),
                )]),
            ),
            (
                "audit",
                table(vec![
                    (
                        "time_grace_seconds",
                        Value::Integer(i64::from(tuning.time_grace_seconds)),
                    ),
                    ("clock_tolerance_seconds", Value::Integer(60)),
                ]),
            ),
            (
                "stratum",
                table(vec![
                    ("listen", Value::Array(vec![text(&self.stratum)])),
                    ("start_difficulty", Value::Float(tuning.difficulty)),
                    ("min_difficulty", Value::Float(tuning.difficulty / 4.0)),
                    (
                        "shares_per_minute",
                        Value::Integer(i64::from(tuning.shares_per_minute)),
                    ),
                ]),
            ),
            ("http", table(vec![("listen", text(&self.http))])),
            (
                "content",
                table(vec![
                    ("gateways", Value::Array(others)),
                    ("timeout_seconds", Value::Integer(10)),
                ]),
            ),
            // A private chain's bundles are nowhere in the world, on a signet either.
            ("ipfs", table(vec![("gateways", Value::Array(Vec::new()))])),
            (
                "miner",
                table(vec![
                    ("threads", Value::Integer(1)),
                    ("max_hash_rate", Value::Integer(i64::try_from(HASH_RATE)?)),
                    ("address", text(&address(&built_in_miner(&self.name)))),
                ]),
            ),
        ]);
        Ok(toml::to_string_pretty(&configuration)?)
    }

    fn start(
        &self,
        program: &Path,
        configuration: &str,
        tuning: &Tuning,
    ) -> anyhow::Result<TaskNode> {
        let file = self.dir.join("orcapool.toml");
        std::fs::write(&file, configuration)?;
        let process = OwnChild::start(
            program,
            &self.name,
            &[
                "run".to_owned(),
                "--config".to_owned(),
                file.display().to_string(),
            ],
            &self.dir.join("node.log"),
        )?;
        let miner = OwnChild::start(
            program,
            &format!("the miner of {}", self.name),
            &[
                "mine".to_owned(),
                format!("--url=stratum+tcp://{}", self.stratum),
                format!("--user={}.stratum", address(&stratum_miner(&self.name))),
                format!("--password=d={}", tuning.difficulty),
                format!("--max-hash-rate={HASH_RATE}"),
            ],
            &self.dir.join("miner.log"),
        )?;
        Ok(TaskNode {
            orca: OrcaNode::new(self.name.clone(), format!("http://{}", self.http), self.key)?,
            http: self.http,
            stratum: self.stratum,
            process,
            miner,
        })
    }
}

/// The program to run, if K2 takes part. On the signet a block costs millions of hashes, and a coinbase matures after a
/// hundred of them: nobody would wait for that.
fn k2_program(args: &DevnetArgs) -> anyhow::Result<Option<PathBuf>> {
    if args.without_k2 || args.chain != DevnetChain::Regtest {
        return Ok(None);
    }
    let so = args.k2_program.clone().context(
        "which K2 program? scripts/build-program makes it; give its path with --k2-program or \
         ORCAPOOL_K2_PROGRAM, or leave the payout out with --without-k2",
    )?;
    Ok(Some(so))
}

/// A loopback port that is free now. Another process may take it before the node does; the node then says so.
fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
    let address = listener.local_addr()?;
    ensure!(
        address.port() != 3004,
        "port 3004 is the sidecar's: try again"
    );
    Ok(address)
}
