//! Small files of a wallet's folder: written whole or not at all, for their owner's eyes only.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// How a file of the folder is opened for writing, which makes it if need be.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// All of it or nothing, whenever the power fails. `file` is in `dir` and ends in `.json`.
pub(crate) fn write_whole(dir: &Path, file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("json.new");
    let mut handle = private().truncate(true).open(&new)?;
    handle.write_all(text.as_bytes())?;
    handle.write_all(b"\n")?;
    handle.sync_all()?;
    std::fs::rename(&new, file)?;
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // Some file systems cannot sync a folder.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}
