//! Does code mean the same on this machine and as a Solana program?
//!
//! The code generator of `k2-program/sbf` rewrites arithmetic, calls and memory operations for a back end that lacks them. A
//! mistake there would be a program that computes something else than its source says. So the same functions, the
//! [`cases`], run natively and (as `k2-program/sbf/selftest`) in the Solana machine on the same inputs, and the outputs are
//! compared: `tests/differential.rs`. Whoever writes code for the program in a new pattern adds a case for it.
//!
//! [`run`] is the whole interface: the first byte names the case, the rest is its input.

pub mod cases;
mod io;

pub use io::{Input, Output};

/// What of a case's output is returned in the clear, in bytes: Solana's return data holds 1,024.
pub const SHOWN_BYTES: usize = 1000;

/// Runs the case `data[0]` on `data[1..]`: eight bytes of a digest of all output, then the beginning of the output.
///
/// `None` if there is no such case.
///
/// # Panics
/// In the cases that are there for panics.
pub fn run(data: &[u8]) -> Option<Vec<u8>> {
    let (case, input) = data.split_first()?;
    let case = cases::ALL.get(usize::from(*case))?;
    let mut output = Output::default();
    (case.run)(&mut Input::new(input), &mut output);
    Some(output.finish())
}
