//! The pool's Bitcoin: one file a command.

pub(super) mod books;
mod books_text;
mod k2_sums;
pub(crate) mod k2_view;
pub(super) mod keys;
pub(super) mod payout;
pub(super) mod psbt;
pub(super) mod reserves;
mod secrets;
pub(crate) mod session;
pub(super) mod sign;
pub(super) mod wallet;
mod wallet_text;
