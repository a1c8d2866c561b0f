//! What the tests of this folder stand on: a real regtest node, custodians with real keys, and their transactions.
#![allow(dead_code, unreachable_pub, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod custodian;
pub mod electrumx;
pub mod esplora;
pub mod regtest;

pub use custodian::{Custodian, Spendable, spend};
pub use regtest::Regtest;
