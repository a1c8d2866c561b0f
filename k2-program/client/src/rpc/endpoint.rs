//! One node: a JSON-RPC call is one POST with a deadline and a size limit.

use std::time::Duration;

use chain::words::{clip, with_causes};
use reqwest::{
    StatusCode, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::wire::{Answer, code};
use crate::error::K2Error;

/// A node that needs longer for the TCP and TLS handshakes is as good as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A longer wait asked for by a node is taken for this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What a call is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    pub(super) params: &'a Value,
    /// The longest answer accepted, in bytes.
    pub(super) limit: usize,
}

/// A node and the connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    url: Url,
    timeout: Duration,
}

impl Endpoint {
    /// A node at this address; the shorthand `host:port` is plain HTTP.
    pub(super) fn new(address: &str, timeout: Duration) -> Result<Self, K2Error> {
        let fail = |reason: String| K2Error::Config {
            node: clip(address),
            reason,
        };
        let full = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        let url = Url::parse(&full).map_err(|e| fail(format!("not an address: {e}")))?;
        let Some(host) = url
            .host_str()
            .filter(|_| matches!(url.scheme(), "http" | "https"))
        else {
            return Err(fail(
                "the RPC address must look like https://mainnet.koii.network".into(),
            ));
        };
        // Path and query may hold an API key: addresses are shown in logs, so only the host is.
        let name = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self { name, url, timeout })
    }

    /// One exchange.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        http: &reqwest::Client,
        call: Call<'_>,
    ) -> Result<T, K2Error> {
        tokio::time::timeout(self.timeout, self.post(http, call))
            .await
            .unwrap_or_else(|_| {
                Err(K2Error::Timeout {
                    node: self.name.clone(),
                    method: call.method,
                    after: self.timeout,
                })
            })
    }

    async fn post<T: DeserializeOwned>(
        &self,
        http: &reqwest::Client,
        call: Call<'_>,
    ) -> Result<T, K2Error> {
        let body =
            json!({ "jsonrpc": "2.0", "id": 1, "method": call.method, "params": call.params });
        let response = http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .send()
            .await
            .map_err(|e| self.unreachable(e))?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
            return Err(K2Error::RateLimited {
                node: self.name.clone(),
                retry_after,
            });
        }
        let bytes = self.read_limited(response, call).await?;
        let answer: Answer<T> = serde_json::from_slice(&bytes).map_err(|e| {
            let start = clip(&String::from_utf8_lossy(bytes.get(..256).unwrap_or(&bytes)));
            if status.is_success() {
                self.bad(call, format!("not a JSON-RPC answer ({e}): {start}"))
            } else {
                self.unavailable(call, format!("HTTP {status}: {start}"))
            }
        })?;
        if let Some(error) = answer.error {
            return Err(self.refused(call, error.code, &error.message));
        }
        answer
            .result
            .ok_or_else(|| self.bad(call, "neither a result nor an error".into()))
    }

    async fn read_limited(
        &self,
        mut response: reqwest::Response,
        call: Call<'_>,
    ) -> Result<Vec<u8>, K2Error> {
        let too_large = || K2Error::TooLarge {
            node: self.name.clone(),
            method: call.method,
            limit: call.limit,
        };
        let announced = response.content_length().unwrap_or(0);
        if announced > call.limit as u64 {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(1 << 20));
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(e))? {
            if bytes.len() + chunk.len() > call.limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn refused(&self, call: Call<'_>, code: i64, message: &str) -> K2Error {
        let (node, method, message) = (self.name.clone(), call.method, clip(message));
        match code {
            code::METHOD_NOT_FOUND | code::NO_HISTORY => K2Error::Unsupported {
                node,
                method,
                message,
            },
            code::BLOCK_NOT_AVAILABLE
            | code::UNHEALTHY
            | code::MIN_CONTEXT_SLOT
            | code::INTERNAL => K2Error::Unavailable {
                node,
                method,
                reason: message,
            },
            _ => K2Error::Rpc {
                node,
                method,
                code,
                message,
            },
        }
    }

    fn bad(&self, call: Call<'_>, reason: String) -> K2Error {
        K2Error::BadAnswer {
            node: self.name.clone(),
            method: call.method,
            reason,
        }
    }

    fn unavailable(&self, call: Call<'_>, reason: String) -> K2Error {
        K2Error::Unavailable {
            node: self.name.clone(),
            method: call.method,
            reason,
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> K2Error {
        K2Error::Unreachable {
            node: self.name.clone(),
            reason: with_causes(error),
        }
    }
}

/// The HTTP client all endpoints share.
pub(super) fn http_client() -> Result<reqwest::Client, K2Error> {
    let fail = |reason: String| K2Error::Config {
        node: "HTTP client".into(),
        reason,
    };
    let tls = chain::tls::client_config().map_err(|e| fail(e.to_string()))?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("orcapool/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .build()
        .map_err(|e| fail(e.to_string()))
}
