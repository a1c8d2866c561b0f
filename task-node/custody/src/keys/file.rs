//! What is on disk: one JSON file a key, readable by its owner alone, never overwritten.
//!
//! ```text
//! {
//!   "format": "orcapool/key/1",
//!   "network": "main",                                    or "test"
//!   "label": "Alice", "created": 1700000000,              Unix seconds
//!   "fingerprint": "d34db33f",
//!   "multisig": "[d34db33f/48h/0h/0h/2h]xpub...",
//!   "single": "[d34db33f/84h/0h/0h]xpub...",
//!   "sealed": "-----BEGIN AGE ENCRYPTED FILE-----\n..."   {"format": "orcapool/seed/1", ..., "words": "..."}
//! }
//! ```
//!
//! Everything but `sealed` is open, so that an xpub can be looked at without the passphrase. The open part could be changed by
//! whoever can write the file; [`KeyFile::open`] compares it with what the words give. Without this program,
//! `jq -r .sealed FILE | age -d` brings the words back.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bitcoin::NetworkKind;
use bitcoin::bip32::Fingerprint;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::sealed::{self, MAX_PLAINTEXT, Protection, Unlock};
use super::{CustodianKey, KeyError, Purpose};
use crate::setup::Cosigner;

/// The most characters of a label.
pub const MAX_LABEL: usize = 64;

const FORMAT: &str = "orcapool/key/1";
const SEED_FORMAT: &str = "orcapool/seed/1";

/// The largest key file, identity or passphrase file that is read.
const MAX_FILE: u64 = 64 * 1024;

/// The open part of a key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The main network, or the test networks.
    pub network: NetworkKind,
    /// Whose key it is, for people; may be empty.
    pub label: String,
    /// Unix seconds.
    pub created: u64,
    /// For a wallet of one key.
    pub single: Cosigner,
    /// For a wallet of several.
    pub multisig: Cosigner,
}

impl KeyInfo {
    /// Of the master key.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.multisig.fingerprint
    }

    /// One of the two accounts.
    #[must_use]
    pub const fn cosigner(&self, purpose: Purpose) -> &Cosigner {
        match purpose {
            Purpose::Single => &self.single,
            Purpose::Multisig => &self.multisig,
        }
    }
}

/// A key file: its open part, and the encrypted words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    info: KeyInfo,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    format: String,
    network: RawNetwork,
    label: String,
    created: u64,
    fingerprint: Fingerprint,
    multisig: String,
    single: String,
    sealed: String,
}

/// Borrowed from the decrypted bytes, so that no other copy of the words is made.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSeed<'a> {
    format: &'a str,
    network: RawNetwork,
    created: u64,
    words: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawNetwork {
    Main,
    Test,
}

impl From<NetworkKind> for RawNetwork {
    fn from(network: NetworkKind) -> Self {
        match network {
            NetworkKind::Main => Self::Main,
            NetworkKind::Test => Self::Test,
        }
    }
}

impl From<RawNetwork> for NetworkKind {
    fn from(network: RawNetwork) -> Self {
        match network {
            RawNetwork::Main => Self::Main,
            RawNetwork::Test => Self::Test,
        }
    }
}

impl CustodianKey {
    /// Encrypts the key. `created` is in Unix seconds.
    ///
    /// # Errors
    /// [`KeyError::Label`], [`KeyError::Encrypt`].
    pub fn seal(
        &self,
        protection: &Protection,
        label: &str,
        created: u64,
    ) -> Result<KeyFile, KeyError> {
        check_label(label)?;
        let words = self.words();
        let seed = RawSeed {
            format: SEED_FORMAT,
            network: self.network().into(),
            created,
            words: &words,
        };
        let mut plaintext = Zeroizing::new(Vec::with_capacity(MAX_PLAINTEXT));
        serde_json::to_writer(&mut *plaintext, &seed).map_err(|_| KeyError::Encrypt)?;
        Ok(KeyFile {
            info: KeyInfo {
                network: self.network(),
                label: label.to_owned(),
                created,
                single: self.cosigner(Purpose::Single).clone(),
                multisig: self.cosigner(Purpose::Multisig).clone(),
            },
            sealed: sealed::seal(&plaintext, protection)?,
        })
    }
}

impl KeyFile {
    /// Reads the bytes of a key file.
    ///
    /// # Errors
    /// [`KeyError::Format`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let format = |reason: &str| KeyError::Format(reason.to_owned());
        let raw: RawFile = serde_json::from_slice(bytes)
            .map_err(|error| KeyError::Format(format!("{FORMAT}, {error}")))?;
        if raw.format != FORMAT {
            return Err(format("another format, perhaps of a newer version"));
        }
        check_label(&raw.label)?;
        let network = NetworkKind::from(raw.network);
        let account = |text: &str, purpose: Purpose| {
            let cosigner: Cosigner = text
                .parse()
                .map_err(|_| format("an account is no xpub with its origin"))?;
            if cosigner.fingerprint != raw.fingerprint
                || cosigner.path != purpose.path(network)
                || cosigner.xpub.network != network
            {
                return Err(format("an account is of another key, path or network"));
            }
            Ok(cosigner)
        };
        Ok(Self {
            info: KeyInfo {
                network,
                single: account(&raw.single, Purpose::Single)?,
                multisig: account(&raw.multisig, Purpose::Multisig)?,
                label: raw.label,
                created: raw.created,
            },
            sealed: raw.sealed,
        })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`KeyError::Format`]; never in fact.
    pub fn to_bytes(&self) -> Result<Vec<u8>, KeyError> {
        let raw = RawFile {
            format: FORMAT.to_owned(),
            network: self.info.network.into(),
            label: self.info.label.clone(),
            created: self.info.created,
            fingerprint: self.info.fingerprint(),
            multisig: self.info.multisig.to_string(),
            single: self.info.single.to_string(),
            sealed: self.sealed.clone(),
        };
        let bytes = serde_json::to_vec_pretty(&raw);
        let mut bytes = bytes.map_err(|error| KeyError::Format(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The open part, which only [`open`](Self::open) has verified.
    #[must_use]
    pub const fn info(&self) -> &KeyInfo {
        &self.info
    }

    /// Whether a passphrase opens it, rather than an age identity.
    ///
    /// # Errors
    /// [`KeyError::Format`].
    pub fn needs_passphrase(&self) -> Result<bool, KeyError> {
        sealed::needs_passphrase(&self.sealed)
    }

    /// Decrypts the key, and makes sure that the open part belongs to it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(&self, unlock: &Unlock) -> Result<CustodianKey, KeyError> {
        let plaintext = sealed::open(&self.sealed, unlock)?;
        let seed: RawSeed<'_> = serde_json::from_slice(&plaintext)
            // The library's message may quote what it read.
            .map_err(|_| KeyError::Format("its encrypted part is of another format".to_owned()))?;
        if seed.format != SEED_FORMAT {
            let newer = "its encrypted part is of another format, perhaps of a newer version";
            return Err(KeyError::Format(newer.to_owned()));
        }
        let network = NetworkKind::from(seed.network);
        if network != self.info.network {
            return Err(KeyError::Tampered("network"));
        }
        if seed.created != self.info.created {
            return Err(KeyError::Tampered("date"));
        }
        let key = CustodianKey::import(network, seed.words)?;
        for purpose in [Purpose::Single, Purpose::Multisig] {
            if key.cosigner(purpose) != self.info.cosigner(purpose) {
                return Err(KeyError::Tampered("key"));
            }
        }
        Ok(key)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyError`]; [`KeyError::Permissions`] if others may read it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&read_private(path)?)
    }

    /// Writes a new file, durable when this returns.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::Io`].
    pub fn create(&self, path: &Path) -> Result<(), KeyError> {
        let file = self.temporary(path)?;
        file.persist_noclobber(path).map_err(|error| {
            if error.error.kind() == std::io::ErrorKind::AlreadyExists {
                KeyError::Exists(path.to_owned())
            } else {
                io(path)(error.error)
            }
        })?;
        sync_folder(path)
    }

    /// Puts another encryption of the same key in a file's place, at once or not at all.
    ///
    /// # Errors
    /// [`KeyError::Tampered`]: the file is another key's; [`KeyError::Io`].
    pub fn reseal(&self, path: &Path) -> Result<(), KeyError> {
        if Self::read(path)?.info.multisig != self.info.multisig {
            return Err(KeyError::Tampered("key"));
        }
        self.replace(path)
    }

    /// Puts a new key in a file's place, and keeps the old file beside it: its key is needed until its wallet is empty. Returns
    /// the old file's new name. At every moment both keys are on disk, or only the old one.
    ///
    /// # Errors
    /// [`KeyError::Exists`]: that name is another file's; [`KeyError::Io`].
    pub fn rotate(&self, path: &Path) -> Result<PathBuf, KeyError> {
        let old = Self::read(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".retired-{}", old.info.fingerprint()));
        let retired = PathBuf::from(name);
        match old.create(&retired) {
            // An earlier rotation was interrupted after this step.
            Err(KeyError::Exists(_)) if Self::read(&retired)? == old => {}
            done => done?,
        }
        self.replace(path)?;
        Ok(retired)
    }

    fn replace(&self, path: &Path) -> Result<(), KeyError> {
        let file = self.temporary(path)?;
        file.persist(path).map_err(|error| io(path)(error.error))?;
        sync_folder(path)
    }

    /// Written and durable under a name of its own in the same folder.
    fn temporary(&self, path: &Path) -> Result<tempfile::NamedTempFile, KeyError> {
        let bytes = self.to_bytes()?;
        let write = || {
            let mut file = tempfile::Builder::new()
                .prefix(".orcapool-key-")
                .permissions(std::fs::Permissions::from_mode(0o600))
                .tempfile_in(folder(path))?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        write().map_err(io(path))
    }
}

/// A secret file's bytes, if nobody else may read it: a key file, an age identity, a passphrase.
///
/// # Errors
/// [`KeyError::Permissions`], [`KeyError::Io`].
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let file = File::open(path).map_err(io(path))?;
    // Of the opened file, not of the name: the name may be another file's by now.
    let metadata = file.metadata().map_err(io(path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(KeyError::Permissions { path, mode });
    }
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        let error = std::io::Error::other("not a file of at most 64 KiB");
        return Err(io(path)(error));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize));
    let mut file = file.take(MAX_FILE);
    file.read_to_end(&mut bytes).map_err(io(path))?;
    Ok(bytes)
}

fn check_label(label: &str) -> Result<(), KeyError> {
    if label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
        return Err(KeyError::Label);
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes a new name durable.
fn sync_folder(path: &Path) -> Result<(), KeyError> {
    let folder = folder(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io(folder))
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> KeyError + '_ {
    move |source| KeyError::Io {
        path: path.to_owned(),
        source,
    }
}
