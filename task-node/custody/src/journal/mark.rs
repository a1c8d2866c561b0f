//! The mark: which journal the folder has, and how many writes it has seen, in a file beside it.
//!
//! A journal that was restored from a copy is whole and says nothing of what was signed since. The mark does: it is behind
//! the journal by one write at most, and that one has let nothing out of the process yet, so a journal that is behind its
//! mark is an old one.
//!
//! It is a file of its own. `wallet.sqlite` may be deleted at any time and is made anew, and a mark in it would be restored
//! together with the journal by whoever copies the databases only. It is replaced as a whole, so it is never half written.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::JournalError;
use crate::disk;

/// The mark's name in the wallet's folder.
pub const MARK_FILE: &str = "generation.json";

/// The format that is written.
const FORMAT: u64 = 1;
/// The longest file that is read, in bytes; what is written has about 100.
const MAX_LEN: u64 = 4096;

/// A journal's name, made when it is born.
pub(super) type Name = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Of which journal.
    pub(super) journal: Name,
    /// Its writes when the mark was made.
    pub(super) generation: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkFile {
    format: u64,
    journal: String,
    generation: u64,
}

/// Read first: what else stands in the file is for that format to say.
#[derive(Debug, Deserialize)]
struct Format {
    format: u64,
}

impl Mark {
    /// The folder's mark; `None`: it has none.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = path(dir);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_LEN).read_to_string(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(damaged(path, "it is no text"));
            }
            Err(source) => return Err(JournalError::Mark { path, source }),
        }
        let parse = || -> Result<Self, String> {
            let said = |error: serde_json::Error| error.to_string();
            let Format { format } = serde_json::from_str(&text).map_err(said)?;
            if format > FORMAT {
                return Err(format!("its format {format} is of a newer orcapool"));
            }
            let file: MarkFile = serde_json::from_str(&text).map_err(said)?;
            let mut journal = Name::default();
            hex::decode_to_slice(&file.journal, &mut journal)
                .map_err(|_| "the journal's name is not 32 hex digits".to_owned())?;
            Ok(Self {
                journal,
                generation: file.generation,
            })
        };
        parse().map(Some).map_err(|reason| damaged(path, &reason))
    }

    /// Writes it, and returns when it is on the disk.
    pub(super) fn write(&self, dir: &Path) -> Result<(), JournalError> {
        let path = path(dir);
        let text = serde_json::to_string(&MarkFile {
            format: FORMAT,
            journal: hex::encode(self.journal),
            generation: self.generation,
        });
        let written = text
            .map_err(std::io::Error::from)
            .and_then(|text| disk::write_whole(dir, &path, &text));
        written.map_err(|source| JournalError::Mark { path, source })
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(MARK_FILE)
}

fn damaged(path: PathBuf, reason: &str) -> JournalError {
    JournalError::MarkDamaged {
        path,
        reason: reason.to_owned(),
    }
}
