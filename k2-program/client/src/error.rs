//! What can go wrong between the client and a K2 node, in words that say what to do.

use std::time::Duration;

/// A failed exchange with a K2 node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum K2Error {
    /// The address of a node cannot be used.
    #[error("K2 node {node}: {reason}")]
    Config {
        /// The node.
        node: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// No HTTP exchange took place.
    #[error("K2 node {node} cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        node: String,
        /// What the operating system or the HTTP client said.
        reason: String,
    },
    /// No complete answer within the time allowed.
    #[error("K2 node {node} did not answer {method} within {after:?}")]
    Timeout {
        /// The node.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// The node wants fewer questions (HTTP 429).
    #[error(
        "K2 node {node} limits the rate of requests: ask less often, or use a node of your own"
    )]
    RateLimited {
        /// The node.
        node: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The node is overloaded or behind (HTTP 5xx, JSON-RPC -32005).
    #[error("K2 node {node} cannot serve {method} now: {reason}")]
    Unavailable {
        /// The node.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// Its own words.
        reason: String,
    },
    /// The answer is longer than any honest one.
    #[error(
        "K2 node {node} answered {method} with more than {limit} bytes; the answer was dropped"
    )]
    TooLarge {
        /// The node.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is not what the method promises.
    #[error("K2 node {node} gave an unusable answer to {method}: {reason}")]
    BadAnswer {
        /// The node.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The node answered with an RPC error.
    #[error("K2 node {node} refused {method}: {message} (code {code})")]
    Rpc {
        /// The node.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// The JSON-RPC code.
        code: i64,
        /// The node's own words, clipped.
        message: String,
    },
    /// The node lacks the method, or what the method needs.
    #[error("K2 node {node} does not offer {method}: {message}")]
    Unsupported {
        /// The node.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// The node's own words, clipped.
        message: String,
    },
    /// Every node failed, as often as was allowed.
    #[error("no K2 node answered {method}: {}", .failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllFailed {
        /// What was asked.
        method: &'static str,
        /// The last failure of each node, in their order.
        failures: Vec<K2Error>,
    },
}

impl K2Error {
    /// Another node, or the same one later, may answer.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::RateLimited { .. }
                | Self::Unavailable { .. }
                | Self::TooLarge { .. }
                | Self::BadAnswer { .. }
                | Self::AllFailed { .. }
        )
    }

    /// The question certainly never took effect: it was refused before anything was done with it.
    pub(crate) const fn is_refused_unread(&self) -> bool {
        matches!(self, Self::RateLimited { .. })
    }
}
