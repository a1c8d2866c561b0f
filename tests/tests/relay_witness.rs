//! All peers of a node without a Bitcoin node belong to one attacker, who keeps blocks back and mines a branch of his own. The
//! relay on a real K2, which somebody else feeds from a Bitcoin node the attacker has no hold on, gives him away: work is the
//! judge, and K2 a witness that may be away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bitcoin::ScriptBuf;
use chain::bitcoind::find_binary;
use chain::{BitcoinNode as _, Bitcoind, BitcoindOptions, PrivateChain, RpcNode};
use k2_client::Keypair;
use orcapool::devnet::child::OwnChild;
use orcapool_tests::{
    Answer, PoolOptions, StratumClient, TestNode, TestPool, address, orcapool_binary,
};
use serde_json::{Value, json};
use work::RoundNumber;

const CUSTODY: &str = "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)";

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(150), waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// A local K2, and the configuration of whoever feeds its relay.
struct K2 {
    process: OwnChild,
    url: String,
    program: String,
    dir: PathBuf,
}

impl K2 {
    async fn start(dir: &Path) -> Self {
        let keypair = Keypair::from_seed([7; 32]);
        keypair.write_new(&dir.join("payer.json")).unwrap();
        let so = std::env::var("ORCAPOOL_K2_PROGRAM")
            .expect("ORCAPOOL_K2_PROGRAM is not set: run scripts/test, which builds the program");
        let arguments = [
            "k2",
            "local",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--so",
            &so,
            "--keypair",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        arguments.push(dir.join("payer.json").display().to_string());
        let log = dir.join("k2.log");
        let process = OwnChild::start(orcapool_binary().unwrap(), "K2", &arguments, &log).unwrap();
        let mut started = Value::Null;
        wait_until("K2 is up", async || {
            let said = std::fs::read_to_string(&log).unwrap();
            let mut lines = said
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            started = lines.next_back().unwrap_or(Value::Null);
            started["rpc"].is_string()
        })
        .await;
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        let k2 = Self {
            process,
            url: text("rpc"),
            program: text("program"),
            dir: dir.to_owned(),
        };
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop",
            "params": [keypair.address().to_string(), 500_000_000_000_u64]});
        let answer = reqwest::Client::new().post(&k2.url).json(&call).send();
        assert!(answer.await.unwrap().status().is_success());
        k2
    }

    /// Further settings of task nodes.
    fn settings(&self) -> Vec<String> {
        vec![
            format!("k2.rpc=[\"{}\"]", self.url),
            format!("k2.program={}", self.program),
        ]
    }

    /// Who runs the commands on K2 has this Bitcoin node.
    fn feed_from(&self, bitcoind: &Bitcoind) {
        let toml = format!(
            "[bitcoin]\nnetwork = \"regtest\"\n\
             [[bitcoin.nodes]]\nurl = \"http://127.0.0.1:{}\"\ncookie_file = \"{}\"\n\
             [payout]\nscript = \"{CUSTODY}\"\n\
             [k2]\nrpc = [\"{}\"]\nprogram = \"{}\"\n",
            bitcoind.rpc_port(),
            bitcoind.cookie_file().display(),
            self.url,
            self.program,
        );
        std::fs::write(self.dir.join("feeder.toml"), toml).unwrap();
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new(orcapool_binary().unwrap())
            .arg("k2")
            .args(arguments)
            .arg("-c")
            .arg(self.dir.join("feeder.toml"))
            .arg("-k")
            .arg(self.dir.join("payer.json"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

/// Hands over all blocks that `to` does not have.
async fn copy(from: &RpcNode, to: &RpcNode) {
    let height = to.chain_info().await.unwrap().height;
    for height in height + 1..=from.chain_info().await.unwrap().height {
        let hash = from.hash_at(height).await.unwrap().unwrap();
        let block: String = from.call("getblock", json!([hash, 0])).await.unwrap();
        let refused: Value = to.call("submitblock", json!([block])).await.unwrap();
        assert_eq!(refused, Value::Null);
    }
    assert_eq!(
        to.best_block_hash().await.unwrap(),
        from.best_block_hash().await.unwrap()
    );
}

async fn status(node: &TestNode) -> Value {
    node.orca.get("/api/status").await.unwrap()
}

async fn health(node: &TestNode) -> Value {
    node.orca.get("/healthz").await.unwrap()
}

/// Whether a status says this of the relay.
fn says(status: &Value, words: &str) -> bool {
    let lines = status["mining"]["lines"].as_array().unwrap();
    lines
        .iter()
        .any(|line| line.as_str().unwrap().contains(words))
}

fn has_relay_problem(status: &Value) -> bool {
    let problems = status["problems"].as_array().unwrap();
    problems.iter().any(|problem| problem["part"] == "relay")
}

/// A share of a node; on this chain it is a block, which becomes the tip.
async fn mine(bitcoin: &RpcNode, node: &TestNode) {
    let user = format!("{}.rig", address("a miner"));
    let mut client = StratumClient::connect(node.stratum, &user).await.unwrap();
    let (found, answer) = client.share().await.unwrap();
    assert_eq!(answer, Answer::Accepted, "{}", node.last_words());
    wait_until("the block is the tip", async || {
        bitcoin.best_block_hash().await.unwrap() == found
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_are_all_one_attacker_s_are_given_away_by_k2_s_relay() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let mut k2 = K2::start(dir.path()).await;
    let mut settings = k2.settings();
    // Blocks made within a second have times ahead of the clock: each is above its median.
    settings.push("audit.time_grace_seconds=300".to_owned());
    let pool = TestPool::start(&PoolOptions {
        nodes: 2,
        without_bitcoind: 1,
        difficulty: 1.0 / f64::from(1 << 24),
        settings,
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    let (with, without) = (&pool.nodes[0], &pool.nodes[2]);
    let attackers = pool.bitcoin().unwrap();
    // The rest of the world.
    let world = Bitcoind::start(BitcoindOptions::new(
        find_binary(None).unwrap(),
        dir.path().join("world"),
        PrivateChain::Regtest,
    ))
    .await
    .unwrap();
    let nobody = ScriptBuf::from_hex("51").unwrap();

    // A round with a submission, while all is well.
    for node in &pool.nodes {
        node.orca.task(RoundNumber::ZERO).await.unwrap();
    }
    mine(&attackers, with).await;
    for node in &pool.nodes {
        node.orca.task(RoundNumber::ZERO.next()).await.unwrap();
    }
    let submission = with.orca.submission(pool.task, RoundNumber::ZERO);
    let submission = submission.await.unwrap();

    // Without a relay the peers are all there is.
    let (doctor, _, code) = without.cli(&["doctor"]).unwrap();
    assert!(!doctor.contains("the peers' chain up to"), "{doctor}");
    assert_eq!(code, 0, "{doctor}");
    assert_eq!(status(without).await["mining"]["relay_agrees"], Value::Null);

    copy(&attackers, &world.node()).await;
    k2.feed_from(&world);
    k2.run(&["init"]);
    k2.run(&["relay"]);
    wait_until("the relay is heard", async || {
        status(without).await["mining"]["relay_agrees"] == true
    })
    .await;
    let view = status(without).await;
    assert!(
        says(&view, "K2's relay has the peers' chain up to block 18"),
        "{view:#}"
    );
    assert!(!has_relay_problem(&view), "{view:#}");
    // The others have the chain themselves.
    assert_eq!(status(with).await["mining"]["relay_agrees"], Value::Null);
    let (doctor, _, code) = cli(without, &k2, "doctor");
    assert!(
        doctor.contains("relay: K2's relay has the peers' chain up to block 18"),
        "{doctor}"
    );
    assert_eq!(code, 0, "{doctor}");
    let (shown, _, _) = without.cli(&["status", "--json"]).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["mining"]["relay_agrees"], true);
    let user = format!("{}.rig", address("a miner"));
    let mut miner = StratumClient::connect(without.stratum, &user)
        .await
        .unwrap();
    miner.wait_for_job().await.unwrap();
    assert!(without.orca.audit(&submission).await.unwrap());

    // The world goes on, and the peers keep it back.
    world.generate(10, &nobody).await.unwrap();
    k2.run(&["relay"]);
    refuses(
        without,
        "is at block 28, the peers only at 18: they lag or withhold blocks",
    )
    .await;
    // Whoever worked is let go: hashes on that chain are wasted, or the attacker's.
    wait_until("the miner is let go", async || {
        let asked = miner.call("mining.subscribe", json!([])).await;
        asked.is_err()
    })
    .await;
    let mut back = StratumClient::connect(without.stratum, &user)
        .await
        .unwrap();
    let job = tokio::time::timeout(Duration::from_secs(3), back.wait_for_job()).await;
    assert!(job.is_err(), "work on a chain that is not believed");
    // No vote is cast, which a `false` would be.
    let verdict = without.orca.audit(&submission).await.unwrap_err();
    assert!(
        format!("{verdict:#}").contains("is not believed"),
        "{verdict:#}"
    );
    let (doctor, _, code) = cli(without, &k2, "doctor");
    assert!(
        doctor.contains("PROBLEM  relay: K2's relay is at block 28"),
        "{doctor}"
    );
    assert_eq!(code, 1, "{doctor}");

    // They mine a branch of their own, which has less work.
    pool.generate(3, &nobody).await.unwrap();
    refuses(
        without,
        "has other blocks than the peers above block 18, with more work",
    )
    .await;
    assert!(without.orca.audit(&submission).await.is_err());

    // With more work than the relay's it is the best chain, whatever the relay has: that is Bitcoin.
    pool.generate(8, &nobody).await.unwrap();
    wait_until("work on the chain with most work", async || {
        let health = health(without).await;
        health["ready"] == true && health["height"] == 30
    })
    .await;
    let view = status(without).await;
    assert!(says(&view, "above block 18, with no more work"), "{view:#}");
    assert!(has_relay_problem(&view), "{view:#}");
    assert!(without.orca.audit(&submission).await.unwrap());
    back.wait_for_job().await.unwrap();

    // K2 is a witness and no oracle: it may be away.
    k2.process.kill().await.unwrap();
    mine(&attackers, without).await;
    let (doctor, _, code) = cli(without, &k2, "doctor");
    assert!(
        doctor.contains("warning  relay: cannot be read"),
        "{doctor}"
    );
    assert_eq!(code, 0, "{doctor}");
}

/// A command with the settings that the pool was started with.
fn cli(node: &TestNode, k2: &K2, command: &str) -> (String, String, i32) {
    let mut arguments = vec![command.to_owned()];
    arguments.extend(
        k2.settings()
            .iter()
            .map(|setting| format!("--set={setting}")),
    );
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    node.cli(&arguments).unwrap()
}

/// Until the node says everywhere that it does not go by its peers.
async fn refuses(node: &TestNode, words: &str) {
    wait_until(words, async || {
        let health = health(node).await;
        health["ready"] == false && health["message"].as_str().unwrap().contains(words)
    })
    .await;
    let health = health(node).await;
    assert_eq!(health["height"], Value::Null);
    assert!(
        health["message"].as_str().unwrap().starts_with("no work: "),
        "{health:#}"
    );
    let view = status(node).await;
    assert_eq!(view["mining"]["answer"], "no");
    assert_eq!(view["mining"]["relay_agrees"], false);
    assert!(says(&view, words) && has_relay_problem(&view), "{view:#}");
    assert_eq!(view["well"], false);
}
