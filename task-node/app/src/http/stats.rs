//! What the operator, the dashboard and scripts read.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ErrorBody;
use super::koii::parse_round;
use crate::node::{AuditView, DistributionView, Node, RoundView, Stats};
use crate::refusal::Refusal;

/// How many rounds a list holds unless asked for more.
const DEFAULT_LIMIT: u32 = 20;
/// And at most: lists stay far below the size that a sidecar's socket takes.
const MAX_LIMIT: u32 = 500;

/// A list's bounds.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Page {
    /// How many entries, at most 500.
    limit: Option<u32>,
}

impl Page {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT)
    }
}

/// The node's state: health, miners, blocks.
#[utoipa::path(get, path = "/api/stats", tag = "operator",
    responses((status = 200, description = "The node's state", body = Stats), (status = 503, body = ErrorBody)))]
pub(super) async fn stats(node: web::Data<Node>) -> Result<HttpResponse, Refusal> {
    Ok(HttpResponse::Ok().json(node.stats().await?))
}

/// The rounds this node took part in, newest first.
#[utoipa::path(get, path = "/api/rounds", tag = "operator", params(Page),
    responses((status = 200, description = "Rounds", body = Vec<RoundView>), (status = 503, body = ErrorBody)))]
pub(super) async fn rounds(
    node: web::Data<Node>,
    page: web::Query<Page>,
) -> Result<HttpResponse, Refusal> {
    Ok(HttpResponse::Ok().json(node.rounds(page.limit()).await?))
}

/// This node's audits of a round's submissions.
#[utoipa::path(get, path = "/api/rounds/{round}/audits", tag = "operator",
    params(("round" = u64, Path, description = "The Koii round")),
    responses((status = 200, description = "Audits", body = Vec<AuditView>), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn audits(
    node: web::Data<Node>,
    round: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    Ok(HttpResponse::Ok().json(node.audits(parse_round(&round)?).await?))
}

/// Who earned what in a round, and everybody's total so far with the root of its tree. Provisional until the round is
/// settled.
#[utoipa::path(get, path = "/api/rounds/{round}/distribution", tag = "operator",
    params(("round" = u64, Path, description = "The Koii round")),
    responses(
        (status = 200, description = "The distribution", body = DistributionView),
        (status = 400, body = ErrorBody),
        (status = 404, description = "It was not computed yet", body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(super) async fn distribution(
    node: web::Data<Node>,
    round: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let round = parse_round(&round)?;
    match node.distribution(round).await? {
        Some(view) => Ok(HttpResponse::Ok().json(view)),
        None => Err(Refusal::NotFound(format!(
            "the distribution of round {round} was not computed by this node yet"
        ))),
    }
}
