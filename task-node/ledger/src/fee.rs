//! The operator's part of a share.

use ruint::aliases::U256;
use serde::{Deserialize, Serialize};

/// A fee above the whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an operator fee of {0} parts per million is more than everything (1000000)")]
pub struct FeeError(pub u32);

/// The part of each share's work that is credited to the node it was found on, in parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Fee(u32);

impl Fee {
    /// No fee.
    pub const NONE: Self = Self(0);
    const WHOLE: u32 = 1_000_000;

    /// `ppm` parts per million.
    ///
    /// # Errors
    /// [`FeeError`] above 1,000,000.
    pub const fn from_ppm(ppm: u32) -> Result<Self, FeeError> {
        if ppm <= Self::WHOLE {
            Ok(Self(ppm))
        } else {
            Err(FeeError(ppm))
        }
    }

    /// Parts per million.
    #[must_use]
    pub const fn to_ppm(self) -> u32 {
        self.0
    }

    /// Splits `work` hashes into the weights of miner and operator, in millionths of a hash: nothing is rounded here,
    /// so the two always add up to a million times `work`. Below 2^148.
    pub(crate) fn split(self, work: u128) -> (U256, U256) {
        let work = U256::from(work);
        (
            work * U256::from(Self::WHOLE - self.0),
            work * U256::from(self.0),
        )
    }
}

impl TryFrom<u32> for Fee {
    type Error = FeeError;

    fn try_from(ppm: u32) -> Result<Self, Self::Error> {
        Self::from_ppm(ppm)
    }
}

impl From<Fee> for u32 {
    fn from(fee: Fee) -> Self {
        fee.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_exact_up_to_the_largest_work() {
        for ppm in [0, 1, 10_000, 333_333, 999_999, 1_000_000] {
            for work in [0, 1, 3, u128::from(u64::MAX), u128::MAX] {
                let (miner, operator) = Fee(ppm).split(work);
                assert_eq!(miner + operator, U256::from(work) * U256::from(1_000_000));
                assert_eq!(operator, U256::from(work) * U256::from(ppm));
            }
        }
        assert_eq!(Fee::from_ppm(1_000_001), Err(FeeError(1_000_001)));
    }
}
