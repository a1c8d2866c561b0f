//! Keypair files as Solana's tools write them: a JSON array of 64 bytes, secret key first, public key second.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use k2_interface::K2Address;
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use solana_signer::Signer as _;
use zeroize::Zeroizing;

use crate::address::address;

/// 64 numbers of at most three digits with generous white space.
const MAX_FILE: u64 = 4096;

/// A key that signs. Wiped from memory when it is dropped; never shown.
pub struct Keypair(solana_keypair::Keypair);

impl Keypair {
    /// The key of a seed, for devnets and tests; a real one is made by `koii-keygen` or `solana-keygen`.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(solana_keypair::Keypair::new_from_array(seed))
    }

    /// A fresh key from the operating system's generator.
    #[must_use]
    pub fn random() -> Self {
        Self(solana_keypair::Keypair::new())
    }

    /// Its public half.
    #[must_use]
    pub fn address(&self) -> K2Address {
        address(&self.0.pubkey())
    }

    /// For Solana's crates.
    #[must_use]
    pub const fn inner(&self) -> &solana_keypair::Keypair {
        &self.0
    }

    /// Reads a keypair file.
    ///
    /// # Errors
    /// [`KeypairError`], which names the file and never shows its content.
    pub fn read(path: &Path) -> Result<KeypairFile, KeypairError> {
        let fail = |reason| KeypairError {
            path: path.to_owned(),
            reason,
        };
        let io = |error: std::io::Error| fail(Reason::Io(error.to_string()));
        let metadata = std::fs::metadata(path).map_err(io)?;
        // Opening a FIFO would block for ever; a device could be endless.
        if !metadata.is_file() {
            return Err(fail(Reason::NotAFile));
        }
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
            .map_err(io)?;
        let keypair = Self::from_json(&text).map_err(fail)?;
        Ok(KeypairFile {
            keypair,
            warning: permissions(path, &metadata),
        })
    }

    /// Reads the content of a keypair file.
    fn from_json(text: &[u8]) -> Result<Self, Reason> {
        if text.len() as u64 > MAX_FILE {
            return Err(Reason::NotAKeypair);
        }
        // serde's own message could quote bytes of the secret.
        let Halves(bytes) = serde_json::from_slice(text).map_err(|_| Reason::NotAKeypair)?;
        solana_keypair::Keypair::try_from(bytes.as_slice())
            .map(Self)
            .map_err(|_| Reason::Halves)
    }

    /// Writes a keypair file that only its owner may read.
    ///
    /// # Errors
    /// [`KeypairError`]; also where the file exists already.
    pub fn write_new(&self, path: &Path) -> Result<(), KeypairError> {
        use std::io::Write as _;
        let fail = |error: std::io::Error| KeypairError {
            path: path.to_owned(),
            reason: Reason::Io(error.to_string()),
        };
        let bytes = Zeroizing::new(self.0.to_bytes());
        let text = Zeroizing::new(
            serde_json::to_string(bytes.as_slice()).map_err(|e| fail(std::io::Error::other(e)))?,
        );
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        options
            .open(path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
            })
            .map_err(fail)
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.address())
    }
}

/// Both halves of a key, read in place: a `Vec` that grows leaves copies behind.
struct Halves(Zeroizing<[u8; solana_keypair::KEYPAIR_LENGTH]>);

impl<'de> Deserialize<'de> for Halves {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Halves;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Halves, A::Error> {
                let mut bytes = Zeroizing::new([0; solana_keypair::KEYPAIR_LENGTH]);
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = seq
                        .next_element()?
                        .ok_or_else(|| A::Error::invalid_length(index, &self))?;
                }
                match seq.next_element::<u8>()? {
                    None => Ok(Halves(bytes)),
                    Some(_) => Err(A::Error::invalid_length(bytes.len() + 1, &self)),
                }
            }
        }
        deserializer.deserialize_seq(Numbers)
    }
}

/// A keypair that was read, and what its owner should know.
#[derive(Debug)]
pub struct KeypairFile {
    /// The key.
    pub keypair: Keypair,
    /// Others than its owner may read the file.
    pub warning: Option<String>,
}

#[cfg(unix)]
fn permissions(path: &Path, metadata: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        format!(
            "{} is open to other users (mode {mode:03o}): chmod 600 it",
            path.display()
        )
    })
}

#[cfg(not(unix))]
fn permissions(_: &Path, _: &std::fs::Metadata) -> Option<String> {
    None
}

/// A file that is not a usable keypair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("keypair file {path}: {reason}")]
pub struct KeypairError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("{0}")]
    Io(String),
    #[error("not a regular file")]
    NotAFile,
    #[error("not a JSON array of 64 bytes, as `koii-keygen new` writes it")]
    NotAKeypair,
    #[error("its public half does not belong to its secret half")]
    Halves,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    /// RFC 8032, section 7.1, test 1.
    const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn rfc_8032() -> Vec<u8> {
        use bitcoin::hex::FromHex as _;
        Vec::from_hex(&format!("{SECRET}{PUBLIC}")).unwrap()
    }

    #[test]
    fn a_file_of_solanas_tools_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.json");
        std::fs::write(&path, format!("{:?}", rfc_8032())).unwrap();
        let file = Keypair::read(&path).unwrap();
        assert_eq!(file.keypair.address().as_bytes(), &rfc_8032()[32..]);
        let signature = file.keypair.inner().sign_message(b"");
        assert_eq!(
            signature.as_ref()[..4],
            [0xe5, 0x56, 0x43, 0x00],
            "the signature of RFC 8032's first test"
        );
    }

    #[test]
    fn what_is_written_is_read_back_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new.json");
        let key = Keypair::from_seed([3; 32]);
        key.write_new(&path).unwrap();
        let file = Keypair::read(&path).unwrap();
        assert_eq!(file.keypair.address(), key.address());
        assert_eq!(file.warning, None);
        assert!(key.write_new(&path).is_err(), "never overwrites a key");
    }

    #[cfg(unix)]
    #[test]
    fn an_open_file_is_warned_of() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("open.json");
        std::fs::write(&path, format!("{:?}", rfc_8032())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            Keypair::read(&path)
                .unwrap()
                .warning
                .unwrap()
                .contains("644")
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(Keypair::read(&path).unwrap().warning, None);
    }

    #[test]
    fn what_is_not_a_keypair_is_refused_without_being_shown() {
        let mut other_half = rfc_8032();
        other_half[63] ^= 1;
        for bad in [
            String::new(),
            "[]".into(),
            format!("{:?}", &rfc_8032()[..63]),
            format!("{other_half:?}"),
            format!("{:?}", vec![300; 64]),
            format!("[{}", "1,".repeat(1 << 20)),
            "\"157,97\"".into(),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("bad.json");
            std::fs::write(&path, &bad).unwrap();
            let error = Keypair::read(&path).unwrap_err().to_string();
            assert!(!error.contains("157"), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(Keypair::read(dir.path()).is_err());
        assert!(Keypair::read(&dir.path().join("none")).is_err());
    }

    #[test]
    fn no_secret_in_debug_output() {
        let shown = format!(
            "{:?}",
            Keypair::from_json(format!("{:?}", rfc_8032()).as_bytes())
        );
        assert!(!shown.contains("9d61") && !shown.contains("157"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_content_panics(text: Vec<u8>) {
            let _ = Keypair::from_json(&text);
        }
    }
}
