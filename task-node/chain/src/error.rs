//! What can go wrong between the pool and a Bitcoin node, in words that say what to do.
//!
//! Every variant names the node it happened on: with several nodes configured, "timed out" alone helps nobody.
//! Text that came from a node is passed through [`clip`] first, so a hostile answer can neither flood a log nor
//! write control characters into it.

use std::{path::PathBuf, time::Duration};

use bitcoin::{BlockHash, Network};
use work::TemplateError;

/// A failed exchange with a Bitcoin node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration of a node cannot be used.
    #[error("bitcoin node {node}: {reason}")]
    Config {
        /// The node's name in the configuration.
        node: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// No HTTP exchange took place.
    #[error(
        "bitcoin node {node} cannot be reached: {reason} (is bitcoind running, with server=1, and is the RPC address right?)"
    )]
    Unreachable {
        /// The node's name in the configuration.
        node: String,
        /// What the operating system or the HTTP client said.
        reason: String,
    },
    /// No complete answer within the time allowed.
    #[error("bitcoin node {node} did not answer {method} within {after:?}")]
    Timeout {
        /// The node's name in the configuration.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// The time allowed.
        after: Duration,
    },
    /// The node refused the credentials, also after the cookie file was read again.
    #[error(
        "bitcoin node {node} refused the RPC credentials (check rpcuser/rpcpassword or the cookie file, and rpcallowip/rpcwhitelist in bitcoin.conf)"
    )]
    Unauthorized {
        /// The node's name in the configuration.
        node: String,
    },
    /// The cookie file is missing or is not one.
    #[error(
        "bitcoin node {node}: cookie file {path}: {reason} (bitcoind writes it at start-up and removes it when it stops; the pool must be allowed to read it)"
    )]
    Cookie {
        /// The node's name in the configuration.
        node: String,
        /// Where it was looked for.
        path: PathBuf,
        /// Why it could not be used. Never its content.
        reason: String,
    },
    /// The answer is longer than any honest one.
    #[error(
        "bitcoin node {node} answered {method} with more than {limit} bytes; the answer was dropped"
    )]
    TooLarge {
        /// The node's name in the configuration.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is not what the method promises.
    #[error("bitcoin node {node} gave an unusable answer to {method}: {reason}")]
    BadAnswer {
        /// The node's name in the configuration.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The node answered with an RPC error.
    #[error("bitcoin node {node} refused {method}: {message} (code {code})")]
    Rpc {
        /// The node's name in the configuration.
        node: String,
        /// The RPC method.
        method: &'static str,
        /// Bitcoin Core's `RPCErrorCode` (`src/rpc/protocol.h`).
        code: i32,
        /// The node's own words, clipped.
        message: String,
    },
    /// The node is on another chain than the pool.
    #[error("bitcoin node {node} is on chain \"{found}\", the pool is configured for \"{}\"", expected.to_core_arg())]
    WrongNetwork {
        /// The node's name in the configuration.
        node: String,
        /// The chain of the configuration.
        expected: Network,
        /// The chain name the node reports, clipped.
        found: String,
    },
    /// The block template breaks a rule; nothing was published from it.
    #[error("bitcoin node {node} gave a block template that must not be mined: {source}")]
    Template {
        /// The node's name in the configuration.
        node: String,
        /// The rule it breaks.
        #[source]
        source: TemplateError,
    },
    /// The template needs a consensus rule this pool does not know (BIP9: a rule with a leading `!`).
    #[error(
        "bitcoin node {node} demands the rule \"{rule}\", which this version does not know; update the pool before mining on"
    )]
    UnknownRule {
        /// The node's name in the configuration.
        node: String,
        /// The rule's name, clipped.
        rule: String,
    },
    /// The block chain moved under a question that needs several look-ups, each time it was asked.
    #[error("bitcoin node {node}: the chain re-organised while it was being read; ask again")]
    ChainMoved {
        /// The node's name in the configuration.
        node: String,
    },
    /// The node has yet to fetch blocks that others have, so it cannot say what the tip was.
    #[error(
        "bitcoin node {node} is catching up (block {height} of {headers}): ask again when it has all blocks"
    )]
    CatchingUp {
        /// The node's name in the configuration.
        node: String,
        /// Its tip's height.
        height: u32,
        /// The height of the best header it knows.
        headers: u32,
    },
    /// A block the question is about is not known to the node.
    #[error("bitcoin node {node} does not know block {hash}")]
    UnknownBlock {
        /// The node's name in the configuration.
        node: String,
        /// The block.
        hash: BlockHash,
    },
    /// Another operator's node gave nothing usable.
    #[error("peer {node}: {reason}")]
    Peer {
        /// Its URL.
        node: String,
        /// What was wrong.
        reason: String,
    },
    /// The question is about what lies before the first header this node keeps.
    #[error(
        "bitcoin node {node} knows the chain from block {lowest} on only: set an older bitcoin.checkpoint"
    )]
    BelowCheckpoint {
        /// The node's name in the configuration.
        node: String,
        /// The lowest height it knows.
        lowest: u32,
    },
    /// Another record of the best chain has more work than the one this node knows, so that one is not to be relied on.
    #[error(
        "bitcoin node {node} is not believed: {reason}. Nothing is mined or judged on it: add other peers to bitcoin.peers"
    )]
    Outweighed {
        /// The node's name in the configuration.
        node: String,
        /// Who has more, and where the two part.
        reason: String,
    },
    /// The answer cannot be had from where this node has its knowledge.
    #[error("bitcoin node {node} cannot answer {method}: {reason}")]
    Unsupported {
        /// The node's name in the configuration.
        node: String,
        /// What was asked.
        method: &'static str,
        /// Why, and what would help.
        reason: String,
    },
    /// Every configured node failed.
    #[error("no bitcoin node answered {method}: {}", .failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllFailed {
        /// What was asked.
        method: &'static str,
        /// One entry a node, in the order they were asked.
        failures: Vec<NodeError>,
    },
}

impl NodeError {
    /// Bitcoin Core's error code, where the node itself refused the call.
    pub fn rpc_code(&self) -> Option<i32> {
        match self {
            Self::Rpc { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The node follows a chain that is not to be mined on, whatever it gave before.
    pub fn is_outweighed(&self) -> bool {
        match self {
            Self::Outweighed { .. } => true,
            Self::AllFailed { failures, .. } => failures.iter().any(Self::is_outweighed),
            _ => false,
        }
    }

    /// The node is alive but not ready yet: loading its index, without peers, or in initial block download.
    pub fn is_warming_up(&self) -> bool {
        match self {
            Self::Rpc { code, .. } => {
                matches!(
                    *code,
                    code::IN_WARMUP | code::CLIENT_NOT_CONNECTED | code::CLIENT_IN_INITIAL_DOWNLOAD
                )
            }
            Self::AllFailed { failures, .. } => failures.iter().any(Self::is_warming_up),
            _ => false,
        }
    }
}

/// The codes of Bitcoin Core's `RPCErrorCode` (`src/rpc/protocol.h`) this crate acts on.
pub(crate) mod code {
    /// "Block not found" and other unknown identifiers.
    pub(crate) const INVALID_ADDRESS_OR_KEY: i32 = -5;
    /// "Block height out of range".
    pub(crate) const INVALID_PARAMETER: i32 = -8;
    /// Not connected to the network: no peers.
    pub(crate) const CLIENT_NOT_CONNECTED: i32 = -9;
    /// Still in initial block download.
    pub(crate) const CLIENT_IN_INITIAL_DOWNLOAD: i32 = -10;
    /// "Block decode failed".
    pub(crate) const DESERIALIZATION_ERROR: i32 = -22;
    /// Loading the block index, rescanning, ...
    pub(crate) const IN_WARMUP: i32 = -28;
    /// The build lacks the method, e.g. `getzmqnotifications` without ZMQ.
    pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_named_when_all_nodes_fail() {
        let failure = |node: &str| NodeError::Unreachable {
            node: node.into(),
            reason: "refused".into(),
        };
        let all = NodeError::AllFailed {
            method: "submitblock",
            failures: vec![failure("attic"), failure("cellar")],
        };
        let text = all.to_string();
        assert!(text.contains("attic") && text.contains("cellar"), "{text}");
    }

    #[test]
    fn warming_up_is_recognised_through_fail_over() {
        let warming = NodeError::Rpc {
            node: "a".into(),
            method: "getblocktemplate",
            code: -28,
            message: "Loading".into(),
        };
        assert!(
            NodeError::AllFailed {
                method: "getblocktemplate",
                failures: vec![warming]
            }
            .is_warming_up()
        );
        assert!(!NodeError::Unauthorized { node: "a".into() }.is_warming_up());
    }
}
