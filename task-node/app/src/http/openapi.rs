//! The OpenAPI document, generated from the handlers.

use actix_web::HttpResponse;
use utoipa::OpenApi;

use super::{chain, content, error, koii, rewards, stats, status};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "orcapool",
        description = "A Bitcoin mining pool node: what the Orca sidecar calls, what other nodes fetch, what the operator looks at."
    ),
    paths(
        koii::healthz,
        koii::task,
        koii::submission,
        koii::audit,
        koii::distribution,
        content::ipfs,
        chain::tip,
        chain::template,
        chain::headers,
        chain::header,
        chain::block,
        status::status,
        stats::stats,
        stats::rounds,
        stats::audits,
        stats::distribution,
        rewards::settlement,
        rewards::rewards,
    ),
    components(schemas(error::ErrorBody))
)]
struct Document;

/// The document as pretty JSON.
#[must_use]
pub fn document() -> String {
    // Serialising a value tree into a String cannot fail; an empty document would fail the test that checks it.
    Document::openapi().to_pretty_json().unwrap_or_default()
}

pub(super) async fn serve() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document())
}
