//! Proof of reserves: that the coins exist and that the custodians can sign for them, bound to what they back.
//!
//! BIP127: a transaction that spends all coins and, first of all, an output that cannot exist, because its txid is the hash of a
//! message. So it can never be mined, and its signatures (SIGHASH_ALL) are good for nothing else. The message is the
//! [`Statement`]: Bitcoin block, K2 cluster, program, mint, slot, and what had been minted and burned there. Whoever has a
//! Bitcoin node and a K2 endpoint can [`verify`] it without any of the pool's files.
//!
//! ```text
//! Statement --Draft::new--> Draft --review, sign (each custodian)--> Drafts --Draft::finish--> Proof --verify--> Report
//! ```
//!
//! Why not the crate `bdk-reserves` (3.2): it reads the kind of a signature from a field of the PSBT and not from the
//! signature, so one with SIGHASH_NONE, which says nothing about the message, passes; a coin anybody can spend passes without
//! any signature; it knows the chain's tip only, so a proof ends with the first payout after it; its challenge is hashed
//! twice, where BIP127 has one SHA-256; its sums can panic; and it links a second copy of the consensus code.
//!
//! Wallets that refuse to sign because nothing is known of the first input (bdk-reserves issue 24): the PSBT gives it a value of
//! zero and the script OP_TRUE, and carries BIP127's own field with the message.
//!
//! What it does not show: that the coins are not borrowed, and that nobody else can sign for them. Coins at scripts that K2
//! registers are told apart from the others (change).

pub mod chain;
mod draft;
mod facts;
mod file;
mod report;
mod review;
mod statement;
mod transaction;
mod verify;

pub use draft::{Draft, DraftError};
pub use facts::{ChainFacts, Found, K2Facts, Spending};
pub use file::{File, FileError, MAX_FILE};
pub use report::{Backing, Report, ScriptTotal, SpentSince};
pub use review::{MAX_AGE_SLOTS, Own, Refusal, Reviewed, review};
pub use statement::{FORMAT, Paid, Statement};
pub use transaction::{Claim, ClaimError, MAX_COINS, ProvedCoin};
pub use verify::{Proof, VerifyError, verify};
