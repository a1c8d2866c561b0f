//! A real IPFS node of one test: js-ipfs, which speaks Kubo's RPC, alone and on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::pool::free_port;

/// The environment variable that names the folder with the node's `node_modules`.
const FOLDER_ENV: &str = "ORCAPOOL_IPFS_NODE";

/// A daemon may take its time on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// An IPFS node; killed when it is dropped.
#[derive(Debug)]
pub struct IpfsNode {
    child: Option<Child>,
    rpc: SocketAddr,
    repo: PathBuf,
    program: PathBuf,
}

impl IpfsNode {
    /// Starts one with an empty repository in `dir` and waits until it answers.
    ///
    /// # Errors
    /// It is not there, or does not start; what it said is part of the error.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        // This test's own HTTP client needs one; an error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = std::env::var_os(FOLDER_ENV).with_context(|| {
            format!("{FOLDER_ENV} is not set: run scripts/test, which gets an IPFS node, or in bash `. scripts/lib.sh; use_cache; use_ipfs`")
        })?;
        let mut node = Self {
            child: None,
            rpc: free_port()?,
            repo: dir.join("ipfs"),
            program: PathBuf::from(folder).join("node_modules/.bin/jsipfs"),
        };
        let made = node.command().args(["init", "--empty-repo"]).output()?;
        ensure!(
            made.status.success(),
            "jsipfs init: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        node.isolate()?;
        node.start_again().await?;
        Ok(node)
    }

    /// Starts it again on the same repository and the same port.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        // It was killed, and could not take its lock away.
        let _ = std::fs::remove_dir_all(self.repo.join("repo.lock"));
        let log = std::fs::File::create(self.repo.join("log"))?;
        let child = self
            .command()
            .args(["daemon", "--offline", "--enable-preload=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        let deadline = tokio::time::Instant::now() + START_PATIENCE;
        while self.ask("version", &[]).await.is_err() {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?;
            ensure!(
                ended.flatten().is_none() && tokio::time::Instant::now() < deadline,
                "the IPFS node does not start: {}",
                std::fs::read_to_string(self.repo.join("log"))?
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Its RPC API.
    #[must_use]
    pub fn rpc(&self) -> String {
        format!("http://{}", self.rpc)
    }

    /// Kills it without a word.
    ///
    /// # Errors
    /// It was not running.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// A command of the RPC and its whole answer.
    ///
    /// # Errors
    /// It is away, or refuses.
    pub async fn ask(&self, command: &str, arguments: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
        let request = reqwest::Client::new().post(self.url(command, arguments)?);
        answer(request).await
    }

    /// `dag/import` of a CAR, without our own client: the roots it names.
    ///
    /// # Errors
    /// It is away, or refuses.
    pub async fn import(&self, car: Vec<u8>) -> anyhow::Result<Value> {
        let file = Part::bytes(car)
            .file_name("round.car")
            .mime_str("application/vnd.ipld.car")?;
        let form = Form::new().part("file", file);
        let url = self.url("dag/import", &[("cid-base", "base32")])?;
        let request = reqwest::Client::new().post(url).multipart(form);
        Ok(serde_json::from_slice(&answer(request).await?)?)
    }

    fn url(&self, command: &str, arguments: &[(&str, &str)]) -> anyhow::Result<reqwest::Url> {
        let url = format!("{}/api/v0/{command}", self.rpc());
        Ok(reqwest::Url::parse_with_params(&url, arguments)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("IPFS_PATH", &self.repo);
        command
    }

    /// No peers, no look-ups, loopback alone.
    fn isolate(&self) -> anyhow::Result<()> {
        let file = self.repo.join("config");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        config["Addresses"] = json!({
            "Swarm": [],
            "API": format!("/ip4/127.0.0.1/tcp/{}", self.rpc.port()),
            "Gateway": "/ip4/127.0.0.1/tcp/0",
            "RPC": "/ip4/127.0.0.1/tcp/0",
            "Delegates": [],
        });
        config["Bootstrap"] = json!([]);
        config["Discovery"] = json!({"MDNS": {"Enabled": false}, "webRTCStar": {"Enabled": false}});
        config["Pubsub"] = json!({"Enabled": false});
        config["Routing"] = json!({"Type": "none"});
        std::fs::write(&file, serde_json::to_vec(&config)?)?;
        Ok(())
    }
}

impl Drop for IpfsNode {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<Vec<u8>> {
    let response = request.send().await?;
    let status = response.status();
    let bytes = response.bytes().await?;
    ensure!(
        status.is_success(),
        "{status}: {}",
        String::from_utf8_lossy(&bytes)
    );
    Ok(bytes.to_vec())
}
