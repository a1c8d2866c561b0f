//! A regtest `bitcoind` of one test, driven in blocking style.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client, Error, RpcApi as _};
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Address, Amount, Block, BlockHash, Network, Script, Transaction, Txid};
use chain::bitcoind::find_binary;
use chain::{Bitcoind, BitcoindOptions, PrivateChain};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Each hash is a try; a regtest block needs two on average.
const MAX_TRIES: u64 = 1 << 40;

/// A node that ends with the test, and a folder for whatever else the test writes.
pub struct Regtest {
    // Dropped in this order: the node is killed before its runtime and its folder go.
    bitcoind: Option<Bitcoind>,
    rpc: Client,
    runtime: Runtime,
    dir: TempDir,
}

impl Regtest {
    /// Starts a node at height 0. Fails, and says how to get one, where there is no bitcoind: a skipped test would look
    /// like a passed one.
    pub fn start() -> Self {
        Self::with_arguments(&[])
    }

    /// As [`start`](Self::start), with further arguments such as `-txindex`.
    pub fn with_arguments(arguments: &[&str]) -> Self {
        let runtime = Runtime::new().unwrap();
        let binary = find_binary(None).unwrap_or_else(|error| panic!("{error}"));
        let dir = tempfile::tempdir().unwrap();
        let mut options =
            BitcoindOptions::new(binary, dir.path().join("node"), PrivateChain::Regtest);
        // Fees have to be known where Core's wallet pays somebody.
        options
            .extra_args
            .push(OsString::from("-fallbackfee=0.0001"));
        options
            .extra_args
            .extend(arguments.iter().map(OsString::from));
        let bitcoind = runtime
            .block_on(Bitcoind::start(options))
            .unwrap_or_else(|error| panic!("{error}"));
        let rpc = connect(&bitcoind, "");
        Self {
            bitcoind: Some(bitcoind),
            rpc,
            runtime,
            dir,
        }
    }

    /// A folder that goes with the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn bitcoind(&self) -> &Bitcoind {
        self.bitcoind.as_ref().expect("the node runs")
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.bitcoind().rpc_port())
    }

    /// What lets a client in.
    pub fn cookie_file(&self) -> PathBuf {
        self.bitcoind().cookie_file()
    }

    /// A connection of its own.
    pub fn client(&self) -> Client {
        connect(self.bitcoind(), "")
    }

    /// The tests' connection.
    pub fn rpc(&self) -> &Client {
        &self.rpc
    }

    /// Calls any method; a failure ends the test.
    pub fn call<T: DeserializeOwned>(&self, method: &str, parameters: &[Value]) -> T {
        self.try_call(method, parameters)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Calls any method.
    pub fn try_call<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: &[Value],
    ) -> Result<T, Error> {
        self.rpc.call(method, parameters)
    }

    /// Height of the best block.
    pub fn height(&self) -> u32 {
        self.call("getblockcount", &[])
    }

    /// Hash of the best chain's block at a height.
    pub fn hash_at(&self, height: u32) -> BlockHash {
        self.call("getblockhash", &[json!(height)])
    }

    /// A block, whole.
    pub fn block(&self, hash: BlockHash) -> Block {
        let hex: String = self.call("getblock", &[json!(hash), json!(0)]);
        deserialize_hex(&hex).unwrap()
    }

    /// Mines blocks that pay `script` and take in what is in the mempool; lowest first.
    pub fn mine(&self, blocks: u32, script: &Script) -> Vec<BlockHash> {
        let descriptor = json!(format!("raw({})", script.to_hex_string()));
        self.call(
            "generatetodescriptor",
            &[json!(blocks), descriptor, json!(MAX_TRIES)],
        )
    }

    /// Mines blocks that pay nobody the tests know.
    pub fn mine_elsewhere(&self, blocks: u32) -> Vec<BlockHash> {
        self.mine(blocks, &elsewhere())
    }

    /// Mines one block with exactly these transactions; what is in the mempool stays there.
    pub fn mine_exactly(&self, script: &Script, transactions: &[&Transaction]) -> BlockHash {
        let output = json!(format!("raw({})", script.to_hex_string()));
        let transactions: Vec<String> = transactions.iter().map(|tx| serialize_hex(*tx)).collect();
        let answer: Value = self.call("generateblock", &[output, json!(transactions)]);
        serde_json::from_value(answer["hash"].clone()).unwrap()
    }

    /// Sends a transaction; the node must take it.
    pub fn send(&self, transaction: &Transaction) -> Txid {
        self.try_send(transaction)
            .unwrap_or_else(|error| panic!("the node refuses the transaction: {error}"))
    }

    /// Sends a transaction, whatever fee it pays.
    pub fn try_send(&self, transaction: &Transaction) -> Result<Txid, Error> {
        self.try_call(
            "sendrawtransaction",
            &[json!(serialize_hex(transaction)), json!(0)],
        )
    }

    /// What waits for a block.
    pub fn mempool(&self) -> Vec<Txid> {
        self.call("getrawmempool", &[])
    }

    /// Takes this block and all above it off the best chain. Their transactions go back to the mempool, coinbases do not.
    pub fn invalidate(&self, hash: BlockHash) {
        let _: Value = self.call("invalidateblock", &[json!(hash)]);
    }

    /// Undoes [`invalidate`](Self::invalidate).
    pub fn reconsider(&self, hash: BlockHash) {
        let _: Value = self.call("reconsiderblock", &[json!(hash)]);
    }

    /// A new descriptor wallet of Core's own.
    pub fn core_wallet(&self, name: &str, private_keys: bool) -> Client {
        let blank = !private_keys;
        let _: Value = self.call(
            "createwallet",
            &[json!(name), json!(!private_keys), json!(blank)],
        );
        connect(self.bitcoind(), &format!("/wallet/{name}"))
    }

    /// A Core wallet with `coins` matured coinbases of 50 BTC. Mines `coins + 100` blocks.
    pub fn rich_core_wallet(&self, name: &str, coins: u32) -> Client {
        let wallet = self.core_wallet(name, true);
        let address = core_address(&wallet);
        self.mine(coins, &address.script_pubkey());
        self.mine_elsewhere(100);
        wallet
    }

    /// Ends the node in order and starts it again on its data. Its mempool is empty then: it is not kept.
    pub fn restart(&mut self) {
        let bitcoind = self.bitcoind.take().expect("the node runs");
        let bitcoind = self
            .runtime
            .block_on(async { bitcoind.stop().await.unwrap().start().await.unwrap() });
        self.rpc = connect(&bitcoind, "");
        self.bitcoind = Some(bitcoind);
    }
}

/// A fresh address of a Core wallet.
pub fn core_address(wallet: &Client) -> Address {
    let address: Address<bitcoin::address::NetworkUnchecked> =
        wallet.call("getnewaddress", &[]).unwrap();
    address.require_network(Network::Regtest).unwrap()
}

/// Lets a Core wallet pay; the transaction is in the mempool afterwards.
pub fn core_pays(wallet: &Client, to: &Script, amount: Amount) -> Txid {
    let address = Address::from_script(to, Network::Regtest).unwrap();
    let amount = json!(amount.to_string_in(bitcoin::Denomination::Bitcoin));
    wallet
        .call("sendtoaddress", &[json!(address.to_string()), amount])
        .unwrap()
}

/// A script nobody in the tests holds a key for.
pub fn elsewhere() -> bitcoin::ScriptBuf {
    use bitcoin::hashes::Hash as _;
    bitcoin::ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([0xee; 20]))
}

fn connect(bitcoind: &Bitcoind, path: &str) -> Client {
    let url = format!("http://127.0.0.1:{}{path}", bitcoind.rpc_port());
    Client::new(&url, Auth::CookieFile(bitcoind.cookie_file())).unwrap()
}
