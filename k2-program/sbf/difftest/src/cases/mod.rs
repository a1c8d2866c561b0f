//! The cases. Each takes what it needs from its input until that is empty, so that one run compares many values; those that
//! allocate only a few times, for the heap of a program has 32 KB and nothing is given back.

#![allow(
    clippy::precedence,
    clippy::too_many_arguments,
    clippy::type_complexity,
    clippy::float_cmp,
    clippy::neg_cmp_op_on_partial_ord,
    clippy::nonminimal_bool,
    clippy::eq_op,
    reason = "code in shapes that good style avoids is what has to be compared"
)]

mod calls;
mod data;
mod floats;
mod integers;
mod memory;
mod panics;
mod wide;

use crate::{Input, Output};

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// For messages.
    pub name: &'static str,
    /// Whether it panics for some inputs; then it takes only one set of values from its input.
    pub panics: bool,
    /// The code under test.
    pub run: fn(&mut Input<'_>, &mut Output),
}

impl core::fmt::Debug for Case {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! cases {
    ($($module:ident[$times:literal]: $($function:ident)*;)*) => {
        &[$($(Case {
            name: concat!(stringify!($module), "::", stringify!($function)),
            panics: false,
            run: |input, output| for _ in 0..$times {
                if input.is_empty() {
                    break;
                }
                $module::$function(input, output);
            },
        }),*),*]
    };
}

/// All cases that do not panic; their index is the first byte of the instruction data, and the panicking ones follow.
const TOTAL: &[Case] = cases! {
    integers[30]: u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 division_128 shifts_128 conversions mixed_widths;
    wide[30]: add_sub multiply divide compare_shift bitcoin_target u128_halves;
    calls[3]: many_arguments aggregates results trait_objects closures recursion function_pointers nested;
    memory[2]: copies overlapping_moves fills compares arrays_by_value sorting vectors alignment swaps self_copies;
    data[2]: matches options borsh_round_trip borsh_garbage maps text sha256 iterators;
    floats[30]: arithmetic comparisons conversions;
};

const PANICKING: &[Case] = &[
    Case {
        name: "panics::overflow",
        panics: true,
        run: panics::overflow,
    },
    Case {
        name: "panics::index",
        panics: true,
        run: panics::index,
    },
    Case {
        name: "panics::unwrap",
        panics: true,
        run: panics::unwrap,
    },
];

/// Every case; the index is the first byte of the instruction data.
pub const ALL: &[Case] = &{
    let mut all = [TOTAL[0]; TOTAL.len() + PANICKING.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < TOTAL.len() {
            TOTAL[i]
        } else {
            PANICKING[i - TOTAL.len()]
        };
        i += 1;
    }
    all
};
