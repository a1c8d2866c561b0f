//! A trustless gateway over this node's blocks: other nodes fetch bundles here, and check every block themselves.
//!
//! Only what is in the local store is served: a gateway that fetched on request could be used to make this node fetch.

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};
use content::{Format, parse_cid};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ErrorBody;
use crate::node::Node;
use crate::refusal::Refusal;

/// How the content is wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct FormatQuery {
    /// `raw` (one block) or `car` (the whole DAG); or an `Accept` header.
    format: Option<String>,
}

/// A block, or a whole bundle as CAR file.
#[utoipa::path(get, path = "/ipfs/{cid}", tag = "content",
    params(("cid" = String, Path, description = "A CID of this pool's bundles"), FormatQuery),
    responses(
        (status = 200, description = "The bytes; check them against the CID", content_type = "application/vnd.ipld.raw"),
        (status = 400, description = "Not a CID, or another format", body = ErrorBody),
        (status = 404, description = "This node does not hold it", body = ErrorBody)))]
pub(super) async fn ipfs(
    node: web::Data<Node>,
    request: HttpRequest,
    cid: web::Path<String>,
    query: web::Query<FormatQuery>,
) -> Result<HttpResponse, Refusal> {
    let cid = parse_cid(&cid).map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::negotiate(query.format.as_deref(), accept)
        .map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let missing = || Refusal::NotFound(format!("this node does not hold {cid}"));
    let unavailable = |error: &dyn std::fmt::Display| Refusal::Unavailable(error.to_string());

    let mut answer = HttpResponse::Ok();
    for header in format.headers(&cid) {
        answer.insert_header(header);
    }
    let served = match format {
        Format::Raw => {
            let block = node
                .blocks()
                .get(&cid)
                .await
                .map_err(|error| unavailable(&error))?
                .ok_or_else(missing)?;
            answer.body(block.into_bytes())
        }
        Format::Car => {
            match content::car::export_stream(node.blocks(), cid, node.dag_limits()).await {
                Ok(parts) => answer.streaming(parts),
                Err(content::car::CarError::Missing(_)) => return Err(missing()),
                Err(error) => return Err(unavailable(&error)),
            }
        }
    };
    if request.method() == actix_web::http::Method::GET {
        node.note_served(&cid).await;
    }
    Ok(served)
}
