//! One peer over HTTP. Every answer is bounded in bytes and time, and nothing of it is believed here.

use std::time::Duration;

use bitcoin::{Block, BlockHash, Network, block::Header, consensus};
use reqwest::{Response, StatusCode, Url, header};

use super::{
    HEADER_BYTES, MAX_HEADERS, SubmitMessage, TipMessage,
    offer::{Offer, OfferError},
};
use crate::words::{clip, with_causes};

/// How long a peer may take, to the last byte: one that sends a byte a second is cut off as one that sends none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerTimeouts {
    /// For the TCP (and TLS) handshake.
    pub connect: Duration,
    /// For an answer, body included; the wait of a long poll comes on top.
    pub answer: Duration,
    /// For a template or a block, which are megabytes.
    pub large: Duration,
    /// For all headers of one turn, in as many answers as it takes. What came until then is kept.
    pub headers: Duration,
}

impl Default for PeerTimeouts {
    /// 5, 15, 60 and 300 seconds.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(15),
            large: Duration::from_secs(60),
            headers: Duration::from_secs(300),
        }
    }
}

/// An honest template is below 2 * 4 MB of hex and some hundred bytes a transaction.
const MAX_TEMPLATE: usize = 16 << 20;
/// Of the small JSON answers.
const MAX_SMALL: usize = 16 << 10;

/// Why a peer gave nothing usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeerFailure {
    /// It cannot be reached, or cannot answer now.
    #[error("{0}")]
    Away(String),
    /// No honest and working peer says this.
    #[error("{0}")]
    Lies(String),
}

impl From<PeerFailure> for String {
    fn from(failure: PeerFailure) -> Self {
        failure.to_string()
    }
}

/// A peer's template, or that it has not changed.
#[derive(Debug)]
pub(super) enum Template {
    Unchanged,
    New { offer: Offer, etag: Option<String> },
}

/// The address of one peer.
#[derive(Debug, Clone)]
pub(super) struct PeerClient {
    base: Url,
    http: reqwest::Client,
    timeouts: PeerTimeouts,
}

impl PeerClient {
    /// `Err` says what is wrong with the address.
    pub(super) fn new(url: &str, timeouts: PeerTimeouts) -> Result<Self, String> {
        let mut base =
            Url::parse(url).map_err(|e| format!("\"{}\" is not an address: {e}", clip(url)))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err("a peer's address must look like http://other-node:8080".into());
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err("user and password do not belong into a peer's address".into());
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(
                crate::tls::client_config()
                    .map_err(|e| format!("the HTTP client cannot be built: {e}"))?,
            )
            // A redirect would lead to an address that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeouts.connect)
            .tcp_nodelay(true)
            .build()
            .map_err(|e| format!("the HTTP client cannot be built: {e}"))?;
        Ok(Self {
            base,
            http,
            timeouts,
        })
    }

    /// Its tip; after at most `wait` if that is still `known`.
    pub(super) async fn tip(
        &self,
        network: Network,
        known: Option<BlockHash>,
        wait: Duration,
    ) -> Result<(u32, BlockHash), PeerFailure> {
        let mut url = self.url("chain/tip")?;
        let mut patience = self.timeouts.answer;
        if let Some(known) = known {
            patience += wait;
            url.query_pairs_mut()
                .append_pair("after", &known.to_string())
                .append_pair("wait", &wait.as_secs().to_string());
        }
        let request = self.http.get(url).timeout(patience);
        let body = ok(send(request).await?, MAX_SMALL).await?;
        let tip: TipMessage = serde_json::from_slice(&body)
            .map_err(|_| PeerFailure::Lies("its answer is not that of a task node".into()))?;
        if tip.network != network.to_core_arg() {
            return Err(PeerFailure::Lies(format!(
                "it is on chain \"{}\", not on \"{}\"",
                clip(&tip.network),
                network.to_core_arg()
            )));
        }
        Ok((tip.height, tip.hash))
    }

    /// Headers of its active chain from a height on, at most `count` and fewer at its tip.
    pub(super) async fn headers(&self, from: u32, count: u32) -> Result<Vec<Header>, PeerFailure> {
        let count = count.min(MAX_HEADERS);
        let mut url = self.url(&format!("chain/headers/{from}"))?;
        url.query_pairs_mut()
            .append_pair("count", &count.to_string());
        let request = self.http.get(url).timeout(self.timeouts.answer);
        let body = ok(send(request).await?, count as usize * HEADER_BYTES).await?;
        decode_headers(&body)
    }

    /// A header by its hash; `None`: the peer does not know it.
    pub(super) async fn header(&self, hash: BlockHash) -> Result<Option<Header>, PeerFailure> {
        let url = self.url(&format!("chain/header/{hash}"))?;
        let response = send(self.http.get(url).timeout(self.timeouts.answer)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        match decode_headers(&ok(response, HEADER_BYTES).await?)?.as_slice() {
            [header] if header.block_hash() == hash => Ok(Some(*header)),
            _ => Err(PeerFailure::Lies(
                "it answered with another header than the one asked for".into(),
            )),
        }
    }

    /// Its template, unless that is still the one of `etag`.
    pub(super) async fn template(&self, etag: Option<&str>) -> Result<Template, PeerFailure> {
        let mut request = self
            .http
            .get(self.url("chain/template")?)
            .timeout(self.timeouts.large);
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let response = send(request).await?;
        if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Template::Unchanged);
        }
        let etag = response
            .headers()
            .get(header::ETAG)
            .and_then(|value| value.to_str().ok())
            .filter(|value| value.len() <= 128)
            .map(str::to_owned);
        let body = ok(response, MAX_TEMPLATE).await?;
        let offer = Offer::decode(&body)
            .map_err(|error: OfferError| PeerFailure::Lies(clip(&error.to_string())))?;
        Ok(Template::New { offer, etag })
    }

    /// Hands a block over; `None` is success, else the reason in BIP22's words.
    pub(super) async fn submit(&self, block: &Block) -> Result<Option<String>, PeerFailure> {
        let request = self
            .http
            .post(self.url("chain/block")?)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(consensus::serialize(block))
            .timeout(self.timeouts.large);
        let body = ok(send(request).await?, MAX_SMALL).await?;
        let answer: SubmitMessage = serde_json::from_slice(&body)
            .map_err(|_| PeerFailure::Lies("its answer is not that of a task node".into()))?;
        Ok(answer.outcome.map(|reason| clip(&reason)))
    }

    fn url(&self, path: &str) -> Result<Url, PeerFailure> {
        self.base
            .join(path)
            .map_err(|error| PeerFailure::Away(error.to_string()))
    }
}

/// Headers one after the other, 80 bytes each, at most [`MAX_HEADERS`].
pub(crate) fn decode_headers(bytes: &[u8]) -> Result<Vec<Header>, PeerFailure> {
    let (headers, rest) = bytes.as_chunks::<HEADER_BYTES>();
    if !rest.is_empty() || headers.len() > MAX_HEADERS as usize {
        return Err(PeerFailure::Lies(format!(
            "{} bytes are not headers of 80 bytes each",
            bytes.len()
        )));
    }
    headers
        .iter()
        .map(|bytes| {
            consensus::deserialize(bytes)
                .map_err(|error| PeerFailure::Lies(format!("a header does not decode: {error}")))
        })
        .collect()
}

async fn send(request: reqwest::RequestBuilder) -> Result<Response, PeerFailure> {
    request.send().await.map_err(away)
}

/// The body of a 200, at most `most` bytes.
async fn ok(mut response: Response, most: usize) -> Result<Vec<u8>, PeerFailure> {
    let status = response.status();
    if !status.is_success() {
        let words = match read(&mut response, MAX_SMALL).await {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(_) => String::new(),
        };
        return Err(PeerFailure::Away(format!(
            "HTTP {status}: {}",
            clip(&words)
        )));
    }
    read(&mut response, most).await
}

async fn read(response: &mut Response, most: usize) -> Result<Vec<u8>, PeerFailure> {
    let too_long = || PeerFailure::Lies(format!("its answer is longer than {most} bytes"));
    let announced = response.content_length().unwrap_or(0);
    if announced > most as u64 {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(1 << 20));
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if bytes.len() + chunk.len() > most {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn away(error: reqwest::Error) -> PeerFailure {
    PeerFailure::Away(with_causes(error))
}
