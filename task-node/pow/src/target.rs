//! 256-bit targets, their compact form and the work they stand for.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use ruint::aliases::U256;
use serde::{Deserialize, Serialize};

/// Why a number is not a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Compact form with the sign bit set. Bitcoin Core treats it as an invalid proof of work.
    #[error("nBits {0:#010x} is negative: the mantissa's sign bit is set")]
    Negative(u32),
    /// Compact form whose value does not fit 256 bits.
    #[error("nBits {0:#010x} overflows 256 bits")]
    Overflow(u32),
    /// A target of zero can never be met.
    #[error("nBits {0:#010x} is zero: no hash can meet it")]
    Zero(u32),
    /// Several compact forms describe one target; only the one Bitcoin Core would write is accepted.
    #[error("nBits {given:#010x} is not the canonical form {canonical:#010x} of its target")]
    NotCanonical {
        /// What was given.
        given: u32,
        /// The form Bitcoin Core's `GetCompact` writes.
        canonical: u32,
    },
    /// A target below 2^128 stands for more work than 128 bits can count.
    #[error("nBits {0:#010x} is harder than 2^128 hashes")]
    TooHard(u32),
}

/// A proof of work is valid when its hash, read as a 256-bit integer, is not above the target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(U256);

impl Target {
    /// Difficulty 1 as every pool counts it ("bdiff"): `0xFFFF << 208`.
    pub const DIFFICULTY_ONE: Self = Self(U256::from_limbs([0, 0, 0, 0xFFFF_0000]));

    /// The target as a 256-bit integer.
    #[must_use]
    pub const fn to_uint(self) -> U256 {
        self.0
    }

    /// Whether `hash`, in the little-endian order a SHA-256d digest comes in, meets this target.
    #[must_use]
    pub fn is_met_by_le(&self, hash: &[u8; 32]) -> bool {
        U256::from_le_bytes(*hash) <= self.0
    }

    /// The expected number of hashes to meet this target: floor(2^256 / (target + 1)), as Bitcoin Core counts
    /// chain work (`GetBlockProof`).
    #[must_use]
    pub fn work(self) -> Work {
        // 2^256 does not fit; Core's identity: 2^256 / (t+1) = (!t / (t+1)) + 1.
        let quotient = match self.0.checked_add(U256::ONE) {
            Some(divisor) => (!self.0 / divisor) + U256::ONE,
            None => U256::ONE,
        };
        // `NBits` refuses targets below 2^128, so the quotient fits; saturating keeps this total all the same.
        Work(quotient.saturating_to())
    }

    /// Big-endian bytes, the order block explorers print.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// The target with these big-endian bytes.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// Difficulty for display: `DIFFICULTY_ONE / target`. Never used to decide anything.
    #[must_use]
    pub fn difficulty_for_display(self) -> f64 {
        f64::from(Self::DIFFICULTY_ONE.0) / f64::from(self.0)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({:064x})", self.0)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:064x}", self.0)
    }
}

/// The compact form of a target, as in a block header: an exponent byte and a 23-bit mantissa.
///
/// A value of this type is always a positive, canonical target of at least 2^128 and less than 2^256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct NBits(u32);

impl NBits {
    /// Parses the 32-bit compact form.
    ///
    /// # Errors
    /// [`TargetError`] for forms Bitcoin Core would not write or never accept.
    pub fn from_consensus(bits: u32) -> Result<Self, TargetError> {
        let exponent = bits >> 24;
        let mantissa = bits & 0x007F_FFFF;
        if mantissa == 0 {
            return Err(TargetError::Zero(bits));
        }
        if bits & 0x0080_0000 != 0 {
            return Err(TargetError::Negative(bits));
        }
        // The same three overflow cases as Core's arith_uint256::SetCompact.
        if exponent > 34
            || (mantissa > 0xFF && exponent > 33)
            || (mantissa > 0xFFFF && exponent > 32)
        {
            return Err(TargetError::Overflow(bits));
        }
        let target = expand(exponent, mantissa);
        if target.is_zero() {
            return Err(TargetError::Zero(bits));
        }
        let canonical = compress(target);
        if canonical != bits {
            return Err(TargetError::NotCanonical {
                given: bits,
                canonical,
            });
        }
        if target.bit_len() <= 128 {
            return Err(TargetError::TooHard(bits));
        }
        Ok(Self(bits))
    }

    /// The largest target of compact form that is not above `target` (at most 0.003 % below it).
    ///
    /// # Errors
    /// [`TargetError::TooHard`] below 2^128.
    pub fn at_most(target: Target) -> Result<Self, TargetError> {
        Self::from_consensus(compress(target.0))
    }

    /// The 32 bits as they stand in a header.
    #[must_use]
    pub const fn to_consensus(self) -> u32 {
        self.0
    }

    /// The target.
    #[must_use]
    pub fn target(self) -> Target {
        Target(expand(self.0 >> 24, self.0 & 0x007F_FFFF))
    }

    /// The expected number of hashes to meet the target.
    #[must_use]
    pub fn work(self) -> Work {
        self.target().work()
    }
}

fn expand(exponent: u32, mantissa: u32) -> U256 {
    let mantissa = U256::from(mantissa);
    if exponent <= 3 {
        mantissa >> (8 * (3 - exponent) as usize)
    } else {
        mantissa << (8 * (exponent - 3) as usize)
    }
}

/// Core's `GetCompact`: rounds towards zero.
fn compress(target: U256) -> u32 {
    let mut size = target.bit_len().div_ceil(8);
    let mut mantissa: u32 = if size <= 3 {
        target.saturating_to::<u32>() << (8 * (3 - size))
    } else {
        (target >> (8 * (size - 3))).saturating_to::<u32>()
    };
    if mantissa & 0x0080_0000 != 0 {
        mantissa >>= 8;
        size += 1;
    }
    // size is at most 33.
    mantissa | ((size as u32) << 24)
}

impl TryFrom<u32> for NBits {
    type Error = TargetError;

    fn try_from(bits: u32) -> Result<Self, Self::Error> {
        Self::from_consensus(bits)
    }
}

impl From<NBits> for u32 {
    fn from(bits: NBits) -> Self {
        bits.0
    }
}

impl fmt::Debug for NBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NBits({:08x})", self.0)
    }
}

impl fmt::Display for NBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// An amount of proof of work: the expected number of hashes. What a share is credited with.
///
/// 128 bits hold the whole of Bitcoin's chain work (below 2^97 in 2026) with room for centuries, so sums saturate
/// only on input that [`NBits`] already refuses.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Work(u128);

impl Work {
    /// No work.
    pub const ZERO: Self = Self(0);

    /// `hashes` expected hashes.
    #[must_use]
    pub const fn from_hashes(hashes: u128) -> Self {
        Self(hashes)
    }

    /// The expected number of hashes.
    #[must_use]
    pub const fn to_hashes(self) -> u128 {
        self.0
    }

    /// `self + other`, or `None` beyond 128 bits.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// `self - other`, or zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self * factor`, saturating.
    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor as u128))
    }

    /// In units of difficulty 1 (2^32 + 2^16 hashes), for display.
    #[must_use]
    pub fn difficulty_for_display(self) -> f64 {
        self.0 as f64 / Target::DIFFICULTY_ONE.work().0 as f64
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_compact_forms() {
        // Genesis, and the two limits of regtest and signet (Bitcoin Core chainparams.cpp).
        for (bits, target) in [
            (
                0x1d00_ffff,
                "00000000ffff0000000000000000000000000000000000000000000000000000",
            ),
            (
                0x207f_ffff,
                "7fffff0000000000000000000000000000000000000000000000000000000000",
            ),
            (
                0x1e03_77ae,
                "00000377ae000000000000000000000000000000000000000000000000000000",
            ),
        ] {
            let parsed = NBits::from_consensus(bits).unwrap();
            assert_eq!(parsed.target().to_string(), target);
            assert_eq!(NBits::at_most(parsed.target()).unwrap(), parsed);
        }
    }

    #[test]
    fn refuses_what_core_never_writes() {
        use TargetError::*;
        for (bits, error) in [
            (0, Zero(0)),
            (0x0100_0000, Zero(0x0100_0000)),
            (0x1d80_ffff, Negative(0x1d80_ffff)),
            (0x2300_0001, Overflow(0x2300_0001)),
            (0x2200_0100, Overflow(0x2200_0100)),
            (0x2101_0000, Overflow(0x2101_0000)),
        ] {
            assert_eq!(NBits::from_consensus(bits), Err(error));
        }
        // 0xff << 232 again, with the mantissa's leading byte spent on a zero.
        assert_eq!(
            NBits::from_consensus(0x2000_00ff),
            Err(NotCanonical {
                given: 0x2000_00ff,
                canonical: 0x1f00_ff00,
            })
        );
        assert!(matches!(
            NBits::from_consensus(0x1001_0000),
            Err(TooHard(_))
        ));
    }

    #[test]
    fn work_of_difficulty_one_is_core_s() {
        // Block proof of the genesis block: chainwork 0x100010001.
        assert_eq!(
            NBits::from_consensus(0x1d00_ffff).unwrap().work(),
            Work::from_hashes(0x1_0001_0001)
        );
        assert_eq!(
            NBits::from_consensus(0x207f_ffff).unwrap().work(),
            Work::from_hashes(2)
        );
    }

    proptest! {
        #[test]
        fn agrees_with_rust_bitcoin(bits: u32) {
            let theirs = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
            if let Ok(ours) = NBits::from_consensus(bits) {
                prop_assert_eq!(ours.target().to_be_bytes(), theirs.to_be_bytes());
                prop_assert_eq!(theirs.to_compact_lossy().to_consensus(), bits);
                let be = theirs.to_work().to_be_bytes();
                prop_assert_eq!(&be[..16], &[0u8; 16][..]);
                prop_assert_eq!(ours.work().to_hashes().to_be_bytes(), <[u8; 16]>::try_from(&be[16..]).unwrap());
            }
        }

        #[test]
        fn at_most_never_eases_a_target(bytes: [u8; 32]) {
            let target = Target::from_be_bytes(bytes);
            if let Ok(bits) = NBits::at_most(target) {
                prop_assert!(bits.target() <= target);
                prop_assert_eq!(NBits::from_consensus(bits.to_consensus()), Ok(bits));
            }
        }

        #[test]
        fn is_met_by_agrees_with_rust_bitcoin(hash: [u8; 32], bits: u32) {
            if let Ok(ours) = NBits::from_consensus(bits) {
                let theirs = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
                let block_hash: bitcoin::BlockHash = bitcoin::hashes::Hash::from_byte_array(hash);
                prop_assert_eq!(ours.target().is_met_by_le(&hash), theirs.is_met_by(block_hash));
            }
        }
    }
}
