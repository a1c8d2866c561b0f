//! Starts and stops a `bitcoind` child process, for devnet and tests.
//!
//! The node gets free ports on the loopback interface, a cookie, ZMQ `hashblock` and no peers. It ends with
//! [`Bitcoind::stop`] (RPC `stop`, then a wait, then a kill) and is killed when the handle is dropped.

use std::{
    ffi::OsString,
    io::Read as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use bitcoin::{BlockHash, Network, Script};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{
    error::NodeError,
    node::BitcoinNode as _,
    rpc::{Auth, RpcNode, RpcOptions},
    words::clip,
    zmq::ZmqEndpoint,
};

/// The environment variable that names the binary.
pub const BINARY_ENV: &str = "ORCAPOOL_BITCOIND";

const BINARY: &str = if cfg!(windows) {
    "bitcoind.exe"
} else {
    "bitcoind"
};

/// Between picking a free port and bitcoind binding it, another process may take it.
const START_ATTEMPTS: usize = 3;

/// Each hash of `generate*` is a try; a private signet needs about four million for a block.
const MAX_TRIES: u64 = 1 << 40;

/// The private chain to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateChain {
    /// Difficulty next to nothing; never retargets.
    Regtest,
    /// A signet of its own whose challenge is `OP_TRUE`: real retargeting, and blocks that need no signature.
    PrivateSignet,
}

impl PrivateChain {
    /// The chain's parameters.
    pub fn network(self) -> Network {
        match self {
            Self::Regtest => Network::Regtest,
            Self::PrivateSignet => Network::Signet,
        }
    }
}

/// How to start a node.
#[derive(Debug, Clone)]
pub struct BitcoindOptions {
    /// The binary, e.g. from [`find_binary`].
    pub binary: PathBuf,
    /// Its data directory; made if it is missing, kept afterwards.
    pub data_dir: PathBuf,
    /// The chain.
    pub chain: PrivateChain,
    /// Further arguments, e.g. `-blockversion=...`. Those of this module win.
    pub extra_args: Vec<OsString>,
    /// Time to answer the first RPC after the start.
    pub start_timeout: Duration,
    /// Time to end after RPC `stop`; then it is killed.
    pub stop_timeout: Duration,
}

impl BitcoindOptions {
    /// One minute to start, one to stop, no further arguments.
    pub fn new(binary: PathBuf, data_dir: PathBuf, chain: PrivateChain) -> Self {
        Self {
            binary,
            data_dir,
            chain,
            extra_args: Vec::new(),
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(60),
        }
    }
}

/// A node that could not be found, started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BitcoindError {
    /// No binary.
    #[error(
        "no bitcoind found ({searched}); run scripts/get-bitcoind, install Bitcoin Core 25 or newer, or set {BINARY_ENV} to its path"
    )]
    NotFound {
        /// Where it was looked for.
        searched: String,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// It ended before it answered.
    #[error("bitcoind ended with {status} while starting: {said}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        said: String,
    },
    /// It runs and does not answer.
    #[error("bitcoind did not answer within {after:?}: {last}")]
    NotReady {
        /// The time allowed.
        after: Duration,
        /// The last failure.
        last: NodeError,
    },
    /// An RPC failed.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// The binary: `$ORCAPOOL_BITCOIND`, then `$PATH`, then `fallback_dir` (where `scripts/get-bitcoind` puts it).
pub fn find_binary(fallback_dir: Option<&Path>) -> Result<PathBuf, BitcoindError> {
    find_binary_in(
        std::env::var_os(BINARY_ENV),
        std::env::var_os("PATH"),
        fallback_dir,
    )
}

fn find_binary_in(
    named: Option<OsString>,
    path: Option<OsString>,
    fallback_dir: Option<&Path>,
) -> Result<PathBuf, BitcoindError> {
    // A variable that is set and wrong is a mistake to report, not a reason to take another binary.
    if let Some(named) = named.filter(|n| !n.is_empty()) {
        let named = PathBuf::from(named);
        let searched = format!("{BINARY_ENV}={} is no file", named.display());
        return if named.is_file() {
            Ok(named)
        } else {
            Err(BitcoindError::NotFound { searched })
        };
    }
    let dirs = path
        .as_deref()
        .map(std::env::split_paths)
        .into_iter()
        .flatten();
    dirs.chain(fallback_dir.map(Path::to_path_buf))
        .map(|dir| dir.join(BINARY))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| {
            let fallback =
                fallback_dir.map_or(String::new(), |dir| format!(", not in {}", dir.display()));
            BitcoindError::NotFound {
                searched: format!("{BINARY_ENV} is not set, not in PATH{fallback}"),
            }
        })
}

/// A running child process.
#[derive(Debug)]
pub struct Bitcoind {
    child: Child,
    node: Arc<RpcNode>,
    options: BitcoindOptions,
    ports: Ports,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    rpc: u16,
    zmq: u16,
}

impl Ports {
    /// Two ports nobody listens on at present.
    fn free() -> std::io::Result<Self> {
        // Both are held until both are known, so that they differ.
        let rpc = TcpListener::bind(("127.0.0.1", 0))?;
        let zmq = TcpListener::bind(("127.0.0.1", 0))?;
        Ok(Self {
            rpc: rpc.local_addr()?.port(),
            zmq: zmq.local_addr()?.port(),
        })
    }
}

impl Bitcoind {
    /// Starts the node and waits until it answers.
    pub async fn start(options: BitcoindOptions) -> Result<Self, BitcoindError> {
        let mut attempt = 1;
        loop {
            let ports = Ports::free().map_err(|source| BitcoindError::Io {
                what: "no free port".into(),
                source,
            })?;
            match Self::start_on(options.clone(), ports).await {
                Err(BitcoindError::Exited { status, said }) if attempt < START_ATTEMPTS => {
                    tracing::debug!(%status, said, "bitcoind did not start; trying other ports");
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn start_on(options: BitcoindOptions, ports: Ports) -> Result<Self, BitcoindError> {
        let io = |what: String| move |source| BitcoindError::Io { what, source };
        let dir = &options.data_dir;
        std::fs::create_dir_all(dir).map_err(io(format!("cannot make {}", dir.display())))?;
        let log = dir.join("bitcoind.out");
        let out =
            std::fs::File::create(&log).map_err(io(format!("cannot write {}", log.display())))?;
        let err = out
            .try_clone()
            .map_err(io(format!("cannot write {}", log.display())))?;
        let child = Command::new(&options.binary)
            .args(&options.extra_args)
            .args(arguments(&options, ports))
            .stdin(Stdio::null())
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .kill_on_drop(true)
            .spawn()
            .map_err(io(format!("cannot start {}", options.binary.display())))?;
        let rpc = RpcOptions::new(
            format!("bitcoind:{}", ports.rpc),
            format!("http://127.0.0.1:{}", ports.rpc),
            Auth::CookieFile(cookie_path(dir)),
            options.chain.network(),
        );
        let node = Arc::new(RpcNode::new(rpc)?);
        let mut this = Self {
            child,
            node,
            options,
            ports,
        };
        this.wait_until_ready(&log).await?;
        Ok(this)
    }

    async fn wait_until_ready(&mut self, log: &Path) -> Result<(), BitcoindError> {
        let after = self.options.start_timeout;
        let deadline = Instant::now() + after;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(BitcoindError::Exited {
                    status,
                    said: tail(log),
                });
            }
            match self.node.chain_info().await {
                Ok(_) => return Ok(()),
                Err(error @ NodeError::WrongNetwork { .. }) => return Err(error.into()),
                Err(last) if Instant::now() >= deadline => {
                    return Err(BitcoindError::NotReady { after, last });
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// The node, as the pool sees it.
    pub fn node(&self) -> Arc<RpcNode> {
        Arc::clone(&self.node)
    }

    /// Where it publishes `hashblock`.
    pub fn zmq_endpoint(&self) -> ZmqEndpoint {
        ZmqEndpoint::loopback(self.ports.zmq)
    }

    /// How it ended, if it ended by itself.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Its RPC port on 127.0.0.1.
    pub fn rpc_port(&self) -> u16 {
        self.ports.rpc
    }

    /// Its cookie file; written anew at every start.
    pub fn cookie_file(&self) -> PathBuf {
        cookie_path(&self.options.data_dir)
    }

    /// Mines `blocks` blocks that pay `script`, and returns their hashes, lowest first.
    pub async fn generate(
        &self,
        blocks: u32,
        script: &Script,
    ) -> Result<Vec<BlockHash>, BitcoindError> {
        let descriptor = format!("raw({})", script.to_hex_string());
        let params: Value = json!([blocks, descriptor, MAX_TRIES]);
        Ok(self.node.call_slow("generatetodescriptor", params).await?)
    }

    /// Ends it: RPC `stop`, a wait, a kill. Its data stays.
    pub async fn stop(mut self) -> Result<StoppedBitcoind, BitcoindError> {
        // An error means it is already on its way out, or too sick to be asked.
        if let Err(error) = self.node.call::<Value>("stop", json!([])).await {
            tracing::debug!(%error, "bitcoind does not take RPC stop");
            return self.kill().await;
        }
        match timeout(self.options.stop_timeout, self.child.wait()).await {
            Ok(Ok(_)) => Ok(self.into_stopped()),
            Ok(Err(_)) | Err(_) => self.kill().await,
        }
    }

    /// Ends it at once, as a crash or a power cut would: the last blocks may be lost.
    pub async fn kill(mut self) -> Result<StoppedBitcoind, BitcoindError> {
        self.child
            .kill()
            .await
            .map_err(|source| BitcoindError::Io {
                what: "cannot kill bitcoind".into(),
                source,
            })?;
        Ok(self.into_stopped())
    }

    fn into_stopped(self) -> StoppedBitcoind {
        StoppedBitcoind {
            options: self.options,
            ports: self.ports,
        }
    }
}

/// A node that has ended, and can be started again on the same data and ports. Its cookie will be another.
#[derive(Debug)]
pub struct StoppedBitcoind {
    options: BitcoindOptions,
    ports: Ports,
}

impl StoppedBitcoind {
    /// Starts it again and waits until it answers.
    pub async fn start(self) -> Result<Bitcoind, BitcoindError> {
        Bitcoind::start_on(self.options, self.ports).await
    }
}

fn cookie_path(data_dir: &Path) -> PathBuf {
    data_dir.join("rpc.cookie")
}

fn arguments(options: &BitcoindOptions, ports: Ports) -> Vec<OsString> {
    let path = |name: &str, path: &Path| {
        let mut argument = OsString::from(name);
        argument.push(path);
        argument
    };
    // bitcoind reads relative paths from its own data directory.
    let data_dir =
        std::path::absolute(&options.data_dir).unwrap_or_else(|_| options.data_dir.clone());
    let mut arguments: Vec<OsString> = vec![
        path("-datadir=", &data_dir),
        path("-rpccookiefile=", &cookie_path(&data_dir)),
    ];
    let texts = [
        format!("-rpcport={}", ports.rpc),
        format!("-zmqpubhashblock=tcp://127.0.0.1:{}", ports.zmq),
        "-rpcbind=127.0.0.1".into(),
        "-rpcallowip=127.0.0.1".into(),
        "-server=1".into(),
        // A client that is killed leaves its long poll in a thread of the node until the next block. The default of 16
        // threads is used up by a client that is restarted as often on a quiet chain.
        "-rpcthreads=64".into(),
        "-daemon=0".into(),
        "-listen=0".into(),
        "-dnsseed=0".into(),
        "-fixedseeds=0".into(),
        "-printtoconsole=0".into(),
        "-persistmempool=0".into(),
    ];
    arguments.extend(texts.into_iter().map(OsString::from));
    let chain: &[&str] = match options.chain {
        PrivateChain::Regtest => &["-regtest"],
        // 51 is OP_TRUE: no block needs a signature.
        PrivateChain::PrivateSignet => &["-signet", "-signetchallenge=51"],
    };
    arguments.extend(chain.iter().map(OsString::from));
    arguments
}

/// The end of what the child printed, made safe to show.
fn tail(log: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(log) {
        let _ = file.take(1 << 16).read_to_string(&mut text);
    }
    let line = text.lines().rev().find(|l| !l.trim().is_empty());
    clip(line.unwrap_or("it printed nothing; see debug.log in its data directory"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_named_binary_comes_first_then_path_then_the_fallback() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let sub = dir.path().join(name);
            std::fs::create_dir(&sub).unwrap();
            std::fs::write(sub.join(BINARY), "").unwrap();
            sub
        };
        let (named, path, fallback) = (place("named"), place("path"), place("fallback"));
        let find = |n: Option<&Path>, p: Option<&Path>| {
            find_binary_in(n.map(Into::into), p.map(Into::into), Some(&fallback))
        };
        assert_eq!(
            find(Some(&named.join(BINARY)), Some(&path)).unwrap(),
            named.join(BINARY)
        );
        assert_eq!(find(None, Some(&path)).unwrap(), path.join(BINARY));
        assert_eq!(find(None, Some(dir.path())).unwrap(), fallback.join(BINARY));
        assert!(
            find(Some(dir.path()), Some(&path))
                .unwrap_err()
                .to_string()
                .contains("is no file")
        );
    }

    #[test]
    fn a_missing_binary_says_how_to_get_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = find_binary_in(None, None, Some(dir.path()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("scripts/get-bitcoind") && error.contains(BINARY_ENV),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_binary_that_dies_is_reported_with_its_last_words() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("bitcoind");
        std::fs::write(&binary, "#!/bin/sh\necho 'Error: no luck' >&2\nexit 3\n").unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        let options = BitcoindOptions::new(binary, dir.path().join("data"), PrivateChain::Regtest);
        let error = Bitcoind::start(options).await.unwrap_err();
        assert!(
            matches!(&error, BitcoindError::Exited { said, .. } if said == "Error: no luck"),
            "{error}"
        );
    }
}
