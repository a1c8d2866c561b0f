//! Why something could not be fetched, and whose fault it is.

use std::time::Duration;

use cid::Cid;

use crate::{car::CarError, dag::DagViolation, store::StoreError};

/// Why a block or a DAG could not be fetched.
///
/// The difference matters to an audit: [`Invalid`](Self::Invalid) is a verdict on the content that every node reaches
/// alike, the others say nothing about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No source gave a block that hashes to `cid`. Worth trying again later.
    #[error("block {cid} is not available: {}", list(.failures))]
    Unavailable {
        /// The block.
        cid: Cid,
        /// What each source said; empty where none is configured.
        failures: Vec<SourceFailure>,
    },
    /// The verified content breaks a rule or a limit; no source can mend that.
    #[error("invalid content: {0}")]
    Invalid(#[from] DagViolation),
    /// The local store failed.
    #[error(transparent)]
    LocalStore(#[from] StoreError),
    /// The HTTP client could not be built.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}

/// A source and what went wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {error}")]
pub struct SourceFailure {
    /// Its URL, without credentials.
    pub url: String,
    /// What went wrong.
    pub error: SourceError,
}

/// What can be wrong with one source's answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No connection, or it broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// No complete answer in time.
    #[error("did not answer within {0:?}")]
    Timeout(Duration),
    /// The connection went silent.
    #[error("stayed silent")]
    Idle,
    /// It does not have the content.
    #[error("does not have it (HTTP {0})")]
    NotFound(u16),
    /// Another HTTP status than 200.
    #[error("answered HTTP {0}")]
    Status(u16),
    /// The RPC API of an IPFS node could not do it, and says why.
    #[error("says: {0}")]
    Rpc(String),
    /// Too many redirects, or one to something else than HTTP, or from HTTPS down to HTTP.
    #[error("redirected too often or to a place that is not allowed")]
    Redirect,
    /// More bytes than a block, or the DAG, may have.
    #[error("sent more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A web page instead of content: a sign-in page, an error page, a gateway that is not trustless.
    #[error("answered with a web page; it is not a trustless gateway")]
    Html,
    /// The bytes hash to something else.
    #[error("served bytes that do not hash to the CID")]
    WrongBytes,
    /// It is where no submitter's URL may lead.
    #[error("is not in the public Internet (content.private_submitters allows private networks)")]
    NotPublic,
    /// What the node that submitted the content did wrong, at the URL that it gave itself. It says nothing of the sources
    /// this node was given.
    #[error("(its submitter) {0}")]
    Submitter(Box<SourceError>),
    /// The CAR could not be read, or held what was not asked for.
    #[error("{0}")]
    Car(String),
}

impl SourceError {
    /// Whether an honest source cannot have said it.
    pub(super) fn is_lie(&self) -> bool {
        match self {
            Self::WrongBytes | Self::TooLarge { .. } => true,
            Self::Submitter(error) => error.is_lie(),
            _ => false,
        }
    }

    pub(super) fn of_car(error: CarError) -> Self {
        match error {
            CarError::BadBlock { .. } => Self::WrongBytes,
            CarError::Io(error) => Self::Unreachable(error.to_string()),
            // Some servers have no CARs or other ones; they can still serve single blocks.
            other => Self::Car(other.to_string()),
        }
    }
}

fn list(failures: &[SourceFailure]) -> String {
    if failures.is_empty() {
        return "no source to ask; add other nodes or trustless gateways to the configuration"
            .to_owned();
    }
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
