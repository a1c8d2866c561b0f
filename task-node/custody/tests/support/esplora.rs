//! An Esplora server of one test, on top of the test's node.
//!
//! No Esplora server is on any registry ready to run, so this is a stand-in for one: for its index by script, and for the part
//! of its API (Esplora's `API.md`) that custody asks. Blocks, transactions, fees and refusals are the node's own.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use bdk_bitcoind_rpc::bitcoincore_rpc::{Client, RpcApi as _};
use bitcoin::consensus::encode::{deserialize_hex, serialize};
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{Block, BlockHash, OutPoint, Transaction, Txid};
use serde_json::{Map, Value, json};

use super::Regtest;

/// Confirmed transactions of a script in one answer.
const PAGE: usize = 25;
/// Blocks in one answer.
const BLOCKS: usize = 10;
/// For inclusion within so many blocks are fees estimated.
const TARGETS: std::ops::RangeInclusive<u16> = 1..=25;

/// Ends with the test.
pub struct Esplora {
    port: u16,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Esplora {
    /// Starts it. It listens when this returns.
    pub fn start(node: &Regtest) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let index = Data::new(Mutex::new(Index::new(node.client())));
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let app = move || {
                    let app = App::new().app_data(index.clone());
                    app.default_service(web::to(answer))
                };
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = server.listen(listener).unwrap().run();
                tell.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Self {
            port,
            handle: told.recv().unwrap(),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Esplora {
    fn drop(&mut self) {
        // The command is sent when it is made; what is awaited is that it was obeyed.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(request: HttpRequest, body: Bytes, index: Data<Mutex<Index>>) -> HttpResponse {
    let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
    index.follow();
    let path: Vec<&str> = request.path().split('/').skip(1).collect();
    let found = match (request.method().as_str(), path.as_slice()) {
        ("GET", ["blocks", "tip", "height"]) => index.text((index.chain.len() - 1).to_string()),
        ("GET", ["block-height", height]) => index.block_at(height),
        ("GET", ["blocks"]) => Some(index.newest_blocks()),
        ("GET", ["scripthash", script, "txs"]) => index.history(script, None),
        ("GET", ["scripthash", script, "txs", "chain", last]) => index.history(script, Some(last)),
        ("GET", ["tx", txid]) => index.transaction(txid),
        ("GET", ["tx", txid, "status"]) => index.status(txid),
        ("GET", ["tx", txid, "raw"]) => index.raw(txid),
        ("GET", ["tx", txid, "outspend", vout]) => index.outspend(txid, vout),
        ("POST", ["tx"]) => Some(index.send(&body)),
        ("GET", ["fee-estimates"]) => Some(index.fees()),
        // So that a test fails by what it lacks.
        (method, path) => panic!("{method} {path:?} is not served here"),
    };
    found.unwrap_or_else(|| HttpResponse::NotFound().body("not found"))
}

/// A transaction of the best chain or of the node's memory pool.
struct Seen {
    transaction: Transaction,
    /// Height of its block.
    height: Option<usize>,
}

/// What a server of this kind keeps.
struct Index {
    node: Client,
    /// The best block and what waits for one, as they were looked at last.
    state: Option<(BlockHash, Vec<Txid>)>,
    /// Every block ever seen.
    blocks: HashMap<BlockHash, Block>,
    /// The best chain, from its first block on.
    chain: Vec<BlockHash>,
    seen: HashMap<Txid, Seen>,
    /// By the hash of its script, as they came.
    by_script: HashMap<sha256::Hash, Vec<Txid>>,
    /// What spends an output, and with which input.
    spent: HashMap<OutPoint, (Txid, usize)>,
}

impl Index {
    fn new(node: Client) -> Self {
        Self {
            node,
            state: None,
            blocks: HashMap::new(),
            chain: Vec::new(),
            seen: HashMap::new(),
            by_script: HashMap::new(),
            spent: HashMap::new(),
        }
    }

    /// Does what the node does. Everything is indexed anew: a test's chain is short.
    fn follow(&mut self) {
        let best = self.node.get_best_block_hash().unwrap();
        let waiting = self.node.get_raw_mempool().unwrap();
        if self.state.as_ref() == Some(&(best, waiting.clone())) {
            return;
        }
        (self.chain, self.seen, self.by_script, self.spent) = Default::default();
        let mut hash = best;
        loop {
            let block = self.block(hash);
            self.chain.push(hash);
            hash = block.header.prev_blockhash;
            if hash == BlockHash::all_zeros() {
                break;
            }
        }
        self.chain.reverse();
        for (height, hash) in self.chain.clone().into_iter().enumerate() {
            for transaction in self.block(hash).txdata {
                self.index(transaction, Some(height));
            }
        }
        for txid in &waiting {
            // One that has gone meanwhile is noticed by the next request.
            if let Ok(hex) = self.node.get_raw_transaction_hex(txid, None) {
                self.index(deserialize_hex(&hex).unwrap(), None);
            }
        }
        self.state = Some((best, waiting));
    }

    fn block(&mut self, hash: BlockHash) -> Block {
        let node = &self.node;
        let block = self.blocks.entry(hash);
        block
            .or_insert_with(|| node.get_block(&hash).unwrap())
            .clone()
    }

    fn index(&mut self, transaction: Transaction, height: Option<usize>) {
        let txid = transaction.compute_txid();
        let mut scripts: Vec<sha256::Hash> = Vec::new();
        for output in &transaction.output {
            scripts.push(sha256::Hash::hash(output.script_pubkey.as_bytes()));
        }
        for (n, input) in transaction.input.iter().enumerate() {
            let outpoint = input.previous_output;
            // Parents stand before their children in a block, and not always so in the memory pool: a test sends one only.
            if let Some(parent) = self.seen.get(&outpoint.txid) {
                let spent = &parent.transaction.output[outpoint.vout as usize];
                scripts.push(sha256::Hash::hash(spent.script_pubkey.as_bytes()));
                self.spent.insert(outpoint, (txid, n));
            }
        }
        scripts.sort_unstable();
        scripts.dedup();
        for script in scripts {
            self.by_script.entry(script).or_default().push(txid);
        }
        let seen = Seen {
            transaction,
            height,
        };
        self.seen.insert(txid, seen);
    }

    fn text(&self, text: String) -> Option<HttpResponse> {
        Some(HttpResponse::Ok().content_type("text/plain").body(text))
    }

    fn block_at(&self, height: &str) -> Option<HttpResponse> {
        let hash = self.chain.get(height.parse::<usize>().ok()?)?;
        self.text(hash.to_string())
    }

    fn newest_blocks(&self) -> HttpResponse {
        let newest = self.chain.iter().enumerate().rev().take(BLOCKS);
        let infos: Vec<Value> = newest
            .map(|(height, hash)| {
                let block = &self.blocks[hash];
                let header = block.header;
                let previous = (height > 0).then_some(header.prev_blockhash);
                json!({
                    "id": hash,
                    "height": height,
                    "version": header.version.to_consensus(),
                    "timestamp": header.time,
                    "tx_count": block.txdata.len(),
                    "size": block.total_size(),
                    "weight": block.weight().to_wu(),
                    "merkle_root": header.merkle_root,
                    "previousblockhash": previous,
                    "mediantime": self.median_time(height),
                    "nonce": header.nonce,
                    "bits": header.bits.to_consensus(),
                    "difficulty": header.difficulty_float(),
                })
            })
            .collect();
        HttpResponse::Ok().json(infos)
    }

    /// The median of the last eleven blocks' times (BIP113).
    fn median_time(&self, height: usize) -> u32 {
        let last = self.chain[..=height].iter().rev().take(11);
        let mut times: Vec<u32> = last.map(|hash| self.blocks[hash].header.time).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Newest first: what waits for a block, then a page of what has one; or the page after `last`.
    fn history(&self, script: &str, last: Option<&str>) -> Option<HttpResponse> {
        let script: sha256::Hash = script.parse().ok()?;
        let all = self.by_script.get(&script).map_or(&[][..], Vec::as_slice);
        let newest = all.iter().rev().copied();
        let is_confirmed = |txid: &Txid| self.seen[txid].height.is_some();
        let (chain, waiting): (Vec<Txid>, Vec<Txid>) = newest.partition(is_confirmed);
        let page: Vec<Txid> = match last {
            None => waiting
                .into_iter()
                .chain(chain.into_iter().take(PAGE))
                .collect(),
            Some(last) => {
                let last: Txid = last.parse().ok()?;
                let after = chain.iter().position(|txid| *txid == last)? + 1;
                chain[after..].iter().take(PAGE).copied().collect()
            }
        };
        let page: Vec<Value> = page.iter().map(|txid| self.describe(*txid)).collect();
        Some(HttpResponse::Ok().json(page))
    }

    fn find(&self, txid: &str) -> Option<(Txid, &Seen)> {
        let txid: Txid = txid.parse().ok()?;
        Some((txid, self.seen.get(&txid)?))
    }

    fn transaction(&self, txid: &str) -> Option<HttpResponse> {
        let (txid, _) = self.find(txid)?;
        Some(HttpResponse::Ok().json(self.describe(txid)))
    }

    fn status(&self, txid: &str) -> Option<HttpResponse> {
        let (_, seen) = self.find(txid)?;
        Some(HttpResponse::Ok().json(self.place(seen)))
    }

    fn raw(&self, txid: &str) -> Option<HttpResponse> {
        let (_, seen) = self.find(txid)?;
        let raw = serialize(&seen.transaction);
        Some(
            HttpResponse::Ok()
                .content_type("application/octet-stream")
                .body(raw),
        )
    }

    fn outspend(&self, txid: &str, vout: &str) -> Option<HttpResponse> {
        let (txid, _) = self.find(txid)?;
        let spent = self.spent.get(&OutPoint::new(txid, vout.parse().ok()?));
        let status = spent.map_or_else(
            || json!({ "spent": false }),
            |(by, input)| {
                let status = self.place(&self.seen[by]);
                json!({ "spent": true, "txid": by, "vin": input, "status": status })
            },
        );
        Some(HttpResponse::Ok().json(status))
    }

    fn place(&self, seen: &Seen) -> Value {
        let Some(height) = seen.height else {
            return json!({ "confirmed": false });
        };
        let hash = self.chain[height];
        json!({
            "confirmed": true,
            "block_height": height,
            "block_hash": hash,
            "block_time": self.blocks[&hash].header.time,
        })
    }

    fn describe(&self, txid: Txid) -> Value {
        let seen = &self.seen[&txid];
        let transaction = &seen.transaction;
        let mut fee = 0_u64;
        let inputs: Vec<Value> = transaction
            .input
            .iter()
            .map(|input| {
                let outpoint = input.previous_output;
                let parent = self.seen.get(&outpoint.txid);
                let spent = parent.map(|parent| &parent.transaction.output[outpoint.vout as usize]);
                fee += spent.map_or(0, |spent| spent.value.to_sat());
                let witness: Vec<String> = input.witness.iter().map(hex::encode).collect();
                json!({
                    "txid": outpoint.txid,
                    "vout": outpoint.vout,
                    "prevout": spent.map(|spent| json!({
                        "scriptpubkey": spent.script_pubkey,
                        "value": spent.value.to_sat(),
                    })),
                    "scriptsig": input.script_sig,
                    "witness": witness,
                    "is_coinbase": transaction.is_coinbase(),
                    "sequence": input.sequence.to_consensus_u32(),
                })
            })
            .collect();
        let outputs: Vec<Value> = transaction
            .output
            .iter()
            .map(|output| {
                json!({ "scriptpubkey": output.script_pubkey, "value": output.value.to_sat() })
            })
            .collect();
        let paid: u64 = transaction
            .output
            .iter()
            .map(|output| output.value.to_sat())
            .sum();
        json!({
            "txid": txid,
            "version": transaction.version.0,
            "locktime": transaction.lock_time.to_consensus_u32(),
            "vin": inputs,
            "vout": outputs,
            "size": transaction.total_size(),
            "weight": transaction.weight().to_wu(),
            // A coinbase spends nothing that is known.
            "fee": fee.saturating_sub(paid),
            "status": self.place(seen),
        })
    }

    /// Hands a transaction to the node; its refusal is passed on in the server's words.
    fn send(&self, body: &Bytes) -> HttpResponse {
        let hex = std::str::from_utf8(body).unwrap().trim();
        let answer: Result<Txid, _> = self.node.call("sendrawtransaction", &[json!(hex)]);
        match answer {
            Ok(txid) => HttpResponse::Ok().body(txid.to_string()),
            Err(error) => {
                HttpResponse::BadRequest().body(format!("sendrawtransaction RPC error: {error}"))
            }
        }
    }

    /// In sats a virtual byte, by target. What the node cannot say is left out.
    fn fees(&self) -> HttpResponse {
        let mut fees = Map::new();
        for target in TARGETS {
            let answer: Value = self
                .node
                .call("estimatesmartfee", &[json!(target)])
                .unwrap();
            if let Some(rate) = answer["feerate"].as_f64() {
                fees.insert(target.to_string(), json!(rate * 100_000.0));
            }
        }
        HttpResponse::Ok().json(fees)
    }
}
