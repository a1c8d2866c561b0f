//! Bitcoin as a light client sees it: headers and their rules, transactions, and proofs that a block holds one.
//!
//! The K2 program, its client and the tests run this same code. It allocates nothing (but for the few builders of the
//! host, which return a `Vec`), calls nothing, and takes SHA-256 as a parameter: on chain the runtime's syscall, elsewhere
//! the `sha2` crate. Everything read here comes from strangers, so a parser checks all of its input once and hands out types
//! that cannot be wrong.
//!
//! - [`Header`], [`headers`] - the 80 bytes of a block header
//! - [`linked`] - headers that follow one another, in fewer bytes
//! - [`CompactTarget`], [`Target`] - proof-of-work targets, work, retargeting
//! - [`Network`] - the rules by which the networks differ
//! - [`Context`] - whether a header may follow its parent
//! - [`Transaction`] - a transaction without its witness
//! - [`merkle`], [`CoinbaseProof`], [`PaymentProof`] - that a transaction stands in a block
//! - [`ScriptPubkey`] - the standard output scripts
//! - [`RedeemIds`] - the output that names the redemptions a payout settles
//!
//! Hashes are in internal byte order, as the hash function gives them; block explorers show them reversed.
//!
//! ```
//! use k2_interface::bitcoin::{Header, Target};
//! use sha2::{Digest, Sha256};
//!
//! // On chain: the sol_sha256 syscall.
//! let sha256 = |parts: &[&[u8]]| -> [u8; 32] { Sha256::digest(parts.concat()).into() };
//!
//! let mut genesis = [0; 80];
//! genesis[0] = 1;
//! genesis[36..68].copy_from_slice(&[
//!     0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e, 0x67, 0x76, 0x8f, 0x61, 0x7f, 0xc8, 0x1b,
//!     0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa, 0x4b, 0x1e, 0x5e, 0x4a,
//! ]);
//! genesis[68..72].copy_from_slice(&1_231_006_505_u32.to_le_bytes());
//! genesis[72..76].copy_from_slice(&0x1d00_ffff_u32.to_le_bytes());
//! genesis[76..80].copy_from_slice(&2_083_236_893_u32.to_le_bytes());
//!
//! let header = Header::parse(&genesis)?;
//! let target = Target::from_compact(header.bits())?;
//! assert!(target.is_met_by(&header.hash(sha256)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// An enum of errors without fields whose numbers never change their meaning.
macro_rules! errors {
    ($(#[doc = $doc:literal])+ pub enum $enum:ident {
        $($(#[doc = $variant_doc:literal])+ $name:ident = $number:literal => $message:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum $enum { $($(#[doc = $variant_doc])+ $name = $number,)+ }

        impl $enum {
            /// Its number: never another one's, in any version.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }
        }

        impl core::fmt::Display for $enum {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self { $(Self::$name => $message,)+ })
            }
        }

        impl core::error::Error for $enum {}
    };
}

pub mod chain;
pub mod header;
pub mod linked;
pub mod merkle;
pub mod network;
pub mod proof;
mod reader;
pub mod redeem_ids;
pub mod script;
pub mod target;
#[cfg(test)]
mod tests;
pub mod time_window;
pub mod transaction;

pub use chain::{Accepted, Context, Epoch, HeaderError};
pub use header::{Header, ParseHeaderError, headers};
pub use merkle::MerkleError;
pub use network::{Network, UnknownNetwork};
pub use proof::{CoinbaseProof, PaymentProof, Proven};
pub use redeem_ids::{RedeemIds, RedeemIdsError};
pub use script::{ScriptError, ScriptPubkey, ScriptType};
pub use target::{CompactTarget, Target, TargetError};
pub use time_window::TimeWindow;
pub use transaction::{Transaction, TxError, TxIn, TxOut};

/// A SHA-256 digest, bytes in the order the hash function gives them.
pub type Hash = [u8; 32];

/// SHA-256 twice: what Bitcoin hashes headers, transactions and merkle nodes with.
pub fn sha256d(parts: &[&[u8]], sha256: impl Fn(&[&[u8]]) -> Hash) -> Hash {
    sha256(&[&sha256(parts)])
}
