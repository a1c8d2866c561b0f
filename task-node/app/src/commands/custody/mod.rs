//! The pool's Bitcoin: one file a command.

pub(crate) mod k2_view;
pub(super) mod keys;
pub(super) mod payout;
pub(super) mod psbt;
pub(super) mod reserves;
mod secrets;
pub(super) mod sign;
pub(super) mod wallet;
