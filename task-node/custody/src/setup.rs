//! Which keys hold the wallet: one descriptor with two keychains.
//!
//! ```text
//! wpkh([fingerprint/84h/coin h/0h]xpub/<0;1>/*)                          single-sig, BIP84
//! wsh(sortedmulti(2,[fingerprint/48h/coin h/0h/2h]xpub/<0;1>/*,...))     2-of-3, BIP48 and BIP67
//! ```
//!
//! Each wallet has one text, whatever order and spelling the keys were given in: all custodians see the same checksum.
//!
//! Keychain 0 receives coinbases, always at index 0, because K2 honours one script. Keychain 1 receives change; none of its
//! scripts is ever registered on K2, so moving the pool's own coins can never be minted.

mod cosigner;
mod error;

use std::fmt;

use bdk_wallet::KeychainKind;
use bitcoin::bip32::{ChildNumber, DerivationPath};
use bitcoin::{Address, Network, NetworkKind, Script, ScriptBuf};
use miniscript::descriptor::checksum::desc_checksum;
use miniscript::descriptor::{Wildcard, WshInner};
use miniscript::{Descriptor, DescriptorPublicKey};

pub use cosigner::Cosigner;
pub use error::SetupError;
use error::may_hold_private_key;

/// Consensus would allow 20 in a P2WSH script; 15 is what P2SH allowed, and so what signing devices take.
const MAX_COSIGNERS: usize = 15;

/// The longest descriptor that is read, in bytes; 15 keys take some 2,400.
const MAX_DESCRIPTOR: usize = 4096;

/// A wallet that custodians hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    network: Network,
    /// With `<0;1>`, `h` and checksum.
    text: String,
    /// The same.
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
        Self::of(network, 1, vec![cosigner.clone()])
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
        check_threshold(threshold, cosigners.len())?;
        Self::of(network, threshold, cosigners.to_vec())
    }

    /// The wallet of a descriptor. A checksum is verified where there is one.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn parse(network: Network, descriptor: &str) -> Result<Self, SetupError> {
        let descriptor = descriptor.trim();
        if may_hold_private_key(descriptor) {
            return Err(SetupError::Private);
        }
        if descriptor.len() > MAX_DESCRIPTOR {
            let reason = format!("it is longer than {MAX_DESCRIPTOR} bytes");
            return Err(SetupError::Descriptor(reason));
        }
        let form = |what: &str| SetupError::Form(what.to_owned());
        let descriptor: Descriptor<DescriptorPublicKey> = descriptor
            .parse()
            .map_err(|error: miniscript::Error| no_descriptor(&error))?;
        let (threshold, keys) = match &descriptor {
            Descriptor::Wpkh(wpkh) => (1, vec![wpkh.as_inner().clone()]),
            Descriptor::Wsh(wsh) => match wsh.as_inner() {
                WshInner::SortedMulti(multi) => {
                    check_threshold(multi.k(), multi.n())?;
                    (multi.k(), multi.pks().to_vec())
                }
                WshInner::Ms(_) => return Err(form("another wsh(...)")),
            },
            other => return Err(form(&format!("{:?}", other.desc_type()))),
        };
        let cosigners = keys.iter().map(cosigner).collect::<Result<_, _>>()?;
        Self::of(network, threshold, cosigners)
    }

    /// One cosigner: `wpkh`; several: `wsh`, whose threshold was checked.
    fn of(
        network: Network,
        threshold: usize,
        mut cosigners: Vec<Cosigner>,
    ) -> Result<Self, SetupError> {
        for (index, cosigner) in cosigners.iter().enumerate() {
            cosigner.check().map_err(|reason| SetupError::Cosigner {
                given: format!("\"{cosigner}\""),
                reason,
            })?;
            let found = cosigner.xpub.network;
            if found != NetworkKind::from(network) {
                return Err(SetupError::Network {
                    key: cosigner.to_string(),
                    found,
                    network,
                });
            }
            // Two accounts of one seed are one custodian; and the same key may come with another parent or chain code.
            let mut others = cosigners.iter().take(index);
            if others.any(|other| {
                other.fingerprint == cosigner.fingerprint
                    || other.xpub.public_key == cosigner.xpub.public_key
            }) {
                return Err(SetupError::Repeated(cosigner.fingerprint));
            }
        }
        cosigners.sort_by_cached_key(Cosigner::to_string);
        let text = match cosigners.as_slice() {
            [cosigner] => format!("wpkh({cosigner}/<0;1>/*)"),
            several => {
                let key = |cosigner: &Cosigner| format!(",{cosigner}/<0;1>/*");
                let keys: String = several.iter().map(key).collect();
                format!("wsh(sortedmulti({threshold}{keys}))")
            }
        };
        let checksum = desc_checksum(&text).map_err(|error| no_descriptor(&error))?;
        let text = format!("{text}#{checksum}");
        let descriptor: Descriptor<DescriptorPublicKey> =
            text.parse().map_err(|error| no_descriptor(&error))?;
        let keychains = descriptor.clone().into_single_descriptors();
        let keychains: [_; 2] = keychains
            .map_err(|error| no_descriptor(&error))?
            .try_into()
            .map_err(|_| SetupError::Form("without the two keychains <0;1>".to_owned()))?;
        Ok(Self {
            network,
            text,
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

    /// With `<0;1>`. For people, show the setup itself: the library writes apostrophes, and so another checksum.
    #[must_use]
    pub const fn descriptor(&self) -> &Descriptor<DescriptorPublicKey> {
        &self.descriptor
    }

    /// Whose signatures count, in the descriptor's order.
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

/// The descriptor with checksum, hardened steps with `h`: the one text of this wallet.
impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// More than half of the keys, so that any two groups that can sign have a custodian in common: he is the one who knows of
/// a redemption's other payment ([`payment::history`](crate::payment::history)). Of 2-of-4, two pairs could pay it twice,
/// all four of them honest.
const fn check_threshold(threshold: usize, cosigners: usize) -> Result<(), SetupError> {
    if threshold < 2
        || threshold > cosigners
        || cosigners > MAX_COSIGNERS
        || threshold <= cosigners / 2
    {
        return Err(SetupError::Threshold {
            threshold,
            cosigners,
        });
    }
    Ok(())
}

/// The library quotes what it could not read, however long it is.
fn no_descriptor(error: &miniscript::Error) -> SetupError {
    SetupError::Descriptor(error.to_string().chars().take(200).collect())
}

/// The key of a descriptor, which must be an extended one with its origin and the two keychains.
fn cosigner(key: &DescriptorPublicKey) -> Result<Cosigner, SetupError> {
    let form = || {
        let key: String = key.to_string().chars().take(200).collect();
        SetupError::Form(format!("a descriptor with the key {key}"))
    };
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

#[cfg(test)]
mod tests;
