//! Tests of the K2 program as it is built: the `.so`, in a real SVM.
//!
//! A test tells a story on a [`World`]: a chain on which the pool exists. What a step says is what an instruction does, so a
//! test reads like this:
//!
//! ```no_run
//! use k2_interface::PoolError;
//! use k2_tests::World;
//!
//! let mut k2 = World::new("example/pause");
//! let pause = k2.pause(k2.guardian, 4);
//! k2.send("the guardian pauses claims", pause).must_succeed();
//! assert_eq!(k2.config().paused, 4);
//! let resume = k2.resume(k2.guardian, 4);
//! k2.send("but cannot resume them", resume).must_fail_with(PoolError::NotAuthority);
//! ```
//!
//! - [`Call`] - an instruction whose accounts have names, so that a test can exchange one
//! - [`World`] - the chain, who is there, and all instructions
//! - [`bitcoin`] - chains to relay and to prove from
//! - [`minting`] - pools with coins on their way
//! - [`redeeming`] - pools with redemptions that are paid
//! - [`rewards`] - reward lists and their proofs
//! - [`valid`], [`matrix`] - a right call of every instruction, and every way to make it wrong
//! - [`walk`] - thousands of random steps beside a model
//!
//! The path of the program is expected in `ORCAPOOL_K2_PROGRAM`:
//! `ORCAPOOL_K2_PROGRAM=$(scripts/build-program | tail -n 1) cargo test -p orcapool-k2-tests`.

// A harness for tests: what cannot be set up or is not as it must be is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod bitcoin;
mod call;
pub mod matrix;
pub mod minting;
mod pool;
pub mod proving;
pub mod redeeming;
pub mod rewards;
pub mod scripts;
pub mod valid;
pub mod walk;
mod world;

pub use call::{Call, Sent};
pub use world::{BTC, NOBODY, PROGRAM_ENV, World};
