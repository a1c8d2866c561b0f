//! Outbox and inbox: the files that go between a coordinator and its custodians.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bitcoin::{Psbt, Txid};
use custody::fault::{self, Side};
use custody::payment::{MAX_PSBT_FILE, read_psbt};

/// One byte more than custody accepts: a larger file is not read whole.
const MAX_FILE: u64 = MAX_PSBT_FILE as u64 + 1;
/// The most files of the inbox that one turn looks at.
const MAX_FILES: usize = 1000;
/// The most bytes of the inbox that one turn reads, because it may have to keep all of them until it has put the signatures
/// together. Two of the largest files.
const MAX_READ: u64 = 2 * MAX_FILE;

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

/// The files of the inbox, by name, each read when it is asked for. What is too much for one turn waits for the next one.
pub(super) fn inbox(dir: &Path) -> anyhow::Result<impl Iterator<Item = Signed> + use<>> {
    inbox_up_to(dir, MAX_READ)
}

fn inbox_up_to(dir: &Path, mut left: u64) -> anyhow::Result<impl Iterator<Item = Signed> + use<>> {
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
    Ok(paths.into_iter().map_while(move |path| {
        // Of one that is too large only so much is read.
        let length = fs::metadata(&path).map_or(0, |file| file.len().min(MAX_FILE));
        let Some(rest) = left.checked_sub(length) else {
            tracing::info!(
                "{} and those after it wait for the next turn",
                path.display()
            );
            return None;
        };
        left = rest;
        let psbt = read_up_to(&path, length);
        Some(Signed { path, psbt })
    }))
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
    read_up_to(path, MAX_FILE)
}

fn read_up_to(path: &Path, length: u64) -> anyhow::Result<Psbt> {
    let mut content = Vec::new();
    File::open(path)?.take(length).read_to_end(&mut content)?;
    Ok(read_psbt(&content)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use bitcoin::absolute::LockTime;
    use bitcoin::{Transaction, transaction};

    use super::*;

    /// A folder whose inbox holds files of these names, and how long each is.
    fn folder(names: &[&str]) -> (tempfile::TempDir, u64) {
        let dir = tempfile::tempdir().unwrap();
        let transaction = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![bitcoin::TxIn::default()],
            output: Vec::new(),
        };
        let text = Psbt::from_unsigned_tx(transaction).unwrap().to_string();
        fs::create_dir(dir.path().join("inbox")).unwrap();
        for name in names {
            fs::write(dir.path().join("inbox").join(name), &text).unwrap();
        }
        (dir, text.len() as u64)
    }

    fn names(files: &[Signed]) -> Vec<&str> {
        let files = files.iter();
        files
            .map(|file| file.path.file_name().unwrap().to_str().unwrap())
            .collect()
    }

    /// A thousand files of 32 MiB were once held in memory at a time.
    #[test]
    fn a_turn_reads_so_much_of_the_inbox_and_the_rest_waits() {
        let (dir, length) = folder(&["c.psbt", "a.psbt", "b.psbt", "d.psbt", "e.txt"]);
        let dir = dir.path();
        let turn = |left| -> Vec<Signed> { inbox_up_to(dir, left).unwrap().collect() };
        let first = turn(2 * length + length / 2);
        assert_eq!(names(&first), ["a.psbt", "b.psbt"]);
        for file in &first {
            assert!(file.psbt.is_ok());
            put_aside(&file.path, "taken").unwrap();
        }
        let second = turn(2 * length + length / 2);
        assert_eq!(names(&second), ["c.psbt", "d.psbt"]);
        assert_eq!(names(&turn(length)), ["c.psbt"]);
        assert_eq!(names(&turn(length - 1)), [""; 0]);
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_and_holds_up_no_other() {
        let (dir, _) = folder(&["b.psbt"]);
        let large = dir.path().join("inbox").join("a.psbt");
        // It takes no room on the disk.
        File::create(&large).unwrap().set_len(1 << 40).unwrap();
        let files: Vec<Signed> = inbox(dir.path()).unwrap().collect();
        assert_eq!(names(&files), ["a.psbt", "b.psbt"]);
        let refused = files[0].psbt.as_ref().unwrap_err().to_string();
        assert!(
            refused.contains("more than a PSBT of this pool has"),
            "{refused}"
        );
        assert!(files[1].psbt.is_ok());
        // It is not forgotten how much was read of it.
        let files: Vec<Signed> = inbox_up_to(dir.path(), MAX_FILE).unwrap().collect();
        assert_eq!(names(&files), ["a.psbt"]);
    }
}
