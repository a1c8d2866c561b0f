//! A devnet that was left running with `--keep`, and everything a user of it has: Bitcoin RPC, K2, the program `orcapool`.
//!
//! It asserts instead of returning errors: what fails here fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::orcapool_binary;

/// Who has earned in the first round, and holds wrapped satoshis.
pub const HOLDER: &str = "holder";

/// An output script nobody can spend: `raw(6a)`.
const NOBODY: &str = "raw(6a)#4mhr9ur5";

/// The devnet. Dropped, it stops everything.
#[derive(Debug)]
pub struct Devnet {
    process: Child,
    /// Its task nodes and miners, where they were stopped.
    frozen: Vec<u32>,
    /// Its directory.
    pub dir: PathBuf,
    /// The URL of K2.
    pub rpc: String,
    /// The pool's program.
    pub program: String,
    /// The wrapped token.
    pub mint: String,
    // Last, so that it is removed after the processes that write into it.
    _guard: tempfile::TempDir,
}

impl Drop for Devnet {
    fn drop(&mut self) {
        for process in &self.frozen {
            signal("-CONT", *process);
        }
        signal("-INT", self.process.id());
        let _ = self.process.wait();
    }
}

fn signal(signal: &str, process: u32) {
    let _ = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
}

impl Devnet {
    /// Plays one round of six seconds and keeps it running. `options`: further ones of `orcapool devnet`.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub async fn start(options: &[&str]) -> Self {
        let guard = tempfile::tempdir().unwrap();
        let dir = guard.path().join("devnet");
        let mut process = Command::new(orcapool_binary().unwrap())
            .args(["devnet", "--keep", "--rounds", "1", "--round-seconds", "6"])
            .args(options)
            .arg("--dir")
            .arg(&dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut progress = BufReader::new(process.stderr.take().unwrap());
        let mut seen = String::new();
        let line = loop {
            let mut line = String::new();
            assert!(
                progress.read_line(&mut line).unwrap() > 0,
                "it ended:\n{seen}"
            );
            seen.push_str(&line);
            if line.contains("wrapped BTC") && line.contains("K2 ") {
                break line;
            }
        };
        // Somebody must go on reading, or it would wait for ever to write.
        std::thread::spawn(move || progress.read_to_end(&mut Vec::new()));
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name).unwrap();
            words[at + 1].to_owned()
        };
        let devnet = Self {
            process,
            frozen: Vec::new(),
            rpc: after("K2"),
            program: after("program"),
            mint: after("BTC"),
            dir,
            _guard: guard,
        };
        devnet.find_holder().await;
        devnet
    }

    /// Makes [`HOLDER`] the miner who has earned most: in so short a round some find nothing.
    async fn find_holder(&self) {
        let mut richest = (0, None);
        for node in 1..=3 {
            for miner in ["built-in", "stratum"] {
                let name = format!("node-{node}-{miner}-miner");
                let held = self.wrapped(&name).await;
                if held > richest.0 {
                    richest = (held, Some(name));
                }
            }
        }
        let (_, Some(name)) = richest else {
            panic!("nobody holds wrapped satoshis");
        };
        std::fs::copy(self.keypair(&name), self.keypair(HOLDER)).unwrap();
    }

    /// The wrapped satoshis of a keypair's owner.
    async fn wrapped(&self, keypair: &str) -> u64 {
        let by_mint = json!({ "mint": self.mint });
        let parsed = json!({ "encoding": "jsonParsed", "commitment": "processed" });
        let accounts = self
            .rpc(
                "getTokenAccountsByOwner",
                json!([self.address(keypair), by_mint, parsed]),
            )
            .await;
        let accounts = accounts["value"].as_array().unwrap();
        accounts
            .iter()
            .map(|account| &account["account"]["data"]["parsed"]["info"]["tokenAmount"]["amount"])
            .map(|amount| amount.as_str().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    /// The address of a keypair's owner, in base58.
    fn address(&self, keypair: &str) -> String {
        let file = std::fs::read(self.keypair(keypair)).unwrap();
        let key: Vec<u8> = serde_json::from_slice(&file).unwrap();
        work::K2Address::from_bytes(key[32..].try_into().unwrap()).to_string()
    }

    /// Stops task nodes and miners, without ending them: from now on only the test finds blocks, and expiries, maturities and
    /// balances are what it makes them.
    ///
    /// # Panics
    /// There are none.
    pub fn freeze(&mut self) {
        let children = children(self.process.id());
        self.frozen = children
            .into_iter()
            .filter(|(_, command)| ["run", "mine"].contains(&command.as_str()))
            .map(|(process, _)| process)
            .collect();
        assert_eq!(self.frozen.len(), 6, "three task nodes and their miners");
        for process in &self.frozen {
            signal("-STOP", *process);
        }
    }

    /// The keypair file of somebody on K2.
    #[must_use]
    pub fn keypair(&self, name: &str) -> PathBuf {
        self.dir.join("keys").join(format!("{name}.json"))
    }

    /// The configuration of a task node.
    #[must_use]
    pub fn config(&self, node: &str) -> PathBuf {
        self.dir.join(node).join("orcapool.toml")
    }

    /// `orcapool k2 ...` as the owner of a keypair.
    ///
    /// # Panics
    /// There is no program.
    #[must_use]
    pub fn k2(&self, keypair: &str, args: &[&str]) -> Command {
        let mut command = Command::new(orcapool_binary().unwrap());
        command
            .arg("k2")
            .args(args)
            .args(["--rpc", &self.rpc, "--program", &self.program])
            .args(["--json", "-c"])
            .arg(self.config("node-1"))
            .arg("-k")
            .arg(self.keypair(keypair));
        command
    }

    /// Runs `orcapool k2 ...` and returns the JSON it prints, line by line.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn run(&self, keypair: &str, args: &[&str]) -> Vec<Value> {
        let answer = Answer::of(&mut self.k2(keypair, args));
        answer.is(0)
    }

    /// Runs `orcapool k2 ...`, which must fail, and returns why.
    ///
    /// # Panics
    /// It does not.
    #[must_use]
    pub fn refused(&self, keypair: &str, args: &[&str]) -> String {
        let answer = Answer::of(&mut self.k2(keypair, args));
        assert_ne!(answer.status, 0, "{args:?} was done: {}", answer.said);
        answer.complained
    }

    /// What `orcapool k2 status` says.
    #[must_use]
    pub fn status(&self) -> Value {
        self.run("payer", &["status"]).remove(0)
    }

    /// A number of the configuration account.
    ///
    /// # Panics
    /// It has none of this name.
    #[must_use]
    pub fn total(&self, name: &str) -> u64 {
        self.status()["config"]["totals"][name].as_u64().unwrap()
    }

    /// Brings K2's relay to the node's tip.
    pub fn relay(&self) {
        let _ = self.run("payer", &["relay"]);
    }

    /// Waits until all that K2 has now is finalized there, which is all that custody goes by.
    ///
    /// # Panics
    /// It does not come to pass.
    pub async fn k2_is_final(&self) {
        let slot = |commitment: &'static str| async move {
            let answer = self.rpc("getSlot", json!([{ "commitment": commitment }]));
            answer.await.as_u64().unwrap()
        };
        let now = slot("processed").await;
        until("K2 is final", || async { slot("finalized").await >= now }).await;
    }

    /// [`HOLDER`] burns so many sats, of which fees may take `max_fee`, for BTC to an address. The redemption's id.
    ///
    /// # Panics
    /// The request is refused.
    #[must_use]
    pub fn redeem(&self, amount: u64, max_fee: u64, to: &str) -> u64 {
        let (amount, max_fee) = (amount.to_string(), max_fee.to_string());
        let sums = ["redeem", "--amount", &amount, "--max-fee", &max_fee];
        let said = self.run(HOLDER, &[&sums[..], &["--to", to]].concat());
        said[0]["redemption"].as_u64().unwrap()
    }

    /// JSON-RPC of K2.
    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        call(&self.rpc, None, method, params).await
    }

    /// Gives somebody what transactions on K2 cost.
    ///
    /// # Panics
    /// The faucet does not pay.
    pub async fn fund(&self, keypair: &str) {
        let address = self.address(keypair);
        self.rpc("requestAirdrop", json!([address, 5_000_000_000_u64]))
            .await;
        until("the faucet pays", || async {
            self.rpc(
                "getBalance",
                json!([address, { "commitment": "processed" }]),
            )
            .await["value"]
                != 0
        })
        .await;
    }

    /// Bitcoin RPC of the devnet's node, as its configuration says it. `path`: of a wallet of the node's own.
    ///
    /// # Panics
    /// It answers with an error.
    pub async fn bitcoin(&self, path: &str, method: &str, params: Value) -> Value {
        let config: toml::Table =
            toml::from_str(&std::fs::read_to_string(self.config("node-1")).unwrap()).unwrap();
        let node = &config["bitcoin"]["nodes"][0];
        let cookie = std::fs::read_to_string(node["cookie_file"].as_str().unwrap()).unwrap();
        let url = format!("{}{path}", node["url"].as_str().unwrap());
        call(&url, Some(&cookie), method, params).await
    }

    /// Mines blocks that pay nobody.
    pub async fn mine(&self, blocks: u32) {
        self.bitcoin("", "generatetodescriptor", json!([blocks, NOBODY]))
            .await;
    }

    /// Mines one block without any transaction of the memory pool.
    pub async fn mine_empty(&self) {
        self.bitcoin("", "generateblock", json!([NOBODY, []])).await;
    }
}

/// What a program answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit status.
    pub status: i32,
    /// Standard output.
    pub said: String,
    /// Standard error.
    pub complained: String,
    line: String,
}

impl Answer {
    /// Runs a program to its end.
    ///
    /// # Panics
    /// It cannot be run, or was killed.
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let args: Vec<&OsStr> = command.get_args().collect();
        Self {
            status: output.status.code().expect("it was killed"),
            said: String::from_utf8(output.stdout).unwrap(),
            complained: String::from_utf8_lossy(&output.stderr).into_owned(),
            line: args.join(OsStr::new(" ")).to_string_lossy().into_owned(),
        }
    }

    /// Asserts the exit status, and returns the JSON it printed, line by line.
    ///
    /// # Panics
    /// It is another one.
    #[must_use]
    #[track_caller]
    pub fn is(&self, status: i32) -> Vec<Value> {
        let Self {
            said,
            complained,
            line,
            ..
        } = self;
        assert_eq!(self.status, status, "{line}:\n{said}{complained}");
        said.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// The processes that this one started, with the command that `orcapool` was given.
fn children(parent: u32) -> Vec<(u32, String)> {
    let command = |process: &Path| {
        let line = std::fs::read(process.join("cmdline")).ok()?;
        let word = line.split(|byte| *byte == 0).nth(1)?;
        String::from_utf8(word.to_vec()).ok()
    };
    let parent_of = |process: &Path| -> Option<u32> {
        // "pid (name) state ppid ...", and a name may hold anything.
        let stat = std::fs::read_to_string(process.join("stat")).ok()?;
        let rest = stat.rsplit_once(')')?.1;
        rest.split_whitespace().nth(1)?.parse().ok()
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|process| parent_of(process) == Some(parent))
        .filter_map(|process| {
            let number = process.file_name()?.to_str()?.parse().ok()?;
            Some((number, command(&process)?))
        })
        .collect()
}

async fn call(url: &str, cookie: Option<&str>, method: &str, params: Value) -> Value {
    let mut request = reqwest::Client::new()
        .post(url)
        .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }));
    if let Some((user, password)) = cookie.and_then(|cookie| cookie.split_once(':')) {
        request = request.basic_auth(user, Some(password));
    }
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
    answer["result"].clone()
}

/// Waits, for five minutes at most.
///
/// # Panics
/// They are over.
pub async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(300);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What `supply = proved - burned` and `vault + escrow + holders = supply` say of a [`Devnet::status`].
///
/// # Panics
/// They do not hold.
pub fn books_balance(status: &Value) {
    let number = |value: &Value| value.as_u64().unwrap();
    let totals = &status["config"]["totals"];
    assert_eq!(
        number(&status["supply"]),
        number(&totals["proved_in"]) - number(&totals["burned"]),
        "{status}"
    );
    assert_eq!(
        number(&status["vault"]),
        number(&totals["proved_in"]) - number(&totals["claimed"])
    );
    assert_eq!(number(&status["escrow"]), number(&totals["escrowed"]));
}
