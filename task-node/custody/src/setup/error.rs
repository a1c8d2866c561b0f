//! Why keys or a descriptor make no wallet. Where a secret may have been given by mistake, no error repeats it.

use bitcoin::bip32::Fingerprint;
use bitcoin::{Network, NetworkKind};

use super::MAX_COSIGNERS;

/// Why keys or a descriptor make no wallet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not an xpub with its origin.
    #[error(
        "{given} is no extended public key with its origin, such as [d34db33f/48h/0h/0h/2h]xpub6...: {reason}"
    )]
    Cosigner {
        /// The beginning of what was given, if that was an origin.
        given: String,
        /// Why.
        reason: &'static str,
    },
    /// Not a descriptor.
    #[error("this is no descriptor with checksum: {0}")]
    Descriptor(String),
    /// A descriptor that the pool does not use.
    #[error(
        "the pool's wallets are wpkh(key/<0;1>/*) and wsh(sortedmulti(m,key/<0;1>/*,...)) with the origin of every key; this is {0}"
    )]
    Form(String),
    /// A private key.
    #[error(
        "a private key stands there: nothing but public keys belongs here. Whoever saw it may have it: make a new one"
    )]
    Private,
    /// A key of another network.
    #[error("{key} is a key for {found:?} networks, and the wallet is on {network}")]
    Network {
        /// Which.
        key: String,
        /// The key's.
        found: NetworkKind,
        /// The wallet's.
        network: Network,
    },
    /// The same key twice, or two accounts of one key.
    #[error("cosigner {0} is given twice: each custodian must bring a key of its own")]
    Repeated(Fingerprint),
    /// Impossible threshold.
    #[error(
        "{threshold} of {cosigners} is no threshold: two or more, and more than half, of 2 to {MAX_COSIGNERS} keys"
    )]
    Threshold {
        /// Signatures.
        threshold: usize,
        /// Keys.
        cosigners: usize,
    },
}

/// Whether a private key may stand in a text: an xprv, tprv or SLIP-132's zprv, or anything as long as a WIF key (51 or 52
/// characters), which nothing in a descriptor of public keys is. An xpub may well have "prv" in its middle, and one checksum of
/// 32,768 begins with a letter and "prv": those have eight characters.
pub(super) fn may_hold_private_key(text: &str) -> bool {
    let mut runs = text.split(|character: char| !character.is_ascii_alphanumeric());
    runs.any(|run| (run.len() > 8 && run.get(1..4) == Some("prv")) || matches!(run.len(), 51 | 52))
}
