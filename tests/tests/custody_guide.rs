//! Every command of `docs/custody.md`, in its order, as the custodians it speaks of: on a devnet whose wallet they take over.
//!
//! A block ```` ```sh alice ```` is run in Alice's folder by the shell. What stands in for people: a wrapper called `orcapool` gives the
//! passphrase and the "yes" they would type, and tries again what has to wait for a delay on K2; between two blocks the test
//! exchanges files and mines what would be mined.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use orcapool_tests::devnet::{Devnet, HOLDER};
use orcapool_tests::orcapool_binary;
use serde_json::{Value, json};

const GUIDE: &str = include_str!("../../docs/custody.md");
const CUSTODIANS: [&str; 3] = ["alice", "bob", "carol"];
/// Blocks after which K2 takes a payout.
const CONFIRMATIONS: u32 = 6;

/// `orcapool`, with what a person at a terminal would add.
const WRAPPER: &str = r#"#!/usr/bin/env bash
set -euo pipefail
unlock=(--passphrase-file passphrase.txt)
if [[ -e identity.txt ]]; then unlock=(--identity identity.txt); fi
case "$1 ${2-}" in
    "keys new" | "keys import") exec "$ORCAPOOL" "$@" --passphrase-file passphrase.txt ;;
    "keys rotate") exec "$ORCAPOOL" "$@" "${unlock[@]}" --new-passphrase-file passphrase.txt ;;
    "keys show") if [[ " $* " == *" --open "* ]]; then exec "$ORCAPOOL" "$@" "${unlock[@]}"; fi ;;
    "reserves sign" | "sign "*) exec "$ORCAPOOL" "$@" "${unlock[@]}" --yes ;;
    # An announced script has to wait for its delay, and a custodian believes K2 when it is final.
    "k2 admin" | "payout sweep" | "payout guard")
        for _ in {1..60}; do
            if "$ORCAPOOL" "$@" 2>said.txt; then exit 0; fi
            sleep 0.5
        done
        cat said.txt >&2
        exit 1
        ;;
esac
exec "$ORCAPOOL" "$@"
"#;

/// A block of the guide, for each of those who type it.
struct Block {
    line: usize,
    who: Vec<&'static str>,
    script: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in GUIDE.lines().enumerate() {
        if let Some(who) = line.strip_prefix("```sh") {
            blocks.push(Block {
                line: number + 1,
                who: who.split_whitespace().collect(),
                script: String::new(),
            });
            open = true;
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

/// The members' folders, and the devnet they act on.
struct Members {
    devnet: Devnet,
    dir: PathBuf,
    printed: BTreeMap<&'static str, String>,
}

impl Members {
    async fn new() -> Self {
        let devnet = Devnet::start(&[]).await;
        let dir = devnet.dir.join("guide");
        let members = Self {
            devnet,
            dir,
            printed: BTreeMap::new(),
        };
        fs::create_dir_all(members.dir.join("shared")).unwrap();
        fs::create_dir_all(members.dir.join("bin")).unwrap();
        let wrapper = members.dir.join("bin/orcapool");
        fs::write(&wrapper, WRAPPER).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        members
    }

    /// A member's folder, made when it is needed first.
    fn folder(&self, who: &str) -> PathBuf {
        let folder = self.dir.join(who);
        if folder.exists() {
            return folder;
        }
        fs::create_dir_all(folder.join("data")).unwrap();
        // The devnet's own custodians are those of the old wallet.
        if let Some(old) = who.strip_prefix("old-") {
            let own = self.devnet.dir.join("custody").join(old);
            symlink(own.join("wallet"), folder.join("data/custody")).unwrap();
            for file in ["custody.key", "identity.txt"] {
                if own.join(file).exists() {
                    fs::copy(own.join(file), folder.join(file)).unwrap();
                }
            }
        } else {
            let secret = folder.join("passphrase.txt");
            fs::write(&secret, format!("correct horse of {who}, battery\n")).unwrap();
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let node: toml::Table =
            toml::from_str(&fs::read_to_string(self.devnet.config("node-1")).unwrap()).unwrap();
        let mut config = json!({
            "data_dir": "data",
            "bitcoin": { "network": "regtest", "nodes": node["bitcoin"]["nodes"] },
            "k2": { "program": self.devnet.program, "rpc": [self.devnet.rpc] },
        });
        if who == "authority" {
            config["k2"]["keypair"] = json!(self.devnet.keypair("authority"));
        }
        fs::write(
            folder.join("orcapool.toml"),
            toml::to_string(&config).unwrap(),
        )
        .unwrap();
        folder
    }

    /// Runs a script in a member's folder; what it prints.
    fn shell(&self, who: &str, script: &str) -> Result<String, String> {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.folder(who))
            .env("PATH", format!("{}:{path}", self.dir.join("bin").display()))
            .env("ORCAPOOL", orcapool_binary().unwrap())
            .env("ORCAPOOL_CONFIG", "orcapool.toml")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        let complained = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {said}{complained}", output.status))
    }

    fn must(&self, who: &str, script: &str) -> String {
        self.shell(who, script)
            .unwrap_or_else(|error| panic!("{who}: {script}: {error}"))
    }

    fn json(&self, who: &str, script: &str) -> Value {
        serde_json::from_str(&self.must(who, script)).unwrap()
    }

    /// "Give your .pub file to the others and to the coordinator."
    fn exchange_keys(&self) {
        for from in CUSTODIANS {
            for file in fs::read_dir(self.folder(from)).unwrap() {
                let file = file.unwrap().path();
                if file.extension().is_none_or(|extension| extension != "pub") {
                    continue;
                }
                for to in CUSTODIANS.iter().chain(&["coordinator"]) {
                    let to = self.folder(to).join(file.file_name().unwrap());
                    if to != file {
                        fs::copy(&file, to).unwrap();
                    }
                }
            }
        }
    }

    async fn mine_and_relay(&self, blocks: u32) {
        self.devnet.mine(blocks).await;
        self.devnet.relay();
        self.devnet.k2_is_final().await;
    }

    /// A holder burns half a bitcoin, and the coordinator gets to know of it.
    async fn somebody_redeems(&self) -> String {
        self.devnet.fund(HOLDER).await;
        self.devnet
            .bitcoin("", "createwallet", json!(["holder"]))
            .await;
        let to = self
            .devnet
            .bitcoin("/wallet/holder", "getnewaddress", json!([]))
            .await;
        let to = to.as_str().unwrap();
        let _ = self.devnet.redeem(50_000_000, 5_000, to);
        self.until("the coordinator sees it", "coordinator", || {
            let plan = self.json("coordinator", "orcapool payout plan --fee-rate 2 --json");
            plan["redemptions"]
                .as_array()
                .is_some_and(|ids| ids.len() == 1)
        });
        to.to_owned()
    }

    fn until(&self, what: &str, who: &str, holds: impl Fn() -> bool) {
        for _ in 0..120 {
            if holds() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(250));
        }
        panic!("{who} waited in vain: {what}");
    }
}

#[test]
fn no_command_of_the_guide_is_left_out() {
    for block in blocks() {
        assert!(
            !block.who.is_empty(),
            "line {}: who types this?",
            block.line
        );
        assert!(block.script.contains("orcapool "), "line {}", block.line);
    }
    // All languages of blocks, so that none is hidden under another name.
    let fences: BTreeSet<_> = GUIDE
        .lines()
        .filter_map(|line| line.strip_prefix("```"))
        .filter_map(|info| info.split_whitespace().next())
        .collect();
    assert_eq!(fences, BTreeSet::from(["sh", "toml"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut members = Members::new().await;
    let mut paid_to = String::new();
    for block in blocks() {
        let script = block.script.as_str();
        if script.contains("wallet create") {
            members.exchange_keys();
        }
        if script.contains("payout plan") {
            paid_to = members.somebody_redeems().await;
        }
        if script.contains("keys import") {
            drill(&members);
        }
        for who in &block.who {
            let said = members
                .shell(who, script)
                .unwrap_or_else(|error| panic!("docs/custody.md:{}: {who}: {error}", block.line));
            members.printed.insert(who, said);
        }
        if script.contains("wallet create") {
            // What they read to each other.
            let addresses: BTreeSet<_> = block
                .who
                .iter()
                .map(|who| members.printed[who].lines().last().unwrap().to_owned())
                .collect();
            assert_eq!(addresses.len(), 1, "{addresses:?}");
        }
        if script.contains("payout submit") {
            members.mine_and_relay(CONFIRMATIONS).await;
        }
        if script.contains("sweep-1.psbt ../shared/sweep-2.psbt") {
            the_pool_mines_to_the_new_wallet(&members).await;
        }
        if script.contains("payout-alice.psbt ../shared/payout-carol.psbt") {
            the_payout_arrives(&members, &paid_to).await;
        }
        if script.contains("reserves verify") {
            assert!(
                members.printed["public"].contains("backed"),
                "{}",
                members.printed["public"]
            );
        }
    }
    let keys = |file: &str| members.json("bob", &format!("orcapool keys show {file} --json"));
    let retired = fs::read_dir(members.folder("bob"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.contains("retired"))
        .expect("the old key is kept for the sweep");
    assert_ne!(
        keys("bob.key")["fingerprint"],
        keys(&retired)["fingerprint"]
    );
    // The first line is the height, which goes on rising.
    let balance = |who: &str| {
        let said = members.must(who, "orcapool wallet balance");
        said.split_once('\n').unwrap().1.to_owned()
    };
    assert_eq!(
        balance("drill-alice"),
        balance("carol"),
        "a balance like everybody else's"
    );
}

/// Operators have the new address in `payout.script` now; and a top-up pays for the sweep.
async fn the_pool_mines_to_the_new_wallet(members: &Members) {
    let address = members.must("alice", "orcapool wallet address");
    members
        .devnet
        .bitcoin("", "generatetoaddress", json!([1, address.trim()]))
        .await;
    members.mine_and_relay(100).await;
}

async fn the_payout_arrives(members: &Members, to: &str) {
    let payer = members.devnet.keypair("payer");
    let turn = format!(
        "orcapool payout once --fee-rate 2 --keypair {}",
        payer.display()
    );
    members.must("coordinator", &turn);
    let scan = json!(["start", [format!("addr({to})")]]);
    let found = members.devnet.bitcoin("", "scantxoutset", scan).await;
    let coins = found["unspents"].as_array().unwrap();
    assert_eq!(coins.len(), 1, "{found}");
    let arrived = coins[0]["amount"].as_f64().unwrap();
    assert!((0.49995..0.5).contains(&arrived), "{arrived}");
    // The devnet's own redemption was settled before.
    let status = members.devnet.status();
    let redemptions = status["config"]["totals"]["redemptions"].as_u64();
    assert_eq!((redemptions, escrowed(&status)), (Some(2), 0), "{status:#}");
    // The books are of final slots, and the settlement is one.
    members.devnet.k2_is_final().await;
    members.must("coordinator", "orcapool books check");
}

fn escrowed(status: &Value) -> u64 {
    status["config"]["totals"]["escrowed"].as_u64().unwrap()
}

/// The paper that the ceremony left behind.
fn drill(members: &Members) {
    let words = members.json(
        "alice",
        "orcapool keys export alice.key --words --yes --passphrase-file passphrase.txt --json",
    );
    let wallet = members.json("alice", "orcapool wallet show --json");
    let paper = members.folder("drill-alice");
    write(&paper.join("words.txt"), &words["words"]);
    write(&paper.join("descriptor.txt"), &wallet["descriptor"]);
}

fn write(path: &Path, text: &Value) {
    fs::write(path, text.as_str().unwrap()).unwrap();
}
