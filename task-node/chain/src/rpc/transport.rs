//! HTTP under the `jsonrpc` client: one POST a call, with a deadline, a size limit and a cookie that may change.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonrpc::{
    Request, Response,
    client_async::{BoxFuture, Transport},
};
use reqwest::{StatusCode, Url, header::CONTENT_TYPE};

use super::auth::{Auth, CookieError, Credentials};
use crate::words::{clip, with_causes};

/// Time for the TCP (and TLS) handshake; a node that needs longer is as good as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// bitcoind drops idle connections after `-rpcservertimeout` (30 s); the pool lets go of them first.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A long poll is silent for minutes; keep-alive tells a quiet node from a vanished one.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Why a call never became a JSON-RPC answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("{0}")]
    Http(String),
    #[error("timeout")]
    Timeout,
    #[error("unauthorized")]
    Unauthorized,
    #[error(transparent)]
    Cookie(#[from] CookieError),
    #[error("answer too large")]
    TooLarge,
    #[error("{0}")]
    NotJson(String),
}

impl From<TransportError> for jsonrpc::Error {
    fn from(error: TransportError) -> Self {
        Self::Transport(Box::new(error))
    }
}

/// The connection pool and the credentials of one node, shared by its transports.
pub(super) struct Endpoint {
    url: Url,
    auth: Auth,
    credentials: Mutex<Option<Credentials>>,
    http: reqwest::Client,
    max_answer: usize,
}

impl Endpoint {
    /// `Err` says what is wrong with the address.
    pub(super) fn new(url: &str, auth: Auth, max_answer: usize) -> Result<Self, String> {
        let full = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let url =
            Url::parse(&full).map_err(|e| format!("\"{}\" is not an address: {e}", clip(url)))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("the RPC address must look like http://127.0.0.1:8332".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "user and password do not belong into the RPC address: addresses are shown in logs"
                    .into(),
            );
        }
        // For clients of this process that are not told which provider to use; the first one installed stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(
                crate::tls::client_config()
                    .map_err(|e| format!("the HTTP client cannot be built: {e}"))?,
            )
            // HTTP_PROXY must not receive the node's credentials, and a redirect must not either.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_keepalive(TCP_KEEPALIVE)
            .tcp_nodelay(true)
            .build()
            .map_err(|e| format!("the HTTP client cannot be built: {e}"))?;
        Ok(Self {
            url,
            auth,
            credentials: Mutex::new(None),
            http,
            max_answer,
        })
    }

    async fn credentials(
        &self,
        refused: Option<&Credentials>,
    ) -> Result<Credentials, TransportError> {
        let cached = self
            .credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // Another call may have read the new cookie while this one was being refused.
        if let Some(cached) = cached.filter(|c| refused != Some(c)) {
            return Ok(cached);
        }
        let auth = self.auth.clone();
        let fresh = tokio::task::spawn_blocking(move || auth.load())
            .await
            .map_err(|e| TransportError::Http(e.to_string()))??;
        *self
            .credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
        Ok(fresh)
    }

    async fn call(&self, body: Vec<u8>) -> Result<Response, TransportError> {
        let credentials = self.credentials(None).await?;
        match self.post(body.clone(), &credentials).await {
            Err(TransportError::Unauthorized) if self.auth.can_change() => {
                let fresh = self.credentials(Some(&credentials)).await?;
                if fresh == credentials {
                    return Err(TransportError::Unauthorized);
                }
                self.post(body, &fresh).await
            }
            result => result,
        }
    }

    async fn post(
        &self,
        body: Vec<u8>,
        credentials: &Credentials,
    ) -> Result<Response, TransportError> {
        let response = self
            .http
            .post(self.url.clone())
            .basic_auth(&credentials.user, Some(&credentials.password))
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(http_error)?;
        let status = response.status();
        // 403 is bitcoind's answer to an address outside -rpcallowip.
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(TransportError::Unauthorized);
        }
        let bytes = self.read_limited(response).await?;
        // Before version 28 an RPC error comes as JSON with status 404 or 500; "Work queue depth exceeded" (503) does not.
        serde_json::from_slice(&bytes).map_err(|e| {
            let start = String::from_utf8_lossy(bytes.get(..256).unwrap_or(&bytes));
            if status.is_success() {
                TransportError::NotJson(format!("not a JSON-RPC answer ({e}): {}", clip(&start)))
            } else {
                TransportError::Http(format!("HTTP {status}: {}", clip(&start)))
            }
        })
    }

    async fn read_limited(
        &self,
        mut response: reqwest::Response,
    ) -> Result<Vec<u8>, TransportError> {
        let announced = response.content_length().unwrap_or(0);
        if announced > self.max_answer as u64 {
            return Err(TransportError::TooLarge);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(1 << 20));
        while let Some(chunk) = response.chunk().await.map_err(http_error)? {
            if bytes.len() + chunk.len() > self.max_answer {
                return Err(TransportError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn http_error(error: reqwest::Error) -> TransportError {
    TransportError::Http(with_causes(error))
}

/// An [`Endpoint`] with the time one class of calls is allowed, body included.
pub(super) struct HttpTransport {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) timeout: Duration,
}

impl Transport for HttpTransport {
    fn send_request<'a>(
        &'a self,
        request: Request<'a>,
    ) -> BoxFuture<'a, Result<Response, jsonrpc::Error>> {
        Box::pin(async move {
            let body = serde_json::to_vec(&request)?;
            tokio::time::timeout(self.timeout, self.endpoint.call(body))
                .await
                .unwrap_or(Err(TransportError::Timeout))
                .map_err(Into::into)
        })
    }

    fn send_batch<'a>(
        &'a self,
        requests: &'a [Request<'a>],
    ) -> BoxFuture<'a, Result<Vec<Response>, jsonrpc::Error>> {
        // One POST a call: an honest batch of blocks would not fit the size limit that protects us.
        Box::pin(async move {
            let mut responses = Vec::with_capacity(requests.len());
            for request in requests {
                responses.push(self.send_request(request.clone()).await?);
            }
            Ok(responses)
        })
    }

    fn fmt_target(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.endpoint.url)
    }
}
