//! Custody of a devnet: three custodians whose keys anybody has, a wallet folder for each and for the coordinator, and a
//! redemption that is paid in BTC.
//!
//! Everything is done by the commands that custodians use, each as a process of its own, so that what a devnet shows is what
//! they would see.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bitcoin::{Address, CompressedPublicKey, Network, NetworkKind, ScriptBuf};
use chain::Bitcoind;
use custody::journal::Journal;
use custody::keys::{CustodianKey, ExposeSecret as _, Protection, Purpose};
use custody::watch::Watch;
use custody::{Cosigner, Setup};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use tokio::time::Instant;
use work::PayoutScript;

use super::child::without_settings;
use super::k2::{self, DevnetK2};
use super::say;

/// The custodians. Any two of them sign.
pub(super) const CUSTODIANS: [&str; 3] = ["custodian-1", "custodian-2", "custodian-3"];
/// Who plans and sends; it has no key.
const COORDINATOR: &str = "coordinator";
/// Blocks after which K2 takes a payout, as `deposit_confirmations` has it.
const CONFIRMATIONS: u32 = 6;
/// How many signatures it takes.
const THRESHOLD: usize = 2;

/// The folders of custody in a devnet's directory.
#[derive(Debug, Clone)]
pub(super) struct DevnetCustody {
    program: PathBuf,
    dir: PathBuf,
    /// Pays on K2 for showing it what was paid.
    keypair: PathBuf,
    setup: Setup,
    /// Of the pool's coinbases.
    address: Address,
    payout: PayoutScript,
    /// Those whose signatures make a payment complete.
    signers: Vec<&'static str>,
}

/// A custodian's key: from a hash of its name, so that nobody mistakes these coins for money.
fn key(name: &str) -> anyhow::Result<CustodianKey> {
    let entropy: [u8; 32] = Sha256::digest(format!("orcapool devnet {name}")).into();
    Ok(CustodianKey::generate(NetworkKind::Test, &entropy)?)
}

impl DevnetCustody {
    /// Makes keys and wallets: a 2-of-3, or with `single` the first custodian's alone.
    pub(super) fn create(
        program: &Path,
        dir: &Path,
        network: Network,
        single: bool,
    ) -> anyhow::Result<Self> {
        let keys = CUSTODIANS
            .iter()
            .map(|name| Ok((*name, key(name)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let cosigners = |purpose| -> Vec<Cosigner> {
            keys.iter()
                .map(|(_, key)| key.cosigner(purpose).clone())
                .collect()
        };
        let setup = if single {
            let first = cosigners(Purpose::Single);
            Setup::single(network, first.first().context("no custodian")?)?
        } else {
            Setup::multisig(network, THRESHOLD, &cosigners(Purpose::Multisig))?
        };
        let address = Address::from_script(&setup.coinbase_script()?, network)?;
        let custody = Self {
            program: program.to_owned(),
            dir: dir.join("custody"),
            keypair: dir.join("keys/payer.json"),
            payout: PayoutScript::parse(&address.to_string(), network)?,
            address,
            // Not the first two: any will do.
            signers: CUSTODIANS
                .iter()
                .copied()
                .step_by(2)
                .take(setup.threshold())
                .collect(),
            setup,
        };
        for (name, key) in &keys {
            std::fs::create_dir_all(custody.folder(name))?;
            custody.write_key(name, key)?;
        }
        for name in CUSTODIANS.iter().copied().chain([COORDINATOR]) {
            let wallet = custody.wallet(name);
            Watch::create(&wallet, &custody.setup, 0)?;
            // Nobody can have signed anything before the first block.
            Journal::open(&wallet, 0)?;
        }
        Ok(custody)
    }

    /// Where block rewards go.
    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    /// Who holds them, in words.
    pub(super) fn describe(&self) -> String {
        let (threshold, keys) = (self.setup.threshold(), self.setup.cosigners().len());
        format!("{threshold} of {keys}, folders in {}", self.dir.display())
    }

    /// What block rewards are paid to.
    pub(super) const fn payout(&self) -> &PayoutScript {
        &self.payout
    }

    /// One member's folder.
    fn folder(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// One member's wallet.
    fn wallet(&self, name: &str) -> PathBuf {
        self.folder(name).join("wallet")
    }

    /// The key file, and the identity that opens it beside it: nobody is to be asked for a passphrase in a devnet.
    fn write_key(&self, name: &str, key: &CustodianKey) -> anyhow::Result<()> {
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        let path = self.folder(name).join("identity.txt");
        let mut options = std::fs::File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        writeln!(file, "{}", identity.to_string().expose_secret())?;
        let sealed = key.seal(&Protection::recipients(&[recipient])?, name, 0)?;
        Ok(sealed.create(&self.folder(name).join("custody.key"))?)
    }

    /// Writes each member's configuration: its own node and its own K2, which in a devnet are the same for all.
    pub(super) fn configure(
        &self,
        network: &str,
        bitcoind: &Bitcoind,
        k2: Option<&DevnetK2>,
    ) -> anyhow::Result<()> {
        for name in CUSTODIANS.iter().copied().chain([COORDINATOR]) {
            let node = json!({
                "url": format!("http://127.0.0.1:{}", bitcoind.rpc_port()),
                "cookie_file": bitcoind.cookie_file(),
            });
            let mut config = json!({
                "data_dir": self.folder(name),
                "custody": { "dir": self.wallet(name) },
                "bitcoin": { "network": network, "nodes": [node] },
                "k2": { "program": k2::program().to_string() },
            });
            if let Some(k2) = k2 {
                config["k2"]["rpc"] = json!([k2.rpc_url()]);
            }
            std::fs::write(self.config(name), toml::to_string_pretty(&config)?)?;
        }
        Ok(())
    }

    fn config(&self, name: &str) -> PathBuf {
        self.folder(name).join("orcapool.toml")
    }

    /// Where somebody in the devnet keeps its BTC, outside the pool.
    pub(super) fn address_of(&self, name: &str) -> anyhow::Result<(ScriptBuf, String)> {
        let secret: [u8; 32] = Sha256::digest(format!("orcapool devnet {name} BTC")).into();
        let secret = SecretKey::from_slice(&secret)?;
        let public = CompressedPublicKey(secret.public_key(&Secp256k1::new()));
        let address = Address::p2wpkh(&public, self.setup.network());
        Ok((address.script_pubkey(), address.to_string()))
    }

    /// Runs `orcapool ...` as a member, and returns what it prints, line by line.
    async fn run(&self, name: &str, args: &[&OsStr]) -> anyhow::Result<Vec<Value>> {
        let mut command = Command::new(&self.program);
        without_settings(&mut command);
        let output = command
            .args(args)
            .args([OsStr::new("--json"), OsStr::new("--config")])
            .arg(self.config(name))
            .stdin(Stdio::null())
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{name}: `orcapool {}` ended with {}: {said}{}",
            args.join(OsStr::new(" ")).display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        said.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("{name}: {line}")))
            .collect()
    }

    /// What custody pays on Bitcoin for a redemption on K2: planned by the coordinator, reviewed and signed by custodians,
    /// sent, mined, and settled with a proof.
    pub(super) async fn pay(
        &self,
        id: u64,
        bitcoind: &Bitcoind,
        k2: &DevnetK2,
    ) -> anyhow::Result<PaidInBtc> {
        let keypair = self.keypair.as_path();
        // A devnet's blocks have no other transactions that fees could be estimated from.
        let turn = ["payout", "once", "--fee-rate", "2", "--keypair"].map(OsStr::new);
        let turn: Vec<&OsStr> = turn.into_iter().chain([keypair.as_os_str()]).collect();
        let deadline = Instant::now() + k2::PATIENCE;
        let handed_out = loop {
            self.run(COORDINATOR, &turn).await?;
            if let Some(file) = self.outbox()? {
                break file;
            }
            // Custodians believe K2 when it is final, a few slots later.
            ensure!(
                Instant::now() < deadline,
                "the coordinator does not plan to pay redemption {id}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let inbox = self.wallet(COORDINATOR).join("inbox");
        std::fs::create_dir_all(&inbox)?;
        for name in &self.signers {
            say(&format!("{name} reviews and signs the payout"));
            let folder = self.folder(name);
            let (key, identity) = (folder.join("custody.key"), folder.join("identity.txt"));
            let signed = inbox.join(format!("{name}.psbt"));
            let args: [&OsStr; 9] = [
                "sign".as_ref(),
                handed_out.as_ref(),
                "--key".as_ref(),
                key.as_ref(),
                "--identity".as_ref(),
                identity.as_ref(),
                "--yes".as_ref(),
                "--out".as_ref(),
                signed.as_ref(),
            ];
            self.run(name, &args).await?;
        }
        self.run(COORDINATOR, &turn).await?;
        let nobody = ScriptBuf::new_op_return([]);
        bitcoind.generate(CONFIRMATIONS, &nobody).await?;
        k2.relay().await?;
        // The coordinator, too, believes K2 when it is final: the relay's new tip, and that the redemption is settled.
        let deadline = Instant::now() + k2::PATIENCE;
        let batch = loop {
            self.run(COORDINATOR, &turn).await?;
            let batch = self.batch_of(id).await?;
            if batch["state"] == "settled" {
                break batch;
            }
            ensure!(
                Instant::now() < deadline,
                "redemption {id} is paid and not settled on K2: {batch}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        Ok(PaidInBtc {
            txid: batch["txid"].as_str().context("txid")?.to_owned(),
            fee: batch["fee_sats"].as_u64().context("fee_sats")?,
        })
    }

    /// The batch that pays a redemption, as `orcapool payout list` has it.
    async fn batch_of(&self, id: u64) -> anyhow::Result<Value> {
        let list = ["payout", "list", "--all"].map(OsStr::new);
        let batches = self.run(COORDINATOR, &list).await?;
        let is_named = |batch: &Value| {
            let ids = batch["redemptions"].as_array();
            ids.is_some_and(|ids| ids.contains(&id.into()))
        };
        batches
            .into_iter()
            .find(is_named)
            .context("no batch pays the redemption")
    }

    /// The transaction that waits for signatures.
    fn outbox(&self) -> anyhow::Result<Option<PathBuf>> {
        let Ok(folder) = std::fs::read_dir(self.wallet(COORDINATOR).join("outbox")) else {
            return Ok(None);
        };
        let files = folder.collect::<Result<Vec<_>, _>>()?;
        let mut paths = files.into_iter().map(|file| file.path());
        Ok(paths.find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "psbt")
        }))
    }

    /// What the coordinator's wallet holds, in satoshis: mature and immature.
    pub(super) async fn reserves(&self) -> anyhow::Result<u64> {
        let coins = self
            .run(COORDINATOR, &["wallet", "utxos"].map(OsStr::new))
            .await?;
        coins
            .iter()
            .map(|coin| coin["value"].as_u64().context("value"))
            .sum()
    }
}

/// How custody paid a redemption.
#[derive(Debug, Clone)]
pub(super) struct PaidInBtc {
    /// By which transaction.
    pub(super) txid: String,
    /// Its fee, in satoshis.
    pub(super) fee: u64,
}
