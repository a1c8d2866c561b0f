//! By RPC of `bitcoind`: `gettxout` for coins that are there, whole blocks for those that are gone.

use std::collections::{BTreeMap, BTreeSet};

use bdk_bitcoind_rpc::bitcoincore_rpc::{self, Client, RpcApi as _, jsonrpc};
use bitcoin::{Block, BlockHash, OutPoint, ScriptBuf, Transaction, TxOut, Txid};

use super::{ChainError, MAX_SCAN};
use crate::reserves::facts::{Found, Spending};
use crate::reserves::transaction::{Claim, ProvedCoin};
use crate::view::named;

/// Bitcoin Core's `RPC_INVALID_PARAMETER`: a height above the tip.
const INVALID_PARAMETER: i32 = -8;
/// Bitcoin Core's `RPC_MISC_ERROR`: a block that was pruned.
const MISC_ERROR: i32 = -1;

pub(super) fn tip(client: &Client) -> Result<(u32, BlockHash), ChainError> {
    let hash = client.get_best_block_hash().map_err(ChainError::node)?;
    let header = client
        .get_block_header_info(&hash)
        .map_err(ChainError::node)?;
    let height = u32::try_from(header.height).map_err(ChainError::node)?;
    Ok((height, hash))
}

pub(super) fn hash_at(client: &Client, height: u32) -> Result<Option<BlockHash>, ChainError> {
    // Heights are C++ int there, and a larger one is malformed rather than above the tip.
    if i32::try_from(height).is_err() {
        return Ok(None);
    }
    match client.get_block_hash(u64::from(height)) {
        Ok(hash) => Ok(Some(hash)),
        Err(error) if code(&error) == Some(INVALID_PARAMETER) => Ok(None),
        Err(error) => Err(ChainError::node(error)),
    }
}

pub(super) fn transactions(
    client: &Client,
    wanted: &[(Txid, u32)],
) -> Result<BTreeMap<Txid, (Transaction, u32)>, ChainError> {
    let heights: BTreeSet<u32> = wanted.iter().map(|(_, height)| *height).collect();
    let wanted: BTreeSet<_> = wanted.iter().copied().collect();
    let mut found = BTreeMap::new();
    for height in heights {
        let Some(block) = block_at(client, height)? else {
            continue;
        };
        for transaction in block.txdata {
            let txid = transaction.compute_txid();
            if wanted.contains(&(txid, height)) {
                found.insert(txid, (transaction, height));
            }
        }
    }
    Ok(found)
}

/// Coins that no confirmed transaction spends come from the node's set of unspent outputs. A coin that is not there was spent
/// or never existed: the blocks after the proof's tell by what, and the block it is claimed to be of whether it did.
pub(super) fn coins(
    client: &Client,
    claim: &Claim,
    tip: u32,
) -> Result<BTreeMap<OutPoint, Found>, ChainError> {
    let mut found = BTreeMap::new();
    let mut gone: BTreeMap<OutPoint, &ProvedCoin> = BTreeMap::new();
    for coin in claim.coins() {
        match unspent(client, coin.outpoint, tip)? {
            Some(unspent) => {
                found.insert(coin.outpoint, unspent);
            }
            None => {
                gone.insert(coin.outpoint, coin);
            }
        }
    }
    if gone.is_empty() {
        return Ok(found);
    }
    let height = claim.statement().height;
    let since = tip.saturating_sub(height);
    if since > MAX_SCAN {
        return Err(ChainError::TooOld(since));
    }
    let spendings = spendings(client, &gone, height, tip)?;
    let mut heights: BTreeMap<u32, Vec<OutPoint>> = BTreeMap::new();
    for (outpoint, coin) in &gone {
        // What was not spent after the proof's block was not there at it.
        if spendings.contains_key(outpoint) {
            heights.entry(coin.height).or_default().push(*outpoint);
        }
    }
    for (height, outpoints) in heights {
        let Some(block) = block_at(client, height)? else {
            continue;
        };
        let created: BTreeMap<Txid, &Transaction> = block
            .txdata
            .iter()
            .map(|transaction| (transaction.compute_txid(), transaction))
            .collect();
        for outpoint in outpoints {
            let Some((transaction, txout)) = created.get(&outpoint.txid).and_then(|transaction| {
                let vout = usize::try_from(outpoint.vout).ok()?;
                Some((transaction, transaction.output.get(vout)?))
            }) else {
                continue;
            };
            found.insert(
                outpoint,
                Found {
                    txout: txout.clone(),
                    height,
                    is_coinbase: transaction.is_coinbase(),
                    spent: spendings.get(&outpoint).cloned(),
                },
            );
        }
    }
    Ok(found)
}

fn unspent(client: &Client, outpoint: OutPoint, tip: u32) -> Result<Option<Found>, ChainError> {
    // A transaction in the mempool spends nothing yet.
    let answer = client
        .get_tx_out(&outpoint.txid, outpoint.vout, Some(false))
        .map_err(ChainError::node)?;
    Ok(answer.map(|answer| Found {
        txout: TxOut {
            value: answer.value,
            script_pubkey: ScriptBuf::from_bytes(answer.script_pub_key.hex),
        },
        // Of another tip if a block came in; then everything is asked again.
        height: tip.saturating_add(1).saturating_sub(answer.confirmations),
        is_coinbase: answer.coinbase,
        spent: None,
    }))
}

fn spendings(
    client: &Client,
    gone: &BTreeMap<OutPoint, &ProvedCoin>,
    height: u32,
    tip: u32,
) -> Result<BTreeMap<OutPoint, Spending>, ChainError> {
    let mut spendings = BTreeMap::new();
    for height in height.saturating_add(1)..=tip {
        let Some(block) = block_at(client, height)? else {
            break;
        };
        for transaction in &block.txdata {
            let inputs = transaction.input.iter();
            let spent: Vec<_> = inputs
                .map(|input| input.previous_output)
                .filter(|outpoint| gone.contains_key(outpoint))
                .collect();
            if spent.is_empty() {
                continue;
            }
            let spending = Spending {
                txid: transaction.compute_txid(),
                height,
                ids: named(transaction),
            };
            for outpoint in spent {
                spendings.insert(outpoint, spending.clone());
            }
        }
        if spendings.len() == gone.len() {
            break;
        }
    }
    Ok(spendings)
}

/// A block of the best chain, checked to be the one that was asked for.
fn block_at(client: &Client, height: u32) -> Result<Option<Block>, ChainError> {
    let Some(hash) = hash_at(client, height)? else {
        return Ok(None);
    };
    let block = client.get_block(&hash).map_err(|error| {
        if code(&error) == Some(MISC_ERROR) {
            ChainError::Pruned(height)
        } else {
            ChainError::node(error)
        }
    })?;
    if block.block_hash() != hash || !block.check_merkle_root() {
        return Err(ChainError::node("a block that is not the one asked for"));
    }
    Ok(Some(block))
}

fn code(error: &bitcoincore_rpc::Error) -> Option<i32> {
    match error {
        bitcoincore_rpc::Error::JsonRpc(jsonrpc::Error::Rpc(error)) => Some(error.code),
        _ => None,
    }
}
