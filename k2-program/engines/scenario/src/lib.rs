//! Tests of K2 programs as stories.
//!
//! A [`Recorder`] runs a test's transactions in a new SVM (LiteSVM) and writes down what they did. The replayers beside
//! this crate run the same transactions in Solana 1.15.2 and 1.14.19, whose generation K2 is, and compare everything: one
//! test, three engines. See `k2-program/engines/README.md`.
//!
//! ```
//! use scenario::{Recorder, SOL};
//! use solana_system_interface::instruction::transfer;
//!
//! let mut k2 = Recorder::new("example/transfer");
//! let [alice, bob] = ["alice", "bob"].map(|name| k2.pubkey(name));
//! k2.fund(alice, 10 * SOL);
//!
//! k2.send("alice pays bob", transfer(&alice, &bob, 4 * SOL)).must_succeed();
//! k2.send("bob has less than that", transfer(&bob, &alice, 5 * SOL)).must_fail_with(1);
//! assert_eq!(k2.lamports(&bob), 4 * SOL);
//! ```
//!
//! A step that fails must leave no trace: the recorder itself sees to that, and so does every replayer.

// A harness for tests: what cannot be set up or is not as it must be is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod format;
mod outcome;
mod recorder;
mod runtime;
mod step;
mod tokens;

pub use outcome::{Execution, Outcome};
pub use recorder::{Recorder, SCENARIOS_ENV, programdata_address, write};
pub use step::Step;

/// Lamports of one SOL (KOII on K2).
pub const SOL: u64 = 1_000_000_000;
