//! How layouts are written down once: the struct the code uses and the description the IDL is made of come from the same
//! lines.

use zerocopy::little_endian::{U32, U64, U128};

use crate::K2Address;

/// One field of an account or of an instruction's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the Rust struct.
    pub name: &'static str,
    /// Its type, as in the IDL: `u8`, `u64`, `publicKey`, or the name of another layout.
    /// An array has its elements' type.
    pub kind: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// What it is, with units.
    pub doc: &'static str,
}

/// A type with a fixed layout and a name in the IDL.
pub trait Described {
    /// The name in the IDL.
    const NAME: &'static str;
    /// Its size in bytes, in accounts and in instructions alike: integers are little-endian and nothing is padded.
    const SIZE: usize;
    /// The fields in order; empty for primitive types.
    const FIELDS: &'static [Field] = &[];
    /// What it is for.
    const DOC: &'static str = "";
}

macro_rules! primitive {
    ($($type:ty => $name:literal),+ $(,)?) => {
        $(impl Described for $type {
            const NAME: &'static str = $name;
            const SIZE: usize = size_of::<$type>();
        })+
    };
}

primitive! {
    u8 => "u8", u16 => "u16", u32 => "u32", u64 => "u64", u128 => "u128",
    U32 => "u32", U64 => "u64", U128 => "u128",
    K2Address => "publicKey",
}

/// `size` is the whole array's: the IDL writes `[kind; size / size of kind]`.
impl<T: Described, const N: usize> Described for [T; N] {
    const NAME: &'static str = T::NAME;
    const SIZE: usize = T::SIZE * N;
}

/// A layout inside accounts: plain bytes read in place, alignment 1, no padding.
macro_rules! pod {
    ($(#[doc = $doc:literal])+ pub struct $name:ident { $($(#[doc = $field_doc:literal])+ pub $field:ident: $type:ty,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable, zerocopy::Unaligned)]
        #[repr(C)]
        pub struct $name { $($(#[doc = $field_doc])+ pub $field: $type,)+ }

        impl $crate::layout::Described for $name {
            const NAME: &'static str = stringify!($name);
            const SIZE: usize = size_of::<$name>();
            const FIELDS: &'static [$crate::layout::Field] = &[$($crate::layout::Field {
                name: stringify!($field),
                kind: <$type as $crate::layout::Described>::NAME,
                size: <$type as $crate::layout::Described>::SIZE,
                doc: concat!($($field_doc),+),
            },)+];
            const DOC: &'static str = concat!($($doc),+);
        }
    };
}

/// The fixed part of an instruction's arguments: Borsh.
macro_rules! arguments {
    ($($(#[doc = $doc:literal])+ pub struct $name:ident { $($(#[doc = $field_doc:literal])+ pub $field:ident: $type:ty,)* })+) => {
        $(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
        pub struct $name { $($(#[doc = $field_doc])+ pub $field: $type,)* }

        impl $crate::layout::Described for $name {
            const NAME: &'static str = stringify!($name);
            const SIZE: usize = 0 $(+ <$type as $crate::layout::Described>::SIZE)*;
            const FIELDS: &'static [$crate::layout::Field] = &[$($crate::layout::Field {
                name: stringify!($field),
                kind: <$type as $crate::layout::Described>::NAME,
                size: <$type as $crate::layout::Described>::SIZE,
                doc: concat!($($field_doc),+),
            },)*];
            const DOC: &'static str = concat!($($doc),+);
        }
        )+
    };
}

pub(crate) use {arguments, pod};
