//! A regtest node, the real program on a local K2, and the binary: what custodians and the public have on their desks.
#![allow(dead_code, unreachable_pub)]

use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::{Address, Network, ScriptBuf};
use chain::bitcoind::find_binary;
use chain::{Bitcoind, BitcoindOptions, PrivateChain};
use k2_client::{Commitment, K2 as _, K2Rpc, Keypair, RpcOptions, pubkey};
use k2_local::{Genesis, GenesisProgram, LocalK2, LocalK2Options};
use serde_json::Value;

/// Whom keys are encrypted to: the public half of `identity.txt` on the desk.
pub const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// A young regtest coinbase, in sats.
pub const COINBASE: u64 = 50_0000_0000;

/// A pool's Bitcoin and K2, and a desk for the custodians.
pub struct World {
    pub bitcoind: Bitcoind,
    pub k2: LocalK2,
    pub dir: tempfile::TempDir,
}

impl World {
    /// Starts both, with a funded authority and a configuration for all.
    pub async fn start() -> Self {
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
    pub async fn finalized(&self) {
        let rpc = K2Rpc::new(&RpcOptions::new(vec![self.k2.rpc_url()])).unwrap();
        let slot = rpc.slot(Commitment::Confirmed).await.unwrap();
        while rpc.slot(Commitment::Finalized).await.unwrap() < slot {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A file on the desk.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs a command on a thread that may wait: the local K2 answers on this one.
    pub async fn orcapool(&self, line: &str) -> Output {
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

    /// Runs a command that must end with this status; answers with what it said, or with its errors.
    pub async fn exits(&self, status: i32, line: &str) -> String {
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

    /// Runs a command that must succeed.
    pub async fn done(&self, line: &str) -> String {
        self.exits(0, line).await
    }

    /// The last object a command says.
    pub async fn json(&self, status: i32, line: &str) -> Value {
        let said = self.exits(status, &format!("{line} --json")).await;
        serde_json::from_str(said.lines().last().unwrap()).unwrap()
    }

    /// Blocks that pay this script.
    pub async fn mine(&self, blocks: u32, script: &ScriptBuf) {
        self.bitcoind.generate(blocks, script).await.unwrap();
    }

    /// A wallet's coinbase address and its script.
    pub async fn script_of(&self, wallet: &str) -> (String, ScriptBuf) {
        let address = self
            .done(&format!("wallet address --wallet %{wallet}"))
            .await
            .trim()
            .to_owned();
        let parsed: Address<bitcoin::address::NetworkUnchecked> = address.parse().unwrap();
        let script = parsed.require_network(Network::Regtest).unwrap();
        (address, script.script_pubkey())
    }

    /// A script of nobody the tests know.
    pub fn elsewhere() -> ScriptBuf {
        use bitcoin::hashes::Hash as _;
        ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([0xee; 20]))
    }
}
