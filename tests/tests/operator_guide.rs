//! Every command of `docs/operator.md`, in its order, as an operator would type it in an empty folder, on regtest.
//!
//! What stands in for the operator's world: the environment names another chain, Bitcoin node and pair of ports, for it wins over the
//! file he writes; wrappers called `orcapool` and `curl` put those ports where the guide has the usual ones; and `orcapool mine`, which
//! he would stop with Ctrl-C, is stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chain::bitcoind::find_binary;
use chain::{Bitcoind, BitcoindOptions, PrivateChain};
use orcapool_tests::orcapool_binary;
use serde_json::Value;
use work::PayoutScript;

const GUIDE: &str = include_str!("../../docs/operator.md");
/// BIP173's example on regtest, for the pool's custody.
const CUSTODY: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

const WRAPPER: &str = r#"#!/usr/bin/env bash
set -euo pipefail
arguments=("${@//127.0.0.1:8080/$HTTP}")
arguments=("${arguments[@]//127.0.0.1:3334/$STRATUM}")
case "$(basename "$0") ${1-}" in
    "curl "*) exec "$CURL" "${arguments[@]}" ;;
    "orcapool mine") timeout --signal=INT 15 "$ORCAPOOL" "${arguments[@]}" 2>mine.log || test $? = 124 ;;
    *) exec "$ORCAPOOL" "${arguments[@]}" ;;
esac
"#;

/// A block of the guide.
struct Block {
    line: usize,
    script: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in GUIDE.lines().enumerate() {
        if line == "```sh operator" {
            open = true;
            blocks.push(Block {
                line: number + 1,
                script: String::new(),
            });
        } else if line == "```" {
            open = false;
        } else if open {
            let script = &mut blocks.last_mut().unwrap().script;
            script.push_str(line);
            script.push('\n');
        }
    }
    blocks
}

/// An operator in his folder.
struct Operator {
    dir: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Operator {
    fn new(dir: &Path, bitcoind: &Bitcoind) -> Self {
        let (bin, folder) = (dir.join("bin"), dir.join("folder"));
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&folder).unwrap();
        for name in ["orcapool", "curl"] {
            let wrapper = bin.join(name);
            fs::write(&wrapper, WRAPPER).unwrap();
            fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = std::env::var("PATH").unwrap();
        let curl = Command::new("sh").args(["-c", "command -v curl"]).output();
        let curl = String::from_utf8(curl.unwrap().stdout).unwrap();
        assert!(!curl.trim().is_empty(), "this test needs curl");
        let (http, stratum) = (free_port(), free_port());
        let node = format!(
            "[{{url = \"http://127.0.0.1:{}\", cookie_file = \"{}\", zmq_hashblock = \"{}\"}}]",
            bitcoind.rpc_port(),
            bitcoind.cookie_file().display(),
            bitcoind.zmq_endpoint()
        );
        Self {
            dir: folder,
            environment: vec![
                ("PATH", format!("{}:{path}", bin.display())),
                ("CURL", curl.trim().to_owned()),
                ("ORCAPOOL", orcapool_binary().unwrap().display().to_string()),
                ("ORCAPOOL_BITCOIN__NETWORK", "\"regtest\"".to_owned()),
                ("ORCAPOOL_BITCOIN__NODES", node),
                ("ORCAPOOL_PAYOUT__SCRIPT", format!("\"{CUSTODY}\"")),
                ("ORCAPOOL_HTTP__LISTEN", format!("\"{http}\"")),
                ("ORCAPOOL_STRATUM__LISTEN", format!("[\"{stratum}\"]")),
                // About a million hashes a share, a few seconds of the built-in miner's.
                (
                    "ORCAPOOL_STRATUM__START_DIFFICULTY",
                    "0.000244140625".to_owned(),
                ),
                (
                    "ORCAPOOL_STRATUM__MIN_DIFFICULTY",
                    "0.000244140625".to_owned(),
                ),
                ("ORCAPOOL_MINER__MAX_HASH_RATE", "400000".to_owned()),
                ("HTTP", http),
                ("STRATUM", stratum),
            ],
        }
    }

    /// What a script prints.
    fn shell(&self, script: &str) -> Result<String, String> {
        let (out, err) = (self.dir.join("../out"), self.dir.join("../err"));
        // Files, not pipes: a node that is left running would hold those open.
        let status = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(&self.dir)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .status()
            .unwrap();
        let said = fs::read_to_string(out).unwrap();
        if status.success() {
            return Ok(said);
        }
        let log = fs::read_to_string(self.dir.join("orcapool.log")).unwrap_or_default();
        let complained = fs::read_to_string(err).unwrap();
        Err(format!("{status}: {said}{complained}\n{log}"))
    }
}

impl Drop for Operator {
    /// A test that fails half-way leaves no node behind.
    fn drop(&mut self) {
        let _ = self.shell("kill -KILL \"$(cat orcapool.pid)\"");
    }
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn no_command_of_the_guide_is_left_out() {
    // All fences, so that no block is hidden under another name.
    let fences: BTreeSet<_> = GUIDE
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("```"))
        .collect();
    assert_eq!(fences, BTreeSet::from(["", "sh operator"]));
    assert!(blocks().len() > 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let options = BitcoindOptions::new(
        find_binary(None).unwrap(),
        dir.path().join("bitcoind"),
        PrivateChain::Regtest,
    );
    let bitcoind = Bitcoind::start(options).await.unwrap();
    let custody = PayoutScript::parse(CUSTODY, PrivateChain::Regtest.network()).unwrap();
    bitcoind.generate(17, custody.as_script()).await.unwrap();
    let operator = Operator::new(dir.path(), &bitcoind);

    let mut all = String::new();
    for Block { line, script } in blocks() {
        let said = tokio::task::block_in_place(|| operator.shell(&script));
        let said = said.unwrap_or_else(|error| panic!("docs/operator.md:{line}: {error}"));
        if script.contains("orcapool mine") {
            // What the guide promises of it: the miner's shares count.
            let status = operator.shell("orcapool status --json -c orcapool.toml || test $? = 1");
            let status: Value = serde_json::from_str(&status.unwrap()).unwrap();
            assert_eq!(status["mining"]["answer"], "yes", "{status:#}");
            assert_eq!(status["running"], true);
            let stats = operator.shell("curl -fsS http://127.0.0.1:8080/api/stats");
            let stats: Value = serde_json::from_str(&stats.unwrap()).unwrap();
            let workers = stats["workers"].as_array().unwrap();
            for name in ["rig1", "built-in"] {
                let worker = workers.iter().find(|worker| worker["worker"] == name);
                let accepted = worker.and_then(|worker| worker["accepted"].as_u64());
                assert!(accepted > Some(0), "{name}: {stats:#}");
            }
        }
        if script.contains("restored/data") {
            // The copy knows the round that was sealed.
            assert!(
                said.contains("sealed") && said.contains("bafyrei"),
                "{said}"
            );
        }
        all.push_str(&said);
    }
    for said in [
        "Am I mining?",
        "What needs my hand?",
        "mining for round 0",
        "no node is running",
    ] {
        assert!(all.contains(said), "{said}\n{all}");
    }
}
