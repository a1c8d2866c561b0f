//! The difficulties a share can have.
//!
//! A pool that enforces a target and announces a rounded number next to it makes honest miners submit shares it then
//! rejects (para announced 1 and enforced 1.9). So shares have only difficulties that are exact in all three forms
//! at once: as a compact target, as an `f64` and as a short decimal. `0xFFFF` is a multiple of 3 and of 5, so
//! `0xFFFF << 208` divided by 1, 5/4 or 3/2 times a power of two keeps a mantissa of at most 18 bits. These quotients
//! are the steps of the ladder.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{NBits, Target, TargetError, Work};

/// Why a number is not a share difficulty.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DifficultyError {
    /// Zero, negative, infinite or not a number.
    #[error("a difficulty must be a positive number, not {0}")]
    NotPositive(f64),
    /// nBits that are no step of the ladder, so no miner can have been told them exactly.
    #[error(
        "nBits {0} is not a share difficulty: it is no step of 1, 1.25 or 1.5 times a power of two"
    )]
    NotAStep(NBits),
    /// nBits that are no target at all.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// A share difficulty: a step of the ladder `{1, 5/4, 3/2} * 2^k`, from 2^-31 to 2^94.
///
/// Ordered by difficulty: greater is harder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "NBits", into = "NBits")]
pub struct ShareDifficulty {
    /// Step number: `3 * (k - MIN_EXPONENT) + index of the multiplier`.
    step: u16,
}

const MIN_EXPONENT: i32 = -31;
const MAX_EXPONENT: i32 = 94;
/// The multipliers times four: 1, 1.25, 1.5.
const QUARTERS: [u32; 3] = [4, 5, 6];

impl ShareDifficulty {
    /// The easiest: 2^-31, a target just below 2^255 (about two hashes).
    pub const MIN: Self = Self { step: 0 };
    /// The hardest: 1.5 * 2^94, about 2^126.6 hashes; no share will ever meet it.
    pub const MAX: Self = Self {
        step: (3 * (MAX_EXPONENT - MIN_EXPONENT) + 2) as u16,
    };
    /// Difficulty 1.
    pub const ONE: Self = Self {
        step: (3 * -MIN_EXPONENT) as u16,
    };

    fn exponent(self) -> i32 {
        i32::from(self.step / 3) + MIN_EXPONENT
    }

    fn quarters(self) -> u32 {
        QUARTERS[usize::from(self.step % 3)]
    }

    /// The number for `mining.set_difficulty`, exact.
    #[must_use]
    pub fn announced(self) -> f64 {
        // A power of two from its bits, because `exp2` may be off by one unit on some platforms.
        let power = f64::from_bits(((1023 + self.exponent()) as u64) << 52);
        f64::from(self.quarters()) / 4.0 * power
    }

    /// The enforced compact target: exactly `DIFFICULTY_ONE / announced`.
    #[must_use]
    pub fn nbits(self) -> NBits {
        // Both divisions are exact: 0xFFFF is a multiple of 3 and 5, and the shift stays within 256 bits.
        let mantissa = ruint::aliases::U256::from(0xFFFF * 4 / self.quarters());
        let target = mantissa << ((208 - self.exponent()) as usize);
        match NBits::at_most(Target::from_be_bytes(target.to_be_bytes())) {
            Ok(bits) => bits,
            // Every step is a target above 2^128: `every_step_is_exact` walks all of them.
            Err(_) => unreachable!(),
        }
    }

    /// The share target.
    #[must_use]
    pub fn target(self) -> Target {
        self.nbits().target()
    }

    /// What a share of this difficulty is credited with.
    #[must_use]
    pub fn work(self) -> Work {
        self.nbits().work()
    }

    /// The hardest step that is not above `difficulty`, within [`Self::MIN`] and [`Self::MAX`].
    ///
    /// # Errors
    /// [`DifficultyError::NotPositive`] for numbers that cannot be a difficulty.
    pub fn at_most(difficulty: f64) -> Result<Self, DifficultyError> {
        if difficulty.is_nan() || difficulty <= 0.0 || difficulty.is_infinite() {
            return Err(DifficultyError::NotPositive(difficulty));
        }
        // At most 378 steps: a binary search over exact numbers beats arguing about logarithms.
        let (mut low, mut high) = (Self::MIN.step, Self::MAX.step);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if (Self { step: middle }).announced() <= difficulty {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(Self { step: low })
    }

    /// The easiest step that is not below `difficulty`, within [`Self::MIN`] and [`Self::MAX`].
    ///
    /// # Errors
    /// [`DifficultyError::NotPositive`] for numbers that cannot be a difficulty.
    pub fn at_least(difficulty: f64) -> Result<Self, DifficultyError> {
        let below = Self::at_most(difficulty)?;
        Ok(if below.announced() < difficulty {
            below.harder()
        } else {
            below
        })
    }

    /// The easiest step whose target is not above `target`.
    #[must_use]
    pub fn for_target(target: Target) -> Self {
        let (mut low, mut high) = (Self::MIN.step, Self::MAX.step);
        while low < high {
            let middle = low + (high - low) / 2;
            if (Self { step: middle }).target() <= target {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Self { step: low }
    }

    /// The next step up.
    #[must_use]
    pub fn harder(self) -> Self {
        Self {
            step: (self.step + 1).min(Self::MAX.step),
        }
    }

    /// The next step down.
    #[must_use]
    pub fn easier(self) -> Self {
        Self {
            step: self.step.saturating_sub(1),
        }
    }
}

impl TryFrom<NBits> for ShareDifficulty {
    type Error = DifficultyError;

    /// The step whose compact target is exactly `bits`.
    fn try_from(bits: NBits) -> Result<Self, Self::Error> {
        let step = Self::for_target(bits.target());
        if step.nbits() == bits {
            Ok(step)
        } else {
            Err(DifficultyError::NotAStep(bits))
        }
    }
}

impl From<ShareDifficulty> for NBits {
    fn from(difficulty: ShareDifficulty) -> Self {
        difficulty.nbits()
    }
}

impl fmt::Debug for ShareDifficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShareDifficulty({self})")
    }
}

impl fmt::Display for ShareDifficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.announced(), f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn all() -> impl Iterator<Item = ShareDifficulty> {
        (0..=ShareDifficulty::MAX.step).map(|step| ShareDifficulty { step })
    }

    #[test]
    fn every_step_is_exact() {
        for step in all() {
            // target * announced == DIFFICULTY_ONE, in integers.
            let target = step.target().to_uint();
            let product = target * ruint::aliases::U256::from(step.quarters());
            let one = Target::DIFFICULTY_ONE.to_uint() << 2;
            if step.exponent() >= 0 {
                assert_eq!(product << (step.exponent() as usize), one, "{step}");
            } else {
                assert_eq!(product, one << ((-step.exponent()) as usize), "{step}");
            }
            assert_eq!(ShareDifficulty::try_from(step.nbits()), Ok(step));
        }
    }

    #[test]
    fn announced_difficulty_is_the_enforced_one() {
        // para: announces floor(1.9) = 1 and enforces 1.9. A miner that believes our JSON number finds exactly our target.
        for step in all() {
            let json = serde_json::to_string(&step.announced()).unwrap();
            let heard: f64 = serde_json::from_str(&json).unwrap();
            assert_eq!(ShareDifficulty::at_most(heard), Ok(step));
            assert_eq!(ShareDifficulty::at_least(heard), Ok(step));
        }
    }

    #[test]
    fn steps_rise_by_a_third_at_most() {
        for step in all().filter(|s| *s != ShareDifficulty::MAX) {
            let ratio = step.harder().announced() / step.announced();
            assert!((1.19..1.34).contains(&ratio), "{step}: {ratio}");
            assert_eq!(step.harder().easier(), step);
        }
        assert!((ShareDifficulty::ONE.announced() - 1.0).abs() < f64::EPSILON);
        assert_eq!(ShareDifficulty::ONE.nbits().to_consensus(), 0x1d00_ffff);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(ShareDifficulty::at_most(bad).is_err());
            assert!(ShareDifficulty::at_least(bad).is_err());
        }
        let network = NBits::from_consensus(0x1703_4219).unwrap();
        assert_eq!(
            ShareDifficulty::try_from(network),
            Err(DifficultyError::NotAStep(network))
        );
    }

    proptest! {
        #[test]
        fn at_most_and_at_least_enclose(difficulty in 1e-9f64..1e27) {
            let low = ShareDifficulty::at_most(difficulty).unwrap();
            let high = ShareDifficulty::at_least(difficulty).unwrap();
            prop_assert!(low.announced() <= difficulty && difficulty <= high.announced());
            prop_assert!(high == low || high == low.harder());
        }

        #[test]
        fn for_target_never_eases(bytes: [u8; 32]) {
            let target = Target::from_be_bytes(bytes);
            let step = ShareDifficulty::for_target(target);
            if step != ShareDifficulty::MAX {
                prop_assert!(step.target() <= target);
            }
            if step != ShareDifficulty::MIN {
                prop_assert!(step.easier().target() > target);
            }
        }
    }
}
