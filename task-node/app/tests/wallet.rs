//! `orcapool wallet` as a custodian meets it, with a real node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bitcoin::Network;
use bitcoin::bip32::{DerivationPath, Xpriv, Xpub};
use bitcoin::secp256k1::Secp256k1;
use chain::bitcoind::find_binary;
use chain::{Bitcoind, BitcoindOptions, PrivateChain};
use serde_json::Value;
use tokio::runtime::Runtime;

/// A custodian's account for a wallet of several keys: always the same for the same number.
fn key(number: u8) -> String {
    let secp = Secp256k1::new();
    let master = Xpriv::new_master(Network::Regtest, &[number; 32]).unwrap();
    let path: DerivationPath = "48h/1h/0h/2h".parse().unwrap();
    let account = master.derive_priv(&secp, &path).unwrap();
    format!(
        "[{}/48h/1h/0h/2h]{}",
        master.fingerprint(&secp),
        Xpub::from_priv(&secp, &account)
    )
}

struct Desk {
    node: Bitcoind,
    runtime: Runtime,
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let binary = find_binary(None).unwrap_or_else(|error| panic!("{error}"));
        let options = BitcoindOptions::new(binary, dir.path().join("node"), PrivateChain::Regtest);
        let node = runtime.block_on(Bitcoind::start(options)).unwrap();
        let desk = Self { node, runtime, dir };
        let config = format!(
            "data_dir = \"{}\"\n[bitcoin]\nnetwork = \"regtest\"\n[[bitcoin.nodes]]\nurl = \"http://127.0.0.1:{}\"\n\
             cookie_file = \"{}\"\n",
            desk.dir.path().join("data").display(),
            desk.node.rpc_port(),
            desk.node.cookie_file().display()
        );
        std::fs::write(desk.config(), config).unwrap();
        desk
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("orcapool.toml")
    }

    fn mine(&self, blocks: u32, script: &str) {
        let script = bitcoin::ScriptBuf::from_hex(script).unwrap();
        self.runtime
            .block_on(self.node.generate(blocks, &script))
            .unwrap();
    }

    fn wallet(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_orcapool"))
            .arg("wallet")
            .args(arguments)
            .arg("-c")
            .arg(self.config())
            .env_remove("ORCAPOOL_CONFIG")
            .output()
            .unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.wallet(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        let line = self.done(&arguments);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.wallet(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}

fn write(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    format!("@{}", path.display())
}

#[test]
fn a_wallet_is_made_compared_watched_and_made_again() {
    let desk = Desk::new();
    let [a, b, c] = [1, 2, 3].map(key);
    let elsewhere = format!("0014{}", "ee".repeat(20));
    desk.mine(1, &elsewhere);

    // One key as text, one from a file of it, one from a key file's open part.
    let text = write(desk.dir.path(), "b.pub", &format!("{b}\n"));
    let file = format!("{{\"format\":\"orcapool/key/1\",\"multisig\":\"{c}\"}}");
    let file = write(desk.dir.path(), "c.key", &file);
    let made = desk.json(&["create", "--multisig", "2", &a, &text, &file]);
    assert_eq!(made["threshold"], 2);
    assert_eq!(made["birthday"], 0);
    assert_eq!(made["coinbase_addresses"].as_array().unwrap().len(), 5);
    assert_eq!(made["change_addresses"].as_array().unwrap().len(), 5);
    let descriptor = made["descriptor"].as_str().unwrap();
    assert!(descriptor.contains("sortedmulti(2,[") && descriptor.contains('#'));

    // Another custodian gives the keys in another order, and sees the same.
    let other = desk.dir.path().join("other");
    let other = other.to_str().unwrap();
    let theirs = desk.json(&["create", "--wallet", other, "--multisig", "2", &c, &a, &b]);
    for same in [
        "descriptor",
        "coinbase_addresses",
        "change_addresses",
        "coinbase",
    ] {
        assert_eq!(theirs[same], made[same], "{same}");
    }

    let error = desk.refused(&["create", "--multisig", "2", &a, &b]);
    assert!(error.contains("already holds a wallet"), "{error}");

    let address = desk.done(&["address"]);
    assert_eq!(address.trim(), made["coinbase_addresses"][0]);
    let shown = desk.done(&["show"]);
    assert!(shown.contains(descriptor) && shown.contains(address.trim()));
    assert!(shown.contains("not synced yet"), "{shown}");

    desk.mine(2, made["coinbase"]["script"].as_str().unwrap());
    desk.mine(98, &elsewhere);
    let synced = desk.json(&["sync"]);
    assert_eq!(synced["tip"], 101);
    assert_eq!(synced["events"].as_array().unwrap().len(), 2);
    assert_eq!(synced["events"][0]["event"], "confirmed");

    let balance = desk.json(&["balance", "--offline"]);
    assert_eq!(balance["coinbases"]["mature"], 50_0000_0000_u64);
    assert_eq!(balance["coinbases"]["immature"], 50_0000_0000_u64);
    let text = desk.done(&["balance"]);
    assert!(text.contains("5 000 000 000 sat"), "{text}");

    let history = desk.done(&["history", "--json"]);
    let lines: Vec<Value> = history
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["kind"], "coinbase");
    assert_eq!(lines[0]["height"], 2);
    let coins = desk.done(&["utxos"]);
    assert!(
        coins.contains("mature") && coins.contains("immature"),
        "{coins}"
    );

    // From the descriptor alone.
    let again = desk.dir.path().join("again");
    let again = again.to_str().unwrap();
    desk.done(&["restore", descriptor, "--wallet", again]);
    let restored = desk.done(&["history", "--json", "--wallet", again]);
    assert_eq!(restored, history);
}

#[test]
fn what_is_wrong_is_said() {
    let desk = Desk::new();
    let [a, b] = [1, 2].map(key);
    let error = desk.refused(&["balance"]);
    assert!(error.contains("wallet create"), "{error}");

    let error = desk.refused(&["create", "--multisig", "two", &a, &b]);
    assert!(error.contains("number of signatures first"), "{error}");
    let error = desk.refused(&["create", "--multisig", "2", &a, &a]);
    assert!(error.contains("twice"), "{error}");
    let error = desk.refused(&["create", "--single", "@/absent/key"]);
    assert!(error.contains("/absent/key"), "{error}");
    let mainnet = desk.refused(&[
        "create",
        "--multisig",
        "2",
        &a,
        &b,
        "--set",
        "bitcoin.network=mainnet",
        "--birthday",
        "1",
    ]);
    assert!(mainnet.contains("network"), "{mainnet}");

    // One character of the descriptor is wrong.
    let made = desk.json(&["create", "--multisig", "2", &a, &b, "--birthday", "0"]);
    let right = made["descriptor"].as_str().unwrap();
    let wrong = right.replacen("/48h", "/49h", 1);
    assert_ne!(wrong, right);
    let other = desk.dir.path().join("other");
    let error = desk.refused(&["restore", &wrong, "--wallet", other.to_str().unwrap()]);
    assert!(error.contains("checksum"), "{error}");
    assert!(!other.exists());

    // The node has no block yet and takes itself to be behind.
    let error = desk.refused(&["sync"]);
    assert!(error.contains("still downloading"), "{error}");
}
