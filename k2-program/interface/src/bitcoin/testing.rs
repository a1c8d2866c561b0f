//! What the tests of this module share.
use sha2::{Digest as _, Sha256};

use super::Hash;

pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
