//! Checks that a compiled program is one that K2 can load: the rules of Solana 1.14's loader, so that a mistake of a tool
//! chain is found when the program is built and not when it is deployed.
//!
//! [`check`] takes the bytes of a `.so`. It finds the program of another machine or version of SBF, writable data, an entry
//! point outside the code, relocations the loader does not know, and above all imports that are no syscalls of 1.14
//! ([`syscalls`]): run-time library functions that the code generator should have replaced, and syscalls that came later.
//!
//! It checks the form only. That the instructions do what the source says is for the tests that run the program.

mod elf;
mod problem;
mod report;
pub mod syscalls;

pub use elf::{MAX_PROGRAM_BYTES, check};
pub use problem::{Problem, Refused};
pub use report::Report;
