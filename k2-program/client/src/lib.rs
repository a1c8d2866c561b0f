//! Speaks to K2: reads the pool's accounts, builds, sends and confirms its transactions, relays Bitcoin headers, proves
//! Bitcoin outputs, proposes and attests rounds, claims and redeems.
//!
//! 1. [`K2`] is what is asked of a cluster; [`K2Rpc`] asks it over JSON-RPC.
//! 2. [`Program`] derives addresses and builds instructions; a [`Draft`] holds some of them, and [`Sender`] carries it
//!    out once, or simulates it. A [`Client`] is all of these for one deployed program.
//! 3. [`relayer`], [`mint`], [`rounds`], [`claims`] and [`redeem`] know what has to be done. They keep nothing of their own:
//!    each step is chosen by what stands on chain, so all of them may be stopped at any moment and run several times over.
//!
//! What the program would refuse is told before it costs a fee, in the program's words.

mod accounts;
mod address;
mod blocks;
pub mod claims;
mod client;
mod error;
mod failure;
mod instructions;
pub mod k2;
mod keypair;
pub mod mint;
mod pda;
pub mod prove;
pub mod redeem;
pub mod relayer;
pub mod rounds;
mod rpc;
mod send;
#[cfg(test)]
mod testing;
mod transaction;
pub mod views;

pub use accounts::{AccountError, Accounts, AnyAccount, Mint, TokenAccount};
pub use address::{
    ASSOCIATED_TOKEN_PROGRAM, CLOCK, COMPUTE_BUDGET_PROGRAM, INCINERATOR, SYSTEM_PROGRAM,
    TOKEN_PROGRAM, UPGRADEABLE_LOADER, address, pubkey,
};
pub use client::{Change, Client, DryRun};
pub use error::K2Error;
pub use failure::Failure;
pub use instructions::{Anchoring, Location, NO_SCRIPT, ProofBytes};
pub use k2::{AccountData, AccountFilter, Commitment, K2};
pub use keypair::{Keypair, KeypairError, KeypairFile};
pub use pda::{Derived, Outpoint, Program};
pub use rpc::{K2Rpc, RpcOptions};
pub use send::{Confirmed, Price, SendError, SendOptions, Sender};
pub use transaction::{Budget, Draft, DraftError, MAX_TRANSACTION, MAX_UNITS, Signed};
