//! Copies, fills, comparisons of all small lengths, known and unknown to the compiler; what vectors and sorting do.

use crate::{Input, Output};

/// Bytes to work on, longer than anything that is copied in place.
fn buffer(input: &mut Input<'_>) -> [u8; 160] {
    let seed: [u8; 16] = input.array();
    let mut state = u128::from_le_bytes(seed) | 1;
    core::array::from_fn(|_| {
        state = state
            .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
            .wrapping_add(7);
        (state >> 120) as u8
    })
}

/// Every length up to 130, at changing alignments: the compiler does not know them.
pub(super) fn copies(input: &mut Input<'_>, out: &mut Output) {
    let (from, start) = (buffer(input), usize::from(input.u8()) % 30);
    for length in 0..=130 {
        let mut to = [0xaa_u8; 160];
        let place = length % 9;
        to[place..place + length].copy_from_slice(&from[start..start + length]);
        out.bytes(&to[..place + length + 3]);
    }
}

/// Within one buffer, forwards and backwards, from not at all to wholly overlapping.
pub(super) fn overlapping_moves(input: &mut Input<'_>, out: &mut Output) {
    let original = buffer(input);
    let (from, to) = (usize::from(input.u8()) % 40, usize::from(input.u8()) % 40);
    for length in 0..=110 {
        let mut bytes = original;
        bytes.copy_within(from..from + length, to);
        out.bytes(&bytes);
    }
    macro_rules! fixed {
        ($($length:literal)*) => {$({
            let mut bytes = original;
            bytes.copy_within(3..3 + $length, 0);
            out.bytes(&bytes);
            bytes.copy_within(1..1 + $length, 4);
            out.bytes(&bytes);
        })*};
    }
    fixed!(1 2 3 4 7 8 9 15 16 17 24 31 32 33 40 63 64 65 96 97 128);
}

pub(super) fn fills(input: &mut Input<'_>, out: &mut Output) {
    let (value, start) = (input.u8(), usize::from(input.u8()) % 20);
    let mut bytes = buffer(input);
    for length in 0..=130 {
        bytes[start..start + length].fill(value.wrapping_add(length as u8));
        out.bytes(&bytes[..start + length + 2]);
    }
    let mut words = [0x0102_0304_u32; 40];
    words[start..2 * start].fill(u32::from(value) << 20);
    out.put(words);
    let mut wide = [1_u128; 9];
    wide[start % 9..].fill(u128::from(value));
    out.put(wide);
    macro_rules! fixed {
        ($($length:literal)*) => {$({
            let mut bytes = bytes;
            bytes[2..2 + $length].fill(value);
            out.bytes(&bytes);
            out.bytes(&[value; $length]);
            out.bytes(&[0; $length]);
        })*};
    }
    fixed!(1 3 8 12 16 23 32 64 95 96 97 128 150);
}

pub(super) fn compares(input: &mut Input<'_>, out: &mut Output) {
    let a = buffer(input);
    let (at, value) = (usize::from(input.u8()) % 160, input.u8());
    let mut b = a;
    b[at] = value;
    for length in 0..=150 {
        out.put((a[..length].cmp(&b[..length]), a[..length] == b[..length]));
        out.put(a[10..].starts_with(&b[10..10 + length]));
    }
    macro_rules! fixed {
        ($($length:literal)*) => {$({
            let (x, y): ([u8; $length], [u8; $length]) = (core::array::from_fn(|i| a[i]), core::array::from_fn(|i| b[i]));
            out.put((x == y, (x < y, x.cmp(&y))));
        })*};
    }
    fixed!(1 2 3 4 5 6 7 8 9 12 15 16 17 20 24 31 32 33 48 64 65 80);
    out.put(a.iter().position(|byte| *byte == value));
    out.put(a[..at].cmp(&a[..value as usize % 160]));
}

#[inline(never)]
fn rotated<const N: usize>(bytes: [u8; N], by: usize) -> [u8; N] {
    core::array::from_fn(|i| bytes[(i + by) % N].wrapping_add(1))
}

/// Arrays as arguments and results: copies whose length the compiler knows.
pub(super) fn arrays_by_value(input: &mut Input<'_>, out: &mut Output) {
    let (bytes, by) = (buffer(input), usize::from(input.u8()));
    macro_rules! lengths {
        ($($length:literal)*) => {$({
            let array: [u8; $length] = core::array::from_fn(|i| bytes[i]);
            let twice = (rotated(array, by), rotated(rotated(array, 1), by));
            out.bytes(&twice.0);
            out.bytes(&twice.1);
        })*};
    }
    lengths!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 20 23 24 25 31 32 33 40 47 48 49 63 64 65 79 80 81 95 96 97 100 127 128 129 160);
}

pub(super) fn sorting(input: &mut Input<'_>, out: &mut Output) {
    let bytes = buffer(input);
    let length = usize::from(input.u8()) % 60;
    // Not the stable sort: it wants 4 KB on the stack, which is all that a frame has.
    let mut words: Vec<u64> = bytes
        .chunks_exact(2)
        .take(length)
        .map(|pair| u64::from(pair[0]) << 40 | u64::from(pair[1]))
        .collect();
    words.sort_unstable();
    words.iter().for_each(|word| out.put(*word));
    out.put(
        words
            .binary_search(&(u64::from(bytes[0]) << 40))
            .unwrap_or_else(|place| place + 1000),
    );
    words.dedup();
    words.reverse();
    let by = length / 3 % words.len().max(1);
    words.rotate_left(by);
    words.iter().for_each(|word| out.put(*word));
    let mut keys: Vec<[u8; 32]> = (0..length / 6)
        .map(|i| core::array::from_fn(|j| bytes[(i * 7 + j) % 160]))
        .collect();
    keys.sort_unstable_by(|x, y| y.cmp(x));
    keys.iter().for_each(|key| out.bytes(key));
    let mut records: Vec<(u128, u8)> = bytes
        .chunks_exact(5)
        .take(length)
        .map(|c| (u128::from(c[0]) << 90 | u128::from(c[1]), c[2]))
        .collect();
    records.sort_unstable_by_key(|(key, tie)| (*tie % 4, *key));
    records.iter().for_each(|record| out.put(*record));
}

pub(super) fn vectors(input: &mut Input<'_>, out: &mut Output) {
    let (bytes, n) = (buffer(input), usize::from(input.u8()) % 60);
    let mut grown = Vec::new();
    for (i, byte) in bytes.iter().enumerate().take(n) {
        grown.push((u128::from(*byte) << 100, i as u16));
    }
    grown.retain(|(_, i)| i % 3 != 1);
    grown.insert(grown.len() / 2, (7, 7));
    grown.extend_from_within(..grown.len() / 4);
    grown.drain(..grown.len() / 5);
    grown.truncate(40);
    if grown.len() > 3 {
        let last = grown.len() - 1;
        grown.swap(0, last);
        let tail = grown.split_off(last / 2);
        grown.splice(..1, tail.into_iter().rev());
    }
    grown.iter().for_each(|record| out.put(*record));
    let joined = [&bytes[..n % 50], &[0xff; 3], &bytes[20..]].concat();
    out.bytes(&joined);
    for window in joined.windows(4).step_by(9) {
        out.put(u32::from_le_bytes([
            window[0], window[1], window[2], window[3],
        ]));
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Padded {
    a: u8,
    b: u128,
    c: u8,
    d: u64,
    e: [u16; 3],
    f: u128,
}

/// 128-bit integers are aligned to 16 bytes, behind anything.
pub(super) fn alignment(input: &mut Input<'_>, out: &mut Output) {
    out.put((
        align_of::<u128>(),
        (align_of::<Padded>(), size_of::<Padded>()),
    ));
    let value = Padded {
        a: input.u8(),
        b: input.u128(),
        c: input.u8(),
        d: input.u64(),
        e: [1, input.u16(), 3],
        f: input.u128(),
    };
    let mut many = vec![value; 3];
    many[1].b = many[0].f;
    many[2] = many[1];
    many[2].f ^= many[2].b;
    for v in &many {
        out.put((v.a, (v.b, (v.c, (v.d, (v.e, v.f))))));
    }
    let boxed = Box::new((value.a, value.b));
    out.put((
        boxed.1,
        core::ptr::from_ref(&boxed.1).addr().is_multiple_of(16),
    ));
}

pub(super) fn swaps(input: &mut Input<'_>, out: &mut Output) {
    let (mut a, mut b) = (buffer(input), buffer(input));
    let half = usize::from(input.u8()) % 80;
    core::mem::swap(&mut a, &mut b);
    let (left, right) = a.split_at_mut(80);
    left[..half].swap_with_slice(&mut right[..half]);
    b[..half].reverse();
    b.rotate_right(half);
    out.bytes(&a);
    out.bytes(&core::mem::replace(&mut b, a));
    out.bytes(&b);
    let mut pair = ([1_u128, 2, 3], [half as u128; 3]);
    core::mem::swap(&mut pair.0, &mut pair.1);
    out.put(pair);
}

/// A value copied onto itself: LLVM may make a memcpy of that, and the syscall sol_memcpy_ refuses it.
pub(super) fn self_copies(input: &mut Input<'_>, out: &mut Output) {
    let mut rows = [buffer(input), buffer(input), buffer(input)];
    let (from, to) = (usize::from(input.u8()) % 3, usize::from(input.u8()) % 3);
    rows[to] = rows[from];
    let chosen = &mut rows[to];
    assign(chosen, from == to);
    for row in &rows {
        out.bytes(row);
    }
    let mut list = rows.to_vec();
    list.swap(from, to);
    list.swap(from, from);
    out.bytes(&list.concat());
}

#[inline(never)]
fn assign(row: &mut [u8; 160], again: bool) {
    let copy = *row;
    if again {
        row[0] = row[0].wrapping_add(1);
    }
    *row = if again { *row } else { copy };
}
