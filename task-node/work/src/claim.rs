//! The claim: who earns a share, fixed in the coinbase before the first hash is tried.
//!
//! A pool operator could otherwise re-assign shares, copy another pool's, or credit a lucky hash at a difficulty it was
//! never asked for. The header hash commits to the coinbase, the coinbase to the claim.

use std::fmt;
use std::str::FromStr;

use k2_interface::{AddressError, K2Address};
use pow::ShareDifficulty;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::RoundNumber;

/// The four letters a claim push begins with.
pub const CLAIM_TAG: [u8; 4] = *b"KOII";

/// The version of the claim format, the byte after [`CLAIM_TAG`].
pub const CLAIM_VERSION: u8 = 1;

/// The longest extension. Nothing that belongs into a claim is longer, and everything read from outside is bounded.
pub const MAX_EXTENSION_BYTES: usize = 1024;

/// Separates this hash from every other use of SHA-256.
const DOMAIN: &[u8] = b"orcapool/claim/1";

/// The Koii task (its state account on K2) a share belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(K2Address);

impl TaskId {
    /// The task with these 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(K2Address::from_bytes(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl FromStr for TaskId {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

/// Everything a share is bound to besides the block it tries to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The Koii task.
    pub task: TaskId,
    /// The round the share counts in, and no other.
    pub round: RoundNumber,
    /// The operator's K2 key; the operator's fee goes here.
    pub node: K2Address,
    /// The K2 address that is paid.
    pub miner: K2Address,
    /// The difficulty the job was issued at; what the share is credited with.
    pub difficulty: ShareDifficulty,
    /// Empty, or the share chain's fields. At most [`MAX_EXTENSION_BYTES`].
    pub extension: Vec<u8>,
}

impl Claim {
    /// `SHA-256("orcapool/claim/1" | task | round u64le | node | miner | share_nbits u32le | extension)`.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.task.as_bytes())
            .chain_update(self.round.get().to_le_bytes())
            .chain_update(self.node.as_bytes())
            .chain_update(self.miner.as_bytes())
            .chain_update(self.difficulty.nbits().to_consensus().to_le_bytes())
            .chain_update(&self.extension)
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            task: TaskId::from_bytes([1; 32]),
            round: RoundNumber::ZERO.next(),
            node: K2Address::from_bytes([2; 32]),
            miner: K2Address::from_bytes([3; 32]),
            difficulty: ShareDifficulty::ONE,
            extension: Vec::new(),
        }
    }

    #[test]
    fn hash_is_the_documented_one() {
        let mut preimage = b"orcapool/claim/1".to_vec();
        preimage.extend([1; 32]);
        preimage.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        preimage.extend([2; 32]);
        preimage.extend([3; 32]);
        preimage.extend([0xff, 0xff, 0x00, 0x1d]);
        let expected: [u8; 32] = Sha256::digest(&preimage).into();
        assert_eq!(claim().hash(), expected);
    }

    #[test]
    fn every_field_changes_the_hash() {
        let base = claim().hash();
        let mut changed = vec![claim(), claim(), claim(), claim(), claim(), claim()];
        changed[0].task = TaskId::from_bytes([9; 32]);
        changed[1].round = RoundNumber::ZERO;
        changed[2].node = K2Address::from_bytes([9; 32]);
        changed[3].miner = K2Address::from_bytes([9; 32]);
        changed[4].difficulty = ShareDifficulty::ONE.harder();
        changed[5].extension = vec![0];
        for claim in changed {
            assert_ne!(claim.hash(), base, "{claim:?}");
        }
    }
}
