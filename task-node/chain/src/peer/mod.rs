//! Bitcoin without a Bitcoin node: templates, headers and a way for found blocks, from other operators' task nodes.
//!
//! - [`ChainSource`] is the serving side, beside a node that has a `bitcoind`.
//! - [`PeersNode`] is the asking side: a [`crate::BitcoinNode`] over several peers, none of which is believed alone.
//!
//! What a peer can do: headers carry proof of work and are checked by consensus rules from a [`Checkpoint`] on
//! ([`HeaderChain`]), so peers can withhold news and cannot invent it cheaply. A transaction is mined only if a quorum of
//! peers lists it with the same fee, and the coinbase takes the subsidy and those fees ([`agree`]), so a lone liar can
//! only keep transactions out. As many liars as the quorum can make blocks invalid. Nobody can take a reward: the payout
//! script is this node's own. All of them together can show a branch that lost; a [`Witness`] that has more work ends that:
//! nothing is mined or judged on such a branch.

mod agreement;
mod checkpoint;
mod client;
mod delivery;
mod follow;
mod header_chain;
mod node;
mod offer;
mod source;
mod witness;

pub use agreement::{Agreed, NextBlock, agree};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use client::PeerTimeouts;
pub(crate) use client::decode_headers;
pub use header_chain::{Accepted, HeaderChain, HeaderError};
pub use node::{PeerStatus, PeersNode, PeersOptions};
pub use offer::{Offer, OfferError, OfferedTransaction};
pub use source::{BlockRefusal, ChainSource, HeadersAnswer, LookUpError, TemplateBytes};
pub use witness::{NoRecord, Testimony, Weighed, Witness};

use serde::{Deserialize, Serialize};

/// Most headers in one answer, as in Bitcoin's own `headers` message.
pub const MAX_HEADERS: u32 = 2000;

/// Bytes of a serialised header.
pub const HEADER_BYTES: usize = 80;

/// The longest serialised block: no byte weighs less than one unit (BIP141).
pub const MAX_BLOCK_BYTES: usize = 4_000_000;

/// The longest a caller may ask [`ChainSource::tip_after`] to wait, in seconds.
pub const MAX_TIP_WAIT_SECONDS: u64 = 25;

/// A node's tip, as peers tell it each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TipMessage {
    /// The chain's name as Bitcoin Core writes it: `main`, `testnet4`, `signet`, `regtest`.
    pub network: String,
    /// The tip's height.
    pub height: u32,
    /// The tip's hash, hex as people read it.
    pub hash: bitcoin::BlockHash,
}

/// What became of a block that was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitMessage {
    /// `null`: taken as the new tip; else a reason in the words of BIP22, `duplicate` among them.
    pub outcome: Option<String>,
}
