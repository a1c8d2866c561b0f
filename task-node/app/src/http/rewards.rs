//! What is settled: for attestors, and for wallets that claim without tools of their own.

use actix_web::{HttpResponse, web};
use work::K2Address;

use super::error::ErrorBody;
use super::koii::parse_round;
use crate::node::{Node, RewardsView, SettlementView};
use crate::refusal::Refusal;

/// What a round pays for good, once all its blocks have matured or lost. The same on every node.
#[utoipa::path(get, path = "/api/rounds/{round}/settlement", tag = "rewards",
    params(("round" = u64, Path, description = "The Koii round")),
    responses(
        (status = 200, description = "The settlement", body = SettlementView),
        (status = 400, description = "Not a round number", body = ErrorBody),
        (status = 404, description = "The round is before the task's history", body = ErrorBody),
        (status = 409, description = "Not settled yet; says which block of which round lacks how many confirmations, or which round's accepted submissions are not known", body = ErrorBody),
        (status = 503, description = "This node cannot tell now", body = ErrorBody)))]
pub(super) async fn settlement(
    node: web::Data<Node>,
    round: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let round = parse_round(&round)?;
    Ok(HttpResponse::Ok().json(node.settlement(round).await?))
}

/// What an address has earned up to the newest settled round, in each role, with leaf and proof.
#[utoipa::path(get, path = "/api/rewards/{address}", tag = "rewards",
    params(("address" = String, Path, description = "A K2 address, base58")),
    responses(
        (status = 200, description = "Its rewards; none if it has not earned", body = RewardsView),
        (status = 400, description = "Not a K2 address", body = ErrorBody),
        (status = 404, description = "No round is settled yet", body = ErrorBody),
        (status = 503, description = "The store cannot be read", body = ErrorBody)))]
pub(super) async fn rewards(
    node: web::Data<Node>,
    address: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let address: K2Address = address
        .parse()
        .map_err(|error| Refusal::BadRequest(format!("address: {error}")))?;
    Ok(HttpResponse::Ok().json(node.rewards(address).await?))
}
