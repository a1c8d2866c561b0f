//! `orcapool keys` as a custodian meets it: what it writes, what it prints, and what it never prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A recipient and its identity, as `age-keygen` makes them: no passphrase is stretched, so the tests are quick.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

const WORDS: &str = "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel \
                     tennis maple dilemma loan word shrug inflict delay length";

fn orcapool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_orcapool"))
        .args(arguments)
        .env_remove("ORCAPOOL_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(arguments: &[&str], input: &str) -> String {
    let output = orcapool(arguments, input);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn refused(arguments: &[&str], input: &str) -> String {
    let output = orcapool(arguments, input);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    text(&output.stderr)
}

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        desk.secret("identity.txt", IDENTITY);
        desk
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A file that only its owner may read.
    fn secret(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn import(&self, name: &str) -> String {
        let file = self.path(name);
        done(
            &[
                "keys",
                "import",
                "--out",
                &file,
                "--network",
                "mainnet",
                "--recipient",
                RECIPIENT,
            ],
            WORDS,
        );
        file
    }
}

fn json_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_new_key_is_written_for_its_owner_and_its_words_only_shown_on_request() {
    let desk = Desk::new();
    let file = desk.path("custodian-1.key");
    let new = [
        "keys",
        "new",
        "--out",
        &file,
        "--network",
        "regtest",
        "--label",
        "Alice",
        "--recipient",
        RECIPIENT,
    ];
    let output = orcapool(&new, "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    // First what the other custodians need.
    let multisig = shown
        .lines()
        .next()
        .unwrap()
        .strip_prefix("multisig")
        .unwrap();
    let multisig = multisig.trim();
    assert!(multisig.contains("/48h/1h/0h/2h]tpub"), "{shown}");
    assert!(text(&output.stderr).contains("--words"));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    let identity = desk.path("identity.txt");
    let words = done(
        &[
            "keys",
            "export",
            &file,
            "--words",
            "--yes",
            "--identity",
            &identity,
            "--json",
        ],
        "",
    );
    let words = json_of(&words)["words"].as_str().unwrap().to_owned();
    assert_eq!(words.split(' ').count(), 24);
    let everything = format!("{shown}{}", text(&output.stderr));
    for pair in words.split(' ').collect::<Vec<_>>().windows(2) {
        assert!(!everything.contains(&pair.join(" ")), "words were printed");
    }

    // The words alone bring the same key back.
    let copy = desk.path("copy.key");
    let import = [
        "keys",
        "import",
        "--out",
        &copy,
        "--network",
        "signet",
        "--recipient",
        RECIPIENT,
        "--json",
    ];
    let imported = json_of(&done(&import, &format!("\n{}\n", words.to_uppercase())));
    assert_eq!(imported["multisig"], multisig);

    // And nothing is ever overwritten.
    let before = std::fs::read(&file).unwrap();
    assert!(refused(&new, "").contains("never overwritten"));
    assert!(
        refused(
            &["keys", "import", "--out", &file, "--recipient", RECIPIENT],
            WORDS
        )
        .contains("exists")
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);

    // Asked for, they are printed, as a second object.
    let second = desk.path("second.key");
    let both = done(
        &[
            "keys",
            "new",
            "--out",
            &second,
            "--recipient",
            RECIPIENT,
            "--show-words",
            "--json",
        ],
        "",
    );
    let lines: Vec<Value> = both.lines().map(json_of).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["network"], "main");
    assert_eq!(lines[1]["words"].as_str().unwrap().split(' ').count(), 24);
}

#[test]
fn what_is_shown_and_exported_is_the_key_of_the_words() {
    let desk = Desk::new();
    let file = desk.import("a.key");
    let shown = json_of(&done(&["keys", "show", &file, "--json"], ""));
    assert_eq!(shown["opened"], false);
    let identity = desk.path("identity.txt");
    let opened = json_of(&done(
        &[
            "keys",
            "show",
            &file,
            "--open",
            "--identity",
            &identity,
            "--json",
        ],
        "",
    ));
    assert_eq!(opened["opened"], true);
    assert_eq!(opened["multisig"], shown["multisig"]);
    let xpub = done(&["keys", "export", &file, "--xpub"], "");
    assert_eq!(xpub.trim_end(), shown["multisig"]);
    let descriptor = done(&["keys", "export", &file, "--descriptor"], "");
    let single = shown["single"].as_str().unwrap();
    assert!(
        descriptor.starts_with(&format!("wpkh({single}/<0;1>/*)#")),
        "{descriptor}"
    );
    let words = done(
        &[
            "keys",
            "export",
            &file,
            "--words",
            "--yes",
            "--identity",
            &identity,
        ],
        "",
    );
    let printed: Vec<&str> = words
        .split_whitespace()
        .filter(|part| part.parse::<u8>().is_err())
        .collect();
    assert_eq!(printed.join(" "), WORDS);

    // Somebody puts an account of his own into the open part: the file itself does not show it, opening it does.
    let other = desk.path("mallory.key");
    let mallory = json_of(&done(
        &[
            "keys",
            "new",
            "--out",
            &other,
            "--recipient",
            RECIPIENT,
            "--json",
        ],
        "",
    ));
    let mut raw: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for field in ["fingerprint", "multisig", "single"] {
        raw[field] = mallory[field].clone();
    }
    let forged = desk.secret("forged.key", &raw.to_string());
    done(&["keys", "show", &forged], "");
    let error = refused(
        &["keys", "show", &forged, "--open", "--identity", &identity],
        "",
    );
    assert!(error.contains("tampered"), "{error}");
}

#[test]
fn a_rotation_leaves_both_keys() {
    let desk = Desk::new();
    let file = desk.import("a.key");
    let identity = desk.path("identity.txt");
    let before = json_of(&done(&["keys", "show", &file, "--json"], ""));
    let rotate = [
        "keys",
        "rotate",
        &file,
        "--identity",
        &identity,
        "--recipient",
        RECIPIENT,
        "--json",
    ];
    let after = json_of(&done(&rotate, ""));
    assert_ne!(after["fingerprint"], before["fingerprint"]);
    assert_eq!(after["network"], "main");
    let retired = after["retired"].as_str().unwrap();
    assert!(retired.ends_with(before["fingerprint"].as_str().unwrap()));
    for (path, expected) in [(file.as_str(), &after), (retired, &before)] {
        let opened = done(
            &[
                "keys",
                "show",
                path,
                "--open",
                "--identity",
                &identity,
                "--json",
            ],
            "",
        );
        assert_eq!(json_of(&opened)["multisig"], expected["multisig"]);
    }
    // Who cannot open the old key cannot put another in its place.
    let stranger = desk.secret(
        "stranger.txt",
        "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG",
    );
    let count = names(desk.dir.path()).len();
    refused(
        &[
            "keys",
            "rotate",
            &file,
            "--identity",
            &stranger,
            "--recipient",
            RECIPIENT,
        ],
        "",
    );
    assert_eq!(names(desk.dir.path()).len(), count);
}

#[test]
fn passphrases_come_from_private_files_and_must_not_be_weak() {
    let desk = Desk::new();
    let file = desk.path("a.key");
    let weak = desk.secret("weak.txt", "hunter2\n");
    let strong = desk.secret(
        "strong.txt",
        "correct horse battery staple\r\nsecond line\n",
    );
    let new = |passphrase: &str| {
        let arguments = [
            "keys",
            "import",
            "--out",
            &file,
            "--network",
            "mainnet",
            "--passphrase-file",
            passphrase,
        ];
        orcapool(&arguments, WORDS)
    };
    let error = text(&new(&weak).stderr);
    assert!(
        error.contains("--allow-weak") && error.contains("12 characters"),
        "{error}"
    );
    assert!(!error.contains("hunter2"));
    std::fs::set_permissions(&strong, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = text(&new(&strong).stderr);
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&strong, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!Path::new(&file).exists());
    assert!(new(&strong).status.success());

    let open =
        |flag: &str, secret: &str| orcapool(&["keys", "show", &file, "--open", flag, secret], "");
    assert!(open("--passphrase-file", &strong).status.success());
    let error = text(&open("--passphrase-file", &weak).stderr);
    assert!(error.contains("the passphrase is wrong"), "{error}");
    let error = text(&open("--identity", &desk.path("identity.txt")).stderr);
    assert!(error.contains("locked with a passphrase"), "{error}");

    // The same key for a recipient.
    let before = json_of(&done(&["keys", "show", &file, "--json"], ""));
    let rotated = done(
        &[
            "keys",
            "rotate",
            &file,
            "--passphrase",
            "--passphrase-file",
            &strong,
            "--recipient",
            RECIPIENT,
            "--json",
        ],
        "",
    );
    assert_eq!(json_of(&rotated)["multisig"], before["multisig"]);
    assert!(!open("--passphrase-file", &strong).status.success());
    assert!(
        open("--identity", &desk.path("identity.txt"))
            .status
            .success()
    );
}

#[test]
fn wrong_input_is_refused_without_being_repeated() {
    let desk = Desk::new();
    let out = desk.path("a.key");
    let import = [
        "keys",
        "import",
        "--out",
        &out,
        "--network",
        "mainnet",
        "--recipient",
        RECIPIENT,
    ];
    let wrong = WORDS.replace("toddler", "toddlers");
    for (words, expected) in [
        ("", "12, 15"),
        (wrong.as_str(), "word 10"),
        (&WORDS.replace("hamster", "diagram"), "checksum"),
        (&WORDS.repeat(200), "more than 24"),
    ] {
        let error = refused(&import, words);
        assert!(error.contains(expected), "{error}");
        for word in ["hamster", "toddler", "dilemma"] {
            assert!(!error.contains(word), "{error}");
        }
    }
    // Binary input.
    let error = {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orcapool"))
            .args(import)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&[0xff; 64]).unwrap();
        text(&child.wait_with_output().unwrap().stderr)
    };
    assert!(error.contains("no text"), "{error}");
    let error = refused(&["keys", "new", "--out", &out, "--recipient", IDENTITY], "");
    assert!(!error.contains(&IDENTITY[20..40]), "{error}");
    let file = desk.import("b.key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = refused(&["keys", "show", &file], "");
    assert!(error.contains("chmod 600"), "{error}");
    // The words are not printed to whoever stands behind a pipe, unless --yes says so.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let identity = desk.path("identity.txt");
    let error = refused(
        &["keys", "export", &file, "--words", "--identity", &identity],
        "yes\n",
    );
    assert!(error.contains("--yes"), "{error}");
    assert!(!Path::new(&out).exists());
}
