//! The operator's four questions.

use actix_web::{HttpResponse, web};

use super::error::ErrorBody;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::status::StatusView;

/// Am I mining, is my last submission accepted, what did I earn, what needs my hand: in words, and as numbers. Gateways and
/// K2 are asked at most once a minute.
#[utoipa::path(get, path = "/api/status", tag = "operator",
    responses((status = 200, description = "The answers", body = StatusView), (status = 503, body = ErrorBody)))]
pub(super) async fn status(node: web::Data<Node>) -> Result<HttpResponse, Refusal> {
    Ok(HttpResponse::Ok().json(node.status().await?))
}
