//! Outbox and inbox: the files that go between a coordinator and its custodians.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bitcoin::{Psbt, Txid};
use custody::fault::{self, Side};
use custody::payment::read_psbt;

/// The longest file that is read, in bytes; what custody itself accepts is less.
const MAX_FILE: u64 = 32 << 20;
/// The most files of the inbox that one turn looks at.
const MAX_FILES: usize = 1000;

/// Where a transaction's file lies for custodians.
pub(super) fn outbox_file(dir: &Path, txid: Txid) -> PathBuf {
    dir.join("outbox").join(format!("{txid}.psbt"))
}

/// Puts a PSBT into the outbox, whole or not at all.
pub(super) fn put(dir: &Path, psbt: &Psbt) -> std::io::Result<()> {
    let file = outbox_file(dir, psbt.unsigned_tx.compute_txid());
    let text = format!("{psbt}\n");
    if fs::read(&file).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let folder = dir.join("outbox");
    fs::create_dir_all(&folder)?;
    let new = file.with_extension("psbt.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // It shows every coin that is spent.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut handle = options.open(&new)?;
    handle.write_all(text.as_bytes())?;
    handle.sync_all()?;
    fault::point(Side::Amid, "outbox: write");
    fs::rename(&new, &file)?;
    match File::open(&folder).and_then(|folder| folder.sync_all()) {
        // Some file systems cannot sync a folder.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Takes a transaction's file out of the outbox.
pub(super) fn remove(dir: &Path, txid: Txid) -> std::io::Result<()> {
    match fs::remove_file(outbox_file(dir, txid)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The transactions whose files lie in the outbox.
pub(super) fn outbox(dir: &Path) -> std::io::Result<BTreeSet<Txid>> {
    let files = match fs::read_dir(dir.join("outbox")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        files => files?,
    };
    let mut found = BTreeSet::new();
    for file in files {
        let name = file?.file_name();
        let txid = name.to_str().and_then(|name| name.strip_suffix(".psbt"));
        found.extend(txid.and_then(|txid| txid.parse::<Txid>().ok()));
    }
    Ok(found)
}

/// A file of the inbox.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) path: PathBuf,
    /// Or why it is none.
    pub(super) psbt: anyhow::Result<Psbt>,
}

/// The files of the inbox, by name.
pub(super) fn inbox(dir: &Path) -> anyhow::Result<Vec<Signed>> {
    let folder = dir.join("inbox");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension == "psbt")
        {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    paths.truncate(MAX_FILES);
    Ok(paths
        .into_iter()
        .map(|path| Signed {
            psbt: read(&path),
            path,
        })
        .collect())
}

/// Moves a file of the inbox on: to `taken` or `refused` beside it.
pub(super) fn put_aside(path: &Path, to: &str) -> std::io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let folder = folder.join(to);
    fs::create_dir_all(&folder)?;
    match fs::rename(path, folder.join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Reads files and puts those of one transaction together, in the order given.
pub(super) fn read_groups(files: &[PathBuf]) -> anyhow::Result<Vec<Vec<Psbt>>> {
    let mut groups: BTreeMap<Txid, Vec<Psbt>> = BTreeMap::new();
    for file in files {
        let psbt = read(file).with_context(|| file.display().to_string())?;
        let txid = psbt.unsigned_tx.compute_txid();
        groups.entry(txid).or_default().push(psbt);
    }
    Ok(groups.into_values().collect())
}

fn read(path: &Path) -> anyhow::Result<Psbt> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut content)?;
    Ok(read_psbt(&content)?)
}
