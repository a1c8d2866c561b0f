//! The Orca side of a task node: the very HTTP requests the sidecar (pulse-proxy) makes for the JavaScript wrapper.
//!
//! Health polls are `POST /healthz` with `{}`; `/task` is a `POST` without body or content type; `/submission` is a plain
//! `GET`; `/audit` posts `{"submission": {...}}` and must get a bare JSON boolean with a JSON content type.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Map, Value, json};
use work::{K2Address, RoundNumber, TaskId};

/// The health poll's interval and patience, as in the published client.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);
const HEALTH_PATIENCE: Duration = Duration::from_secs(60);
/// Socket.IO drops messages beyond this, and with them the pod.
const MAX_MESSAGE: usize = 1_000_000;

/// One task node as its sidecar sees it.
#[derive(Debug, Clone)]
pub struct OrcaNode {
    client: Client,
    base: String,
    /// The operator's staking key.
    pub key: K2Address,
    /// For progress lines.
    pub name: String,
}

/// What the wrapper puts on IPFS and auditors get back.
pub type Submission = Map<String, Value>;

impl OrcaNode {
    /// The node at `base` (`http://127.0.0.1:8080`).
    ///
    /// # Errors
    /// An HTTP client that cannot be built.
    pub fn new(name: String, base: String, key: K2Address) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::builder()
                .timeout(Duration::from_secs(300))
                .build()
                .context("HTTP client")?,
            base,
            key,
            name,
        })
    }

    /// Polls `/healthz` until it answers 200.
    ///
    /// # Errors
    /// No 200 within a minute.
    pub async fn wait_healthy(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + HEALTH_PATIENCE;
        loop {
            let answer = self
                .client
                .post(format!("{}/healthz", self.base))
                .header(CONTENT_TYPE, "application/json")
                .body("{}")
                .send()
                .await;
            if let Ok(answer) = answer
                && answer.status() == StatusCode::OK
            {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("{} did not become healthy: see its log", self.name);
            }
            tokio::time::sleep(HEALTH_INTERVAL).await;
        }
    }

    /// Whether the node has templates and can hand out jobs, as `/healthz` reports it.
    ///
    /// # Errors
    /// No readable answer.
    pub async fn is_ready(&self) -> anyhow::Result<bool> {
        let answer = self
            .client
            .get(format!("{}/healthz", self.base))
            .send()
            .await?;
        Ok(read(answer).await?.1["ready"] == json!(true))
    }

    /// `POST /task/{round}`.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn task(&self, round: RoundNumber) -> anyhow::Result<()> {
        let answer = self
            .client
            .post(format!("{}/task/{round}", self.base))
            .header(CONTENT_LENGTH, 0)
            .send()
            .await?;
        let (status, body) = read(answer).await?;
        ensure!(
            status == StatusCode::OK,
            "{}: /task/{round}: {status}: {body}",
            self.name
        );
        Ok(())
    }

    /// `GET /submission/{round}`, spread over the wrapper's own fields exactly as the wrapper does it: the container's
    /// fields come last.
    ///
    /// # Errors
    /// Anything but 200 and a JSON object.
    pub async fn submission(&self, task: TaskId, round: RoundNumber) -> anyhow::Result<Submission> {
        let answer = self
            .client
            .get(format!("{}/submission/{round}", self.base))
            .send()
            .await?;
        let (status, body) = read(answer).await?;
        ensure!(
            status == StatusCode::OK,
            "{}: /submission/{round}: {status}: {body}",
            self.name
        );
        let Value::Object(container) = body else {
            bail!("{}: /submission/{round} is not an object", self.name);
        };
        let mut submission = Map::new();
        submission.insert("taskId".to_owned(), json!(task.to_string()));
        submission.insert("roundNumber".to_owned(), json!(round.get()));
        submission.insert("stakingKey".to_owned(), json!(self.key.to_string()));
        submission.extend(container);
        Ok(submission)
    }

    /// `POST /audit`.
    ///
    /// # Errors
    /// Anything but 200 and a bare JSON boolean.
    pub async fn audit(&self, submission: &Submission) -> anyhow::Result<bool> {
        let answer = self
            .client
            .post(format!("{}/audit", self.base))
            .json(&json!({ "submission": submission }))
            .send()
            .await?;
        let is_json = answer
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        // The sidecar hands anything else on as a string, and every string is truthy.
        ensure!(is_json, "{}: /audit did not answer JSON", self.name);
        let (status, body) = read(answer).await?;
        match (status, body) {
            (StatusCode::OK, Value::Bool(valid)) => Ok(valid),
            (status, body) => bail!("{}: /audit: {status}: {body}", self.name),
        }
    }

    /// `POST /distribution/{round}`: the list's bytes as they came.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn distribution(
        &self,
        round: RoundNumber,
        bounty: u64,
        accepted: &[Submission],
    ) -> anyhow::Result<Vec<u8>> {
        let answer = self
            .client
            .post(format!("{}/distribution/{round}", self.base))
            .json(&json!({ "bounty": bounty, "submissions": accepted }))
            .send()
            .await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        ensure!(
            status == StatusCode::OK,
            "{}: /distribution/{round}: {status}: {}",
            self.name,
            String::from_utf8_lossy(&bytes)
        );
        Ok(bytes.to_vec())
    }

    /// `GET` of one of the node's own pages, as JSON.
    ///
    /// # Errors
    /// Anything but 200 and JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await?;
        let (status, body) = read(answer).await?;
        ensure!(
            status == StatusCode::OK,
            "{}: {path}: {status}: {body}",
            self.name
        );
        Ok(body)
    }
}

async fn read(answer: Response) -> anyhow::Result<(StatusCode, Value)> {
    let status = answer.status();
    let bytes = answer.bytes().await?;
    ensure!(
        bytes.len() < MAX_MESSAGE,
        "an answer of {} bytes would break the sidecar's socket",
        bytes.len()
    );
    let body = serde_json::from_slice(&bytes)
        .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&bytes)))?;
    Ok((status, body))
}
