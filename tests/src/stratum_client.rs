//! A Stratum client that does exactly what a test tells it, lies included.
//!
//! The product's own client is in `miner`; this one rebuilds the header from the notify line by itself, so that a fault
//! shared by server and client does not go unnoticed.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use bitcoin::hashes::{Hash as _, sha256d};
use pow::ShareDifficulty;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The job of the last notify.
#[derive(Debug, Clone)]
struct Job {
    id: String,
    prev_hash: [u8; 32],
    coinbase1: Vec<u8>,
    coinbase2: Vec<u8>,
    branch: Vec<[u8; 32]>,
    version: u32,
    nbits: u32,
    ntime: u32,
}

/// What the pool said of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `true`
    Accepted,
    /// An error with this code.
    Rejected(i64, String),
}

/// A connection to a pool.
#[derive(Debug)]
pub struct StratumClient {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    user: String,
    extranonce1: Vec<u8>,
    extranonce2_bytes: usize,
    difficulty: Option<ShareDifficulty>,
    job: Option<Job>,
    next_id: u64,
    counter: u64,
}

impl StratumClient {
    /// Connects, subscribes and authorizes.
    ///
    /// # Errors
    /// Anything but success.
    pub async fn connect(pool: SocketAddr, user: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(pool).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut client = Self {
            lines: BufReader::new(reader).lines(),
            writer,
            user: user.to_owned(),
            extranonce1: Vec::new(),
            extranonce2_bytes: 0,
            difficulty: None,
            job: None,
            next_id: 1,
            counter: 0,
        };
        let subscribed = client.call("mining.subscribe", json!(["test/1"])).await?;
        let result = &subscribed["result"];
        client.extranonce1 = hex::decode(result[1].as_str().context("extranonce1")?)?;
        client.extranonce2_bytes =
            usize::try_from(result[2].as_u64().context("extranonce2 size")?)?;
        let user = client.user.clone();
        let authorized = client.call("mining.authorize", json!([user, "x"])).await?;
        ensure!(authorized["result"] == json!(true), "{authorized}");
        Ok(client)
    }

    /// Waits until there is a job.
    ///
    /// # Errors
    /// The connection ends.
    pub async fn wait_for_job(&mut self) -> anyhow::Result<()> {
        while self.job.is_none() {
            let message = self.read().await?;
            self.hear(&message)?;
        }
        Ok(())
    }

    /// Finds a share on the current job and submits it; says which hash it has.
    ///
    /// # Errors
    /// The connection ends, or the pool talks nonsense.
    pub async fn share(&mut self) -> anyhow::Result<(bitcoin::BlockHash, Answer)> {
        self.wait_for_job().await?;
        let (parameters, hash) = self.search()?;
        Ok((hash, self.submit(parameters).await?))
    }

    /// The parameters of a share that meets the difficulty, and its hash.
    ///
    /// # Errors
    /// There is no job yet.
    pub fn search(&mut self) -> anyhow::Result<(Value, bitcoin::BlockHash)> {
        let job = self.job.clone().context("no job yet")?;
        let target = self.difficulty.context("no difficulty yet")?.target();
        self.counter += 1;
        let mut extranonce2 = vec![0; self.extranonce2_bytes];
        let tail = self.counter.to_be_bytes();
        let at = extranonce2.len().saturating_sub(tail.len());
        extranonce2[at..].copy_from_slice(&tail[tail.len() - (self.extranonce2_bytes - at)..]);

        let coinbase = [
            &job.coinbase1[..],
            &self.extranonce1,
            &extranonce2,
            &job.coinbase2,
        ]
        .concat();
        let root = job.branch.iter().fold(
            sha256d::Hash::hash(&coinbase).to_byte_array(),
            |root, sibling| sha256d::Hash::hash(&[root, *sibling].concat()).to_byte_array(),
        );
        let mut header = Vec::with_capacity(80);
        header.extend(job.version.to_le_bytes());
        header.extend(job.prev_hash);
        header.extend(root);
        header.extend(job.ntime.to_le_bytes());
        header.extend(job.nbits.to_le_bytes());
        header.extend([0; 4]);
        for nonce in 0..=u32::MAX {
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            let hash = sha256d::Hash::hash(&header).to_byte_array();
            if target.is_met_by_le(&hash) {
                let parameters = json!([
                    self.user,
                    job.id,
                    hex::encode(&extranonce2),
                    format!("{:08x}", job.ntime),
                    format!("{nonce:08x}"),
                ]);
                return Ok((parameters, bitcoin::BlockHash::from_byte_array(hash)));
            }
        }
        bail!("no nonce meets the difficulty")
    }

    /// Submits parameters as they are.
    ///
    /// # Errors
    /// The connection ends, or the reply is neither `true` nor an error.
    pub async fn submit(&mut self, parameters: Value) -> anyhow::Result<Answer> {
        let reply = self.call("mining.submit", parameters).await?;
        if reply["result"] == json!(true) {
            return Ok(Answer::Accepted);
        }
        let error = &reply["error"];
        Ok(Answer::Rejected(
            error[0].as_i64().context("error code")?,
            error[1].as_str().unwrap_or_default().to_owned(),
        ))
    }

    /// Forgets the current job, so that [`Self::wait_for_job`] waits for the next.
    pub fn forget_job(&mut self) {
        self.job = None;
    }

    /// Sends a request and waits for its reply; what the pool says meanwhile is heard.
    ///
    /// # Errors
    /// The connection ends.
    pub async fn call(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        let mut line = json!({"id": id, "method": method, "params": parameters}).to_string();
        line.push('\n');
        self.writer.write_all(line.as_bytes()).await?;
        loop {
            let message = self.read().await?;
            if message["id"] == json!(id) && message.get("method").is_none() {
                return Ok(message);
            }
            self.hear(&message)?;
        }
    }

    async fn read(&mut self) -> anyhow::Result<Value> {
        let line = self
            .lines
            .next_line()
            .await?
            .context("the pool closed the connection")?;
        Ok(serde_json::from_str(&line)?)
    }

    fn hear(&mut self, message: &Value) -> anyhow::Result<()> {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("mining.set_difficulty") => {
                let announced = parameters[0].as_f64().context("difficulty")?;
                self.difficulty = Some(ShareDifficulty::at_least(announced)?);
            }
            Some("mining.notify") => {
                let text = |index: usize| parameters[index].as_str().context("notify field");
                let number = |index: usize| -> anyhow::Result<u32> {
                    Ok(u32::from_str_radix(text(index)?, 16)?)
                };
                let mut prev_hash: [u8; 32] = hex::decode(text(1)?)?
                    .try_into()
                    .map_err(|_| anyhow::anyhow!("prevhash"))?;
                prev_hash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
                self.job = Some(Job {
                    id: text(0)?.to_owned(),
                    prev_hash,
                    coinbase1: hex::decode(text(2)?)?,
                    coinbase2: hex::decode(text(3)?)?,
                    branch: parameters[4]
                        .as_array()
                        .context("branch")?
                        .iter()
                        .map(|sibling| {
                            hex::decode(sibling.as_str().unwrap_or_default())?
                                .try_into()
                                .map_err(|_| anyhow::anyhow!("sibling"))
                        })
                        .collect::<anyhow::Result<_>>()?,
                    version: number(5)?,
                    nbits: number(6)?,
                    ntime: number(7)?,
                });
            }
            _ => {}
        }
        Ok(())
    }
}
