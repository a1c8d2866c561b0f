//! Which keys hold the wallet: one descriptor with two keychains.
//!
//! ```text
//! wpkh([fingerprint/84h/coin h/0h]xpub/<0;1>/*)                          single-sig, BIP84
//! wsh(sortedmulti(2,[fingerprint/48h/coin h/0h/2h]xpub/<0;1>/*,...))     2-of-3, BIP48 and BIP67
//! ```
//!
//! Keychain 0 receives coinbases, always at index 0, because K2 honours one script. Keychain 1 receives change; none of its
//! scripts is ever registered on K2, so moving the pool's own coins can never be minted.

use std::fmt;
use std::str::FromStr;

use bdk_wallet::KeychainKind;
use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, Xpub};
use bitcoin::{Address, Network, NetworkKind, Script, ScriptBuf};
use miniscript::descriptor::{Wildcard, WshInner};
use miniscript::{Descriptor, DescriptorPublicKey};

/// The most cosigners of `sortedmulti` in a P2WSH script that every node relays (20 of them are 3,600 bytes at most).
const MAX_COSIGNERS: usize = 15;

/// Why keys or a descriptor make no wallet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not an xpub with its origin.
    #[error(
        "\"{given}\" is no extended public key with its origin, such as [d34db33f/48h/0h/0h/2h]xpub6...: {reason}"
    )]
    Cosigner {
        /// What was given, shortened.
        given: String,
        /// Why.
        reason: String,
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
    #[error("a private key stands in the descriptor: nothing but public keys belongs here")]
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
    /// The same key twice.
    #[error("cosigner {0} is given twice: each custodian must bring a key of its own")]
    Repeated(Fingerprint),
    /// Impossible threshold.
    #[error("{threshold} of {cosigners} is no threshold: two or more of 2 to {MAX_COSIGNERS} keys")]
    Threshold {
        /// Signatures.
        threshold: usize,
        /// Keys.
        cosigners: usize,
    },
}

/// A custodian's account: an extended public key and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    /// Of the custodian's master key.
    pub fingerprint: Fingerprint,
    /// From the master key to `xpub`; all hardened.
    pub path: DerivationPath,
    /// The account's key.
    pub xpub: Xpub,
}

impl FromStr for Cosigner {
    type Err = SetupError;

    fn from_str(given: &str) -> Result<Self, SetupError> {
        let fail = |reason: &str| SetupError::Cosigner {
            given: given.chars().take(80).collect(),
            reason: reason.to_owned(),
        };
        let (origin, key) = given
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .ok_or_else(|| fail("the origin in brackets is missing"))?;
        let (fingerprint, path) = origin
            .split_once('/')
            .ok_or_else(|| fail("the origin has no path"))?;
        let fingerprint = fingerprint
            .parse()
            .map_err(|_| fail("the fingerprint is not 8 hexadecimal digits"))?;
        let path: DerivationPath = path
            .parse()
            .map_err(|_| fail("the path is not like 48h/0h/0h/2h"))?;
        if !path.into_iter().all(ChildNumber::is_hardened) {
            return Err(fail("a step of the path is not hardened"));
        }
        let xpub: Xpub = key.parse().map_err(|_| {
            if key.contains("prv") {
                SetupError::Private
            } else {
                fail("the key is not an xpub or tpub, or a character is wrong")
            }
        })?;
        if usize::from(xpub.depth) != path.len() {
            return Err(fail("the path is not as long as the key is deep"));
        }
        Ok(Self {
            fingerprint,
            path,
            xpub,
        })
    }
}

impl fmt::Display for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fingerprint,
            path,
            xpub,
        } = self;
        // One form of each key, with h: an apostrophe would have to be quoted in a shell.
        write!(f, "[{fingerprint}/{path:#}]{xpub}")
    }
}

/// A wallet that custodians hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    network: Network,
    /// With `<0;1>`.
    descriptor: Descriptor<DescriptorPublicKey>,
    keychains: [Descriptor<DescriptorPublicKey>; 2],
    cosigners: Vec<Cosigner>,
    threshold: usize,
}

impl Setup {
    /// One key signs alone: BIP84.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn single(network: Network, cosigner: &Cosigner) -> Result<Self, SetupError> {
        Self::parse(network, &format!("wpkh({cosigner}/<0;1>/*)"))
    }

    /// `threshold` of these keys sign together: BIP48. Their order does not matter.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn multisig(
        network: Network,
        threshold: usize,
        cosigners: &[Cosigner],
    ) -> Result<Self, SetupError> {
        let wrong = SetupError::Threshold {
            threshold,
            cosigners: cosigners.len(),
        };
        if !(2..=cosigners.len()).contains(&threshold) || cosigners.len() > MAX_COSIGNERS {
            return Err(wrong);
        }
        // Ordered, so that all custodians come to the same descriptor and checksum.
        let mut keys: Vec<_> = cosigners.iter().map(Cosigner::to_string).collect();
        keys.sort_unstable();
        let keys: String = keys.iter().map(|key| format!(",{key}/<0;1>/*")).collect();
        Self::parse(network, &format!("wsh(sortedmulti({threshold}{keys}))"))
    }

    /// The wallet of a descriptor. A checksum is verified where there is one.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn parse(network: Network, descriptor: &str) -> Result<Self, SetupError> {
        let descriptor: Descriptor<DescriptorPublicKey> =
            descriptor
                .trim()
                .parse()
                .map_err(|error: miniscript::Error| {
                    if descriptor.contains("prv") {
                        SetupError::Private
                    } else {
                        SetupError::Descriptor(error.to_string())
                    }
                })?;
        let form = |what: &str| SetupError::Form(what.to_owned());
        let (threshold, keys) = match &descriptor {
            Descriptor::Wpkh(wpkh) => (1, vec![wpkh.as_inner().clone()]),
            Descriptor::Wsh(wsh) => match wsh.as_inner() {
                WshInner::SortedMulti(multi) => (multi.k(), multi.pks().to_vec()),
                WshInner::Ms(_) => return Err(form("another wsh(...)")),
            },
            other => return Err(form(&format!("{:?}", other.desc_type()))),
        };
        let mut cosigners: Vec<Cosigner> = Vec::new();
        for key in keys {
            let cosigner = cosigner(&key)?;
            let found = cosigner.xpub.network;
            if found != NetworkKind::from(network) {
                return Err(SetupError::Network {
                    key: cosigner.to_string(),
                    found,
                    network,
                });
            }
            if cosigners.iter().any(|other| other.xpub == cosigner.xpub) {
                return Err(SetupError::Repeated(cosigner.fingerprint));
            }
            cosigners.push(cosigner);
        }
        if cosigners.len() > 1 && threshold < 2 {
            return Err(SetupError::Threshold {
                threshold,
                cosigners: cosigners.len(),
            });
        }
        let keychains: [_; 2] = descriptor
            .clone()
            .into_single_descriptors()
            .map_err(|error| SetupError::Descriptor(error.to_string()))?
            .try_into()
            .map_err(|_| form("without the two keychains <0;1>"))?;
        Ok(Self {
            network,
            descriptor,
            keychains,
            cosigners,
            threshold,
        })
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// With `<0;1>`; displayed, it ends with its checksum.
    #[must_use]
    pub const fn descriptor(&self) -> &Descriptor<DescriptorPublicKey> {
        &self.descriptor
    }

    /// Whose signatures count.
    #[must_use]
    pub fn cosigners(&self) -> &[Cosigner] {
        &self.cosigners
    }

    /// How many signatures it takes.
    #[must_use]
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// The descriptor of one keychain.
    #[must_use]
    pub const fn keychain(&self, keychain: KeychainKind) -> &Descriptor<DescriptorPublicKey> {
        match keychain {
            KeychainKind::External => &self.keychains[0],
            KeychainKind::Internal => &self.keychains[1],
        }
    }

    /// One output script, at an index below 2^31.
    ///
    /// # Errors
    /// [`SetupError::Descriptor`]: the index is hardened.
    pub fn script(&self, keychain: KeychainKind, index: u32) -> Result<ScriptBuf, SetupError> {
        let derived = self.keychain(keychain).at_derivation_index(index);
        let derived = derived.map_err(|error| SetupError::Descriptor(error.to_string()))?;
        Ok(derived.script_pubkey())
    }

    /// The script of the pool's coinbases, which K2 honours.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn coinbase_script(&self) -> Result<ScriptBuf, SetupError> {
        self.script(KeychainKind::External, 0)
    }

    /// The address of [`script`](Self::script).
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn address(&self, keychain: KeychainKind, index: u32) -> Result<Address, SetupError> {
        let script = self.script(keychain, index)?;
        Address::from_script(&script, self.network)
            .map_err(|error| SetupError::Descriptor(error.to_string()))
    }

    /// Where a script stands, among the first `count` of each keychain.
    #[must_use]
    pub fn find(&self, script: &Script, count: u32) -> Option<(KeychainKind, u32)> {
        let keychains = [KeychainKind::External, KeychainKind::Internal];
        (0..count)
            .flat_map(|index| keychains.map(|keychain| (keychain, index)))
            .find(|(keychain, index)| {
                self.script(*keychain, *index)
                    .is_ok_and(|own| own.as_script() == script)
            })
    }
}

/// The key of a descriptor, which must be an extended one with its origin and the two keychains.
fn cosigner(key: &DescriptorPublicKey) -> Result<Cosigner, SetupError> {
    let form = || SetupError::Form(format!("a descriptor with the key {key}"));
    let DescriptorPublicKey::MultiXPub(key) = key else {
        return Err(form());
    };
    let expected =
        [0, 1].map(|keychain| DerivationPath::from(vec![ChildNumber::Normal { index: keychain }]));
    let Some((fingerprint, path)) = &key.origin else {
        return Err(form());
    };
    if key.wildcard != Wildcard::Unhardened || key.derivation_paths.paths() != &expected.to_vec() {
        return Err(form());
    }
    Ok(Cosigner {
        fingerprint: *fingerprint,
        path: path.clone(),
        xpub: key.xkey,
    })
}
