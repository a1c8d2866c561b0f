//! Why a bundle is not what it was submitted as: one variant per check.

use bitcoin::{Amount, BlockHash};
use cid::Cid;
use work::{JobTemplateError, K2Address, RejectReason, RoundNumber, TaskId};

use crate::RulesDigest;
use crate::bundle_error::{BundleError, Part};

/// One end of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its beginning.
    Opened,
    /// Its end.
    Closed,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
        })
    }
}

/// The first check that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFailure {
    /// The blocks are not a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// No source served the whole bundle. To serve it is the submitter's duty.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The blocks are more, or nested deeper, than those of a bundle.
    #[error("invalid content: {0}")]
    Content(Box<content::DagViolation>),
    /// Another bundle than the one submitted.
    #[error("the bundle is {found}, submitted was {submitted}")]
    OtherBundle {
        /// The submission's.
        submitted: Box<Cid>,
        /// The bundle's.
        found: Box<Cid>,
    },
    /// Another task.
    #[error("the bundle is of task {0}")]
    Task(TaskId),
    /// Another round.
    #[error("the bundle is of round {0}")]
    Round(RoundNumber),
    /// Another node.
    #[error("the bundle is of node {0}, which is not its submitter")]
    Node(K2Address),
    /// Another Bitcoin network.
    #[error("the bundle is of the Bitcoin network {0}")]
    Network(bitcoin::Network),
    /// Other rules.
    #[error(
        "the node runs with other rules ({found}; here {expected}): compare both nodes' configuration"
    )]
    Rules {
        /// This node's.
        expected: RulesDigest,
        /// The bundle's.
        found: RulesDigest,
    },
    /// A total of the submission is not the bundle's.
    #[error("{submitted} {what} were submitted, the bundle has {found}")]
    Submitted {
        /// Shares or work.
        what: &'static str,
        /// The submission's.
        submitted: u128,
        /// The bundle's.
        found: u128,
    },
    /// The submitted Merkle-sum root is not the bundle's.
    #[error("the submitted root is not the bundle's")]
    SubmittedRoot,
    /// A round said to have been wider than the auditor saw it.
    #[error(
        "the round is said to have {end} at {said}, here it {end} at {own}: more than {tolerance} seconds apart"
    )]
    Clock {
        /// Which.
        end: End,
        /// The bundle's, Unix seconds.
        said: u64,
        /// The auditor's, Unix seconds.
        own: u64,
        /// What the rules allow, seconds.
        tolerance: u32,
    },
    /// A tip nobody knows.
    #[error("the tip {tip} of when the round {end} is not a known block")]
    UnknownTip {
        /// Which.
        end: End,
        /// Its hash.
        tip: BlockHash,
    },
    /// A tip with a wrong height.
    #[error("the tip of when the round {end} is said to have height {said}, it has {height}")]
    TipHeight {
        /// Which.
        end: End,
        /// The bundle's.
        said: u32,
        /// The block's.
        height: u32,
    },
    /// A block that was no tip at that time.
    #[error("height {height} was not the tip's when the round {end}: that was {low} to {high}")]
    TipTime {
        /// Which.
        end: End,
        /// The tip's height.
        height: u32,
        /// The lowest it can have been.
        low: u32,
        /// The highest it can have been.
        high: u32,
    },
    /// A job on a block nobody knows.
    #[error("job {job} builds on {previous}, which is not a known block")]
    UnknownPrevious {
        /// Position in the table.
        job: usize,
        /// The block.
        previous: BlockHash,
    },
    /// A job with a wrong height.
    #[error("job {job} is of height {said}, the block it builds on makes it {height}")]
    Height {
        /// Position in the table.
        job: usize,
        /// The job's.
        said: u32,
        /// What it has to be.
        height: u32,
    },
    /// A job on a block that was no tip during the round.
    #[error(
        "job {job} builds on height {height}, which was no tip during the round: those were {low} to {high}"
    )]
    StalePrevious {
        /// Position in the table.
        job: usize,
        /// Height of the block it builds on.
        height: u32,
        /// The lowest tip of the round.
        low: u32,
        /// The highest tip of the round.
        high: u32,
    },
    /// A target the chain does not demand.
    #[error("job {job} has nBits {found:08x}, the chain demands {expected:08x}")]
    Bits {
        /// Position in the table.
        job: usize,
        /// The job's.
        found: u32,
        /// The chain's.
        expected: u32,
    },
    /// A version that no block may have any more.
    #[error(
        "job {job} has header version {version:08x}, which no block may have (BIP34, BIP66, BIP65)"
    )]
    Version {
        /// Position in the table.
        job: usize,
        /// The job's.
        version: u32,
    },
    /// A coinbase output to somebody else.
    #[error("job {job} pays output {output} to a script that is not the pool's")]
    Payout {
        /// Position in the table.
        job: usize,
        /// Position among its payouts.
        output: usize,
    },
    /// A coinbase that claims less than it could.
    #[error("job {job} pays {value}, less than the subsidy {subsidy}")]
    BelowSubsidy {
        /// Position in the table.
        job: usize,
        /// What it pays.
        value: Amount,
        /// What it has to pay at least.
        subsidy: Amount,
    },
    /// A share with a time the chain does not take.
    #[error(
        "job {job} has a share of time {time}, below the lowest a block there may have ({lowest})"
    )]
    TimeTooOld {
        /// Position in the table.
        job: usize,
        /// The smallest time of its shares.
        time: u32,
        /// The lowest allowed.
        lowest: u32,
    },
    /// A job whose base time is not the smallest of its shares.
    #[error("job {0}: no share has its base time")]
    BaseTime(usize),
    /// A job that cannot be rebuilt.
    #[error("job {job}: {source}")]
    Job {
        /// Position in the table.
        job: usize,
        /// Why.
        #[source]
        source: JobTemplateError,
    },
    /// A share that is not above the last one of the chunk before.
    #[error("shares chunk {0} begins at or below the end of the one before it")]
    Order(usize),
    /// A share [`work::check_share`] refuses.
    #[error("shares chunk {chunk}, share {share}: {reason}")]
    Share {
        /// Position of the chunk.
        chunk: usize,
        /// Position in it.
        share: usize,
        /// Its reason.
        reason: RejectReason,
    },
    /// A chunk whose work is not what the root says.
    #[error("shares chunk {chunk} is said to hold {given} work, it holds {sum}")]
    ChunkWork {
        /// Position of the chunk.
        chunk: usize,
        /// The root's.
        given: u128,
        /// The value recomputed.
        sum: u128,
    },
    /// The number of blocks found.
    #[error("the root says {given} of the shares are blocks, it is {found}")]
    Blocks {
        /// The root's.
        given: u64,
        /// The value recounted.
        found: u64,
    },
    /// A table entry no share names.
    #[error("{part} entry {index} is not used by any share")]
    Unused {
        /// Which table.
        part: Part,
        /// Position in it.
        index: usize,
    },
    /// The auditor's own memory of the round is full. Says nothing about the bundle.
    #[error("no room to remember the shares of another bundle: raise the auditor's limit")]
    SeenFull,
}

impl AuditFailure {
    /// Whether the fault is the auditor's own, so that the bundle must not be voted down.
    #[must_use]
    pub fn is_own_trouble(&self) -> bool {
        matches!(self, Self::SeenFull)
    }

    /// Whether it follows from the bundle's bytes alone, so that whoever reads them finds the same.
    #[must_use]
    pub fn is_in_the_bytes(&self) -> bool {
        match self {
            Self::Bundle(error) => !matches!(error, BundleError::Missing { .. }),
            Self::Content(_) => true,
            _ => false,
        }
    }
}
