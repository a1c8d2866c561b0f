//! Why a wallet cannot be opened or cannot follow the chain.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use bitcoin::Network;

use crate::SetupError;

/// What keeps a watch-only wallet from its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The folder has a wallet already.
    #[error("{} already holds a wallet: give another folder, or `orcapool wallet show` this one", .0.display())]
    Exists(PathBuf),
    /// The folder has none.
    #[error(
        "{} holds no wallet: make one with `orcapool wallet create` or `orcapool wallet restore`, or name its folder with --wallet",
        .0.display()
    )]
    Missing(PathBuf),
    /// Somebody else is at it.
    #[error("the wallet in {} is in use by another process: let it finish, or stop it", .0.display())]
    Locked(PathBuf),
    /// Written by a later version.
    #[error("{} is of format {found}, and this program reads up to {known}: use a newer orcapool", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest known here.
        known: u64,
    },
    /// Not what was written.
    #[error("{} is damaged ({reason}): `orcapool wallet restore` makes a new folder from the descriptor", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Its descriptor is no wallet of the pool.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be read or written, or is another wallet's.
    #[error(
        "{}: {reason}. Nothing in this file is irreplaceable: if it is damaged, move it away, and the next sync makes it \
         anew from the chain", path.display()
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The node or server cannot be asked.
    #[error("{source_name} does not answer as it should: {reason}")]
    Source {
        /// Which.
        source_name: String,
        /// What happened.
        reason: String,
    },
    /// Another network.
    #[error("the wallet is on {wallet}, and the node is on {node}: which of the two is wrong?")]
    WrongNetwork {
        /// The wallet's.
        wallet: Network,
        /// The node's, in its own words.
        node: String,
    },
    /// The node does not have the chain yet.
    #[error(
        "the node is still downloading the chain (block {blocks} of {headers}): wait until it is done, because what it does \
         not have yet, this wallet would not know"
    )]
    NodeSyncing {
        /// Blocks it has.
        blocks: u32,
        /// Headers it has.
        headers: u32,
    },
    /// The node's chain ends below what the wallet has seen.
    #[error(
        "the node's chain ends at block {node}, and this wallet already knows block {wallet}: wait until the node has caught up"
    )]
    NodeBehind {
        /// The node's best block.
        node: u32,
        /// The wallet's.
        wallet: u32,
    },
    /// The chains have parted too long ago.
    #[error(
        "none of the last {checked} blocks this wallet knows, up to {tip}, is in the node's chain: is it the right node? If \
         Bitcoin really was re-organised that deep, delete wallet.sqlite, and it is made anew"
    )]
    OtherChain {
        /// The wallet's best block.
        tip: u32,
        /// How many were compared.
        checked: u32,
    },
    /// The node has deleted blocks that are needed.
    #[error(
        "the wallet needs the blocks from {needed} on, and the node has pruned all below {pruned}: use a node that has them, \
         or start this one again with -prune=0 -reindex; or sync once from an Electrum or Esplora server you trust"
    )]
    Pruned {
        /// The first block to look at.
        needed: u32,
        /// The first block the node still has.
        pruned: u32,
    },
    /// The caller broke it off.
    #[error("the sync was stopped; what was found so far is kept")]
    Stopped,
}

impl WatchError {
    pub(super) fn database(path: &Path, error: &impl Display) -> Self {
        Self::Database {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }

    pub(super) fn source(name: &str, error: &impl Display) -> Self {
        Self::Source {
            source_name: name.to_owned(),
            reason: error.to_string(),
        }
    }
}
