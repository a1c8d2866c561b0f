//! Why this node does not do what it is asked.
//!
//! The node speaks of reasons; [`crate::http`] turns them into statuses.

use rounds::KeeperError;
use store::StoreError;

/// Why a request gets something else than its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be right.
    #[error("{0}")]
    BadRequest(String),
    /// This caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing, yet or at all.
    #[error("{0}")]
    NotFound(String),
    /// It contradicts what was done before.
    #[error("{0}")]
    Conflict(String),
    /// The body is too large.
    #[error("{0}")]
    TooLarge(String),
    /// Another method is meant.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// This node cannot do it now; asking again later may work.
    #[error("{0}")]
    Unavailable(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<KeeperError> for Refusal {
    fn from(error: KeeperError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
