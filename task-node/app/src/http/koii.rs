//! The routes the Orca sidecar calls.
//!
//! The contract has traps: a body that is not `application/json` reaches the wrapper as a string, and the string
//! `"false"` is truthy, so every answer here is JSON. `/task` must return at once. Bodies stay far below the 1 MB at which
//! the sidecar's socket, and with it the pod, dies.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use work::RoundNumber;

use super::error::ErrorBody;
use super::sidecar::Sidecar;
use crate::node::{Health, Node};
use crate::refusal::Refusal;
use crate::requests::{
    AuditEnvelope, AuditRequest, DistributionRequest, OperatorList, SubmissionView,
};

/// The answer to `/healthz`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HealthBody {
    /// Always 200: an older client looks for it in the body.
    pub status: u16,
    /// Where this node stands.
    #[serde(flatten)]
    pub health: Health,
}

/// The answer to `/task/{round}`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct TaskBody {
    /// 200.
    pub status: u16,
    /// The round that jobs claim from now on.
    #[schema(value_type = u64)]
    pub round: RoundNumber,
    /// What happened, for a person.
    pub message: String,
}

/// Is this node alive, and what is it doing?
#[utoipa::path(get, path = "/healthz", tag = "koii",
    responses((status = 200, description = "The node is alive; `ready` says whether it hands out jobs", body = HealthBody)))]
pub(super) async fn healthz(node: web::Data<Node>) -> HttpResponse {
    HttpResponse::Ok().json(HealthBody {
        status: 200,
        health: node.health().await,
    })
}

/// Starts a round: jobs from now on claim it. Idempotent; returns at once.
#[utoipa::path(post, path = "/task/{round}", tag = "koii",
    params(("round" = u64, Path, description = "The Koii round, from 0")),
    responses(
        (status = 200, description = "The round is open", body = TaskBody),
        (status = 400, description = "Not a round number", body = ErrorBody),
        (status = 403, description = "Not called from this machine", body = ErrorBody),
        (status = 409, description = "The round is behind the newest one, or doubtfully far ahead of it", body = ErrorBody),
        (status = 503, description = "The store cannot take it", body = ErrorBody)))]
pub(super) async fn task(
    _: Sidecar,
    node: web::Data<Node>,
    round: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let round = parse_round(&round)?;
    let message = node.into_inner().start_round(round).await?;
    Ok(HttpResponse::Ok().json(TaskBody {
        status: 200,
        round,
        message,
    }))
}

/// Seals a round and names its bundle. Asking again gives the same answer.
#[utoipa::path(get, path = "/submission/{round}", tag = "koii",
    params(("round" = u64, Path, description = "The Koii round")),
    responses(
        (status = 200, description = "The sealed round", body = SubmissionView),
        (status = 400, description = "Not a round number", body = ErrorBody),
        (status = 403, description = "Not called from this machine", body = ErrorBody),
        (status = 404, description = "This node took no part in the round", body = ErrorBody),
        (status = 503, description = "The round cannot be sealed now", body = ErrorBody)))]
pub(super) async fn submission(
    _: Sidecar,
    node: web::Data<Node>,
    round: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let round = parse_round(&round)?;
    Ok(HttpResponse::Ok().json(node.submission(round).await?))
}

/// Audits another node's submission. One that is signed but unreadable is not valid: an error would be no vote, and K2
/// accepts what nobody votes against.
#[utoipa::path(post, path = "/audit", tag = "koii", request_body = AuditRequest,
    responses(
        (status = 200, description = "`true`: valid, `false`: not", body = bool),
        (status = 400, description = "Not a submission", body = ErrorBody),
        (status = 403, description = "Not called from this machine", body = ErrorBody),
        (status = 503, description = "This node cannot tell now; or the bundle is too large to fetch whole and there is no `seed`", body = ErrorBody)))]
pub(super) async fn audit(
    _: Sidecar,
    node: web::Data<Node>,
    body: Body,
) -> Result<HttpResponse, Refusal> {
    let body = whole(body)?;
    let valid = match serde_json::from_slice::<AuditRequest>(&body) {
        Ok(request) => node.audit(request).await?,
        Err(error) => {
            let AuditEnvelope { submission, .. } = parse(&body)?;
            tracing::warn!(round = %submission.round, node = %submission.node, %error, "submission is NOT valid");
            false
        }
    };
    Ok(HttpResponse::Ok().json(valid))
}

/// Computes who is paid for a round: the same bytes on every node.
#[utoipa::path(post, path = "/distribution/{round}", tag = "koii",
    params(("round" = u64, Path, description = "The Koii round")),
    request_body = DistributionRequest,
    responses(
        (status = 200, description = "Staking key to integer amount; the sum is the bounty", body = OperatorList),
        (status = 400, description = "Not a distribution request", body = ErrorBody),
        (status = 403, description = "Not called from this machine", body = ErrorBody),
        (status = 409, description = "Earlier rounds' accepted submissions are not known: send them along", body = ErrorBody),
        (status = 503, description = "A bundle cannot be had now", body = ErrorBody)))]
pub(super) async fn distribution(
    _: Sidecar,
    node: web::Data<Node>,
    round: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Refusal> {
    let round = parse_round(&round)?;
    let request: DistributionRequest = parse(&whole(body)?)?;
    Ok(HttpResponse::Ok().json(node.distribute(round, request).await?))
}

pub(super) fn parse_round(text: &str) -> Result<RoundNumber, Refusal> {
    text.parse()
        .map_err(|error| Refusal::BadRequest(format!("round: {error}")))
}

/// A body, or why it could not be read; taken as a result so that the error is JSON like every other answer.
type Body = Result<web::Bytes, actix_web::Error>;

fn whole(body: Body) -> Result<web::Bytes, Refusal> {
    body.map_err(|error| {
        let message = format!("body: {error}");
        match error.as_response_error().status_code() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge(message),
            _ => Refusal::BadRequest(message),
        }
    })
}

/// Bodies are parsed whatever content type they claim: what counts is whether they are JSON.
fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::BadRequest(format!("body: {error}")))
}
