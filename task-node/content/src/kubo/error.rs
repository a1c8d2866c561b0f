//! Why an IPFS node did not do what it was asked.

use cid::Cid;

use crate::{car::CarError, fetch::SourceError};

/// What can go wrong between this node and the RPC API of an IPFS node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KuboError {
    /// No usable answer.
    #[error("the IPFS node {0}")]
    Answer(#[from] SourceError),
    /// An answer in another form than Kubo's.
    #[error("the IPFS node's answer to {command} is not Kubo's; is this the RPC port (5001)?")]
    Unreadable {
        /// The command.
        command: &'static str,
    },
    /// Other roots than the one that was sent.
    #[error("the IPFS node imported something else than {expected}")]
    WrongRoot {
        /// What was sent.
        expected: Cid,
    },
    /// Imported, but not pinned.
    #[error("the IPFS node did not pin {cid}: {reason}")]
    NotPinned {
        /// The root.
        cid: Cid,
        /// What it said.
        reason: String,
    },
    /// This node's own store cannot give the DAG; the IPFS node is not to blame.
    #[error(transparent)]
    Local(CarError),
    /// The HTTP client could not be built.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}
