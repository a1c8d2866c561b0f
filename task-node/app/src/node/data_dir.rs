//! Whether the data directory can be used, said in words before anything else fails on it: in a container it is a folder of
//! the host's, with the owner it has there.

use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A store that cannot grow by this much would fail at its first share.
const LEAST_ROOM: usize = 1 << 20;

/// Makes the directory if it is not there, and writes a file in it that is gone again.
///
/// # Errors
/// Whose it is, that it is read-only, or that its disk is full, and what to do.
pub fn check_data_dir(dir: &Path) -> anyhow::Result<()> {
    probe(dir).map_err(|error| {
        let owner = existing(dir).and_then(|dir| dir.metadata().ok());
        anyhow::anyhow!(explain(
            dir,
            &error,
            owner.map(|owner| owner.uid()),
            rustix::process::geteuid().as_raw(),
        ))
    })
}

fn probe(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    // Without a name, so that nothing is left behind by a kill.
    let mut file = tempfile::tempfile_in(dir)?;
    file.write_all(&vec![0; LEAST_ROOM])?;
    // Some file systems only reserve space now.
    file.sync_data()
}

/// The directory, or the nearest one above it that is there.
fn existing(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|dir| dir.exists())
}

fn explain(dir: &Path, error: &io::Error, owner: Option<u32>, user: u32) -> String {
    let todo = match (error.kind(), owner) {
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => {
            "its disk is full: make room, and start again (nothing was lost)".to_owned()
        }
        (ErrorKind::ReadOnlyFilesystem, _) => {
            "it is mounted read-only: mount a volume there that can be written".to_owned()
        }
        (ErrorKind::PermissionDenied, Some(owner)) if owner != user => format!(
            "it belongs to user {owner}, and this is user {user}: `chown -R {user} DIR` on the host, \
             or run the container as user {owner}"
        ),
        _ => "check its owner and mode, or name another with --data-dir".to_owned(),
    };
    format!(
        "the data directory {} cannot be written ({error}): {todo}",
        dir.display()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_directory_is_made_and_left_empty() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        check_data_dir(&dir).unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("data");
        std::fs::write(&file, "x").unwrap();
        let error = check_data_dir(&file).unwrap_err().to_string();
        assert!(error.contains("data cannot be written"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
    }

    #[test]
    fn each_reason_has_its_remedy() {
        let said = |kind: ErrorKind, owner| {
            explain(Path::new("/data"), &io::Error::from(kind), owner, 10001)
        };
        assert!(said(ErrorKind::PermissionDenied, Some(0)).contains("belongs to user 0"));
        assert!(said(ErrorKind::PermissionDenied, Some(0)).contains("`chown -R 10001"));
        assert!(said(ErrorKind::PermissionDenied, Some(10001)).contains("mode"));
        assert!(said(ErrorKind::PermissionDenied, None).contains("mode"));
        assert!(said(ErrorKind::StorageFull, Some(0)).contains("is full"));
        assert!(said(ErrorKind::ReadOnlyFilesystem, Some(0)).contains("read-only"));
    }
}
