//! The command line as a user meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const KEY: &str = "KPLTRVs6jA7QTthuJH2cEmyCEskFbSV2xpZw46cganN";

fn orcapool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orcapool"))
        .args(arguments)
        .env_remove("ORCAPOOL_CONFIG")
        // As in a slim container, which has no certificates: the program brings its own.
        .env("SSL_CERT_FILE", "/nowhere")
        .env("SSL_CERT_DIR", "/nowhere")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A configuration that is right, with a secret in it.
fn configuration(dir: &Path) -> PathBuf {
    let file = dir.join("orcapool.toml");
    std::fs::write(
        &file,
        format!(
            "data_dir = \"{}\"\n[task]\nid = \"{KEY}\"\nnode = \"{KEY}\"\n[bitcoin]\nnetwork = \"regtest\"\n\
             [[bitcoin.nodes]]\nurl = \"http://127.0.0.1:1\"\nuser = \"alice\"\npassword = \"hunter2\"\n\
             [payout]\nscript = \"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[stratum]\nlisten = [\"127.0.0.1:0\"]\n",
            dir.join("data").display()
        ),
    )
    .unwrap();
    file
}

#[test]
fn it_says_its_own_name_and_version() {
    let said = orcapool(&["--version"]);
    let expected = concat!("orcapool ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(
        (text(&said.stdout).as_str(), said.status.code()),
        (expected, Some(0))
    );
}

#[test]
fn config_check_names_every_wrong_key_and_what_to_write() {
    let output = orcapool(&["config", "check"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    for key in [
        "task.id is required",
        "task.node is required",
        "bitcoin.nodes is required",
        "payout.script is required",
    ] {
        assert!(error.contains(key), "{key}: {error}");
    }

    let output = orcapool(&["config", "check", "--set", "stratum.max_conections=5"]);
    let error = text(&output.stderr);
    assert!(error.contains("did you mean `max_connections`?"), "{error}");
}

#[test]
fn config_show_redacts_secrets_and_reads_back_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = configuration(dir.path());
    let file = file.to_str().unwrap();
    let check = orcapool(&["config", "check", "-c", file]);
    assert!(check.status.success(), "{}", text(&check.stderr));

    let shown = orcapool(&["config", "show", "-c", file]);
    let shown = text(&shown.stdout);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("<redacted>"), "{shown}");
    let copy = dir.path().join("copy.toml");
    std::fs::write(&copy, &shown).unwrap();
    let again = orcapool(&["config", "show", "-c", copy.to_str().unwrap()]);
    assert_eq!(text(&again.stdout), shown);
}

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = configuration(dir.path());
    let output = orcapool(&["doctor", "--json", "-c", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcome = |part: &str| -> Vec<String> {
        findings
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["part"].as_str().unwrap().starts_with(part))
            .map(|finding| finding["outcome"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(outcome("configuration"), ["ok"]);
    assert_eq!(outcome("store"), ["ok"]);
    assert_eq!(outcome("bitcoin node")[0], "problem");
    assert_eq!(outcome("peers"), ["warning"]);
    assert!(!text(&output.stdout).contains("hunter2"));
}

#[test]
fn a_missing_store_and_a_wrong_bundle_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let file = configuration(dir.path());
    let file = file.to_str().unwrap();
    for arguments in [
        vec!["rounds", "-c", file],
        vec!["shares", "--round", "3", "-c", file],
    ] {
        let output = orcapool(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!text(&output.stderr).is_empty());
    }
    let output = orcapool(&["audit", "-c", file, "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("neither a file nor the CID"),
        "{}",
        text(&output.stderr)
    );
    let garbage = dir.path().join("garbage.car");
    std::fs::write(&garbage, [0xff; 1000]).unwrap();
    let output = orcapool(&["audit", "-c", file, garbage.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("not a CAR file"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn every_command_has_help() {
    for command in [
        "run",
        "devnet",
        "audit",
        "shares",
        "rounds",
        "config",
        "status",
        "doctor",
        "healthcheck",
        "mine",
        "openapi",
    ] {
        let output = orcapool(&[command, "--help"]);
        assert!(output.status.success());
        assert!(
            text(&output.stdout).contains("Usage: orcapool"),
            "{command}"
        );
    }
}

/// What a container's health check meets: a node, something else on the port, nothing at all.
#[test]
fn healthcheck_tells_a_node_from_everything_else() {
    use std::io::{Read as _, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("http.listen={}", listener.local_addr().unwrap());
    let answers = [
        r#"{"status":200,"ready":true,"message":"mining for round 3","bitcoin_nodes":[]}"#,
        r#"{"status":200,"ready":false,"message":"waiting for a Bitcoin node","bitcoin_nodes":[]}"#,
        "<html>",
    ];
    let server = std::thread::spawn(move || {
        for body in answers {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
        }
    });
    for (alive, ready, said) in [
        (0, 0, "mining for round 3"),
        (0, 1, "waiting for a Bitcoin node"),
        (1, 1, "something else listens there"),
    ] {
        let output = orcapool(&["healthcheck", "--set", &listen]);
        assert_eq!(output.status.code(), Some(alive), "{said}");
        assert!(text(&output.stdout).contains(said));
        let output = orcapool(&["healthcheck", "--ready", "--set", &listen]);
        assert_eq!(output.status.code(), Some(ready), "{said}");
    }
    server.join().unwrap();
    let output = orcapool(&["healthcheck", "--set", &listen]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("no answer"));
}
