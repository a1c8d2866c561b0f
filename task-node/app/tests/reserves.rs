//! `orcapool reserves` as custodians and the public meet it: a regtest node, the real program on a local K2, files that go
//! from hand to hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::{Address, Network, ScriptBuf};
use chain::bitcoind::find_binary;
use chain::{Bitcoind, BitcoindOptions, PrivateChain};
use k2_client::{Commitment, K2 as _, K2Rpc, Keypair, RpcOptions, pubkey};
use k2_local::{Genesis, GenesisProgram, LocalK2, LocalK2Options};
use serde_json::Value;

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// A young regtest coinbase, in sats.
const COINBASE: u64 = 50_0000_0000;

/// A pool's Bitcoin and K2, and a desk for the custodians.
struct World {
    bitcoind: Bitcoind,
    k2: LocalK2,
    dir: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binary = find_binary(None).unwrap_or_else(|error| panic!("{error}"));
        let options = BitcoindOptions::new(binary, dir.path().join("node"), PrivateChain::Regtest);
        let bitcoind = Bitcoind::start(options).await.unwrap();
        let so = std::env::var_os("ORCAPOOL_K2_PROGRAM")
            .expect("ORCAPOOL_K2_PROGRAM: the program, as scripts/build-program makes it");
        let admin = Keypair::from_seed([7; 32]);
        admin.write_new(&dir.path().join("admin.json")).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut genesis = Genesis::new(i64::try_from(now.as_secs()).unwrap(), [8; 32]);
        genesis.slot_millis = 20;
        let program = Keypair::from_seed([9; 32]).address();
        genesis.programs = vec![GenesisProgram {
            id: pubkey(&program),
            elf: std::fs::read(so).unwrap(),
            upgrade_authority: Some(pubkey(&admin.address())),
        }];
        let k2 = LocalK2::start(LocalK2Options::new(genesis)).await.unwrap();
        let config = format!(
            "data_dir = {:?}\n[bitcoin]\nnetwork = \"regtest\"\n[[bitcoin.nodes]]\nurl = \"http://127.0.0.1:{}\"\n\
             cookie_file = {:?}\n[k2]\nrpc = [{:?}]\nprogram = \"{program}\"\nkeypair = {:?}\n",
            dir.path().join("data"),
            bitcoind.rpc_port(),
            bitcoind.cookie_file(),
            k2.rpc_url(),
            dir.path().join("admin.json"),
        );
        std::fs::write(dir.path().join("pool.toml"), config).unwrap();
        std::fs::write(dir.path().join("identity.txt"), IDENTITY).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.path().join("identity.txt"), mode).unwrap();
        let rpc = K2Rpc::new(&RpcOptions::new(vec![k2.rpc_url()])).unwrap();
        rpc.request_airdrop(&admin.address(), 100_000_000_000)
            .await
            .unwrap();
        while rpc
            .balance(&admin.address(), Commitment::Confirmed)
            .await
            .unwrap()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { bitcoind, k2, dir }
    }

    /// Waits until what is confirmed now is finalized: nothing less counts for custodians.
    async fn finalized(&self) {
        let rpc = K2Rpc::new(&RpcOptions::new(vec![self.k2.rpc_url()])).unwrap();
        let slot = rpc.slot(Commitment::Confirmed).await.unwrap();
        while rpc.slot(Commitment::Finalized).await.unwrap() < slot {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs a command on a thread that may wait: the local K2 answers on this one.
    async fn orcapool(&self, line: &str) -> Output {
        let mut arguments: Vec<String> = line
            .split_whitespace()
            // %name is a file on the desk.
            .map(|word| match word.split_once('%') {
                Some((before, name)) => format!("{before}{}", self.path(name)),
                None => word.to_owned(),
            })
            .collect();
        arguments.extend(["-c".to_owned(), self.path("pool.toml")]);
        let run = move || {
            Command::new(env!("CARGO_BIN_EXE_orcapool"))
                .args(arguments)
                .env_remove("ORCAPOOL_CONFIG")
                .output()
        };
        tokio::task::spawn_blocking(run).await.unwrap().unwrap()
    }

    async fn exits(&self, status: i32, line: &str) -> String {
        let output = self.orcapool(line).await;
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{line}\n{said}\n{errors}"
        );
        if status == 2 {
            errors.into_owned()
        } else {
            said
        }
    }

    async fn done(&self, line: &str) -> String {
        self.exits(0, line).await
    }

    async fn json(&self, status: i32, line: &str) -> Value {
        let said = self.exits(status, &format!("{line} --json")).await;
        serde_json::from_str(said.lines().last().unwrap()).unwrap()
    }

    async fn mine(&self, blocks: u32, script: &ScriptBuf) {
        self.bitcoind.generate(blocks, script).await.unwrap();
    }

    async fn script_of(&self, wallet: &str) -> (String, ScriptBuf) {
        let address = self
            .done(&format!("wallet address --wallet %{wallet}"))
            .await
            .trim()
            .to_owned();
        let parsed: Address<bitcoin::address::NetworkUnchecked> = address.parse().unwrap();
        let script = parsed.require_network(Network::Regtest).unwrap();
        (address, script.script_pubkey())
    }

    /// A proof of a wallet, signed with these keys.
    async fn prove(&self, wallet: &str, keys: &[&str], name: &str) {
        self.done(&format!(
            "reserves prove --wallet %{wallet} --out %{name}.draft"
        ))
        .await;
        let mut signed = String::new();
        for key in keys {
            self.done(&format!(
                "reserves sign %{name}.draft --wallet %{wallet} --key %{key}.key --identity %identity.txt --yes \
                 --out %{name}.{key}"
            ))
            .await;
            signed.push_str(&format!(" %{name}.{key}"));
        }
        self.done(&format!("reserves finish{signed} --out %{name}.json"))
            .await;
    }

    fn elsewhere() -> ScriptBuf {
        use bitcoin::hashes::Hash as _;
        ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([0xee; 20]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_goes_from_the_custodians_to_the_public() {
    let world = World::start().await;
    for key in ["alice", "bob", "carol"] {
        world
            .done(&format!(
                "keys new --network regtest --out %{key}.key --recipient {RECIPIENT}"
            ))
            .await;
    }
    world
        .done("wallet create --wallet %vault --birthday 0 --multisig 2 @%alice.key @%bob.key @%carol.key")
        .await;
    world
        .done("wallet create --wallet %small --birthday 0 --single @%alice.key")
        .await;
    let (address, vault) = world.script_of("vault").await;
    let (_, small) = world.script_of("small").await;
    world.mine(2, &vault).await;
    world.mine(1, &small).await;
    world.mine(100, &World::elsewhere()).await;
    world
        .done(&format!(
            "k2 init --custody {address} --checkpoint 0 --challenge-slots 1 --mint-horizon 300"
        ))
        .await;
    world.done("k2 relay").await;
    world.done("k2 mint").await;
    world.finalized().await;

    world.prove("vault", &["alice", "carol"], "proof").await;
    let report = world.json(0, "reserves verify %proof.json").await;
    assert_eq!(report["backed"], true);
    assert_eq!(report["now"]["supply"], COINBASE * 2);
    assert_eq!(report["now"]["reserves"], COINBASE * 2);
    assert_eq!(report["now"]["ratio_ppm"], 1_000_000);
    assert_eq!(report["scripts"][0]["registered"], true);
    assert_eq!(report["scripts"][0]["address"], address);
    let said = world.done("reserves verify %proof.json").await;
    assert!(
        said.contains("100.0000 %") && said.ends_with("backed\n"),
        "{said}"
    );
    let shown = world.json(0, "wallet show --wallet %vault").await;
    let descriptor = shown["descriptor"].as_str().unwrap();
    world
        .done(&format!(
            "reserves verify %proof.json --descriptor {descriptor}"
        ))
        .await;

    // Coins of another wallet, signed for as well, are half of what is owed.
    world.prove("small", &["alice"], "poor").await;
    let report = world.json(1, "reserves verify %poor.json").await;
    assert_eq!(report["backed"], false);
    assert_eq!(report["now"]["missing"], COINBASE);
    assert_eq!(report["now"]["ratio_ppm"], 500_000);
    assert_eq!(report["scripts"][0]["registered"], false);
    let said = world.exits(1, "reserves verify %poor.json").await;
    assert!(said.contains("NOT BACKED"), "{said}");
    let refused = world
        .json(
            1,
            &format!("reserves verify %poor.json --descriptor {descriptor}"),
        )
        .await;
    assert!(refused["refused"].as_str().unwrap().contains("descriptor"));

    // What is no proof of this pool is none, and what cannot be asked is said.
    let refused = world.json(1, "reserves verify %proof.draft").await;
    assert_eq!(refused["backed"], false);
    let altered = std::fs::read_to_string(world.path("proof.json")).unwrap();
    let altered = altered.replace("\"burned\": 0", "\"burned\": 1");
    std::fs::write(world.path("altered.json"), altered).unwrap();
    world.exits(1, "reserves verify %altered.json").await;
    let away = world
        .exits(
            2,
            "reserves verify %proof.json --esplora http://127.0.0.1:1",
        )
        .await;
    assert!(away.contains("server"), "{away}");
    world.exits(2, "reserves verify %absent.json").await;

    // A custodian signs only what its own node has, with a key of the wallet, and nothing is overwritten.
    let said = world
        .exits(
            1,
            "reserves sign %poor.draft --wallet %vault --key %bob.key --identity %identity.txt --yes --out %x",
        )
        .await;
    assert!(said.contains("coin:"), "{said}");
    let said = world
        .exits(
            1,
            "reserves sign %poor.draft --wallet %small --key %bob.key --identity %identity.txt --yes --out %x",
        )
        .await;
    assert!(said.contains("none of this wallet's"), "{said}");
    assert!(!PathBuf::from(world.path("x")).exists());
    world
        .exits(2, "reserves prove --wallet %vault --out %proof.json")
        .await;
    world
        .exits(1, "reserves finish %proof.alice --out %unfinished.json")
        .await;

    world.k2.stop().await;
    world.bitcoind.stop().await.unwrap();
}
