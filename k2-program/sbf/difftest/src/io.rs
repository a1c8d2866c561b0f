//! Where cases take their values from and where they put their results.

use crate::SHOWN_BYTES;

/// Values out of the input, little-endian; when it is at its end, zeros.
#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

macro_rules! integers {
    ($($name:ident)*) => {$(
        /// The next value.
        pub fn $name(&mut self) -> $name {
            $name::from_le_bytes(self.array())
        }
    )*};
}

impl<'a> Input<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next bytes, fewer at the end.
    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// The next bytes, with zeros at the end.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.bytes(N);
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);
}

/// The results of a case.
#[derive(Debug, Default)]
pub struct Output {
    shown: Vec<u8>,
    digest: Fnv,
}

/// FNV-1a: any difference in millions of bytes shows, and it needs nothing but an exclusive or and a multiplication.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Output {
    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest.0 = (self.digest.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let room = SHOWN_BYTES
            .saturating_sub(self.shown.len())
            .min(bytes.len());
        self.shown.extend_from_slice(&bytes[..room]);
    }

    /// Adds a value.
    pub fn put(&mut self, value: impl Value) {
        value.write(self);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut all = self.digest.0.to_le_bytes().to_vec();
        all.extend(self.shown);
        all
    }
}

/// What can be a result.
pub trait Value {
    /// Writes the value so that different ones give different bytes.
    fn write(self, output: &mut Output);
}

macro_rules! values {
    ($($type:ident)*) => {$(
        impl Value for $type {
            fn write(self, output: &mut Output) {
                output.bytes(&self.to_le_bytes());
            }
        }
    )*};
}
values!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

impl Value for bool {
    fn write(self, output: &mut Output) {
        output.bytes(&[u8::from(self)]);
    }
}

/// Not its bytes: on this machine a `usize` may have another width.
impl Value for usize {
    fn write(self, output: &mut Output) {
        output.put(self as u64);
    }
}

impl Value for core::cmp::Ordering {
    fn write(self, output: &mut Output) {
        output.put(self as i8);
    }
}

impl<T: Value> Value for Option<T> {
    fn write(self, output: &mut Output) {
        output.put(self.is_some());
        if let Some(value) = self {
            output.put(value);
        }
    }
}

impl<A: Value, B: Value> Value for (A, B) {
    fn write(self, output: &mut Output) {
        output.put(self.0);
        output.put(self.1);
    }
}

impl<T: Value, const N: usize> Value for [T; N] {
    fn write(self, output: &mut Output) {
        for value in self {
            output.put(value);
        }
    }
}
