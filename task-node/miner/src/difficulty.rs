//! From the number in `mining.set_difficulty` to the target a share must meet.

use pow::Target;
use ruint::aliases::U256;
use ruint::aliases::U512;
use serde_json::Number;

/// Why an announced difficulty cannot be mined at.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnouncedDifficultyError {
    /// Zero, negative, or no number at all.
    #[error("a difficulty must be a positive number, not {0}")]
    NotPositive(String),
    /// No hash can meet it.
    #[error("difficulty {0} is beyond any hash")]
    TooHard(String),
}

/// Bits of a double's mantissa, the hidden one included.
const MANTISSA_BITS: u32 = 53;

/// `floor(DIFFICULTY_ONE / difficulty)`, in integers: a double is `mantissa * 2^exponent`, so the quotient is exact and
/// rounding down never lets a share pass that the pool would call low. Targets of 2^256 and more become the greatest one.
///
/// # Errors
/// [`AnnouncedDifficultyError`] for numbers no target belongs to.
pub fn target_of_difficulty(difficulty: &Number) -> Result<Target, AnnouncedDifficultyError> {
    let (mantissa, exponent) = parts(difficulty)
        .ok_or_else(|| AnnouncedDifficultyError::NotPositive(difficulty.to_string()))?;
    // DIFFICULTY_ONE is 0xFFFF * 2^208.
    let shift = 208 - exponent;
    // A mantissa has at most 64 bits: from here on the quotient has more than 256.
    if shift > 320 {
        return Ok(greatest());
    }
    let too_hard = || AnnouncedDifficultyError::TooHard(difficulty.to_string());
    let shift = usize::try_from(shift).map_err(|_| too_hard())?;
    let quotient: U512 = (U512::from(0xFFFF_u32) << shift) / U512::from(mantissa);
    if quotient.is_zero() {
        return Err(too_hard());
    }
    if quotient.bit_len() > 256 {
        return Ok(greatest());
    }
    Ok(Target::from_be_bytes(
        quotient.saturating_to::<U256>().to_be_bytes(),
    ))
}

fn greatest() -> Target {
    Target::from_be_bytes([0xff; 32])
}

/// `(m, e)` with `number == m * 2^e` and `m > 0`.
fn parts(number: &Number) -> Option<(u64, i32)> {
    if let Some(whole) = number.as_u64() {
        return (whole > 0).then_some((whole, 0));
    }
    let float = number.as_f64()?;
    if !float.is_finite() || float <= 0.0 {
        return None;
    }
    let bits = float.to_bits();
    let fraction = bits & ((1 << (MANTISSA_BITS - 1)) - 1);
    // Eleven bits, the sign is zero.
    let biased = (bits >> (MANTISSA_BITS - 1)) as i32;
    Some(if biased == 0 {
        (fraction, -1074)
    } else {
        (fraction | (1 << (MANTISSA_BITS - 1)), biased - 1075)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pow::ShareDifficulty;
    use proptest::prelude::*;

    use super::*;

    /// As it comes over the wire.
    fn heard(text: &str) -> Result<Target, AnnouncedDifficultyError> {
        target_of_difficulty(&serde_json::from_str::<Number>(text).unwrap())
    }

    #[test]
    fn every_step_of_the_pool_s_ladder_is_exact() {
        let mut step = ShareDifficulty::MIN;
        let mut steps = 0;
        loop {
            let text = serde_json::to_string(&step.announced()).unwrap();
            assert_eq!(heard(&text).unwrap(), step.target(), "{text}");
            steps += 1;
            if step == ShareDifficulty::MAX {
                break;
            }
            step = step.harder();
        }
        assert_eq!(steps, 378);
    }

    #[test]
    fn whole_numbers_and_their_doubles_are_one_target() {
        assert_eq!(heard("1").unwrap(), Target::DIFFICULTY_ONE);
        assert_eq!(heard("1.0").unwrap(), Target::DIFFICULTY_ONE);
        assert_eq!(heard("512").unwrap(), heard("5.12e2").unwrap());
        // Beyond 2^53 the whole number is exact where a double is not.
        assert!(heard("9007199254740993").unwrap() < heard("9007199254740992").unwrap());
    }

    #[test]
    fn numbers_that_are_no_difficulty() {
        for bad in ["0", "0.0", "-0.0", "-1", "-0.5", "-1e300"] {
            assert!(
                matches!(heard(bad), Err(AnnouncedDifficultyError::NotPositive(_))),
                "{bad}"
            );
        }
        for hard in ["1e300", "1e70"] {
            assert!(
                matches!(heard(hard), Err(AnnouncedDifficultyError::TooHard(_))),
                "{hard}"
            );
        }
        for easy in ["1e-300", "5e-324", "1e-11"] {
            assert_eq!(heard(easy).unwrap(), greatest(), "{easy}");
        }
    }

    proptest! {
        /// target * difficulty <= DIFFICULTY_ONE < (target + 1) * difficulty: the greatest target that is never low.
        #[test]
        fn is_the_exact_floor(difficulty in 1..=u64::MAX) {
            let target = target_of_difficulty(&Number::from(difficulty)).unwrap().to_uint();
            let one: U512 = U512::from(0xFFFF_u32) << 208;
            let wide = U512::from(target);
            let difficulty = U512::from(difficulty);
            prop_assert!(wide * difficulty <= one);
            prop_assert!((wide + U512::from(1_u8)) * difficulty > one);
        }

        #[test]
        fn any_double_is_answered(difficulty: f64) {
            if let Some(number) = Number::from_f64(difficulty) {
                let target = target_of_difficulty(&number);
                prop_assert_eq!(target.is_ok(), difficulty > 0.0 && difficulty < 65_536.0 * 2_f64.powi(208) * 0.99998);
            }
        }
    }
}
