//! Errors as the Orca sidecar can read them: a status, and JSON with an `error` field, always.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::refusal::Refusal;

/// The body of every answer that is not 200.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct ErrorBody {
    /// The HTTP status again, because one generation of the sidecar hands on only the body.
    pub status: u16,
    /// What is wrong, and what to do.
    pub error: String,
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        HttpResponse::build(status).json(ErrorBody {
            status: status.as_u16(),
            error: self.to_string(),
        })
    }
}
