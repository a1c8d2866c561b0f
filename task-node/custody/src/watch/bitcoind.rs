//! Block by block from a `bitcoind`.
//!
//! BDK's emitter finds the last block that node and wallet have in common and goes on from there. The mempool is not read
//! whole, which would be hundreds of thousands of calls on the main network: the node is asked which transactions spend the
//! wallet's coins, and which of the known unconfirmed ones it still has. So a payment *to* the wallet is seen when it
//! confirms; nothing unconfirmed is ever spent, so nothing waits for it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bdk_bitcoind_rpc::bitcoincore_rpc::{Client, Error as RpcError, RpcApi as _};
use bdk_bitcoind_rpc::{BitcoindRpcErrorExt as _, Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_wallet::Update;
use bdk_wallet::chain::{BlockId, CheckPoint, Merge as _};
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::constants::genesis_block;
use bitcoin::{BlockHash, Network, OutPoint, Transaction, Txid};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Progress, Watch, WatchError};
use crate::view::COINBASE_MATURITY;

/// Blocks without a transaction of the wallet are written to disk so many at a time.
const BATCH: u32 = 100;
/// Coins in one `gettxspendingprevout`.
const OUTPOINTS: usize = 500;
/// How often a block may come while the mempool is asked about.
const ROUNDS: u32 = 10;
/// How far its blocks may be behind its headers: a block just announced is not here at once.
const HEADERS_AHEAD: u32 = 6;

/// What is used of `getblockchaininfo`.
#[derive(Debug, Deserialize)]
struct ChainInfo {
    chain: String,
    blocks: u32,
    headers: u32,
    initialblockdownload: bool,
    #[serde(default)]
    pruneheight: Option<u32>,
}

/// What is used of an entry of `gettxspendingprevout`.
#[derive(Debug, Deserialize)]
struct Spending {
    spendingtxid: Option<Txid>,
}

/// Returns how many blocks were looked at.
pub(super) fn sync(
    watch: &mut Watch,
    client: &Client,
    now: u64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<u32, WatchError> {
    let mut blocks = 0_u32;
    for _ in 0..ROUNDS {
        check(watch, client)?;
        blocks = blocks.saturating_add(follow(watch, client, progress)?);
        if mempool(watch, client, now)? {
            break;
        }
    }
    Ok(blocks)
}

fn failed(error: &RpcError) -> WatchError {
    WatchError::source("bitcoind", error)
}

/// Height of the best block.
pub(super) fn height(client: &Client, network: Network) -> Result<u32, WatchError> {
    Ok(info(client, network)?.blocks)
}

fn info(client: &Client, network: Network) -> Result<ChainInfo, WatchError> {
    let info: ChainInfo = client
        .call("getblockchaininfo", &[])
        .map_err(|error| failed(&error))?;
    if Network::from_core_arg(&info.chain) == Ok(network) {
        Ok(info)
    } else {
        Err(WatchError::WrongNetwork {
            wallet: network,
            node: info.chain,
        })
    }
}

/// Whether this node's chain is one to follow.
fn check(watch: &mut Watch, client: &Client) -> Result<(), WatchError> {
    let info = info(client, watch.setup().network())?;
    if info.initialblockdownload || info.blocks.saturating_add(HEADERS_AHEAD) < info.headers {
        return Err(WatchError::NodeSyncing {
            blocks: info.blocks,
            headers: info.headers,
        });
    }
    let mut known = agreement(watch, client, info.blocks)?;
    let before_birth = watch.dir().birthday().saturating_sub(1);
    if known < before_birth {
        if info.blocks < before_birth {
            return Err(WatchError::NodeBehind {
                node: info.blocks,
                wallet: before_birth,
            });
        }
        start_at(watch, client, before_birth)?;
        known = before_birth;
    }
    match info.pruneheight {
        // The last common block is read once more.
        Some(pruned) if known < pruned => Err(WatchError::Pruned {
            needed: known,
            pruned,
        }),
        _ => Ok(()),
    }
}

/// Takes the block below the birthday as known, so that nothing below it is ever read: a pruned node could not.
fn start_at(watch: &mut Watch, client: &Client, height: u32) -> Result<(), WatchError> {
    let hash = client
        .get_block_hash(u64::from(height))
        .map_err(|error| failed(&error))?;
    let genesis = BlockId {
        height: 0,
        hash: genesis_block(watch.setup().network()).block_hash(),
    };
    let chain = CheckPoint::from_block_ids([genesis, BlockId { height, hash }])
        .map_err(|_| WatchError::source("bitcoind", &"blocks out of order"))?;
    let update = Update {
        chain: Some(chain),
        ..Update::default()
    };
    watch
        .wallet
        .apply_update(update)
        .map_err(|error| WatchError::source("bitcoind", &error))?;
    watch.persist()
}

/// Height of the best block that both have.
///
/// BDK would follow a node to any chain, back to the first block if need be, and forget every coin on the way. No coinbase
/// is spent before it is 100 deep because nobody expects more; a wallet that meets more has most likely met a wrong node.
fn agreement(watch: &Watch, client: &Client, best: u32) -> Result<u32, WatchError> {
    let tip = watch.wallet.latest_checkpoint();
    let mut checked = 0;
    for checkpoint in tip.iter() {
        if checked > COINBASE_MATURITY {
            break;
        }
        checked += 1;
        if checkpoint.height() > best {
            continue;
        }
        let theirs = client
            .get_block_hash(u64::from(checkpoint.height()))
            .map_err(|error| failed(&error))?;
        if theirs != checkpoint.hash() {
            continue;
        }
        // The emitter says nothing of blocks that are taken back and not replaced.
        return if checkpoint.height() == best && best < tip.height() {
            Err(WatchError::NodeBehind {
                node: best,
                wallet: tip.height(),
            })
        } else {
            Ok(checkpoint.height())
        };
    }
    Err(WatchError::OtherChain {
        tip: tip.height(),
        checked,
    })
}

fn follow(
    watch: &mut Watch,
    client: &Client,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<u32, WatchError> {
    let start = watch.dir().birthday();
    let tip = watch.wallet.latest_checkpoint();
    let mut emitter = Emitter::new(client, tip, start, NO_EXPECTED_MEMPOOL_TXS);
    let mut best = 0;
    let mut blocks = 0_u32;
    while let Some(event) = emitter.next_block().map_err(|error| failed(&error))? {
        let height = event.block_height();
        watch
            .wallet
            .apply_block_connected_to(&event.block, height, event.connected_to())
            .map_err(|error| WatchError::source("bitcoind", &error))?;
        blocks = blocks.saturating_add(1);
        let found = watch
            .wallet
            .staged()
            .is_some_and(|staged| !staged.tx_graph.is_empty());
        if found || blocks.is_multiple_of(BATCH) {
            watch.persist()?;
        }
        if height >= best {
            best = client
                .call("getblockcount", &[])
                .map_err(|error| failed(&error))?;
        }
        if progress(Progress { height, tip: best }).is_break() {
            watch.persist()?;
            return Err(WatchError::Stopped);
        }
    }
    watch.persist()?;
    Ok(blocks)
}

/// False: a block came meanwhile, and what is missing from the mempool may be in it.
fn mempool(watch: &mut Watch, client: &Client, now: u64) -> Result<bool, WatchError> {
    let tip = watch.tip().hash;
    if best_block(client)? != tip {
        return Ok(false);
    }
    let known: BTreeSet<Txid> = watch
        .wallet
        .transactions()
        .filter(|tx| tx.chain_position.is_unconfirmed())
        .map(|tx| tx.tx_node.txid)
        .collect();
    let mut gone = Vec::new();
    for &txid in &known {
        match client.call::<Value>("getmempoolentry", &[json!(txid)]) {
            Ok(_) => {}
            Err(error) if error.is_not_found_error() => gone.push(txid),
            Err(error) => return Err(failed(&error)),
        }
    }
    let coins: Vec<OutPoint> = watch.view().coins.into_keys().collect();
    let new = spenders(watch, client, coins, &known, &gone)?;
    if best_block(client)? != tip {
        return Ok(false);
    }
    let seen = watch.stamp(now);
    // In this order: BDK takes note of a loss only while the transaction still counts.
    watch
        .wallet
        .apply_evicted_txs(gone.into_iter().map(|txid| (txid, seen)));
    watch
        .wallet
        .apply_unconfirmed_txs(new.into_iter().map(|transaction| (transaction, seen)));
    watch.persist()?;
    Ok(true)
}

fn best_block(client: &Client) -> Result<BlockHash, WatchError> {
    client.get_best_block_hash().map_err(|error| failed(&error))
}

/// The mempool's transactions that spend these coins or each other's outputs to the wallet, as far as they are not known.
fn spenders(
    watch: &Watch,
    client: &Client,
    mut coins: Vec<OutPoint>,
    known: &BTreeSet<Txid>,
    gone: &[Txid],
) -> Result<Vec<Transaction>, WatchError> {
    let mut found: Vec<Transaction> = Vec::new();
    let mut seen: BTreeSet<Txid> = known.clone();
    for txid in gone {
        seen.remove(txid);
    }
    // Each round asks about outputs of transactions that were not seen before, and the mempool is finite.
    while !coins.is_empty() {
        let mut next = Vec::new();
        for some in coins.chunks(OUTPOINTS) {
            let asked: Vec<Value> = some
                .iter()
                .map(|coin| json!({ "txid": coin.txid, "vout": coin.vout }))
                .collect();
            let answer: Vec<Spending> = client
                .call("gettxspendingprevout", &[json!(asked)])
                .map_err(|error| failed(&error))?;
            for txid in answer.into_iter().filter_map(|entry| entry.spendingtxid) {
                if !seen.insert(txid) {
                    continue;
                }
                let hex: String =
                    match client.call("getrawtransaction", &[json!(txid), json!(false)]) {
                        Ok(hex) => hex,
                        // Gone, or in a block, since the node was asked.
                        Err(error) if error.is_not_found_error() => continue,
                        Err(error) => return Err(failed(&error)),
                    };
                let transaction: Transaction = deserialize_hex(&hex)
                    .map_err(|error| WatchError::source("bitcoind", &error))?;
                let outputs = (0_u32..).zip(&transaction.output);
                next.extend(
                    outputs
                        .filter(|(_, output)| watch.find(&output.script_pubkey).is_some())
                        .map(|(vout, _)| OutPoint::new(txid, vout)),
                );
                found.push(transaction);
            }
        }
        coins = next;
    }
    Ok(found)
}
