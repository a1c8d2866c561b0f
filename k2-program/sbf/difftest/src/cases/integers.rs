//! Integers of every width: what `core` offers, with values from the whole range and shifted down into every size.

use crate::{Input, Output};

macro_rules! common {
    ($type:ident, $a:ident, $b:ident, $n:ident, $out:ident) => {
        $out.put($a.wrapping_add($b));
        $out.put($a.wrapping_sub($b));
        $out.put($a.wrapping_mul($b));
        $out.put($a.wrapping_neg());
        $out.put($a.checked_add($b));
        $out.put($a.checked_sub($b));
        $out.put($a.checked_mul($b));
        $out.put($a.checked_div($b));
        $out.put($a.checked_rem($b));
        $out.put($a.checked_div_euclid($b));
        $out.put($a.checked_rem_euclid($b));
        $out.put($a.checked_shl($n));
        $out.put($a.checked_shr($n));
        $out.put($a.checked_pow($n % 9));
        $out.put($a.checked_neg());
        $out.put($a.saturating_add($b));
        $out.put($a.saturating_sub($b));
        $out.put($a.saturating_mul($b));
        $out.put($a.overflowing_add($b));
        $out.put($a.overflowing_sub($b));
        $out.put($a.overflowing_mul($b));
        $out.put($a.wrapping_shl($n));
        $out.put($a.wrapping_shr($n));
        $out.put($a.wrapping_pow($n % 40));
        $out.put($a.rotate_left($n % 256));
        $out.put($a.rotate_right($n % 256));
        $out.put($a.abs_diff($b));
        $out.put($a.swap_bytes());
        $out.put($a.reverse_bits());
        $out.put($a.to_be());
        $out.bytes(&$a.to_be_bytes());
        $out.put($type::from_be_bytes($b.to_le_bytes()));
        $out.put($a.leading_zeros());
        $out.put($a.trailing_zeros());
        $out.put($a.leading_ones());
        $out.put($a.trailing_ones());
        $out.put($a.count_ones());
        $out.put($a & $b | !$a ^ $b);
        $out.put($a.cmp(&$b));
        $out.put(($a < $b, $a <= $b));
        $out.put(($a.min($b), $a.max($b)));
        $out.put($a.clamp($b.min(7), $b.max(7)));
    };
}

macro_rules! unsigned {
    ($($type:ident)*) => {$(
        pub(super) fn $type(input: &mut Input<'_>, out: &mut Output) {
            let (a, b, n) = (input.$type(), input.$type(), u32::from(input.u8()));
            // All pairs of sizes: small quotients, exact ones, and products that just fit.
            for (a, b) in [(a, b), (a >> (n % $type::BITS), b), (a, b >> (n % $type::BITS))] {
                common!($type, a, b, n, out);
                out.put(a.is_power_of_two());
                out.put(a.checked_next_power_of_two());
                out.put(a.checked_ilog2());
                out.put(a.checked_next_multiple_of(b));
                out.put(a.isqrt());
                out.put(a.wrapping_add(b) < a);
            }
        }
    )*};
}

macro_rules! signed {
    ($($type:ident)*) => {$(
        pub(super) fn $type(input: &mut Input<'_>, out: &mut Output) {
            let (a, b, n) = (input.$type(), input.$type(), u32::from(input.u8()));
            for (a, b) in [(a, b), (a >> (n % $type::BITS), b), (a, b >> (n % $type::BITS))] {
                common!($type, a, b, n, out);
                out.put(a.wrapping_abs());
                out.put(a.checked_abs());
                out.put(a.unsigned_abs());
                out.put(a.signum());
                out.put(a.is_negative());
                out.put(a.wrapping_div(if b == 0 { 1 } else { b }));
                out.put(a.wrapping_rem(if b == 0 { 1 } else { b }));
            }
        }
    )*};
}

unsigned!(u8 u16 u32 u64 u128);
signed!(i8 i16 i32 i64 i128);

/// Every path of the 128-bit division: the divisor has every length from 1 to 128 bits, as has the dividend.
pub(super) fn division_128(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, n, m) = (
        input.u128(),
        input.u128(),
        u32::from(input.u8()) % 128,
        u32::from(input.u8()) % 128,
    );
    let (a, b) = (a >> n, (b >> m).max(1));
    out.put((a / b, a % b));
    // Products have quotients that come out even; the neighbours do not.
    let product = (a >> 64).wrapping_mul(b >> 64);
    for near in [product, product.wrapping_sub(1), product.wrapping_add(1)] {
        out.put((near / b, near % b));
        out.put((near.div_ceil(b), near.checked_next_multiple_of(b)));
    }
    let (s, t) = (a as i128, (b as i128) | 1);
    out.put((s.wrapping_div(t), s.wrapping_rem(t)));
    // As amounts are divided: 64-bit ones and constants, multiplied before.
    let (x, y) = (a as u64, b as u64);
    out.put(u128::from(x) * u128::from(y) / u128::from(y.max(1)));
    out.put(u128::from(x) * 10_000 / 9_999);
    out.put(a / 1_000_000_007);
    out.put(a % 100_000_000);
    out.put((u128::from(x) << 64 | u128::from(y)) / 3);
}

pub(super) fn shifts_128(input: &mut Input<'_>, out: &mut Output) {
    let (a, n) = (input.u128(), u32::from(input.u8()) % 128);
    out.put([
        a << n,
        a >> n,
        ((a as i128) >> n) as u128,
        a.rotate_left(n),
        a.rotate_right(n),
    ]);
    // By constants, which take another way.
    out.put([
        a << 1,
        a << 63,
        a << 64,
        a << 65,
        a << 127,
        a >> 1,
        a >> 63,
        a >> 64,
        a >> 65,
        a >> 127,
    ]);
    out.put([
        (a as i128) >> 1,
        (a as i128) >> 63,
        (a as i128) >> 64,
        (a as i128) >> 65,
        (a as i128) >> 127,
    ]);
    // The amount in other types, and one that is a multiple of the word.
    out.put((a << u64::from(n & 64), a >> u128::from(n & 64)));
    let mut walked = a;
    for _ in 0..n % 5 {
        walked = (walked << 13) ^ (walked >> 7);
    }
    out.put(walked);
}

pub(super) fn conversions(input: &mut Input<'_>, out: &mut Output) {
    let a = input.u128();
    out.put((a as u8, (a as u16, (a as u32, a as u64))));
    out.put((a as i8, (a as i16, (a as i32, a as i64))));
    out.put((
        i128::from(a as i8),
        (
            i64::from(a as i16),
            (i128::from(a as i32), i128::from(a as i64)),
        ),
    ));
    out.put((a as i8 as u128, (a as i32 as u64, a as u8 as i64)));
    out.put((
        u64::try_from(a).ok(),
        (
            i64::try_from(a).ok(),
            (u8::try_from(a).ok(), i128::try_from(a).ok()),
        ),
    ));
    out.put((u32::try_from(a as i64).ok(), u64::try_from(a as i128).ok()));
    out.put(a as u32 > 7 && (a as i32) < -7);
}

/// Values of several widths in one expression: where the upper bits of a register could leak.
pub(super) fn mixed_widths(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, c, d) = (input.u8(), input.u16(), input.i32(), input.i64());
    let sum = a.wrapping_add(b as u8).wrapping_mul(c as u8);
    out.put((u64::from(sum), i64::from(sum as i8)));
    let half = b.wrapping_sub(u16::from(a)).wrapping_mul(3);
    out.put((u32::from(half) << 16, (half as i16 >> 3, half >> 3)));
    let word = c.wrapping_mul(d as i32).wrapping_sub(i32::from(b));
    out.put((i64::from(word) * 3, (word as u32 / 7, word / 7)));
    out.put((
        u64::from(word as u32) + u64::from(u32::MAX),
        (word >> 31, word as u32 >> 31),
    ));
    out.put(if (word as u32) < u32::from(b) {
        d >> 32
    } else {
        i64::from(c) << 20
    });
    let table = [a as i64, i64::from(b), i64::from(c), d];
    out.put(table[usize::from(sum % 4)].wrapping_mul(table[(word as u32 % 4) as usize]));
}
