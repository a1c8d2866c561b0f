//! What comes of shares and rounds: blocks, audits, accepted submissions, distributions.

use bitcoin::{Amount, BlockHash};
use cid::Cid;
use k2_interface::K2Address;
use work::{RoundNumber, UnixTime};

/// How much of a reason is kept. Reasons may come from outside; longer ones are cut.
pub const MAX_REASON_BYTES: usize = 512;

/// The longest distribution.
pub const MAX_DISTRIBUTION_BYTES: usize = 64 * 1024 * 1024;

/// The longest settlement: a distribution, and the blocks that pay for it.
pub const MAX_SETTLEMENT_BYTES: usize = MAX_DISTRIBUTION_BYTES + 1024 * 1024;

/// The longest binary CID; one of SHA-256 has 36 bytes.
pub const MAX_CID_BYTES: usize = 96;

/// What the Bitcoin network made of a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlockStatus {
    /// Found and handed to the node; its answer is not known.
    Submitted,
    /// The node took it.
    Accepted,
    /// The node refused it.
    Rejected(
        /// Why, in the node's words. Cut to [`MAX_REASON_BYTES`].
        String,
    ),
    /// It was valid, but another block won its height.
    Stale,
}

/// A block one of our miners found. Recorded also when its share was stale and is therefore not stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockRecord {
    /// The block's hash, which is the hash of the share that found it.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// The round of the claim in its coinbase.
    pub round: RoundNumber,
    /// Who found it.
    pub miner: K2Address,
    /// With which worker. At most [`crate::MAX_WORKER_BYTES`].
    pub worker: String,
    /// What its coinbase pays to the pool.
    pub value: Amount,
    /// When it was found.
    pub at: UnixTime,
    /// What became of it.
    pub status: BlockStatus,
}

/// What [`crate::ShareStore::record_block`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum BlockOutcome {
    /// It is recorded now.
    Recorded,
    /// It was recorded before; its status is the one set last.
    Known,
}

/// The verdict of this node about one submission of a node for a round.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuditRecord {
    /// The round.
    pub round: RoundNumber,
    /// The node that submitted.
    pub node: K2Address,
    /// What it submitted.
    pub cid: Cid,
    /// The verdict.
    pub valid: bool,
    /// What was found wrong. Cut to [`MAX_REASON_BYTES`].
    pub reason: Option<String>,
    /// When it was audited.
    pub at: UnixTime,
}

/// A submission that K2 accepted for a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accepted {
    /// The node that submitted.
    pub node: K2Address,
    /// What it submitted.
    pub cid: Cid,
}

/// What setting a value that may be set again did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what was computed from a replaced value must be computed again"]
pub enum SetOutcome {
    /// There was none before.
    New,
    /// The same was there before; nothing changed.
    Unchanged,
    /// Another was there before and is gone.
    Replaced,
}
