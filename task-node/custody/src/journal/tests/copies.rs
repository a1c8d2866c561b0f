//! A journal that was put back from a copy is known for one, and no crash is taken for it.

use std::fs;

use rusqlite::Connection;

use super::super::mark::Mark;
use super::*;

/// A folder whose journal has seen one signature.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    sign(dir.path(), 1);
    dir
}

/// A signature by a custodian whose node is at height 100.
fn sign(dir: &Path, id: u64) {
    let mut journal = Journal::open(dir, 100).unwrap();
    let payment = Payment::of(&paying(&[0], &[id]), None).unwrap();
    journal.record_signed(&payment, COST).unwrap();
}

/// Nobody has it open, so everything is in this one file.
fn journal_of(dir: &Path) -> Vec<u8> {
    assert!(!dir.join("journal.sqlite-wal").exists());
    fs::read(dir.join(FILE)).unwrap()
}

fn put(dir: &Path, journal: &[u8]) {
    for side in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(dir.join(format!("{FILE}{side}")));
    }
    fs::write(dir.join(FILE), journal).unwrap();
}

/// Why the folder's journal is refused, by a signer and by who only reads.
#[track_caller]
fn refused(dir: &Path) -> JournalError {
    let reader = Journal::open_existing(dir).unwrap_err();
    let signer = Journal::open(dir, 900).unwrap_err();
    assert_eq!(reader.to_string(), signer.to_string());
    assert!(signer.to_string().contains("elete"), "{signer}");
    signer
}

fn ids(journal: &Journal) -> BTreeSet<u64> {
    let payments = journal.payments().unwrap();
    payments.iter().flat_map(|one| one.ids.clone()).collect()
}

#[test]
fn an_old_copy_is_refused_and_a_new_journal_has_a_fence() {
    let dir = folder();
    let dir = dir.path();
    let yesterday = journal_of(dir);
    sign(dir, 2);
    let newest = journal_of(dir);
    put(dir, &yesterday);
    let old = refused(dir);
    assert!(
        matches!(
            old,
            JournalError::Old {
                found: 2,
                newest: 3,
                ..
            }
        ),
        "{old}"
    );
    // Being asked changes nothing.
    put(dir, &newest);
    assert_eq!(ids(&Journal::open(dir, 100).unwrap()), [1, 2].into());

    // What the error says is to be done.
    fs::remove_file(dir.join(FILE)).unwrap();
    let journal = Journal::open(dir, 900).unwrap();
    assert_eq!((journal.born(), ids(&journal)), (900, BTreeSet::new()));
    drop(journal);
    for copy in [yesterday, newest] {
        put(dir, &copy);
        let other = refused(dir);
        assert!(matches!(other, JournalError::Other(_)), "{other}");
    }
}

#[test]
fn every_write_makes_older_copies_old() {
    type Write = (&'static str, fn(&mut Journal));
    let writes: [Write; 9] = [
        ("slot", |journal| journal.see(50).unwrap()),
        ("signature", |journal| {
            let payment = Payment::of(&paying(&[4], &[4]), None).unwrap();
            journal.record_signed(&payment, COST).unwrap();
        }),
        ("plan", |journal| {
            journal.plan(&payout(&[0], &[1]), NOW).unwrap();
        }),
        ("adoption", |journal| {
            let payment = Payment::of(&paying(&[5], &[5]), None).unwrap();
            journal.adopt(&payment, None, NOW).unwrap();
        }),
        ("transaction", |journal| {
            let complete = signed(&paying(&[0], &[1]));
            journal.complete(BatchId(1), &complete, NOW).unwrap();
        }),
        ("sending", |journal| {
            journal.sent(BatchId(1), 70, NOW).unwrap();
        }),
        ("state", |journal| {
            let state = BatchState::Settled { height: 71 };
            journal.set_state(BatchId(1), state, NOW).unwrap();
        }),
        ("closing", |journal| journal.close(BatchId(1), NOW).unwrap()),
        ("note", |journal| journal.note(None, "seen", NOW).unwrap()),
    ];
    let dir = folder();
    let dir = dir.path();
    for (name, write) in writes {
        let before = journal_of(dir);
        write(&mut Journal::open(dir, 100).unwrap());
        let after = journal_of(dir);
        put(dir, &before);
        let old = refused(dir);
        assert!(matches!(old, JournalError::Old { .. }), "{name}: {old}");
        put(dir, &after);
        Journal::open(dir, 100).unwrap();
    }
    // What is refused is no write.
    let before = journal_of(dir);
    let mut journal = Journal::open(dir, 100).unwrap();
    assert!(journal.close(BatchId(9), NOW).is_err() && journal.see(49).is_err());
    drop(journal);
    put(dir, &before);
    Journal::open(dir, 100).unwrap();
}

/// The process ends between the write and its mark.
#[test]
fn a_mark_that_is_behind_its_journal_is_a_crash() {
    let dir = folder();
    let dir = dir.path();
    let (mark, before) = (fs::read(dir.join(MARK_FILE)).unwrap(), journal_of(dir));
    sign(dir, 2);
    fs::write(dir.join(MARK_FILE), mark).unwrap();
    assert_eq!(ids(&Journal::open_existing(dir).unwrap()), [1, 2].into());
    assert_eq!(ids(&Journal::open(dir, 100).unwrap()), [1, 2].into());
    // What is known is acted upon, so from now on it must not be forgotten.
    put(dir, &before);
    let old = refused(dir);
    assert!(matches!(old, JournalError::Old { .. }), "{old}");
}

/// The process ends between the mark of a new journal and its birth.
#[test]
fn a_mark_without_its_journal_is_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mark = Mark {
        journal: [7; 16],
        generation: 1,
    };
    mark.write(dir).unwrap();
    // With the file begun, and without.
    drop(FORMAT.open(&dir.join(FILE)).unwrap());
    let missing = Journal::open_existing(dir).unwrap_err();
    assert!(matches!(missing, JournalError::Missing(_)), "{missing}");
    assert_eq!(Journal::open(dir, 100).unwrap().generation.generation, 2);
    fs::remove_file(dir.join(FILE)).unwrap();
    assert_eq!(Journal::open(dir, 100).unwrap().generation.generation, 3);
}

#[test]
fn a_write_that_cannot_be_marked_fails_and_is_marked_later() {
    let dir = folder();
    let dir = dir.path();
    let before = journal_of(dir);
    // A folder where the new mark is to be written.
    let obstacle = dir.join("generation.json.new");
    fs::create_dir(&obstacle).unwrap();
    let mut journal = Journal::open(dir, 100).unwrap();
    let payment = |id| Payment::of(&paying(&[0], &[id]), None).unwrap();
    for id in [2, 3] {
        let error = journal.record_signed(&payment(id), COST).unwrap_err();
        assert!(matches!(error, JournalError::Mark { .. }), "{error}");
    }
    // The second was not even written: the mark is behind by one write and no more.
    assert_eq!(ids(&journal), [1, 2].into());
    drop(journal);
    let error = Journal::open(dir, 100).unwrap_err();
    assert!(matches!(error, JournalError::Mark { .. }), "{error}");

    fs::remove_dir(obstacle).unwrap();
    let mut journal = Journal::open(dir, 100).unwrap();
    journal.record_signed(&payment(3), COST).unwrap();
    assert_eq!(ids(&journal), [1, 2, 3].into());
    drop(journal);
    put(dir, &before);
    let old = refused(dir);
    assert!(
        matches!(
            old,
            JournalError::Old {
                found: 2,
                newest: 4,
                ..
            }
        ),
        "{old}"
    );
}

/// A folder of the format version that made no mark goes on, and is guarded from then on.
#[test]
fn a_journal_of_the_first_format_gets_its_mark() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let db = Connection::open(dir.join(FILE)).unwrap();
    db.execute_batch(include_str!("../migrations/0001.sql"))
        .unwrap();
    db.execute_batch("INSERT INTO journal (id, born) VALUES (1, 42)")
        .unwrap();
    db.pragma_update(None, "application_id", FORMAT.application_id)
        .unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    drop(db);
    let first_format = journal_of(dir);
    // Reading it makes no mark, and changes nothing for who comes next.
    assert_eq!(Journal::open_existing(dir).unwrap().born(), 42);
    assert_eq!(Mark::read(dir).unwrap(), None);
    let journal = Journal::open(dir, 900).unwrap();
    assert_eq!((journal.born(), journal.generation.generation), (42, 0));
    drop(journal);
    assert_eq!(Mark::read(dir).unwrap().unwrap().generation, 0);
    sign(dir, 1);
    assert_eq!(ids(&Journal::open(dir, 900).unwrap()), [1].into());
    put(dir, &first_format);
    let other = refused(dir);
    assert!(matches!(other, JournalError::Other(_)), "{other}");
}

#[test]
fn a_journal_that_comes_without_its_mark_is_refused() {
    let (dir, elsewhere) = (folder(), tempfile::tempdir().unwrap());
    let elsewhere = elsewhere.path();
    put(elsewhere, &journal_of(dir.path()));
    let unmarked = refused(elsewhere);
    assert!(matches!(unmarked, JournalError::Unmarked(_)), "{unmarked}");
    // The whole folder may be moved.
    fs::copy(dir.path().join(MARK_FILE), elsewhere.join(MARK_FILE)).unwrap();
    assert_eq!(ids(&Journal::open(elsewhere, 900).unwrap()), [1].into());
}

/// Known and written in SECURITY.md: what puts everything back, as a snapshot of a machine does, leaves no trace.
#[test]
fn journal_and_mark_put_back_together_are_not_noticed() {
    let dir = folder();
    let dir = dir.path();
    let (mark, journal) = (fs::read(dir.join(MARK_FILE)).unwrap(), journal_of(dir));
    sign(dir, 2);
    fs::write(dir.join(MARK_FILE), mark).unwrap();
    put(dir, &journal);
    assert_eq!(ids(&Journal::open(dir, 900).unwrap()), [1].into());
}

/// `payout list` takes no lock.
#[test]
fn a_reader_beside_a_writer_is_no_copy() {
    let dir = folder();
    let dir = dir.path();
    let before = Mark::read(dir).unwrap();
    sign(dir, 2);
    let db = FORMAT.open(&dir.join(FILE)).unwrap();
    sign(dir, 3);
    let reader = Journal::with(db, dir, before).unwrap();
    assert_eq!(ids(&reader), [1, 2, 3].into());
}

#[test]
fn a_damaged_mark_is_refused() {
    let dir = folder();
    let dir = dir.path();
    let mark = dir.join(MARK_FILE);
    let text = fs::read_to_string(&mark).unwrap();
    let newer = text.replace("\"format\":1,", "\"format\":2,\"more\":0,");
    assert_ne!(newer, text);
    for damaged in [
        "",
        "[]",
        "\u{0}",
        &newer,
        &text.replace("\"journal\":\"", "\"journal\":\"0"),
    ] {
        fs::write(&mark, damaged).unwrap();
        let error = refused(dir);
        assert!(matches!(error, JournalError::MarkDamaged { .. }), "{error}");
    }
    fs::write(&mark, [0xff; 8]).unwrap();
    let error = refused(dir);
    assert!(matches!(error, JournalError::MarkDamaged { .. }), "{error}");
    fs::remove_file(mark).unwrap();
    fs::remove_file(dir.join(FILE)).unwrap();
    assert_eq!(Journal::open(dir, 900).unwrap().born(), 900);
}

#[cfg(unix)]
#[test]
fn the_mark_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = folder();
    let mode = fs::metadata(dir.path().join(MARK_FILE))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
