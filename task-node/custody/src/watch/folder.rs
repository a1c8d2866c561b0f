//! A wallet's folder: `wallet.json`, which says what it is of, and the lock that keeps a second process out.
//!
//! ```text
//! wallet.json      {"format":1,"network":"regtest","descriptor":"wsh(...)#checksum","birthday":800000}
//! wallet.sqlite    what the chain says; can be made anew
//! journal.sqlite   what was intended and signed; cannot
//! generation.json  which journal that is, and how many writes it has seen: tells an old copy of it
//! wallet.lock      held while the folder is in use
//! ```

use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bitcoin::Network;
use serde::{Deserialize, Serialize};

use super::WatchError;
use crate::Setup;
use crate::disk::{private, write_whole};

/// The format that is written.
const FORMAT: u64 = 1;
/// The longest `wallet.json` that is read, in bytes: a descriptor of 15 keys is below 3,000.
const MAX_LEN: u64 = 64 * 1024;

const WALLET_FILE: &str = "wallet.json";
const LOCK_FILE: &str = "wallet.lock";

/// A folder that this process has to itself.
#[derive(Debug)]
pub struct WalletDir {
    path: PathBuf,
    setup: Setup,
    birthday: u32,
    _lock: File,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalletFile {
    format: u64,
    network: Network,
    descriptor: String,
    birthday: u32,
}

/// Read first: what else stands in the file is for that format to say.
#[derive(Debug, Deserialize)]
struct Format {
    format: u64,
}

impl WalletDir {
    /// Makes the folder of a wallet, for its owner's eyes only: whoever reads it sees every coin.
    ///
    /// # Errors
    /// [`WatchError::Exists`], [`WatchError::Locked`], [`WatchError::Io`].
    pub fn create(path: &Path, setup: &Setup, birthday: u32) -> Result<Self, WatchError> {
        make_private(path).map_err(io(format!("cannot make {}", path.display())))?;
        let lock = lock(path)?;
        let file = path.join(WALLET_FILE);
        if file.exists() {
            return Err(WatchError::Exists(path.to_owned()));
        }
        let content = WalletFile {
            format: FORMAT,
            network: setup.network(),
            descriptor: setup.to_string(),
            birthday,
        };
        let text = serde_json::to_string_pretty(&content).map_err(|error| WatchError::Damaged {
            path: file.clone(),
            reason: error.to_string(),
        })?;
        write_whole(path, &file, &text).map_err(io(format!("cannot write {}", file.display())))?;
        Ok(Self {
            path: path.to_owned(),
            setup: setup.clone(),
            birthday,
            _lock: lock,
        })
    }

    /// Opens the folder of a wallet.
    ///
    /// # Errors
    /// [`WatchError::Missing`], [`WatchError::Locked`], [`WatchError::Newer`], [`WatchError::Damaged`],
    /// [`WatchError::Setup`], [`WatchError::Io`].
    pub fn open(path: &Path) -> Result<Self, WatchError> {
        let file = path.join(WALLET_FILE);
        if !file.exists() {
            return Err(WatchError::Missing(path.to_owned()));
        }
        let lock = lock(path)?;
        let mut text = String::new();
        File::open(&file)
            .and_then(|file| file.take(MAX_LEN).read_to_string(&mut text))
            .map_err(io(format!("cannot read {}", file.display())))?;
        let damaged = |error: serde_json::Error| WatchError::Damaged {
            path: file.clone(),
            reason: error.to_string(),
        };
        let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
        if format > FORMAT {
            return Err(WatchError::Newer {
                path: file,
                found: format,
                known: FORMAT,
            });
        }
        let content: WalletFile = serde_json::from_str(&text).map_err(damaged)?;
        Ok(Self {
            path: path.to_owned(),
            setup: Setup::parse(content.network, &content.descriptor)?,
            birthday: content.birthday,
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which keys hold the wallet.
    #[must_use]
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The first block that may concern it.
    #[must_use]
    pub const fn birthday(&self) -> u32 {
        self.birthday
    }

    /// Where the journal of this wallet is kept.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.path.join("journal.sqlite")
    }

    /// Where the database of this wallet is kept.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.path.join("wallet.sqlite")
    }
}

fn io(what: String) -> impl FnOnce(std::io::Error) -> WatchError {
    move |source| WatchError::Io { what, source }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Two processes with one journal could each take a coin to be free.
fn lock(path: &Path) -> Result<File, WatchError> {
    let name = path.join(LOCK_FILE);
    let file = private()
        .truncate(false)
        .open(&name)
        .map_err(io(format!("cannot open {}", name.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WatchError::Locked(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(WatchError::Io {
            what: format!("cannot lock {}", name.display()),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::watch::fixture::setup;

    #[test]
    fn a_folder_is_read_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("custody");
        let made = WalletDir::create(&path, &setup(), 7).unwrap();
        drop(made);
        let open = WalletDir::open(&path).unwrap();
        assert_eq!(open.setup(), &setup());
        assert_eq!(open.birthday(), 7);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o700);
            assert_eq!(mode(&path.join(WALLET_FILE)), 0o600);
        }
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let first = WalletDir::create(dir.path(), &setup(), 0).unwrap();
        assert!(matches!(
            WalletDir::open(dir.path()),
            Err(WatchError::Locked(_))
        ));
        drop(first);
        WalletDir::open(dir.path()).unwrap();
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        drop(WalletDir::create(dir.path(), &setup(), 0).unwrap());
        assert!(matches!(
            WalletDir::create(dir.path(), &setup(), 0),
            Err(WatchError::Exists(_))
        ));
    }

    #[test]
    fn a_newer_format_and_a_damaged_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            WalletDir::open(dir.path()),
            Err(WatchError::Missing(_))
        ));
        drop(WalletDir::create(dir.path(), &setup(), 0).unwrap());
        let file = dir.path().join(WALLET_FILE);
        let text = std::fs::read_to_string(&file).unwrap();

        // A later format may have keys this one does not know.
        let newer = text.replace("\"format\": 1,", "\"format\": 2, \"curve\": \"other\",");
        assert_ne!(newer, text);
        std::fs::write(&file, newer).unwrap();
        let error = WalletDir::open(dir.path()).unwrap_err();
        assert!(
            matches!(error, WatchError::Newer { found: 2, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("newer orcapool"), "{error}");

        for damaged in ["", "{", "[]", &text.replace("birthday", "birthdya")] {
            std::fs::write(&file, damaged).unwrap();
            assert!(matches!(
                WalletDir::open(dir.path()),
                Err(WatchError::Damaged { .. })
            ));
        }

        // One character of the descriptor is another: its checksum says so.
        let wrong = text.replace("<0;1>", "<0;2>");
        std::fs::write(&file, wrong).unwrap();
        assert!(matches!(
            WalletDir::open(dir.path()),
            Err(WatchError::Setup(_))
        ));
    }

    #[test]
    fn a_file_cut_off_while_it_was_made_leaves_the_folder_free() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("wallet.json.new"), "{\"form").unwrap();
        drop(WalletDir::create(dir.path(), &setup(), 0).unwrap());
        WalletDir::open(dir.path()).unwrap();
    }
}
