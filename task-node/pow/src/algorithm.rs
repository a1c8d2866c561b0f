//! The seam behind which each proof-of-work algorithm lives.

use crate::Target;

/// A proof-of-work function over a serialised block header.
pub trait Algorithm {
    /// The algorithm's name as miners and configuration write it, in lower case.
    const NAME: &'static str;

    /// The target that is called difficulty 1 for this algorithm.
    const DIFFICULTY_ONE: Target;

    /// Hashes a serialised header. The digest is in the algorithm's own byte order (for [`crate::Sha256d`] the
    /// internal, little-endian order that [`Target::is_met_by_le`] expects).
    fn hash(header: &[u8]) -> [u8; 32];
}
