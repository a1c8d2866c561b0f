//! Why blocks are not a bundle.

use cid::Cid;
use work::JobTemplateError;

use crate::shares_chunk::ChunkError;

/// The parts of a bundle that stand in blocks of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The table of job templates.
    Jobs,
    /// The table of claims.
    Claims,
    /// The chunks of packed shares.
    Shares,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jobs => "jobs",
            Self::Claims => "claims",
            Self::Shares => "shares",
        })
    }
}

/// Why blocks are not a bundle in its one canonical form, or shares cannot be made into one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The root block is too long.
    #[error("the root has {0} bytes, more than a block may have")]
    RootTooLong(usize),
    /// The root does not decode, or not canonically.
    #[error("the root is not the canonical encoding of a bundle root: {0}")]
    Root(String),
    /// A format this build does not know.
    #[error("format {0:?} is not one this version reads; update it")]
    Format(String),
    /// No network of that name.
    #[error("{0:?} is not the name of a Bitcoin network")]
    Network(String),
    /// Closed before it was opened.
    #[error("the round is closed at {closed}, before it is opened at {opened}")]
    Times {
        /// `opened.at`
        opened: u64,
        /// `closed.at`
        closed: u64,
    },
    /// More of something than a bundle may have.
    #[error("{count} {what} are more than a bundle may have ({max})")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u64,
        /// How many there may be.
        max: u64,
    },
    /// A link that is not CIDv1, SHA-256, and of the codec its block must have.
    #[error("{part} link {index} ({cid}) is not of the kind its block must be")]
    Link {
        /// Which list.
        part: Part,
        /// Position in it.
        index: usize,
        /// The link.
        cid: Cid,
    },
    /// A chunk with another number of entries than its place demands.
    #[error("{part} chunk {index} is said to hold {count} entries, which cannot be in that place")]
    LinkCount {
        /// Which list.
        part: Part,
        /// Position in it.
        index: usize,
        /// The number said.
        count: u64,
    },
    /// A total that is not the sum.
    #[error("total {what} is {given}, but the chunks sum to {sum}")]
    Total {
        /// Which total.
        what: &'static str,
        /// The value in the root.
        given: u128,
        /// The value recomputed.
        sum: u128,
    },
    /// Sums beyond their types.
    #[error("the chunks' work sums to more than 128 bits")]
    Overflow,
    /// The Merkle-sum root.
    #[error("the Merkle-sum root is not that of the chunks")]
    SumRoot,
    /// A block that was not given.
    #[error("the {part} block {index} ({cid}) is missing")]
    Missing {
        /// Which list.
        part: Part,
        /// Position in it.
        index: usize,
        /// Its name.
        cid: Cid,
    },
    /// A table block that does not decode, or not canonically.
    #[error("{part} block {index} is not the canonical encoding of a table: {reason}")]
    Table {
        /// Which table.
        part: Part,
        /// Position in the list of blocks.
        index: usize,
        /// What the decoder says.
        reason: String,
    },
    /// A table entry that is not above the one before.
    #[error(
        "{part} entry {index} is not above the one before it (tables are sorted, each entry stands once)"
    )]
    TableOrder {
        /// Which table.
        part: Part,
        /// Position in the table.
        index: usize,
    },
    /// A table cut into other blocks than it has to be.
    #[error("the table of {0} is not cut where it has to be")]
    TableCut(Part),
    /// A job whose uncommitted fields are not in their one form.
    #[error(
        "job {0}: mintime, curtime and the BIP320 version bits are not in their canonical form"
    )]
    JobForm(usize),
    /// A claim with too long an extension.
    #[error("claim {index}: an extension of {bytes} bytes is too long")]
    Extension {
        /// Position in the table.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// A chunk of shares.
    #[error("shares chunk {index}: {source}")]
    Chunk {
        /// Position in the list of chunks.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: ChunkError,
    },
    /// A share on a job template that was not given with it.
    #[error(
        "a share names the job {0:?}, which is not among the round's jobs: the store is damaged"
    )]
    UnknownJob(work::JobTemplateId),
    /// A job template that cannot be stored.
    #[error("a job cannot be put into a bundle: {0}")]
    Job(#[from] JobTemplateError),
}
