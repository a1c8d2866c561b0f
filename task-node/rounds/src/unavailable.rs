//! Why an audit ends early: with a verdict, or because this node cannot give one.

use content::FetchError;
use content::fetch::SourceError;

use crate::audit_failure::AuditFailure;

/// Why this node cannot judge now. Ask again later, or another node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditUnavailable {
    /// The Bitcoin node.
    #[error(transparent)]
    Bitcoin(#[from] chain::NodeError),
    /// The share store.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The block store, or the HTTP client.
    #[error(transparent)]
    Content(Box<FetchError>),
    /// No source could be reached at all: that says more about this node's network than about the bundle.
    #[error(
        "none of the sources for bundles can be reached ({0}): check this node's network and its list of sources"
    )]
    NoSource(String),
    /// The bundle is larger than what this node fetches whole.
    #[error(
        "the bundle has up to {most} bytes, more than the {limit} this node fetches whole: have it audited by sample, with \
         the hash of a K2 block later than the submission as seed"
    )]
    TooLarge {
        /// What its blocks can have together, in bytes.
        most: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The memory for shares of one round is used up.
    #[error("{0}")]
    SeenFull(AuditFailure),
    /// Work was cut off because the process is ending.
    #[error("the audit was cut off; ask again")]
    CutOff,
}

/// Why an audit ends early.
pub(crate) enum Stop {
    Verdict(AuditFailure),
    Unavailable(AuditUnavailable),
}

impl From<AuditFailure> for Stop {
    fn from(failure: AuditFailure) -> Self {
        Self::Verdict(failure)
    }
}

impl From<AuditUnavailable> for Stop {
    fn from(trouble: AuditUnavailable) -> Self {
        Self::Unavailable(trouble)
    }
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Unavailable { ref failures, .. } => {
                // What the submitter's own URL leads to decides nothing: it would be the submitter's choice whether this
                // node has a verdict.
                let unreachable = |error: &SourceError| {
                    matches!(
                        error,
                        SourceError::Unreachable(_)
                            | SourceError::Timeout(_)
                            | SourceError::Idle
                            | SourceError::Submitter(_)
                    )
                };
                if failures.iter().all(|failure| unreachable(&failure.error)) {
                    Self::Unavailable(AuditUnavailable::NoSource(error.to_string()))
                } else {
                    Self::Verdict(AuditFailure::Unavailable(error.to_string()))
                }
            }
            FetchError::Invalid(violation) => {
                Self::Verdict(AuditFailure::Content(Box::new(violation)))
            }
            trouble => Self::Unavailable(AuditUnavailable::Content(Box::new(trouble))),
        }
    }
}
