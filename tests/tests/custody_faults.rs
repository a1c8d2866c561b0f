//! Whatever moment a payout is cut off at, each redemption is paid once and the books balance.
//!
//! `orcapool-faults` is `orcapool` that ends itself at the n-th point of a payout ([`custody::fault`]). On a devnet whose
//! coinbases one key holds, a redemption is requested for every n, and the coordinator's turn that plans, signs and sends its
//! payment ends at the n-th point; so do the recording and settling of the payments before, which are a part of each turn.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use bitcoin::hashes::Hash as _;
use bitcoin::{Address, Network, OutPoint, ScriptBuf, Txid, WScriptHash};
use custody::journal::Journal;
use custody::payment::read_psbt;
use orcapool_tests::devnet::{Answer, Devnet, HOLDER};
use orcapool_tests::orcapool_binary;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
/// Blocks after which K2 takes a payout.
const CONFIRMATIONS: u32 = 6;
/// What a redemption may cost its owner, in satoshis.
const MAX_FEE: u64 = 5_000;
/// Who signs alone, and who plans and sends.
const CUSTODIAN: &str = "custodian-1";
const COORDINATOR: &str = "coordinator";

/// Every point that a turn of a single-sig coordinator has.
const TURN: [&str; 33] = [
    "before wallet: changes",
    "after wallet: changes",
    "before journal: slot",
    "amid journal: slot",
    "after journal: slot",
    "before journal: state",
    "amid journal: state",
    "after journal: state",
    "before journal: plan",
    "amid journal: plan",
    "after journal: plan",
    "before outbox: write",
    "amid outbox: write",
    "after outbox: write",
    "before journal: signature",
    "amid journal: signature",
    "after journal: signature",
    "before journal: transaction",
    "amid journal: transaction",
    "after journal: transaction",
    "before node: send",
    "before wallet: take in",
    "after wallet: take in",
    "after node: send",
    "before journal: sending",
    "amid journal: sending",
    "after journal: sending",
    "before outbox: remove",
    "after outbox: remove",
    "before K2: settle",
    "after K2: settle",
    "before books: entries",
    "after books: entries",
];

/// Every point of `orcapool sign`.
const SIGN: [&str; 11] = [
    "before wallet: changes",
    "after wallet: changes",
    "before journal: slot",
    "amid journal: slot",
    "after journal: slot",
    "before journal: signature",
    "amid journal: signature",
    "after journal: signature",
    "before psbt: write",
    "amid psbt: write",
    "after psbt: write",
];

/// A redemption that was requested on K2.
struct Owed {
    id: u64,
    amount: u64,
    script: ScriptBuf,
}

/// A devnet with custody of one key, in which only the test finds blocks.
struct Drill {
    devnet: Devnet,
    owed: Vec<Owed>,
    /// What K2 had burned before the drill.
    burned_before: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_cut_off_anywhere_is_made_once() {
    let mut drill = Drill::start().await;
    a_turn_killed_at_every_point(&mut drill).await;
    a_custodian_killed_at_every_point(&mut drill).await;
    a_turn_killed_at_random_moments(&mut drill).await;
    drill.everything_is_settled_once().await;
}

/// One redemption for each point of a turn.
async fn a_turn_killed_at_every_point(drill: &mut Drill) {
    let mut died_at = BTreeSet::new();
    for number in 1_u32.. {
        match a_turn_killed_at(drill, &number.to_string()).await {
            Some(point) => died_at.insert(point),
            None => break,
        };
    }
    // Turns have not all as many points, so counting may have passed one by.
    for point in TURN {
        if !died_at.contains(point) {
            let killed = a_turn_killed_at(drill, point).await;
            assert_eq!(killed.as_deref(), Some(point));
        }
    }
    let unknown: Vec<_> = died_at
        .iter()
        .filter(|point| !TURN.contains(&point.as_str()))
        .collect();
    assert!(unknown.is_empty(), "points that TURN lacks: {unknown:?}");
}

/// A redemption whose payment is cut off, and made.
async fn a_turn_killed_at(drill: &mut Drill, at: &str) -> Option<String> {
    let id = drill.request();
    // While K2 makes that final: the books of what was before.
    drill.books_balance();
    drill.devnet.k2_is_final().await;
    let list = drill.devnet.dir.join(format!("turn-{id}.points"));
    let killed = drill.killed_at(drill.turn(true), at, &list);
    if let Some(point) = &killed {
        println!("redemption {id}: {at}, {point}");
        done(drill.turn(true));
    }
    drill.is_sent_once(id).await;
    drill.bury().await;
    killed
}

/// One file, signed by a custodian who is killed at each point. Every second time the coordinator makes another one of it.
async fn a_custodian_killed_at_every_point(drill: &mut Drill) {
    let id = drill.request();
    drill.books_balance();
    drill.devnet.k2_is_final().await;
    let mut died_at = BTreeSet::new();
    let mut signed: BTreeMap<Txid, BTreeSet<OutPoint>> = BTreeMap::new();
    let mut last = PathBuf::new();
    for number in 1_u32.. {
        done(drill.turn(false));
        let outbox = drill.outbox();
        let [handed_out] = outbox.as_slice() else {
            panic!("one file to sign: {outbox:?}");
        };
        let out = drill.devnet.dir.join(format!("signed-{number}.psbt"));
        let list = drill.devnet.dir.join(format!("sign-{number}.points"));
        let killed = drill.killed_at(drill.sign(handed_out, &out), &number.to_string(), &list);
        if !out.exists() {
            done(drill.sign(handed_out, &out));
        }
        // Whole, or it would not be there.
        let psbt = read_psbt(&std::fs::read(&out).unwrap()).unwrap();
        assert!(
            psbt.inputs
                .iter()
                .all(|input| input.partial_sigs.len() == 1),
            "{killed:?}"
        );
        let inputs = psbt.unsigned_tx.input.iter();
        let inputs = inputs.map(|input| input.previous_output).collect();
        signed.insert(psbt.unsigned_tx.compute_txid(), inputs);
        last = out;
        let Some(point) = killed else { break };
        died_at.insert(point);
        // The wallet has something to write the next time, and a new plan another lock time.
        drill.devnet.mine(1).await;
        if number % 2 == 1 {
            let batch = drill.batches(id)[0]["batch"].to_string();
            let cancel = drill.member(COORDINATOR, &["payout", "cancel", &batch]);
            done(cancel);
        }
    }
    assert_eq!(
        died_at,
        SIGN.map(String::from).into(),
        "the points of signing"
    );
    assert!(signed.len() > 3, "the coordinator planned anew: {signed:?}");
    for (first, spent) in &signed {
        for (second, spends) in &signed {
            assert!(
                !spent.is_disjoint(spends),
                "{first} and {second} could both confirm"
            );
        }
    }
    let journal = Journal::open_existing(&drill.wallet(CUSTODIAN)).unwrap();
    let known: BTreeSet<Txid> = journal
        .payments()
        .unwrap()
        .iter()
        .map(|one| one.txid)
        .collect();
    assert!(
        signed.keys().all(|txid| known.contains(txid)),
        "a signature that the custodian's journal does not know"
    );

    // Taking it in is cut off before it is put aside, and after.
    let inbox = drill.wallet(COORDINATOR).join("inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    std::fs::copy(&last, inbox.join("signed.psbt")).unwrap();
    for point in ["before inbox: put aside", "after inbox: put aside"] {
        let list = drill.devnet.dir.join("inbox.points");
        let killed = drill.killed_at(drill.turn(false), point, &list);
        assert_eq!(killed.as_deref(), Some(point));
    }
    done(drill.turn(false));
    assert!(!inbox.join("signed.psbt").exists() && inbox.join("taken/signed.psbt").exists());
    drill.is_sent_once(id).await;
    drill.bury().await;
}

/// Kills that know nothing of points.
async fn a_turn_killed_at_random_moments(drill: &mut Drill) {
    let mut random = Random(20_261_121);
    let mut killed = 0;
    for _ in 0..5 {
        let id = drill.request();
        drill.books_balance();
        drill.devnet.k2_is_final().await;
        let began = Instant::now();
        let calm = drill.member(COORDINATOR, &["payout", "plan", "--fee-rate", "2"]);
        done(calm);
        // Reading the chain and K2, which `plan` does too, is most of a turn; what matters comes after.
        let reading = began.elapsed();
        for _ in 0..2 {
            let moment = reading / 2 + reading / 1_000 * random.below(1_500);
            let mut turn = drill.turn(true);
            let mut turn = turn
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            tokio::time::sleep(moment).await;
            turn.kill().unwrap();
            let signal = turn.wait().unwrap().signal();
            killed += u32::from(signal == Some(SIGKILL));
            println!("redemption {id}: after {moment:?}, signal {signal:?}");
        }
        done(drill.turn(true));
        drill.is_sent_once(id).await;
        drill.bury().await;
    }
    assert!(killed > 0, "every turn ended before its kill");
}

/// A small generator, so that a failing drill can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        // Knuth's MMIX multiplier; the high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32 % bound
    }
}

impl Drill {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut devnet = Devnet::start(&["--single-sig"]).await;
        devnet.freeze();
        devnet.fund(HOLDER).await;
        Self {
            burned_before: devnet.total("burned"),
            devnet,
            owed: Vec::new(),
        }
    }

    fn folder(&self, member: &str) -> PathBuf {
        self.devnet.dir.join("custody").join(member)
    }

    fn wallet(&self, member: &str) -> PathBuf {
        self.folder(member).join("wallet")
    }

    /// `orcapool ...` by a member of custody.
    fn member(&self, name: &str, args: &[&str]) -> Command {
        let mut command = orcapool(env!("CARGO_BIN_EXE_orcapool-faults"));
        command
            .args(args)
            .args(["--json", "--config"])
            .arg(self.folder(name).join("orcapool.toml"));
        command
    }

    /// A turn of the coordinator, who with `signs` has the only key.
    fn turn(&self, signs: bool) -> Command {
        // A devnet's blocks have no other transactions that fees could be estimated from.
        let mut command = self.member(COORDINATOR, &["payout", "once", "--fee-rate", "2"]);
        command.arg("--keypair").arg(self.devnet.keypair("payer"));
        if signs {
            self.with_key(&mut command);
        }
        command
    }

    fn sign(&self, file: &Path, out: &Path) -> Command {
        let mut command = self.member(CUSTODIAN, &["sign", "--yes"]);
        self.with_key(command.arg(file).arg("--out").arg(out));
        command
    }

    fn with_key(&self, command: &mut Command) {
        let folder = self.folder(CUSTODIAN);
        command.arg("--key").arg(folder.join("custody.key"));
        command.arg("--identity").arg(folder.join("identity.txt"));
    }

    /// Lets a command end itself at a point, by number or name. Returns which it was; `None`: it was done before.
    fn killed_at(&self, mut command: Command, point: &str, list: &Path) -> Option<String> {
        let output = command
            .env("ORCAPOOL_FAULT_AT", point)
            .env("ORCAPOOL_FAULT_LIST", list)
            .output()
            .unwrap();
        if output.status.signal() != Some(SIGABRT) {
            assert!(output.status.success(), "{point}: {}", said(&output));
            return None;
        }
        let reached = std::fs::read_to_string(list).unwrap();
        Some(reached.lines().last().unwrap().to_owned())
    }

    /// Somebody wants BTC. Custody can know of it when K2 is final.
    fn request(&mut self) -> u64 {
        let number = self.owed.len() as u64;
        // An address and an amount that no other payment has.
        let hash = Sha256::digest(format!("redemption {number}"));
        let script = ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array(hash.into()));
        let to = Address::from_script(&script, Network::Regtest)
            .unwrap()
            .to_string();
        let amount = 20_000 + number;
        let id = self.devnet.redeem(amount, MAX_FEE, &to);
        self.owed.push(Owed { id, amount, script });
        id
    }

    /// Six blocks, and K2 knows of them.
    async fn bury(&self) {
        self.devnet.mine(CONFIRMATIONS).await;
        self.devnet.relay();
    }

    /// Waits until what was done on K2 is final: custody decides by nothing less.
    fn outbox(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.wallet(COORDINATOR).join("outbox")).unwrap();
        let files = folder.map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|is| is == "psbt"))
            .collect()
    }

    /// The journal's batches that pay a redemption and may still do so.
    fn batches(&self, id: u64) -> Vec<Value> {
        let list = self.member(COORDINATOR, &["payout", "list", "--all"]);
        let mut batches = done(list);
        batches.retain(|batch| {
            let ids = batch["redemptions"].as_array().unwrap();
            let is_given_up = batch["state"] == "withdrawn" || batch["state"] == "replaced";
            ids.contains(&id.into()) && !is_given_up
        });
        batches
    }

    /// One transaction waits for a block, it pays this redemption once, and the journal says so.
    async fn is_sent_once(&self, id: u64) {
        let owed = self.owed.iter().find(|owed| owed.id == id).unwrap();
        let waiting = self.devnet.bitcoin("", "getrawmempool", json!([])).await;
        let [txid] = waiting.as_array().unwrap().as_slice() else {
            panic!("redemption {id}: {waiting}");
        };
        let transaction = self
            .devnet
            .bitcoin("", "getrawtransaction", json!([txid, true]))
            .await;
        assert_eq!(paid(&transaction, &owed.script).len(), 1, "{transaction:#}");
        let batches = self.batches(id);
        assert_eq!(batches.len(), 1, "redemption {id}: {batches:#?}");
        assert_eq!(batches[0]["state"], "sent");
        assert_eq!(&batches[0]["txid"], txid);
        assert_eq!(self.outbox(), [] as [PathBuf; 0]);
    }

    fn books_balance(&self) {
        done(self.member(COORDINATOR, &["books", "check"]));
    }

    /// Lets the last payments come to their end, and looks for every payment in every block.
    async fn everything_is_settled_once(&mut self) {
        // The program that people run knows nothing of points.
        let list = self.devnet.dir.join("none.points");
        for _ in 0..3 {
            self.devnet.k2_is_final().await;
            let faulty = self.turn(true);
            let mut command = orcapool(orcapool_binary().unwrap());
            command.args(faulty.get_args());
            command
                .env("ORCAPOOL_FAULT_AT", "1")
                .env("ORCAPOOL_FAULT_LIST", &list);
            done(command);
        }
        assert!(!list.exists(), "orcapool counts its points");

        let mut payments: BTreeMap<ScriptBuf, Vec<u64>> = BTreeMap::new();
        let tip = self
            .devnet
            .bitcoin("", "getblockcount", json!([]))
            .await
            .as_u64()
            .unwrap();
        for height in 0..=tip {
            let hash = self
                .devnet
                .bitcoin("", "getblockhash", json!([height]))
                .await;
            let block = self.devnet.bitcoin("", "getblock", json!([hash, 2])).await;
            for transaction in block["tx"].as_array().unwrap() {
                for owed in &self.owed {
                    let found = paid(transaction, &owed.script);
                    payments
                        .entry(owed.script.clone())
                        .or_default()
                        .extend(found);
                }
            }
        }
        for Owed { id, amount, script } in &self.owed {
            let [paid] = payments[script].as_slice() else {
                panic!("redemption {id} is paid by {:?}", payments[script]);
            };
            assert!((amount - MAX_FEE..=*amount).contains(paid), "{id}: {paid}");
            let batches = self.batches(*id);
            assert_eq!(batches.len(), 1, "{batches:#?}");
            assert_eq!(batches[0]["state"], "settled", "{batches:#?}");
        }
        let waiting = self.devnet.bitcoin("", "getrawmempool", json!([])).await;
        assert_eq!(waiting, json!([]));
        // Each is burned, once.
        let owed: u64 = self.owed.iter().map(|owed| owed.amount).sum();
        assert_eq!(self.devnet.total("burned"), self.burned_before + owed);
        assert_eq!(self.devnet.total("escrowed"), 0);
        assert_eq!(self.outbox(), [] as [PathBuf; 0]);
        self.books_balance();
    }
}

/// What a transaction pays to a script, in satoshis, output by output.
fn paid(transaction: &Value, script: &ScriptBuf) -> Vec<u64> {
    let outputs = transaction["vout"].as_array().unwrap().iter();
    outputs
        .filter(|output| output["scriptPubKey"]["hex"] == script.to_hex_string())
        .map(|output| {
            let amount = bitcoin::Amount::from_str_in(
                &output["value"].to_string(),
                bitcoin::Denomination::Bitcoin,
            );
            amount.unwrap().to_sat()
        })
        .collect()
}

/// A program of this workspace that is told nothing by its surroundings.
fn orcapool(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORCAPOOL_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command, which must succeed, and returns the JSON it prints, line by line.
#[track_caller]
fn done(mut command: Command) -> Vec<Value> {
    Answer::of(&mut command).is(0)
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
