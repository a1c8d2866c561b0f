//! The pool's Bitcoin: one file a command.

pub(crate) mod k2_view;
pub(super) mod keys;
pub(super) mod payout;
pub(super) mod psbt;
pub(super) mod reserves;
pub(crate) mod session;
mod secrets;
pub(super) mod sign;
pub(super) mod wallet;
mod wallet_text;
