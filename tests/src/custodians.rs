//! The members of a devnet's custody: each has a folder with wallet, key and configuration, and runs commands of its own.
//!
//! It asserts instead of returning errors: what fails here fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bitcoin::{Address, Network, Psbt, Script};
use custody::payment::read_psbt;
use serde_json::Value;

use crate::devnet::{Answer, Devnet};
use crate::orcapool_binary;

/// Those with keys.
pub const CUSTODIANS: [&str; 3] = ["custodian-1", "custodian-2", "custodian-3"];
/// Who plans and sends; it has no key.
pub const COORDINATOR: &str = "coordinator";
/// Blocks after which K2 takes a payout.
pub const CONFIRMATIONS: u32 = 6;

/// One of them.
#[derive(Debug, Clone)]
pub struct Member {
    folder: PathBuf,
    /// The wallet's folder.
    pub wallet: PathBuf,
    /// Pays on K2.
    keypair: PathBuf,
}

impl Devnet {
    /// A member of its custody.
    #[must_use]
    pub fn member(&self, name: &str) -> Member {
        let folder = self.dir.join("custody").join(name);
        Member {
            wallet: folder.join("wallet"),
            folder,
            keypair: self.keypair("payer"),
        }
    }
}

impl Member {
    /// The same person with another wallet.
    #[must_use]
    pub fn with_wallet(&self, wallet: PathBuf) -> Self {
        Self {
            wallet,
            ..self.clone()
        }
    }

    /// A file in its folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs `orcapool ...` with its configuration and wallet.
    ///
    /// # Panics
    /// It cannot be run.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Answer {
        Answer::of(self.command(args).arg("--json"))
    }

    /// The same for people, without `--json`.
    ///
    /// # Panics
    /// There is no program.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(orcapool_binary().unwrap());
        command
            .args(args)
            .arg("--wallet")
            .arg(&self.wallet)
            .arg("--config")
            .arg(self.file("orcapool.toml"));
        command
    }

    /// `orcapool sign` with its key.
    #[must_use]
    pub fn sign(&self, file: &Path, out: &Path) -> Answer {
        self.sign_with(file, out, &[])
    }

    /// `orcapool sign` with its key and `more` arguments.
    #[must_use]
    pub fn sign_with(&self, file: &Path, out: &Path, more: &[&str]) -> Answer {
        let (key, identity) = (self.file("custody.key"), self.file("identity.txt"));
        let args = ["sign", path(file), "--yes", "--key", path(&key)];
        let rest = ["--identity", path(&identity), "--out", path(out)];
        self.run(&[&args[..], &rest, more].concat())
    }

    /// Drafts a proof of the wallet's reserves, which these custodians sign, in a folder that it makes. The proof.
    #[must_use]
    pub fn prove_reserves(&self, custodians: &[&Self], folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let draft = folder.join("draft");
        let _ = self
            .run(&["reserves", "prove", "--out", path(&draft)])
            .is(0);
        let signed: Vec<PathBuf> = custodians
            .iter()
            .enumerate()
            .map(|(n, custodian)| {
                let out = folder.join(format!("signed.{n}"));
                let (key, identity) = (
                    custodian.file("custody.key"),
                    custodian.file("identity.txt"),
                );
                let sign = [
                    "reserves",
                    "sign",
                    path(&draft),
                    "--yes",
                    "--key",
                    path(&key),
                ];
                let rest = ["--identity", path(&identity), "--out", path(&out)];
                let _ = custodian.run(&[&sign[..], &rest].concat()).is(0);
                out
            })
            .collect();
        let proof = folder.join("proof.json");
        let signed: Vec<&str> = signed.iter().map(|file| path(file)).collect();
        let finish = [
            &["reserves", "finish"],
            &signed[..],
            &["--out", path(&proof)],
        ];
        let _ = self.run(&finish.concat()).is(0);
        proof
    }

    /// One turn of the coordinator, which settles what it can. `more`: further arguments.
    #[must_use]
    pub fn turn(&self, more: &[&str]) -> Answer {
        // A devnet's blocks have no other transactions that fees could be estimated from.
        let args = ["payout", "once", "--fee-rate", "2", "--keypair"];
        let args: Vec<&str> = args
            .into_iter()
            .chain([path(&self.keypair)])
            .chain(more.iter().copied())
            .collect();
        self.run(&args)
    }

    /// What waits for signatures.
    ///
    /// # Panics
    /// More than one transaction does.
    #[must_use]
    pub fn handed_out(&self) -> Option<PathBuf> {
        let files = psbts(&self.wallet.join("outbox"));
        assert!(files.len() <= 1, "{files:?}");
        files.into_iter().next()
    }

    /// Turns until something waits for signatures, as it does soon after a request is final on K2.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        wait_for("a transaction to sign", || {
            let said = self.turn(&[]).is(0);
            self.handed_out().ok_or(said)
        })
    }

    /// The custodians sign, and the coordinator finds their files and sends the transaction.
    ///
    /// # Panics
    /// Somebody does not.
    pub fn sign_and_send(&self, custodians: &[&Self], file: &Path) {
        self.sign_with_and_send(custodians, file, &[], 0);
    }

    /// The same with `more` arguments of `orcapool sign`; the coordinator's turn ends with `status`.
    ///
    /// # Panics
    /// Somebody does not.
    pub fn sign_with_and_send(
        &self,
        custodians: &[&Self],
        file: &Path,
        more: &[&str],
        status: i32,
    ) {
        self.collect_with(custodians, file, more);
        let said = self.turn(&[]).is(status);
        assert!(has(&said, "sent"), "{said:?}");
    }

    /// The custodians sign, and their files come to the coordinator.
    pub fn collect(&self, custodians: &[&Self], file: &Path) {
        self.collect_with(custodians, file, &[]);
    }

    fn collect_with(&self, custodians: &[&Self], file: &Path, more: &[&str]) {
        let inbox = self.wallet.join("inbox");
        fs::create_dir_all(&inbox).unwrap();
        for custodian in custodians {
            let name = custodian.folder.file_name().unwrap().to_string_lossy();
            let _ = custodian
                .sign_with(file, &inbox.join(format!("{name}.psbt")), more)
                .is(0);
        }
    }

    /// All batches of its journal.
    #[must_use]
    pub fn batches(&self) -> Vec<Value> {
        self.run(&["payout", "list", "--all"]).is(0)
    }

    /// The batches that pay a redemption, without those that nobody signed.
    #[must_use]
    pub fn batches_of(&self, id: u64) -> Vec<Value> {
        let names = |batch: &Value| {
            batch["redemptions"]
                .as_array()
                .unwrap()
                .contains(&id.into())
        };
        let batches = self.batches().into_iter();
        batches
            .filter(|batch| batch["state"] != "withdrawn" && names(batch))
            .collect()
    }

    /// Sweeps to the registered script, as often as the wallet's coins ask for it; these custodians sign. What it cost, in
    /// satoshis.
    ///
    /// # Panics
    /// Somebody refuses, or an output goes elsewhere than `to`.
    pub async fn sweep(&self, devnet: &Devnet, to: &Script, custodians: &[&Self]) -> u64 {
        let mut fees = 0;
        loop {
            let coins = self.run(&["wallet", "utxos"]).is(0);
            let own = self.run(&["wallet", "show"]).is(0)[0]["coinbase"]["script"]
                .as_str()
                .is_some_and(|own| own == to.to_hex_string());
            if coins.len() <= usize::from(own) {
                return fees;
            }
            let sweep = ["payout", "sweep", "--to-registered", "--fee-rate", "2"];
            let file = wait_for("the wallet knows the registered script", || {
                let answer = self.run(&sweep);
                self.handed_out().ok_or(answer)
            });
            let [output] = &read(&file).unsigned_tx.output[..] else {
                panic!("a sweep has one output");
            };
            assert_eq!(output.script_pubkey.as_script(), to);
            let shown = custodians[0].run(&["psbt", "show", path(&file)]).is(0);
            assert_eq!(shown[0]["kind"], "sweep");
            fees += shown[0]["fee_sats"].as_u64().unwrap();
            let to = Address::from_script(to, Network::Regtest).unwrap();
            let to = ["--sweep-to", &to.to_string()];
            self.sign_with_and_send(custodians, &file, &to, 0);
            devnet.mine(1).await;
        }
    }

    /// Mines until a payment is deep enough, and turns until it is settled on K2. Its batch.
    ///
    /// # Panics
    /// It is paid by another number of batches than one.
    pub async fn settle(&self, devnet: &Devnet, id: u64) -> Value {
        devnet.mine(CONFIRMATIONS).await;
        devnet.relay();
        wait_for("the redemption is settled", || {
            let _ = self.turn(&[]).is(0);
            let mut batches = self.batches_of(id);
            assert_eq!(batches.len(), 1, "{batches:?}");
            let batch = batches.remove(0);
            if batch["state"] == "settled" {
                Ok(batch)
            } else {
                Err(batch)
            }
        })
    }
}

/// Whether one of a turn's events is of this name.
#[must_use]
pub fn has(said: &[Value], event: &str) -> bool {
    said.iter().any(|said| said["event"] == event)
}

/// The rule that a refused transaction breaks, as `orcapool sign` and `psbt show` name it.
#[must_use]
pub fn rule(said: &[Value]) -> Option<&str> {
    said.iter()
        .find_map(|said| said["refused"]["rule"].as_str())
}

/// The PSBT files of a folder.
#[must_use]
pub fn psbts(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "psbt"))
        .collect()
}

/// A PSBT file, of either form.
///
/// # Panics
/// It is none.
#[must_use]
pub fn read(file: &Path) -> Psbt {
    read_psbt(&fs::read(file).unwrap()).unwrap()
}

/// A path as an argument.
///
/// # Panics
/// It is no text.
#[must_use]
pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Tries again until it succeeds, for two minutes at most.
///
/// # Panics
/// They are over.
pub fn wait_for<T, E: std::fmt::Debug>(what: &str, mut of: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match of() {
            Ok(found) => return found,
            Err(last) => assert!(
                Instant::now() < deadline,
                "waited in vain: {what}; at last {last:?}"
            ),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
