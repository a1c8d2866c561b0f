//! 256-bit integers in 64-bit limbs: what Bitcoin's targets and chain work are computed with.

use crate::{Input, Output};

type Wide = [u64; 4];

fn read(input: &mut Input<'_>) -> Wide {
    let shift = u32::from(input.u8());
    shift_right([input.u64(), input.u64(), input.u64(), input.u64()], shift)
}

#[inline(never)]
fn add(a: Wide, b: Wide) -> (Wide, bool) {
    let mut sum = [0; 4];
    let mut carry = false;
    for i in 0..4 {
        let (x, first) = a[i].overflowing_add(b[i]);
        let (y, second) = x.overflowing_add(u64::from(carry));
        (sum[i], carry) = (y, first | second);
    }
    (sum, carry)
}

#[inline(never)]
fn subtract(a: Wide, b: Wide) -> (Wide, bool) {
    let mut difference = [0; 4];
    let mut borrow = false;
    for i in 0..4 {
        let (x, first) = a[i].overflowing_sub(b[i]);
        let (y, second) = x.overflowing_sub(u64::from(borrow));
        (difference[i], borrow) = (y, first | second);
    }
    (difference, borrow)
}

#[inline(never)]
fn full_product(a: Wide, b: Wide) -> [u64; 8] {
    let mut product = [0_u64; 8];
    for i in 0..4 {
        let mut carry = 0_u64;
        for j in 0..4 {
            let term = u128::from(a[i]) * u128::from(b[j])
                + u128::from(product[i + j])
                + u128::from(carry);
            product[i + j] = term as u64;
            carry = (term >> 64) as u64;
        }
        product[i + 4] = carry;
    }
    product
}

fn shift_left(a: Wide, by: u32) -> Wide {
    let (words, bits) = ((by / 64) as usize, by % 64);
    let mut shifted = [0; 4];
    for i in (words.min(4)..4).rev() {
        shifted[i] = a[i - words] << bits;
        if bits > 0 && i > words {
            shifted[i] |= a[i - words - 1] >> (64 - bits);
        }
    }
    shifted
}

fn shift_right(a: Wide, by: u32) -> Wide {
    let (words, bits) = ((by / 64) as usize, by % 64);
    let mut shifted = [0; 4];
    for i in 0..4_usize.saturating_sub(words) {
        shifted[i] = a[i + words] >> bits;
        if bits > 0 && i + words + 1 < 4 {
            shifted[i] |= a[i + words + 1] << (64 - bits);
        }
    }
    shifted
}

fn bits(a: &Wide) -> u32 {
    a.iter()
        .enumerate()
        .rev()
        .find(|(_, limb)| **limb != 0)
        .map_or(0, |(i, limb)| i as u32 * 64 + 64 - limb.leading_zeros())
}

fn less(a: &Wide, b: &Wide) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// Long division by bits: quotient and remainder.
#[inline(never)]
fn divide_by(a: Wide, b: Wide) -> (Wide, Wide) {
    let (mut quotient, mut rest) = ([0_u64; 4], a);
    let Some(top) = bits(&a).checked_sub(bits(&b)) else {
        return (quotient, rest);
    };
    for bit in (0..=top).rev() {
        let candidate = shift_left(b, bit);
        if !less(&rest, &candidate) {
            rest = subtract(rest, candidate).0;
            quotient[(bit / 64) as usize] |= 1 << (bit % 64);
        }
    }
    (quotient, rest)
}

pub(super) fn add_sub(input: &mut Input<'_>, out: &mut Output) {
    let (a, b) = (read(input), read(input));
    out.put(add(a, b));
    out.put(subtract(a, b));
    out.put(subtract(add(a, b).0, b).0);
}

pub(super) fn multiply(input: &mut Input<'_>, out: &mut Output) {
    let (a, b) = (read(input), read(input));
    out.put(full_product(a, b));
}

pub(super) fn divide(input: &mut Input<'_>, out: &mut Output) {
    let (a, mut b) = (read(input), read(input));
    b[0] |= 1;
    // Bounds the compute units of one run.
    let a = shift_right(a, bits(&a).saturating_sub(bits(&b)).saturating_sub(24));
    out.put(divide_by(a, b));
}

pub(super) fn compare_shift(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, by) = (read(input), read(input), u32::from(input.u8()));
    out.put((less(&a, &b), a.iter().rev().cmp(b.iter().rev())));
    out.put((shift_left(a, by), shift_right(b, by)));
    out.put((bits(&a), a == b));
}

/// A compact target ("nBits") to 256 bits and back.
pub(super) fn bitcoin_target(input: &mut Input<'_>, out: &mut Output) {
    let compact = input.u32();
    let (size, word) = (compact >> 24, u64::from(compact & 0x007f_ffff));
    let target = match size.checked_sub(3) {
        Some(bytes) => shift_left([word, 0, 0, 0], (bytes * 8).min(255)),
        None => [word >> (8 * (3 - size)), 0, 0, 0],
    };
    out.put(target);
    let bytes = bits(&target).div_ceil(8);
    let mut mantissa = if bytes <= 3 {
        target[0] << (8 * (3 - bytes))
    } else {
        shift_right(target, 8 * (bytes - 3))[0]
    };
    let mut exponent = bytes;
    if mantissa & 0x0080_0000 != 0 {
        mantissa >>= 8;
        exponent += 1;
    }
    out.put(mantissa as u32 | exponent << 24);
    out.put(target.map(u64::swap_bytes));
}

/// What the optimiser turns into products and sums of 128 and 256 bits.
pub(super) fn u128_halves(input: &mut Input<'_>, out: &mut Output) {
    let (a, b) = (input.u128(), input.u128());
    let low = |x: u128| x & u128::from(u64::MAX);
    let (ll, lh, hl, hh) = (
        low(a) * low(b),
        low(a) * (b >> 64),
        (a >> 64) * low(b),
        (a >> 64) * (b >> 64),
    );
    let middle = (ll >> 64) + low(lh) + low(hl);
    let high = hh + (lh >> 64) + (hl >> 64) + (middle >> 64);
    out.put((high, low(ll) | middle << 64));
    out.put(a.wrapping_mul(a).wrapping_mul(b));
    out.put(
        a.checked_mul(b)
            .map(|product| product.checked_add(a))
            .is_some(),
    );
    out.put(a.wrapping_mul(0x1234_5678_9abc_def0_0fed_cba9_8765_4321));
}
