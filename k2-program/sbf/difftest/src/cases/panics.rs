//! What ends a program has to end it in both worlds: an overflow that the release build would let pass is money from nowhere.

use crate::{Input, Output};

#[inline(never)]
fn plain(op: u8, a: u64, b: u64, c: i64, d: i32, e: u128, f: u8) -> u128 {
    match op % 12 {
        0 => (a + b).into(),
        1 => (a - b).into(),
        2 => (a * b).into(),
        3 => (a / b).into(),
        4 => (a % b).into(),
        5 => (c * (b as i64)) as u128,
        6 => (c - i64::from(d)) as u128,
        7 => (d * 65_599) as u128,
        8 => e * u128::from(b),
        9 => (f + (a as u8)).into(),
        10 => u128::from(a) << f,
        _ => (-c / i64::from(d)) as u128,
    }
}

pub(super) fn overflow(input: &mut Input<'_>, out: &mut Output) {
    let (op, scale) = (input.u8(), input.u8() % 64);
    out.put(plain(
        op,
        input.u64() >> scale,
        input.u64() >> scale,
        input.i64() >> scale,
        input.i32() >> (scale / 2),
        input.u128() >> scale,
        input.u8(),
    ));
}

pub(super) fn index(input: &mut Input<'_>, out: &mut Output) {
    let (op, from, to) = (
        input.u8(),
        usize::from(input.u8() % 12),
        usize::from(input.u8() % 12),
    );
    let bytes: [u8; 10] = input.array();
    match op % 4 {
        0 => out.put(bytes[from]),
        1 => out.bytes(&bytes[from..to]),
        2 => out.bytes(&bytes[..from][to..]),
        _ => {
            let mut copy = [0; 10];
            copy[..to].copy_from_slice(&bytes[from..]);
            out.put(copy);
        }
    }
}

#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "panics are what is tested"
)]
pub(super) fn unwrap(input: &mut Input<'_>, out: &mut Output) {
    let (op, a) = (input.u8(), input.u64());
    match op % 6 {
        0 => out.put(a.checked_sub(1 << 63).unwrap()),
        1 => out.put(u32::try_from(a >> (op / 6)).expect("a small number")),
        2 => out.put(u8::try_from(a % 300).map_err(|_| "too large").unwrap()),
        3 if a % 2 == 0 => panic!("even: {a}"),
        4 if a % 3 == 0 => unreachable!(),
        5 => assert_eq!(a % 2, a % 3, "remainders of {a}"),
        _ => out.put(a),
    }
}
