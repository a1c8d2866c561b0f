//! One request to one source, with every limit kept while the bytes arrive.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use reqwest::{
    Response, Url,
    dns::Resolve,
    header::{ACCEPT, CONTENT_TYPE},
    redirect::{Action, Attempt, Policy},
};
use tokio_util::io::StreamReader;

use super::{FetchError, FetchOptions, Source, SourceError, tls};
use crate::{
    block::{Block, MAX_BLOCK_BYTES},
    car::{self, CarError},
    dag::Frontier,
    gateway::Format,
    kubo::answer,
    store::BlockStore,
};

/// Gateways redirect to a subdomain or another host once or twice.
const MAX_REDIRECTS: usize = 4;

/// Waiting longer for a connection than this means nobody is there.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest failure of an RPC API looked at, in bytes.
const MAX_FAILURE_BYTES: usize = 4 << 10;

/// An HTTP client for sources. Clones share its connections.
#[derive(Debug, Clone)]
pub(super) struct Client {
    gateways: reqwest::Client,
    /// Follows no redirects: a command goes nowhere but to the operator's own IPFS node.
    rpc: reqwest::Client,
    tls: rustls::ClientConfig,
    idle_timeout: Duration,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(options: &FetchOptions) -> Result<Self, FetchError> {
        let tls = tls::client_config(tls::roots())?;
        let build = |policy| {
            builder_with(tls.clone())
                .connect_timeout(CONNECT_TIMEOUT.min(options.timeout))
                .read_timeout(options.idle_timeout)
                .redirect(policy)
                .build()
                .map_err(|error| FetchError::Setup(describe(error)))
        };
        Ok(Self {
            gateways: build(Policy::custom(redirect))?,
            rpc: build(Policy::none())?,
            tls,
            idle_timeout: options.idle_timeout,
            timeout: options.timeout,
        })
    }

    /// One with the same limits that goes nowhere but to what `resolver` says.
    pub(super) fn only_to(&self, resolver: Arc<dyn Resolve>) -> Result<Self, FetchError> {
        let client = builder_with(self.tls.clone())
            .connect_timeout(CONNECT_TIMEOUT.min(self.timeout))
            .read_timeout(self.idle_timeout)
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(resolver)
            .build()
            .map_err(|error| FetchError::Setup(describe(error)))?;
        Ok(Self {
            gateways: client.clone(),
            rpc: client,
            ..self.clone()
        })
    }

    /// One block, verified.
    pub(super) async fn get_block(&self, source: &Source, cid: &Cid) -> Result<Block, SourceError> {
        self.in_time(async {
            let response = self.request(source, cid, Format::Raw).await?;
            let page = is_page(&response);
            let bytes = read_limited(response, MAX_BLOCK_BYTES).await?;
            // Hash first: a block of shares may well begin with `<`.
            let first = bytes.first().copied();
            Block::verify(cid, bytes).map_err(|_| {
                if page || first == Some(b'<') {
                    SourceError::Html
                } else {
                    SourceError::WrongBytes
                }
            })
        })
        .await?
    }

    /// A whole DAG as a CAR, into `store`. The outer error is the request's, the inner one the CAR's.
    pub(super) async fn get_car(
        &self,
        source: &Source,
        frontier: &mut Frontier,
        store: &dyn BlockStore,
    ) -> Result<Result<usize, CarError>, SourceError> {
        let root = *frontier.root();
        self.in_time(async {
            let response = self.request(source, &root, Format::Car).await?;
            if is_page(&response) {
                return Err(SourceError::Html);
            }
            let mut body = Box::pin(body(response));
            let first = body.try_next().await?.unwrap_or_default();
            // No CAR of one root begins so: its header would have 60 bytes, and has 58.
            if first.first() == Some(&b'<') {
                return Err(SourceError::Html);
            }
            let whole = stream::once(async { Ok(first) })
                .chain(body)
                .map_err(io::Error::other);
            let reader = StreamReader::new(Box::pin(whole));
            Ok(car::import_into(reader, frontier, store).await)
        })
        .await?
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, SourceError> {
        tokio::time::timeout(self.timeout, work)
            .await
            .map_err(|_| SourceError::Timeout(self.timeout))
    }

    async fn request(
        &self,
        source: &Source,
        cid: &Cid,
        format: Format,
    ) -> Result<Response, SourceError> {
        if let Some(endpoint) = source.as_kubo() {
            let command = match format {
                Format::Raw => "block/get",
                Format::Car => "dag/export",
            };
            let request = endpoint.command(&self.rpc, command, &[("arg", &cid.to_string())]);
            return answer_of(request.send().await.map_err(transport_error)?).await;
        }
        // Every other source has one.
        let url = source.url(cid, format).ok_or(SourceError::NotFound(404))?;
        let request = self.gateways.get(url).header(ACCEPT, format.media_type());
        let response = request.send().await.map_err(transport_error)?;
        check_status(&response)?;
        Ok(response)
    }
}

/// What all clients have in common: whom they trust, who they say they are, and how long they knock. No `gzip` and the
/// like: a compressed answer is not unpacked, so it cannot be a bomb.
pub(crate) fn builder() -> Result<reqwest::ClientBuilder, FetchError> {
    Ok(builder_with(tls::client_config(tls::roots())?))
}

fn builder_with(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("orcapool/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .referer(false)
}

fn check_status(response: &Response) -> Result<(), SourceError> {
    match response.status().as_u16() {
        200 => Ok(()),
        status @ (404 | 410) => Err(SourceError::NotFound(status)),
        300..=399 => Err(SourceError::Redirect),
        status => Err(SourceError::Status(status)),
    }
}

/// The answer of an RPC API, if it did what it was told. Otherwise its own words, where it has some.
pub(crate) async fn answer_of(response: Response) -> Result<Response, SourceError> {
    let Err(error) = check_status(&response) else {
        return Ok(response);
    };
    match read_limited(response, MAX_FAILURE_BYTES).await {
        Ok(bytes) => Err(answer::failure(&bytes).map_or(error, SourceError::Rpc)),
        Err(_) => Err(error),
    }
}

fn redirect(attempt: Attempt<'_>) -> Action {
    if may_follow(attempt.previous(), attempt.url()) {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn may_follow(previous: &[Url], next: &Url) -> bool {
    let allowed = match next.scheme() {
        "https" => true,
        // Never down from HTTPS: the operator asked for a source nobody in between can watch.
        "http" => previous.last().is_some_and(|from| from.scheme() == "http"),
        _ => false,
    };
    allowed && previous.len() <= MAX_REDIRECTS
}

fn is_page(response: &Response) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .trim_start()
                .to_ascii_lowercase()
                .starts_with("text/html")
        })
}

fn body(response: Response) -> impl Stream<Item = Result<Bytes, SourceError>> {
    response.bytes_stream().map_err(transport_error)
}

/// The whole body, given up at the first byte too many. `Content-Length` only ever shortens the work.
pub(crate) async fn read_limited(response: Response, limit: usize) -> Result<Bytes, SourceError> {
    let claimed = response.content_length().unwrap_or(0);
    if usize::try_from(claimed).map_or(true, |length| length > limit) {
        return Err(SourceError::TooLarge { limit });
    }
    let mut body = Box::pin(body(response));
    let mut bytes = BytesMut::new();
    while let Some(part) = body.try_next().await? {
        if part.len() > limit - bytes.len() {
            return Err(SourceError::TooLarge { limit });
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

pub(crate) fn transport_error(error: reqwest::Error) -> SourceError {
    if error.is_timeout() && !error.is_connect() {
        SourceError::Idle
    } else if error.is_redirect() {
        SourceError::Redirect
    } else {
        SourceError::Unreachable(describe(error))
    }
}

/// The causes of an error in one line, without the URL, which may hold credentials.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text.chars().filter(|c| !c.is_control()).take(240).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn redirects_never_leave_http_nor_go_down_to_it() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (http, https) = (url("http://a.example"), url("https://a.example"));
        let from = std::slice::from_ref;
        assert!(may_follow(from(&http), &http));
        assert!(may_follow(from(&http), &https));
        assert!(may_follow(from(&https), &https));
        assert!(!may_follow(from(&https), &http));
        assert!(!may_follow(&[http.clone(), https], &http));
        assert!(!may_follow(from(&http), &url("ftp://a.example")));
        assert!(!may_follow(from(&http), &url("file:///etc/passwd")));
        assert!(may_follow(&vec![http.clone(); MAX_REDIRECTS], &http));
        assert!(!may_follow(&vec![http.clone(); MAX_REDIRECTS + 1], &http));
    }
}
