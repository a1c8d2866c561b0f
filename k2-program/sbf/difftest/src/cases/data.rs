//! Enums, options, borsh, maps, text, a hash function: what programs are made of.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest as _, Sha256};

use crate::{Input, Output};

#[derive(Debug, Clone, PartialEq, BorshSerialize, BorshDeserialize)]
enum Instruction {
    Nothing,
    Transfer {
        amount: u64,
        memo: String,
    },
    Prove(Vec<[u8; 32]>, u32),
    Wide(u128, i128),
    Nested(Option<Box<Instruction>>),
    Flags {
        a: bool,
        b: Option<bool>,
        c: [u16; 3],
    },
    Pairs(Vec<(u8, Option<u64>)>),
}

fn instruction(input: &mut Input<'_>, depth: u8) -> Instruction {
    match input.u8() % 7 {
        0 => Instruction::Nothing,
        1 => Instruction::Transfer {
            amount: input.u64(),
            memo: String::from_utf8_lossy(input.bytes(11)).into_owned(),
        },
        2 => Instruction::Prove(
            (0..input.u8() % 4).map(|_| input.array()).collect(),
            input.u32(),
        ),
        3 => Instruction::Wide(input.u128(), input.i128()),
        4 if depth < 4 => Instruction::Nested(
            (input.u8() & 1 == 0).then(|| Box::new(instruction(input, depth + 1))),
        ),
        5 => Instruction::Flags {
            a: input.u8() & 1 == 1,
            b: [None, Some(false), Some(true)][usize::from(input.u8()) % 3],
            c: [input.u16(), 2, 3],
        },
        _ => Instruction::Pairs(
            (0..input.u8() % 5)
                .map(|i| (i, (i & 1 == 0).then(|| input.u64())))
                .collect(),
        ),
    }
}

#[inline(never)]
fn weight(instruction: &Instruction) -> u128 {
    match instruction {
        Instruction::Nothing => 1,
        Instruction::Transfer { amount: 0, .. } => 2,
        Instruction::Transfer { amount, memo } if memo.len() > 5 => u128::from(*amount) << 64,
        Instruction::Transfer { amount, .. } => u128::from(*amount),
        Instruction::Prove(path, index) => {
            path.iter().map(|node| u128::from(node[0])).sum::<u128>() * u128::from(*index)
        }
        Instruction::Wide(a, b) => a ^ (*b as u128),
        Instruction::Nested(None) => 3,
        Instruction::Nested(Some(inner)) => weight(inner).wrapping_mul(5),
        Instruction::Flags {
            a: true,
            b: Some(true),
            c,
        } => u128::from(c[0]),
        Instruction::Flags { a, b, .. } => u128::from(*a) + 2 * u128::from(b.is_none()),
        Instruction::Pairs(pairs) => pairs
            .iter()
            .filter_map(|(_, value)| *value)
            .fold(0, |sum, value| sum ^ u128::from(value)),
    }
}

/// Dense, sparse, on ranges and on text.
#[inline(never)]
fn classify(byte: u8, word: u32, text: &str) -> (u32, u64) {
    let dense = match byte {
        0 => 17,
        1 => 4,
        2 => 99,
        3 => 3,
        4 => 1_000_000,
        5 => 7,
        6 => 2,
        7 => 55,
        8 | 9 | 12 => 1,
        10..=11 => 12,
        b'a'..=b'z' => u32::from(byte - b'a'),
        0xfd..=0xff => u32::from(byte),
        _ => 0,
    };
    let sparse = match word {
        0 => 1,
        1_000 => 2,
        0x0b11_0907 => 3,
        0xfabf_b5da => 4,
        u32::MAX => 5,
        x if x % 3 == 0 => 6,
        _ => 7,
    };
    let named = match text {
        "main" => 1,
        "testnet4" => 2,
        "signet" => 3,
        "regtest" => 4,
        _ => 5,
    };
    (dense, sparse << 8 | named)
}

pub(super) fn matches(input: &mut Input<'_>, out: &mut Output) {
    let byte = input.u8();
    let word = [input.u32(), 0, 1_000, 0x0b11_0907, 0xfabf_b5da, u32::MAX][usize::from(byte) % 6];
    let text = ["main", "testnet4", "signet", "regtest", "", "mains"][usize::from(input.u8()) % 6];
    for byte in [byte, byte % 16, 255 - byte % 4] {
        out.put(classify(byte, word, text));
    }
    out.put(weight(&instruction(input, 0)));
}

pub(super) fn options(input: &mut Input<'_>, out: &mut Output) {
    let (a, b) = (input.u64(), input.u128());
    let some = (a & 1 == 1).then_some(a);
    let wide = (a & 2 == 2).then_some(b);
    let niche = core::num::NonZeroU64::new(a % 3);
    out.put((
        some.and_then(|x| x.checked_add(1)),
        wide.or(some.map(u128::from)),
    ));
    out.put((niche.map(|n| n.get()), some.zip(wide).is_some()));
    out.put((some.map_or(b, u128::from), wide.filter(|w| w % 2 == 0)));
    out.put((some.cmp(&Some(5)), wide.xor(Some(b)).is_some()));
    let nested: Option<Option<u8>> = if a & 4 == 4 {
        Some((a & 8 == 8).then_some(a as u8))
    } else {
        None
    };
    out.put((nested.is_some(), nested.flatten()));
    out.put(some.ok_or(7_u8).map_or_else(u64::from, |x| x ^ 1));
}

pub(super) fn borsh_round_trip(input: &mut Input<'_>, out: &mut Output) {
    let value = instruction(input, 0);
    let bytes = borsh::to_vec(&value).unwrap_or_default();
    out.bytes(&bytes);
    out.put(Instruction::try_from_slice(&bytes).is_ok_and(|back| back == value));
    let (shorter, longer) = (&bytes[..bytes.len() - 1], [&bytes[..], &[0]].concat());
    out.put((
        Instruction::try_from_slice(shorter).is_err(),
        Instruction::try_from_slice(&longer).is_err(),
    ));
}

/// No text and no bytes of unknown length: borsh sets aside up to 1 MB for those before it reads them.
#[derive(Debug, Clone, BorshDeserialize)]
enum Record {
    Flags(bool, Option<bool>, [bool; 2]),
    Pairs(Vec<(u8, Option<u16>)>),
    Wide {
        a: u128,
        b: Option<Box<Record>>,
        c: [u16; 3],
    },
    Nothing,
}

#[inline(never)]
fn sum(record: &Record) -> u128 {
    match record {
        Record::Flags(a, b, c) => {
            u128::from(*a)
                + u128::from(u8::from(b.is_some())) * 2
                + c.iter().map(|c| u128::from(u8::from(*c))).sum::<u128>() * 4
        }
        Record::Pairs(pairs) => pairs
            .iter()
            .map(|(a, b)| u128::from(*a) << 20 | u128::from(b.unwrap_or(7)))
            .sum(),
        Record::Wide { a, b, c } => a ^ b.as_deref().map_or(1, sum) ^ u128::from(c[1]),
        Record::Nothing => 0,
    }
}

/// Bytes that nobody wrote on purpose: the same refusals.
pub(super) fn borsh_garbage(input: &mut Input<'_>, out: &mut Output) {
    let bytes = input.bytes(40);
    for mut rest in [bytes, &bytes[1..]] {
        match Record::deserialize(&mut rest) {
            Ok(value) => out.put((sum(&value), rest.len())),
            Err(error) => out.bytes(error.to_string().as_bytes()),
        }
    }
    out.put(<(u8, u128, [u16; 2])>::try_from_slice(bytes).is_ok());
}

pub(super) fn maps(input: &mut Input<'_>, out: &mut Output) {
    let mut map = BTreeMap::<u16, Vec<u8>>::new();
    for _ in 0..12 {
        let (key, value) = (input.u16() % 64, input.u8());
        map.entry(key).or_default().push(value);
        if value % 5 == 0 {
            map.remove(&(key ^ 1));
        }
    }
    for (key, values) in map.range(5..50) {
        out.put(*key);
        out.bytes(values);
    }
    let set: BTreeSet<u128> =
        map.keys()
            .map(|key| u128::from(*key) << 99)
            .fold(BTreeSet::new(), |mut set, key| {
                set.insert(key);
                set
            });
    out.put((set.len(), set.iter().next_back().copied()));
}

pub(super) fn text(input: &mut Input<'_>, out: &mut Output) {
    let (a, b, c, bytes) = (input.u64(), input.i128(), input.i32(), input.bytes(20));
    out.bytes(
        format!(
            "{a} {b} {c} {a:x} {b:#034x} {c:>12} {a:020} {:?} {:?}",
            bytes.first(),
            Some(c)
        )
        .as_bytes(),
    );
    out.put((
        a.to_string().parse::<u64>() == Ok(a),
        b.to_string().parse::<i128>() == Ok(b),
    ));
    match str::from_utf8(bytes) {
        Ok(text) => out.put((text.chars().count(), text.to_uppercase().len())),
        Err(error) => out.put((error.valid_up_to(), error.error_len())),
    }
    let lossy = String::from_utf8_lossy(bytes);
    out.bytes(lossy.escape_debug().to_string().as_bytes());
    lossy
        .split(|letter: char| letter.is_ascii_punctuation())
        .for_each(|part| out.bytes(part.trim().as_bytes()));
    out.put(u32::from_str_radix(&format!("{:x}", a as u32), 16).ok());
}

pub(super) fn sha256(input: &mut Input<'_>, out: &mut Output) {
    let length = usize::from(input.u8());
    let bytes = input.bytes(length);
    let once = Sha256::digest(bytes);
    out.bytes(&once);
    out.bytes(&Sha256::digest(once));
}

pub(super) fn iterators(input: &mut Input<'_>, out: &mut Output) {
    let values: [u16; 16] = core::array::from_fn(|_| input.u16());
    out.put((
        values.iter().copied().max(),
        values.iter().copied().min_by_key(|v| v % 97),
    ));
    out.put(
        values
            .iter()
            .zip(values.iter().skip(3))
            .map(|(a, b)| u128::from(*a) * u128::from(*b))
            .sum::<u128>(),
    );
    out.put(
        values
            .chunks(5)
            .rev()
            .map(|chunk| chunk.iter().map(|v| u64::from(*v)).sum::<u64>())
            .fold(0, |sum, v| sum * 3 ^ v),
    );
    out.put(
        values
            .iter()
            .scan(1_u64, |state, v| {
                *state = state.wrapping_mul(u64::from(*v) | 1);
                Some(*state)
            })
            .last(),
    );
    out.put(values.iter().try_fold(0_u16, |sum, v| sum.checked_add(*v)));
    out.put((
        values.iter().take_while(|v| **v < 40_000).count(),
        values.iter().any(|v| v % 1024 == 0),
    ));
    values
        .iter()
        .filter(|v| **v & 1 == 0)
        .step_by(2)
        .flat_map(|v| [v ^ 1, v >> 3])
        .for_each(|v| out.put(v));
}
