//! A custodian's account, as text: `[d34db33f/48h/0h/0h/2h]xpub6...`, the key expression of BIP380 without a wildcard.

use std::fmt;
use std::str::FromStr;

use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, Xpub};

use super::SetupError;
use super::error::may_hold_private_key;

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

impl Cosigner {
    /// Whether depth, last step and parent of the key are those of its origin, as far as they can be known.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let Some(last) = self.path.into_iter().last() else {
            return Err("the origin has no path");
        };
        if !self.path.into_iter().all(ChildNumber::is_hardened) {
            return Err("a step of the path is not hardened");
        }
        if usize::from(self.xpub.depth) != self.path.len() {
            return Err("the path is not as long as the key is deep");
        }
        if self.xpub.child_number != *last {
            return Err("the key comes from another path: its last step is another one");
        }
        if self.path.len() == 1 && self.xpub.parent_fingerprint != self.fingerprint {
            return Err("the key comes from another master key");
        }
        Ok(())
    }
}

impl FromStr for Cosigner {
    type Err = SetupError;

    fn from_str(given: &str) -> Result<Self, SetupError> {
        let given = given.trim();
        if may_hold_private_key(given) {
            return Err(SetupError::Private);
        }
        let fail = |reason| SetupError::Cosigner {
            given: shown(given),
            reason,
        };
        let (origin, key) = given
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .ok_or_else(|| fail("the origin in brackets is missing"))?;
        let (fingerprint, path) = origin
            .split_once('/')
            .ok_or_else(|| fail("the origin has no path"))?;
        // The library would also take other lengths of hexadecimal digits, spaces and signs.
        if fingerprint.len() != 8 || !fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(fail("the fingerprint is not 8 hexadecimal digits"));
        }
        let fingerprint = fingerprint
            .parse()
            .map_err(|_| fail("the fingerprint is not 8 hexadecimal digits"))?;
        let path: DerivationPath = path
            .parse()
            .map_err(|_| fail("the path is not like 48h/0h/0h/2h"))?;
        let xpub: Xpub = key.parse().map_err(|_| {
            fail(match key.get(..4) {
                Some("ypub" | "Ypub" | "zpub" | "Zpub" | "upub" | "Upub" | "vpub" | "Vpub") => {
                    "this is the form of SLIP-132; ask the wallet for the same key as xpub or tpub"
                }
                _ => "the key is not an xpub or tpub, or a character is wrong",
            })
        })?;
        let cosigner = Self {
            fingerprint,
            path,
            xpub,
        };
        cosigner.check().map_err(fail)?;
        Ok(cosigner)
    }
}

/// What may be repeated of a text that may be anything, a secret included: an origin, and how the key begins.
fn shown(given: &str) -> String {
    let is_origin = |character: char| {
        character.is_ascii_hexdigit() || matches!(character, '[' | ']' | '/' | '\'' | 'h' | 'H')
    };
    match given.split_once(']') {
        Some((origin, key)) if origin.starts_with('[') && origin.chars().all(is_origin) => {
            let origin: String = origin.chars().take(40).collect();
            let key: String = key.chars().take(8).collect();
            format!("\"{origin}]{key}...\"")
        }
        _ => "what was given".to_owned(),
    }
}

impl fmt::Display for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fingerprint,
            path,
            xpub,
        } = self;
        // One form of each key, with h: an apostrophe would have to be quoted in a shell. The library's path knows only that.
        write!(f, "[{fingerprint}")?;
        for step in path {
            write!(f, "/{step:#}")?;
        }
        write!(f, "]{xpub}")
    }
}
