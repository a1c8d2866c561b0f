//! [`RpcNode`]: one `bitcoind` over JSON-RPC.
//!
//! The client is [`jsonrpc`] (rust-bitcoin's own, the one `corepc-client` and `bitcoincore-rpc` stand on) with its
//! asynchronous front and a transport on `reqwest` in [`transport`]. What was weighed:
//!
//! - `bitcoincore-rpc` 0.19 is blocking and its repository is archived.
//! - `corepc-client` 0.18 is this same `jsonrpc` with a transport that reads a cookie once and takes an answer of
//!   any size; it has no `getblocktemplate` or `submitblock` in its asynchronous part.
//! - `bitcoind-async-client` 0.16 re-reads the cookie, but is compiled for exactly one version of Bitcoin Core, has
//!   one timeout for all calls (a long poll needs an hour, a tip look-up seconds) and turns the `null` with which
//!   `submitblock` reports success into an error.
//! - `jsonrpsee` insists on JSON-RPC 2.0 answers, which Bitcoin Core gives only from version 28.
//!
//! `jsonrpc` 0.21 lives beside the 0.18 that `bdk_bitcoind_rpc` brings: both use `bitcoin` 0.32.

mod auth;
mod transport;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bitcoin::{Block, BlockHash, Network, consensus::encode::serialize_hex};
use jsonrpc::client_async::Client;
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    error::{NodeError, code},
    node::{
        BitcoinNode, ChainInfo, HeaderInfo, LongPollId, NodeTemplate, SubmitOutcome,
        ZmqNotification,
    },
    wire::{self, ChainInfoJson, CheckedTemplate, HeaderJson, NotificationJson, TemplateJson},
    words::clip,
};
pub use auth::Auth;
use transport::{Endpoint, HttpTransport, TransportError};

/// How to reach one node.
#[derive(Debug, Clone)]
pub struct RpcOptions {
    /// Its name in messages, e.g. `attic` or `127.0.0.1:8332`.
    pub name: String,
    /// `http://host:port`; `host:port` is enough. Without user and password.
    pub url: String,
    /// The credentials.
    pub auth: Auth,
    /// The chain the node must be on.
    pub network: Network,
    /// Time for an ordinary call, answer included.
    pub timeout: Duration,
    /// Time for one long poll. Long on purpose: bitcoind notices neither a closed connection nor a shorter patience,
    /// and keeps the RPC thread occupied until its tip or memory pool changes, so short waits would pile up on a
    /// quiet chain until no thread is left (default `-rpcthreads`: 16). A dead connection is found by TCP keep-alive.
    pub long_poll_timeout: Duration,
    /// The longest answer accepted, in bytes. An honest one stays below 2 * 4 MB of hex and some text.
    pub max_answer: usize,
}

impl RpcOptions {
    /// Defaults: 15 s a call, 1 h a long poll, 32 MiB an answer.
    pub fn new(
        name: impl Into<String>,
        url: impl Into<String>,
        auth: Auth,
        network: Network,
    ) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            auth,
            network,
            timeout: Duration::from_secs(15),
            long_poll_timeout: Duration::from_secs(3600),
            max_answer: 32 << 20,
        }
    }
}

/// One `bitcoind`. Cheap to share behind an [`Arc`]; opens connections as it needs them.
pub struct RpcNode {
    name: Arc<str>,
    network: Network,
    timeout: Duration,
    long_poll_timeout: Duration,
    max_answer: usize,
    calls: Client,
    long_polls: Client,
}

impl fmt::Debug for RpcNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcNode")
            .field("name", &self.name)
            .field("network", &self.network)
            .field("client", &self.calls)
            .finish_non_exhaustive()
    }
}

impl RpcNode {
    /// Prepares the client; nothing is sent yet. Must be called within a Tokio runtime.
    pub fn new(options: RpcOptions) -> Result<Self, NodeError> {
        let endpoint =
            Endpoint::new(&options.url, options.auth, options.max_answer).map_err(|reason| {
                NodeError::Config {
                    node: options.name.clone(),
                    reason,
                }
            })?;
        let endpoint = Arc::new(endpoint);
        let client = |timeout| {
            Client::with_transport(HttpTransport {
                endpoint: Arc::clone(&endpoint),
                timeout,
            })
        };
        Ok(Self {
            name: options.name.into(),
            network: options.network,
            timeout: options.timeout,
            long_poll_timeout: options.long_poll_timeout,
            max_answer: options.max_answer,
            calls: client(options.timeout),
            long_polls: client(options.long_poll_timeout),
        })
    }

    /// Any RPC, for what this crate has no method for (devnet, tests, `doctor`).
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, NodeError> {
        self.call_on(&self.calls, self.timeout, method, params)
            .await
    }

    /// As [`Self::call`] with the hour of a long poll, for calls that work for long (`generatetodescriptor`).
    pub async fn call_slow<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, NodeError> {
        self.call_on(&self.long_polls, self.long_poll_timeout, method, params)
            .await
    }

    async fn call_on<T: DeserializeOwned>(
        &self,
        client: &Client,
        timeout: Duration,
        method: &'static str,
        params: Value,
    ) -> Result<T, NodeError> {
        let params = to_raw_value(&params).map_err(|e| self.bad(method, e.to_string()))?;
        let request = client.build_request(method, Some(&params));
        let id = request.id.clone();
        let failed = |error| self.failed(method, timeout, error);
        let response = client.send_request(request).await.map_err(failed)?;
        if response.id != id && response.error.is_none() {
            return Err(failed(jsonrpc::Error::NonceMismatch));
        }
        response.result().map_err(failed)
    }

    fn failed(&self, method: &'static str, after: Duration, error: jsonrpc::Error) -> NodeError {
        let node = self.name.to_string();
        match error {
            jsonrpc::Error::Rpc(rpc) => NodeError::Rpc {
                node,
                method,
                code: rpc.code,
                message: clip(&rpc.message),
            },
            jsonrpc::Error::Transport(error) => {
                match error.downcast::<TransportError>().map(|e| *e) {
                    Ok(TransportError::Timeout) => NodeError::Timeout {
                        node,
                        method,
                        after,
                    },
                    Ok(TransportError::Unauthorized) => NodeError::Unauthorized { node },
                    Ok(TransportError::Cookie(e)) => NodeError::Cookie {
                        node,
                        path: e.path,
                        reason: e.reason,
                    },
                    Ok(TransportError::TooLarge) => NodeError::TooLarge {
                        node,
                        method,
                        limit: self.max_answer,
                    },
                    Ok(TransportError::NotJson(reason)) => NodeError::BadAnswer {
                        node,
                        method,
                        reason,
                    },
                    Ok(TransportError::Http(reason)) => NodeError::Unreachable { node, reason },
                    Err(other) => NodeError::Unreachable {
                        node,
                        reason: clip(&other.to_string()),
                    },
                }
            }
            other => NodeError::BadAnswer {
                node,
                method,
                reason: clip(&other.to_string()),
            },
        }
    }

    fn bad(&self, method: &'static str, reason: String) -> NodeError {
        NodeError::BadAnswer {
            node: self.name.to_string(),
            method,
            reason,
        }
    }

    /// The rules named in the request; a signet node refuses to answer without its own (BIP325).
    fn template_request(&self, long_poll: Option<&LongPollId>) -> Value {
        let rules = match self.network {
            Network::Signet => json!(["segwit", "signet"]),
            _ => json!(["segwit"]),
        };
        let mut request = json!({ "rules": rules, "capabilities": ["longpoll"] });
        if let Some(id) = long_poll {
            request["longpollid"] = json!(id.id);
        }
        json!([request])
    }

    fn template(&self, answer: TemplateJson) -> Result<NodeTemplate, NodeError> {
        const METHOD: &str = "getblocktemplate";
        let (parts, long_poll, costs) =
            match wire::check_template(answer).map_err(|reason| self.bad(METHOD, reason))? {
                CheckedTemplate::Parts {
                    parts,
                    long_poll,
                    costs,
                } => (parts, long_poll, costs),
                CheckedTemplate::UnknownRule(rule) => {
                    return Err(NodeError::UnknownRule {
                        node: self.name.to_string(),
                        rule,
                    });
                }
            };
        let template = work::BlockTemplate::new(&parts, self.network).map_err(|source| {
            NodeError::Template {
                node: self.name.to_string(),
                source,
            }
        })?;
        Ok(NodeTemplate {
            template: Arc::new(template),
            long_poll: long_poll.map(|id| LongPollId {
                node: Arc::clone(&self.name),
                id,
            }),
            node: Arc::clone(&self.name),
            costs: costs.map(Into::into),
        })
    }
}

/// "Unknown" is an answer, not a failure.
fn known<T>(result: Result<T, NodeError>, unknown_code: i32) -> Result<Option<T>, NodeError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.rpc_code() == Some(unknown_code) => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl BitcoinNode for RpcNode {
    fn name(&self) -> &str {
        &self.name
    }

    fn network(&self) -> Network {
        self.network
    }

    async fn block_template(&self) -> Result<NodeTemplate, NodeError> {
        self.template(
            self.call("getblocktemplate", self.template_request(None))
                .await?,
        )
    }

    async fn wait_for_template(&self, id: &LongPollId) -> Result<Option<NodeTemplate>, NodeError> {
        // After a fail-over the identifier is another node's; it would not wait for the right thing.
        if id.node != self.name {
            return self.block_template().await.map(Some);
        }
        match self
            .call_slow("getblocktemplate", self.template_request(Some(id)))
            .await
        {
            Ok(answer) => self.template(answer).map(Some),
            Err(NodeError::Timeout { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn submit_block(&self, block: &Block) -> Result<SubmitOutcome, NodeError> {
        match self
            .call::<Option<String>>("submitblock", json!([serialize_hex(block)]))
            .await
        {
            Ok(answer) => Ok(wire::submit_outcome(answer.as_deref())),
            Err(NodeError::Rpc {
                code: code::DESERIALIZATION_ERROR,
                message,
                ..
            }) => Ok(SubmitOutcome::Rejected(message)),
            Err(error) => Err(error),
        }
    }

    async fn best_block_hash(&self) -> Result<BlockHash, NodeError> {
        self.call("getbestblockhash", json!([])).await
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<HeaderInfo>, NodeError> {
        const METHOD: &str = "getblockheader";
        let answer = self.call::<HeaderJson>(METHOD, json!([hash, true])).await;
        known(answer, code::INVALID_ADDRESS_OR_KEY)?
            .map(|json| wire::check_header(&json, hash).map_err(|reason| self.bad(METHOD, reason)))
            .transpose()
    }

    async fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, NodeError> {
        // bitcoind's heights are C++ int; it calls a larger one malformed, not out of range.
        if i32::try_from(height).is_err() {
            return Ok(None);
        }
        known(
            self.call("getblockhash", json!([height])).await,
            code::INVALID_PARAMETER,
        )
    }

    async fn block(&self, hash: BlockHash) -> Result<Option<Block>, NodeError> {
        const METHOD: &str = "getblock";
        /// `RPC_MISC_ERROR`: "Block not available (pruned data)".
        const MISC_ERROR: i32 = -1;
        let answer = match self.call::<String>(METHOD, json!([hash, 0])).await {
            Err(error) if error.rpc_code() == Some(MISC_ERROR) => return Ok(None),
            answer => known(answer, code::INVALID_ADDRESS_OR_KEY)?,
        };
        answer
            .map(|hex| wire::check_block(&hex, hash).map_err(|reason| self.bad(METHOD, reason)))
            .transpose()
    }

    async fn chain_info(&self) -> Result<ChainInfo, NodeError> {
        const METHOD: &str = "getblockchaininfo";
        let json: ChainInfoJson = self.call(METHOD, json!([])).await?;
        wire::check_network(&json, self.network).map_err(|found| NodeError::WrongNetwork {
            node: self.name.to_string(),
            expected: self.network,
            found,
        })?;
        wire::check_chain_info(json, self.network).map_err(|reason| self.bad(METHOD, reason))
    }

    async fn zmq_notifications(&self) -> Result<Vec<ZmqNotification>, NodeError> {
        const METHOD: &str = "getzmqnotifications";
        let answer = self.call::<Vec<NotificationJson>>(METHOD, json!([])).await;
        let list = known(answer, code::METHOD_NOT_FOUND)?.unwrap_or_default();
        wire::check_notifications(list).map_err(|reason| self.bad(METHOD, reason))
    }
}
