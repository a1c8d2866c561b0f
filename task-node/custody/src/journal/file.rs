//! The file: its name and its format.

use std::path::{Path, PathBuf};

use crate::sqlite::Format;

/// The journal's name in the wallet's folder.
pub const FILE: &str = "journal.sqlite";

pub(super) const FORMAT: Format = Format {
    // "ORCJ"
    application_id: 0x4f52_434a,
    migrations: &[
        include_str!("migrations/0001.sql"),
        include_str!("migrations/0002.sql"),
    ],
};

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}
