//! 64-bit floating point as far as Solana's crates use it (`Rent`).

use crate::{Input, Output};

/// Numbers of all sizes, and now and then one of the special ones. Which not-a-number an operation gives is not defined, so
/// there is only one.
fn number(input: &mut Input<'_>) -> f64 {
    const SPECIAL: [f64; 12] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        0.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MAX,
        f64::MIN_POSITIVE,
        9.223_372_036_854_776e18,
    ];
    let (kind, bits) = (input.u8(), input.u64());
    match kind % 4 {
        0 => SPECIAL[usize::from(kind / 4) % SPECIAL.len()],
        1 => (bits >> (kind / 4)) as f64,
        2 => (bits as i64 >> (kind / 4)) as f64 / 1024.0,
        _ => {
            let any = f64::from_bits(bits);
            if any.is_nan() { f64::NAN } else { any }
        }
    }
}

fn put(out: &mut Output, value: f64) {
    out.put(if value.is_nan() {
        u64::MAX
    } else {
        value.to_bits()
    });
}

pub(super) fn arithmetic(input: &mut Input<'_>, out: &mut Output) {
    let (a, b) = (number(input), number(input));
    for value in [
        a + b,
        a - b,
        a * b,
        a / b,
        -a,
        a.abs(),
        a * 2.0 - b,
        (a + b) * (a - b),
    ] {
        put(out, value);
    }
}

pub(super) fn comparisons(input: &mut Input<'_>, out: &mut Output) {
    let (a, b) = (number(input), number(input));
    for (a, b) in [(a, b), (b, a), (a, a)] {
        out.put([
            a < b,
            a <= b,
            a > b,
            a >= b,
            a == b,
            a != b,
            !(a < b),
            !(a >= b),
            a.is_nan(),
            a.is_sign_negative(),
        ]);
        out.put((a.partial_cmp(&b), a.total_cmp(&b)));
    }
    put(out, if a < b { a } else { b });
}

pub(super) fn conversions(input: &mut Input<'_>, out: &mut Output) {
    let (a, integer) = (number(input), input.u64());
    out.put((a as u64, (a as i64, a as u64 as u8)));
    for value in [
        integer as f64,
        integer as i64 as f64,
        integer as u32 as f64,
        integer as i8 as f64,
    ] {
        put(out, value);
    }
    // Rent::minimum_balance
    out.put((((128 + integer % 10_000_000) * 3480) as f64 * 2.0) as u64);
}
