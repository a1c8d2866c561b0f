//! What operators without a Bitcoin node ask this one, which has one ([`chain::peer`]).
//!
//! Anybody may ask. Answers come from memory; template downloads, the only large ones, are counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, web};
use bitcoin::BlockHash;
use chain::peer::{
    BlockRefusal, ChainSource, HEADER_BYTES, HeadersAnswer, LookUpError, MAX_BLOCK_BYTES,
    MAX_HEADERS,
};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use crate::node::Node;
use crate::refusal::Refusal;

/// Templates that are being sent at once, in all and to one address.
const MAX_DOWNLOADS: usize = 16;
const MAX_DOWNLOADS_PER_IP: usize = 4;
/// How a template is cut for sending: what was sent is free again.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long a block's bytes may take to arrive.
const BLOCK_PATIENCE: Duration = Duration::from_secs(60);

/// The tip of this node's chain.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TipBody {
    /// `main`, `testnet4`, `signet` or `regtest`.
    network: String,
    /// Its height.
    height: u32,
    /// Its hash.
    hash: String,
}

/// What became of a block.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BlockBody {
    /// `null`: it is the new tip. Else BIP22's reason, for example `duplicate` or `high-hash`.
    outcome: Option<String>,
}

/// Waiting for news.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct TipQuery {
    /// The tip the caller knows: the answer waits while it still is the tip.
    after: Option<String>,
    /// For at most this many seconds; 25 at most.
    wait: Option<u64>,
}

/// How much.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct CountQuery {
    /// How many headers, 2000 at most.
    count: Option<u32>,
}

/// The tip of this node's chain, at once or as soon as it is another than `after`.
#[utoipa::path(get, path = "/chain/tip", tag = "chain", params(TipQuery),
    responses(
        (status = 200, description = "The tip", body = TipBody),
        (status = 400, description = "`after` is no block hash", body = ErrorBody),
        (status = 404, description = "This node gives none", body = ErrorBody),
        (status = 503, description = "Not known yet", body = ErrorBody)))]
pub(super) async fn tip(
    node: web::Data<Node>,
    query: web::Query<TipQuery>,
) -> Result<HttpResponse, Refusal> {
    let source = source(&node)?;
    let tip = match &query.after {
        None => source.tip(),
        Some(known) => {
            let wait = Duration::from_secs(query.wait.unwrap_or(u64::MAX));
            source.tip_after(block_hash(known)?, wait).await
        }
    };
    let tip = tip.ok_or_else(not_yet)?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(TipBody {
            network: tip.network,
            height: tip.height,
            hash: tip.hash.to_string(),
        }))
}

/// A template for the block after the tip: `previousblockhash`, `height`, `curtime`, `bits` and `transactions` (`data`,
/// `fee`, `sigops`) as in BIP22. What else a block needs, the caller computes.
#[utoipa::path(get, path = "/chain/template", tag = "chain",
    responses(
        (status = 200, description = "The template, with an ETag", body = Object),
        (status = 304, description = "Still the one of If-None-Match"),
        (status = 404, description = "This node gives none", body = ErrorBody),
        (status = 503, description = "Not known yet, or too many ask at once", body = ErrorBody)))]
pub(super) async fn template(
    node: web::Data<Node>,
    downloads: web::Data<Downloads>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let source = Arc::clone(source(&node)?);
    let template = web::block(move || source.template())
        .await
        .map_err(|error| Refusal::Unavailable(error.to_string()))?
        .ok_or_else(not_yet)?
        .map_err(Refusal::Unavailable)?;
    let known = request.headers().get(IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == template.etag.as_bytes()) {
        return Ok(HttpResponse::NotModified()
            .insert_header((ETAG, template.etag))
            .finish());
    }
    let caller = request.peer_addr().map(|address| address.ip());
    let download = Downloads::begin(&downloads, caller).ok_or_else(|| {
        Refusal::Unavailable("too many templates are being sent: ask again".to_owned())
    })?;
    let length = template.json.len();
    // The place is free again when the last piece is sent, or the caller is gone.
    let pieces = futures::stream::iter((0..length).step_by(CHUNK_BYTES)).map(move |from| {
        let _held = &download;
        let to = length.min(from + CHUNK_BYTES);
        let piece = template.json.get(from..to).unwrap_or_default();
        Ok::<_, std::io::Error>(web::Bytes::copy_from_slice(piece))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((ETAG, template.etag))
        .streaming(pieces))
}

/// Headers of the active chain from a height on, 80 bytes each; fewer than asked for at the tip.
#[utoipa::path(get, path = "/chain/headers/{from_height}", tag = "chain",
    params(("from_height" = u32, Path, description = "The first header's height"), CountQuery),
    responses(
        (status = 200, description = "Headers", content_type = "application/octet-stream"),
        (status = 400, description = "Not a height", body = ErrorBody),
        (status = 404, description = "This node gives none, or none so old", body = ErrorBody),
        (status = 503, description = "They are being read: ask again", body = ErrorBody)))]
pub(super) async fn headers(
    node: web::Data<Node>,
    from: web::Path<String>,
    query: web::Query<CountQuery>,
) -> Result<HttpResponse, Refusal> {
    let from: u32 = from
        .parse()
        .map_err(|_| Refusal::BadRequest("not a block height".to_owned()))?;
    match source(&node)?.headers(from, query.count.unwrap_or(MAX_HEADERS)) {
        HeadersAnswer::Headers(bytes) => Ok(HttpResponse::Ok()
            .content_type("application/octet-stream")
            .body(bytes)),
        HeadersAnswer::Later => Err(Refusal::Unavailable(
            "these headers are being read from the Bitcoin node: ask again in some seconds"
                .to_owned(),
        )),
        HeadersAnswer::TooOld { lowest } => Err(Refusal::NotFound(format!(
            "this node gives headers from block {lowest} on: use a newer bitcoin.checkpoint"
        ))),
    }
}

/// A header by its block's hash, also of a block that lost.
#[utoipa::path(get, path = "/chain/header/{hash}", tag = "chain",
    params(("hash" = String, Path, description = "The block's hash")),
    responses(
        (status = 200, description = "80 bytes", content_type = "application/octet-stream"),
        (status = 400, description = "Not a hash", body = ErrorBody),
        (status = 404, description = "Not known", body = ErrorBody),
        (status = 503, description = "Ask again", body = ErrorBody)))]
pub(super) async fn header(
    node: web::Data<Node>,
    hash: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let hash = block_hash(&hash)?;
    let found = source(&node)?
        .header(hash)
        .await
        .map_err(|error: LookUpError| Refusal::Unavailable(error.to_string()))?;
    match found {
        Some(bytes) => Ok(HttpResponse::Ok()
            .content_type("application/octet-stream")
            .body(bytes.to_vec())),
        None => Err(Refusal::NotFound(format!("block {hash} is not known"))),
    }
}

/// Takes a found block, and hands it to the Bitcoin node once its header has shown its proof of work.
#[utoipa::path(post, path = "/chain/block", tag = "chain",
    request_body(content_type = "application/octet-stream", description = "A serialised block, at most 4,000,000 bytes"),
    responses(
        (status = 200, description = "What became of it", body = BlockBody),
        (status = 400, description = "Not a block", body = ErrorBody),
        (status = 404, description = "This node takes none", body = ErrorBody),
        (status = 413, description = "Longer than a block", body = ErrorBody),
        (status = 503, description = "Send it again", body = ErrorBody)))]
pub(super) async fn block(
    node: web::Data<Node>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let source = source(&node)?;
    let message = match tokio::time::timeout(BLOCK_PATIENCE, receive(source, payload)).await {
        Ok(received) => received?,
        Err(_) => return Err(Refusal::BadRequest("the block came too slowly".to_owned())),
    };
    let outcome = match message {
        Received::Judged(outcome) => outcome,
        Received::Block(bytes) => source.submit(&bytes).await.map_err(refusal)?.outcome,
    };
    Ok(HttpResponse::Ok().json(BlockBody { outcome }))
}

enum Received {
    /// The header was enough.
    Judged(Option<String>),
    Block(Vec<u8>),
}

/// Nothing but the header is kept before that has shown its proof of work.
async fn receive(source: &ChainSource, mut payload: web::Payload) -> Result<Received, Refusal> {
    let mut bytes = Vec::new();
    let mut received = 0;
    let mut judged = None;
    let mut wanted = false;
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| Refusal::BadRequest(format!("body: {error}")))?;
        received += piece.len();
        if received > MAX_BLOCK_BYTES {
            return Err(Refusal::TooLarge(format!(
                "a block has at most {MAX_BLOCK_BYTES} bytes"
            )));
        }
        // What is not wanted is read all the same: a caller that is still sending would not hear the answer.
        if judged.is_none() {
            bytes.extend_from_slice(&piece);
        }
        if let Some(header) = bytes.first_chunk::<HEADER_BYTES>().filter(|_| !wanted)
            && judged.is_none()
        {
            match source.judge_header(header).map_err(refusal)? {
                None => wanted = true,
                Some(said) => {
                    judged = Some(said.outcome);
                    bytes = Vec::new();
                }
            }
        }
    }
    Ok(judged.map_or(Received::Block(bytes), Received::Judged))
}

fn refusal(error: BlockRefusal) -> Refusal {
    match error {
        BlockRefusal::Malformed(_) => Refusal::BadRequest(error.to_string()),
        _ => Refusal::Unavailable(error.to_string()),
    }
}

fn source(node: &Node) -> Result<&Arc<ChainSource>, Refusal> {
    node.chain_source().ok_or_else(|| {
        Refusal::NotFound(
            "this node has no Bitcoin node to tell of, or http.serve_chain is off".to_owned(),
        )
    })
}

fn not_yet() -> Refusal {
    Refusal::Unavailable("the Bitcoin node has given no template yet: ask again".to_owned())
}

fn block_hash(text: &str) -> Result<BlockHash, Refusal> {
    text.parse()
        .map_err(|_| Refusal::BadRequest("not a block hash".to_owned()))
}

/// Who is being sent a template.
#[derive(Debug, Default)]
pub(super) struct Downloads(Mutex<HashMap<Option<IpAddr>, usize>>);

/// One of them; ends when it is dropped.
struct Download {
    of: web::Data<Downloads>,
    caller: Option<IpAddr>,
}

impl Downloads {
    fn begin(this: &web::Data<Self>, caller: Option<IpAddr>) -> Option<Download> {
        let mut running = this.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running.get(&caller).copied().unwrap_or(0);
        if running.values().sum::<usize>() >= MAX_DOWNLOADS || own >= MAX_DOWNLOADS_PER_IP {
            return None;
        }
        running.insert(caller, own + 1);
        Some(Download {
            of: this.clone(),
            caller,
        })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let mut running = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = running.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                running.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places_and_gone_ones_are_free_again() {
        let downloads = web::Data::new(Downloads::default());
        let ip = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let mut held: Vec<_> = (0..MAX_DOWNLOADS_PER_IP)
            .map(|_| Downloads::begin(&downloads, ip(1)).unwrap())
            .collect();
        assert!(Downloads::begin(&downloads, ip(1)).is_none());
        while held.len() < MAX_DOWNLOADS {
            let next = ip(u8::try_from(held.len()).unwrap() + 10);
            held.push(Downloads::begin(&downloads, next).unwrap());
        }
        assert!(Downloads::begin(&downloads, ip(2)).is_none());
        drop(held);
        assert!(downloads.0.lock().unwrap().is_empty());
    }
}
