//! The pool's Bitcoin.
//!
//! Block rewards are paid to one script of a wallet that several custodians hold together, and redemptions on K2 are paid
//! from it. This crate never asks a network for anything but the wallet's own chain data: what K2 says enters as a
//! [`K2View`], so every rule that guards money is a pure function of two views.
//!
//! | module | one job |
//! |---|---|
//! | [`keys`] | a custodian's seed, encrypted at rest; only an xpub with its origin leaves |
//! | [`setup`] | which keys hold the wallet, as one descriptor; its scripts |
//! | [`watch`] | the watch-only wallet: blocks, re-organisations, coins, history |
//! | [`view`] | what a custodian knows when it decides: its own node's chain and its own K2 view |
//! | [`payment`] | a batch of redemptions as one PSBT: built, reviewed, explained, signed, finished |
//! | [`journal`] | what was intended, signed and sent, written before it happens |
//! | [`coordinator`] | brings each payment from its intent to its settlement |
//! | [`reserves`] | proof that the coins exist and can be signed for |
//! | [`books`] | double entry: where every satoshi is, held against the node and K2 |
//! | [`fault`] | the steps of a payout at which a test may end the process |
//!
//! Amounts are [`Amount`](bitcoin::Amount), heights are block heights, ids are those of redemptions on K2.

pub mod books;
pub mod coordinator;
mod disk;
pub mod fault;
pub mod journal;
pub mod keys;
pub mod payment;
pub mod reserves;
pub mod setup;
mod sqlite;
pub mod view;
pub mod watch;

pub use setup::{Cosigner, Setup, SetupError};
pub use view::{BitcoinView, Coin, K2View, Payment, Redemption};
