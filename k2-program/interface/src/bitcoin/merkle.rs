//! The merkle tree over a block's transaction ids.

use alloc::vec::Vec;

use super::{Hash, sha256d};

/// The most levels. A block has at most 1,000,000 bytes without witnesses and a transaction at least 60, so no tree is
/// deeper than 15; 20 leaves room, and bounds what a proof costs.
pub const MAX_DEPTH: usize = 20;

errors! {
    /// Why a branch is refused.
    pub enum MerkleError {
        /// More than [`MAX_DEPTH`] siblings.
        Depth = 1 => "the merkle branch has more than 20 levels",
        /// The index has bits that no level uses.
        Index = 2 => "the transaction's index is beyond the merkle branch's number of leaves",
        /// The branch leads to a repeated node (CVE-2012-2459).
        Duplicate = 3 => "the merkle branch leads to a repeated node: take the index of the transaction itself",
    }
}

/// The root a transaction's branch leads to, siblings from the leaves up. Compare it with the header's.
///
/// Bitcoin repeats the last node of a level of odd width, so some blocks have the same root as ones with repeated
/// transactions (CVE-2012-2459), and a transaction would stand at several indices. A sibling may equal the hash it is
/// paired with only where that hash is the left one, the last of its level: on the right it would be the repetition itself.
///
/// # Errors
/// [`MerkleError`] where the branch is malformed.
pub fn root_from_branch(
    txid: &Hash,
    index: u32,
    siblings: &[Hash],
    sha256: impl Fn(&[&[u8]]) -> Hash,
) -> Result<Hash, MerkleError> {
    if siblings.len() > MAX_DEPTH {
        return Err(MerkleError::Depth);
    }
    if index >> siblings.len() != 0 {
        return Err(MerkleError::Index);
    }
    let mut hash = *txid;
    for (level, sibling) in siblings.iter().enumerate() {
        hash = if index >> level & 1 == 0 {
            sha256d(&[&hash, sibling], &sha256)
        } else if *sibling == hash {
            return Err(MerkleError::Duplicate);
        } else {
            sha256d(&[sibling, &hash], &sha256)
        };
    }
    Ok(hash)
}

/// The branch of the transaction at `index` of a block with these ids; `None` where there is none. For the host: it
/// allocates.
pub fn branch(txids: &[Hash], index: u32, sha256: impl Fn(&[&[u8]]) -> Hash) -> Option<Vec<Hash>> {
    let mut index = usize::try_from(index).ok()?;
    if index >= txids.len() {
        return None;
    }
    let mut branch = Vec::new();
    let mut level = txids.to_vec();
    while level.len() > 1 {
        branch.push(level.get(index ^ 1).copied().unwrap_or(level[index]));
        index >>= 1;
        level = level
            .chunks(2)
            .map(|pair| sha256d(&[&pair[0], &pair[pair.len() - 1]], &sha256))
            .collect();
    }
    Some(branch)
}
