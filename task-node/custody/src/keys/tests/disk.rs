//! What is on disk: who may read it, what is never overwritten, and what tampering does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

#[test]
fn an_open_part_that_belongs_to_another_key_is_found_out() {
    let (protection, unlock) = identity();
    let file = |key: &CustodianKey, created| -> serde_json::Value {
        let file = key.seal(&protection, "Alice", created).unwrap();
        serde_json::from_slice(&file.to_bytes().unwrap()).unwrap()
    };
    let open = |raw: &serde_json::Value| {
        KeyFile::parse(raw.to_string().as_bytes()).and_then(|file| file.open(&unlock))
    };
    let (alice, mallory) = (numbered(1), numbered(2));
    let right = file(&alice, 5);
    assert!(open(&right).is_ok());

    let mut swapped = file(&mallory, 5);
    swapped["sealed"] = right["sealed"].clone();
    assert!(matches!(
        error_of(open(&swapped)),
        KeyError::Tampered("key")
    ));
    let mut later = right.clone();
    later["created"] = 6.into();
    assert!(matches!(error_of(open(&later)), KeyError::Tampered("date")));
    // One account of somebody else's under the right fingerprint.
    let mut account = right.clone();
    let mut foreign = mallory.cosigner(Purpose::Multisig).clone();
    foreign.fingerprint = alice.fingerprint();
    account["multisig"] = foreign.to_string().into();
    assert!(matches!(
        error_of(open(&account)),
        KeyError::Tampered("key")
    ));

    for (field, value) in [
        ("format", "orcapool/key/2".into()),
        ("network", "main".into()),
        ("fingerprint", "00000000".into()),
        ("single", right["multisig"].clone()),
        ("multisig", "tpub".into()),
        ("label", "\u{1b}[2J".into()),
        ("label", "x".repeat(65).into()),
        ("created", (-1).into()),
        ("more", 1.into()),
    ] {
        let mut changed = right.clone();
        changed[field] = value;
        let error = error_of(open(&changed));
        assert!(
            matches!(error, KeyError::Format(_) | KeyError::Label),
            "{field}: {error}"
        );
    }
}

#[test]
fn a_key_file_is_for_its_owner_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custodian-1.key");
    let (protection, unlock) = identity();
    let (key, other) = (numbered(1), numbered(2));
    key.seal(&protection, "", 0).unwrap().create(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let second = other.seal(&protection, "", 0).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(
        error_of(second.create(&path)),
        KeyError::Exists(_)
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let opened = KeyFile::read(&path).unwrap().open(&unlock).unwrap();
    assert_eq!(opened.fingerprint(), key.fingerprint());

    for bad in [0o640, 0o604, 0o660, 0o777] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(bad)).unwrap();
        let error = error_of(KeyFile::read(&path));
        assert!(matches!(error, KeyError::Permissions { .. }));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(KeyFile::read(&path).is_ok());
    assert_eq!(
        names(dir.path()),
        ["custodian-1.key"],
        "nothing is left over"
    );
    assert!(matches!(
        error_of(second.create(&dir.path().join("no/such/folder.key"))),
        KeyError::Io { .. }
    ));
}

#[test]
fn another_passphrase_is_for_the_same_key_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    let (protection, unlock) = identity();
    let (new_protection, new_unlock) = identity();
    let key = numbered(1);
    key.seal(&protection, "", 0).unwrap().create(&path).unwrap();
    let foreign = numbered(2).seal(&new_protection, "", 0).unwrap();
    assert!(matches!(
        error_of(foreign.reseal(&path)),
        KeyError::Tampered(_)
    ));
    let resealed = key.seal(&new_protection, "", 0).unwrap();
    resealed.reseal(&path).unwrap();
    let file = KeyFile::read(&path).unwrap();
    assert!(file.open(&unlock).is_err());
    assert_eq!(*file.open(&new_unlock).unwrap().words(), *key.words());
    assert_eq!((names(dir.path()).len(), mode(&path)), (1, 0o600));
}

#[test]
fn a_rotation_keeps_the_old_key_and_goes_on_after_an_interruption() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    let (protection, unlock) = identity();
    let (old, new) = (numbered(1), numbered(2));
    old.seal(&protection, "", 0).unwrap().create(&path).unwrap();
    let fresh = new.seal(&protection, "", 0).unwrap();
    // Interrupted between its two steps: the old key is there under both names.
    let retired = dir
        .path()
        .join(format!("a.key.retired-{}", old.fingerprint()));
    KeyFile::read(&path).unwrap().create(&retired).unwrap();
    assert_eq!(fresh.rotate(&path).unwrap(), retired);
    let open = |path: &Path| KeyFile::read(path).unwrap().open(&unlock).unwrap();
    assert_eq!(open(&path).fingerprint(), new.fingerprint());
    assert_eq!(open(&retired).fingerprint(), old.fingerprint());
    assert_eq!((mode(&path), mode(&retired)), (0o600, 0o600));

    // Where the retired name is taken by something else, nothing happens.
    let taken = dir
        .path()
        .join(format!("a.key.retired-{}", new.fingerprint()));
    old.seal(&protection, "other", 0)
        .unwrap()
        .create(&taken)
        .unwrap();
    let third = numbered(3).seal(&protection, "", 0).unwrap();
    assert!(matches!(error_of(third.rotate(&path)), KeyError::Exists(_)));
    assert_eq!(open(&path).fingerprint(), new.fingerprint());
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
