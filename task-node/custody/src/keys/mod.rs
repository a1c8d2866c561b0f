//! A custodian's seed, encrypted at rest; only an xpub with its origin leaves.
//!
//! | file | one job |
//! |---|---|
//! | `mod.rs` | [`CustodianKey`]: 12 to 24 words, and the two accounts that come from them |
//! | [`mod@file`] | [`KeyFile`]: what is on disk, readable by its owner alone, never overwritten |
//! | [`sealed`] | how the words are encrypted: age, with a passphrase or to recipients |
//! | [`sign`] | [`CustodianKey::sign`]: the one thing a key does |
//!
//! ```text
//! m/84h/coin h/0h       the account of a single-sig wallet     BIP84
//! m/48h/coin h/0h/2h    the account of a 2-of-3 wallet         BIP48, script type 2: P2WSH
//! ```
//!
//! A BIP39 passphrase ("25th word") is not supported: it would be a second secret that no checksum guards, and the words on
//! paper alone must bring the key back. The file's own passphrase protects the file, not the words.
//!
//! Secrets are overwritten when they are dropped, are never printed by `Debug` or in an error, and are not `Clone`. What a
//! library's function leaves on the stack while it derives or signs is out of reach.

mod error;
pub mod file;
pub mod sealed;
pub mod sign;

use bip39::{Language, Mnemonic};
use bitcoin::NetworkKind;
use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, Xpriv, Xpub};
use bitcoin::secp256k1::{Secp256k1, Signing};
use zeroize::{Zeroize as _, Zeroizing};

pub use error::{KeyError, SigningError};
pub use file::{KeyFile, KeyInfo, MAX_LABEL};
pub use sealed::{ExposeSecret, MIN_PASSPHRASE, Protection, SecretString, Unlock};

use crate::setup::Cosigner;

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A wallet of one key: `wpkh`, BIP84.
    Single,
    /// A wallet of several: `wsh(sortedmulti)`, BIP48.
    Multisig,
}

impl Purpose {
    /// From the master key to the account.
    fn path(self, network: NetworkKind) -> DerivationPath {
        let coin = u32::from(!network.is_mainnet());
        let steps: &[u32] = match self {
            Self::Single => &[84, coin, 0],
            Self::Multisig => &[48, coin, 0, 2],
        };
        steps
            .iter()
            .map(|index| ChildNumber::Hardened { index: *index })
            .collect()
    }
}

/// A custodian's key, in memory.
pub struct CustodianKey {
    network: NetworkKind,
    /// On the heap, so that moving the key leaves no copies behind.
    words: Box<Mnemonic>,
    seed: Box<Zeroizing<[u8; 64]>>,
    single: Cosigner,
    multisig: Cosigner,
}

impl CustodianKey {
    /// A new key of 24 words from 32 bytes of the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Entropy`]: the bytes are all the same, so they are not random.
    pub fn generate(network: NetworkKind, entropy: &[u8; 32]) -> Result<Self, KeyError> {
        if entropy.iter().all(|byte| *byte == entropy[0]) {
            return Err(KeyError::Entropy);
        }
        let words = Mnemonic::from_entropy_in(Language::English, entropy);
        Self::new(network, words.map_err(word_error)?)
    }

    /// The key of 12, 15, 18, 21 or 24 words of the English list. Case and white space between them do not matter.
    ///
    /// # Errors
    /// [`KeyError`]; it says which word is wrong by its place, never by itself.
    pub fn import(network: NetworkKind, words: &str) -> Result<Self, KeyError> {
        // 24 words of at most 8 letters: allocated once, so that no shorter copy is left behind.
        let mut canonical = Zeroizing::new(String::with_capacity(24 * 9));
        for (index, word) in words.split_whitespace().enumerate() {
            if index >= 24 {
                return Err(KeyError::WordCount);
            }
            if word.len() > 8 || !word.is_ascii() {
                return Err(KeyError::Word { place: index + 1 });
            }
            if index > 0 {
                canonical.push(' ');
            }
            canonical.push_str(word);
        }
        canonical.make_ascii_lowercase();
        let words = Mnemonic::parse_in_normalized(Language::English, &canonical);
        Self::new(network, words.map_err(word_error)?)
    }

    fn new(network: NetworkKind, words: Mnemonic) -> Result<Self, KeyError> {
        let words = Box::new(words);
        let (mut entropy, length) = words.to_entropy_array();
        let repeated = entropy[..length].iter().all(|byte| *byte == entropy[0]);
        entropy.zeroize();
        // "abandon abandon ... about" and its like stand in every test suite, and robots wait for coins sent to them.
        if repeated && network.is_mainnet() {
            return Err(KeyError::Entropy);
        }
        let mut seed = Box::new(Zeroizing::new([0; 64]));
        let mut derived = words.to_seed_normalized("");
        seed.copy_from_slice(&derived);
        derived.zeroize();

        let secp = Secp256k1::new();
        let master = Secret::master(network, &seed)?;
        let fingerprint = master.0.fingerprint(&secp);
        let account = |purpose: Purpose| -> Result<Cosigner, KeyError> {
            let path = purpose.path(network);
            let xpub = Xpub::from_priv(&secp, &master.derive(&secp, &path)?.0);
            Ok(Cosigner {
                fingerprint,
                path,
                xpub,
            })
        };
        let (single, multisig) = (account(Purpose::Single)?, account(Purpose::Multisig)?);
        Ok(Self {
            network,
            words,
            seed,
            single,
            multisig,
        })
    }

    /// The main network, or the test networks.
    #[must_use]
    pub const fn network(&self) -> NetworkKind {
        self.network
    }

    /// Of the master key.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.multisig.fingerprint
    }

    /// What may leave: an account's public key with its origin.
    #[must_use]
    pub const fn cosigner(&self, purpose: Purpose) -> &Cosigner {
        match purpose {
            Purpose::Single => &self.single,
            Purpose::Multisig => &self.multisig,
        }
    }

    /// The words, for a copy on paper: whoever reads them has the key.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mut words = Zeroizing::new(String::with_capacity(24 * 9));
        for (index, word) in self.words.words().enumerate() {
            if index > 0 {
                words.push(' ');
            }
            words.push_str(word);
        }
        words
    }

    fn master(&self) -> Result<Secret, KeyError> {
        Secret::master(self.network, &self.seed)
    }
}

/// An extended private key whose secret half is overwritten when it is dropped. The chain code is in the xpub anyway.
struct Secret(Xpriv);

impl Secret {
    fn master(network: NetworkKind, seed: &[u8; 64]) -> Result<Self, KeyError> {
        // Fails for one seed in 2^127.
        Ok(Self(
            Xpriv::new_master(network, seed).map_err(|_| KeyError::Derivation)?,
        ))
    }

    fn derive<C: Signing>(
        &self,
        secp: &Secp256k1<C>,
        path: &DerivationPath,
    ) -> Result<Self, KeyError> {
        let derived = self.0.derive_priv(secp, path);
        Ok(Self(derived.map_err(|_| KeyError::Derivation)?))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.private_key.non_secure_erase();
    }
}

/// The library's errors name no words, but their `Display` is not ours to promise.
fn word_error(error: bip39::Error) -> KeyError {
    match error {
        bip39::Error::BadWordCount(_) | bip39::Error::BadEntropyBitCount(_) => KeyError::WordCount,
        bip39::Error::UnknownWord(index) => KeyError::Word { place: index + 1 },
        bip39::Error::InvalidChecksum | bip39::Error::AmbiguousLanguages(_) => KeyError::Checksum,
    }
}

#[cfg(test)]
mod tests;
