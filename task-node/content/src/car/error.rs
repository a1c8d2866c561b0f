//! What can be wrong with a CAR.

use cid::Cid;

use super::decoder::MAX_HEADER_BYTES;
use crate::{
    block::BlockError,
    dag::{DagError, DagViolation},
    dag_cbor,
    store::StoreError,
};

/// Why a stream is not the CAR of one DAG.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// The stream ends inside the header or a block.
    #[error("CAR is cut off")]
    Truncated,
    /// A length is not a minimal varint of at most 9 bytes.
    #[error("CAR has a malformed length")]
    BadLength,
    /// The header is longer than any with one root.
    #[error("CAR header of {length} bytes; at most {MAX_HEADER_BYTES} are read")]
    HeaderTooLarge {
        /// Its claimed length.
        length: u64,
    },
    /// The header is not `{roots, version}` in DAG-CBOR.
    #[error("CAR header: {0}")]
    BadHeader(#[from] dag_cbor::CborError),
    /// CARv2, or a version from the future.
    #[error("CAR version {0} is not supported; export it as CARv1")]
    UnsupportedVersion(u64),
    /// Not exactly one root.
    #[error("CAR has {0} roots; exactly one is needed")]
    NotOneRoot(usize),
    /// Another root than the one asked for.
    #[error("CAR is of {found}, not of what was asked for")]
    WrongRoot {
        /// What the header names.
        found: Cid,
    },
    /// A section shorter than a CID or longer than a CID and the largest block.
    #[error("CAR section of {length} bytes cannot hold one block")]
    BadSection {
        /// Its claimed length.
        length: u64,
    },
    /// A section does not begin with a CID of the form spoken here.
    #[error("CAR section {index} does not begin with a CIDv1 of sha2-256")]
    BadCid {
        /// Which block, from 0.
        index: usize,
    },
    /// A block's bytes do not hash to its CID.
    #[error("CAR section {index}: {error}")]
    BadBlock {
        /// Which block, from 0.
        index: usize,
        /// What is wrong with it.
        error: BlockError,
    },
    /// More sections, repeated ones included, than blocks are allowed.
    #[error("CAR has more than {limit} sections")]
    TooManySections {
        /// [`crate::DagLimits::max_blocks`].
        limit: usize,
    },
    /// More bytes in all sections, repeated ones included, than allowed.
    #[error("CAR has more than {limit} bytes of blocks")]
    TooManyBytes {
        /// [`crate::DagLimits::max_total_bytes`].
        limit: u64,
    },
    /// The blocks do not form one DAG within the limits.
    #[error("CAR: {0}")]
    Dag(#[from] DagViolation),
    /// On export: a block is not in the store.
    #[error("block {0} is not in the store; fetch it before exporting")]
    Missing(Cid),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream itself failed.
    #[error("CAR stream: {0}")]
    Io(#[from] std::io::Error),
}

impl From<DagError> for CarError {
    fn from(error: DagError) -> Self {
        match error {
            DagError::Invalid(violation) => Self::Dag(violation),
            DagError::Missing(cid) => Self::Missing(cid),
            DagError::Store(error) => Self::Store(error),
        }
    }
}
