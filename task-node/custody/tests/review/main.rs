//! The review: one test for each rule, and that no altered transaction passes it; what the coordinator plans always does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

mod double_payment;
mod mutations;
mod plans;
mod rules;
#[path = "../support/mod.rs"]
mod support;
mod world;
