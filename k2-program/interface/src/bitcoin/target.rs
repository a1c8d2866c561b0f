//! Proof-of-work targets: the compact form of headers, the 256-bit number it stands for, its work, and the retarget rule.
//!
//! The arithmetic works on 32-bit digits in 64-bit registers: SBF has no wider multiplication or division, and would call
//! a routine of hundreds of instructions for each.

use core::cmp::Ordering;

use super::Hash;

/// Seconds an epoch of 2,016 blocks should take (`nPowTargetTimespan`): two weeks.
pub const TARGET_TIMESPAN: u32 = 14 * 24 * 60 * 60;

errors! {
    /// Why a compact target is none.
    pub enum TargetError {
        /// The sign bit is set.
        Negative = 1 => "the compact target is negative: take the bits of a real header",
        /// It stands for zero, which no hash meets.
        Zero = 2 => "the compact target is zero: take the bits of a real header",
        /// It stands for more than 256 bits.
        Overflow = 3 => "the compact target exceeds 256 bits: take the bits of a real header",
        /// The target is above the network's limit.
        AboveLimit = 4 => "the compact target is above the network's limit: are these bits of another network?",
        /// A block at it would be more than 2^128 - 1 of work.
        WorkOverflow = 5 => "the target is below 2^128: no chain has that much work",
    }
}

/// A target as headers carry it (`nBits`): a byte of length and three bytes of mantissa. Any number is one; whether it
/// stands for a target, [`Target::from_compact`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompactTarget(pub u32);

/// A 256-bit number no block hash may exceed, as four 64-bit limbs, lowest first. Smaller is harder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target(pub [u64; 4]);

impl Target {
    /// What a compact target stands for: Bitcoin Core's `arith_uint256::SetCompact`, and as strict as its `DeriveTarget`
    /// but for the network's limit ([`Network::target`](super::Network::target)).
    ///
    /// # Errors
    /// [`TargetError`] where it is negative, zero, or exceeds 256 bits.
    pub const fn from_compact(compact: CompactTarget) -> Result<Self, TargetError> {
        let size = compact.0 >> 24;
        let mut word = (compact.0 & 0x007f_ffff) as u64;
        if size < 3 {
            word >>= 8 * (3 - size);
        }
        // Core looks at the sign bit only where the mantissa is not zero.
        if word == 0 {
            return Err(TargetError::Zero);
        }
        if compact.0 & 0x0080_0000 != 0 {
            return Err(TargetError::Negative);
        }
        if size > 34 || (word > 0xff && size > 33) || (word > 0xffff && size > 32) {
            return Err(TargetError::Overflow);
        }
        let shift = 8 * size.saturating_sub(3);
        let limb = (shift / 64) as usize;
        let shift = shift % 64;
        let mut limbs = [0; 4];
        limbs[limb] = word << shift;
        if shift > 0 && limb < 3 {
            limbs[limb + 1] = word >> (64 - shift);
        }
        Ok(Self(limbs))
    }

    /// The compact form, rounded down to its 23 bits: Core's `arith_uint256::GetCompact`.
    #[must_use]
    pub const fn to_compact(&self) -> CompactTarget {
        let mut top = 3;
        while top > 0 && self.0[top] == 0 {
            top -= 1;
        }
        let bits = 64 * (top as u32 + 1) - self.0[top].leading_zeros();
        let mut size = bits.div_ceil(8);
        let mut word = if size <= 3 {
            self.0[0] << (8 * (3 - size))
        } else {
            let shift = 8 * (size - 3);
            let limb = (shift / 64) as usize;
            let shift = shift % 64;
            let mut word = self.0[limb] >> shift;
            if shift > 0 && limb < 3 {
                word |= self.0[limb + 1] << (64 - shift);
            }
            word
        };
        word &= 0x00ff_ffff;
        // The mantissa's highest bit is a sign.
        if word & 0x0080_0000 != 0 {
            word >>= 8;
            size += 1;
        }
        CompactTarget(size << 24 | word as u32)
    }

    /// Whether a block hash, read as a little-endian number, is at or below the target.
    #[must_use]
    pub fn is_met_by(&self, hash: &Hash) -> bool {
        let (limbs, _) = hash.as_chunks();
        for (limb, bytes) in self.0.iter().zip(limbs).rev() {
            let hash = u64::from_le_bytes(*bytes);
            if hash != *limb {
                return hash < *limb;
            }
        }
        true
    }

    /// How many hashes a block at this target takes on average, `2^256 / (target + 1)` rounded down: Core's
    /// `GetBlockProof`.
    ///
    /// # Errors
    /// [`TargetError::WorkOverflow`] where that exceeds 128 bits, 2^35 times what a block takes in 2026.
    pub fn work(&self) -> Result<u128, TargetError> {
        if self.0[2] == 0 && self.0[3] == 0 {
            return Err(TargetError::WorkOverflow);
        }
        let mut divisor = self.digits();
        let wrapped = divisor.iter_mut().all(|digit| {
            *digit = digit.wrapping_add(1);
            *digit == 0
        });
        Ok(if wrapped { 1 } else { reciprocal(divisor) })
    }

    /// The next epoch's target from this one's, the times of this epoch's first and last block, and the network's
    /// limit: Core's `CalculateNextWorkRequired`. That there are 2,015 intervals between the two blocks and the timespan
    /// is that of 2,016 is Bitcoin's oldest bug and its rule.
    ///
    /// Core multiplies within 256 bits. No target at or below the limit of a network that retargets (2^224 at most)
    /// comes near that, so that here the product is simply exact.
    #[must_use]
    pub fn retarget(&self, first_time: u32, last_time: u32, pow_limit: &Self) -> CompactTarget {
        // A negative timespan is clamped to the least one, as all short ones are.
        let timespan = u64::from(
            last_time
                .saturating_sub(first_time)
                .clamp(TARGET_TIMESPAN / 4, TARGET_TIMESPAN * 4),
        );
        let mut digits = self.digits();
        let mut carry = 0;
        for digit in &mut digits {
            carry += u64::from(*digit) * timespan;
            *digit = carry as u32;
            carry >>= 32;
        }
        // The timespan has 23 bits: the carry is below 2^23, the remainder below 2^21.
        let divisor = u64::from(TARGET_TIMESPAN);
        if carry >= divisor {
            return pow_limit.to_compact();
        }
        let mut remainder = carry;
        for digit in digits.iter_mut().rev() {
            let dividend = remainder << 32 | u64::from(*digit);
            *digit = (dividend / divisor) as u32;
            remainder = dividend % divisor;
        }
        Self::from_digits(digits).min(*pow_limit).to_compact()
    }

    fn digits(&self) -> [u32; 8] {
        let [a, b, c, d] = self.0;
        let high = |limb: u64| (limb >> 32) as u32;
        [
            a as u32,
            high(a),
            b as u32,
            high(b),
            c as u32,
            high(c),
            d as u32,
            high(d),
        ]
    }

    fn from_digits(digits: [u32; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = digits.map(u64::from);
        Self([b << 32 | a, d << 32 | c, f << 32 | e, h << 32 | g])
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `2^256 / divisor` rounded down, for a divisor above 2^128: Knuth's algorithm D (TAOCP volume 2, 4.3.1) in base 2^32.
fn reciprocal(mut divisor: [u32; 8]) -> u128 {
    // D1: shift so that the divisor's highest bit is set. The dividend's only digit becomes 2^shift, and the zero above
    // it keeps each quotient digit within 32 bits.
    let len = 8 - divisor
        .iter()
        .rev()
        .take_while(|digit| **digit == 0)
        .count();
    let shift = divisor[len - 1].leading_zeros();
    let mut carry = 0;
    for digit in &mut divisor {
        carry |= u64::from(*digit) << shift;
        *digit = carry as u32;
        carry >>= 32;
    }
    let divisor = &divisor[..len];
    let (first, second) = (u64::from(divisor[len - 1]), u64::from(divisor[len - 2]));
    let mut dividend = [0_u32; 10];
    dividend[8] = 1 << shift;

    let mut quotient = 0;
    for place in (0..=9 - len).rev() {
        let part = &mut dividend[place..=place + len];
        // D3: estimate from the leading digits; at most one too high after this.
        let leading = u64::from(part[len]) << 32 | u64::from(part[len - 1]);
        let mut digit = leading / first;
        let mut rest = leading % first;
        while digit >> 32 != 0 || digit * second > (rest << 32 | u64::from(part[len - 2])) {
            digit -= 1;
            rest += first;
            if rest >> 32 != 0 {
                break;
            }
        }
        // D4: subtract digit * divisor.
        let mut carry = 0;
        let mut borrow = 0;
        for (from, factor) in part.iter_mut().zip(divisor.iter().chain(&[0])) {
            carry += digit * u64::from(*factor);
            let difference = i64::from(*from) - (carry & 0xffff_ffff) as i64 + borrow;
            *from = difference as u32;
            borrow = difference >> 32;
            carry >>= 32;
        }
        // D6: it was one too high.
        if borrow < 0 {
            digit -= 1;
            let mut carry = 0;
            for (to, addend) in part.iter_mut().zip(divisor.iter().chain(&[0])) {
                carry += u64::from(*to) + u64::from(*addend);
                *to = carry as u32;
                carry >>= 32;
            }
        }
        quotient = quotient << 32 | u128::from(digit);
    }
    quotient
}
