//! The node's JSON, parsed once into the checked types of [`crate::node`].
//!
//! Each `*Json` struct lists only the fields the pool uses, so that a field added or dropped by a later Bitcoin Core
//! does no harm. Each `check_*` function turns one into a checked type or says in words what is wrong with it. The
//! node is not trusted here: hashes are recomputed, numbers are range-checked, texts are bounded.

use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, Target, TxMerkleNode, Work, block, consensus,
    hashes::{Hash as _, sha256d},
    hex::FromHex,
};
use serde::Deserialize;
use work::TemplateParts;

use crate::{
    node::{
        ChainInfo, HeaderInfo, LongPollId, Standing, SubmitOutcome, TransactionCost,
        ZmqNotification,
    },
    words::clip,
};

/// Why an answer cannot be used. The caller adds the node and the method.
pub(crate) type Reason = String;

/// More publishers than any configuration has.
const MAX_NOTIFICATIONS: usize = 64;

/// The rules of `getblocktemplate` this pool can build a block under: those without `!` need nothing from a miner,
/// and these with it are the ones asked for. BIP9: a client must not mine under a `!rule` it does not know.
const KNOWN_FORCED_RULES: [&str; 2] = ["!segwit", "!signet"];

#[derive(Debug, Deserialize)]
pub(crate) struct ChainInfoJson {
    chain: String,
    blocks: u32,
    headers: u32,
    bestblockhash: BlockHash,
    chainwork: String,
    initialblockdownload: bool,
    #[serde(default)]
    verificationprogress: f64,
    difficulty: serde_json::Number,
}

/// The chain name, before anything else is believed. `Err` holds the name found, clipped.
pub(crate) fn check_network(json: &ChainInfoJson, expected: Network) -> Result<(), Reason> {
    if json.chain == expected.to_core_arg() {
        Ok(())
    } else {
        Err(clip(&json.chain))
    }
}

pub(crate) fn check_chain_info(json: ChainInfoJson, network: Network) -> Result<ChainInfo, Reason> {
    let ppm = (json.verificationprogress * 1e6).clamp(0.0, 1e6);
    Ok(ChainInfo {
        network,
        height: json.blocks,
        headers: json.headers,
        tip: json.bestblockhash,
        chain_work: chain_work(&json.chainwork)?,
        initial_block_download: json.initialblockdownload,
        // Clamped above, and `as` turns NaN into 0.
        verification_ppm: ppm as u32,
        difficulty: clip(&json.difficulty.to_string()),
    })
}

#[derive(Debug, Deserialize)]
pub(crate) struct HeaderJson {
    confirmations: i64,
    height: u32,
    version: i32,
    merkleroot: TxMerkleNode,
    time: u32,
    mediantime: u32,
    nonce: u32,
    bits: String,
    chainwork: String,
    /// Absent for the genesis block.
    previousblockhash: Option<BlockHash>,
}

/// Rebuilds the 80 bytes and hashes them: a header the node made up cannot carry the hash that was asked for.
pub(crate) fn check_header(json: &HeaderJson, asked: BlockHash) -> Result<HeaderInfo, Reason> {
    let header = block::Header {
        version: block::Version::from_consensus(json.version),
        prev_blockhash: json
            .previousblockhash
            .unwrap_or(BlockHash::from_raw_hash(sha256d::Hash::all_zeros())),
        merkle_root: json.merkleroot,
        time: json.time,
        bits: nbits(&json.bits)?,
        nonce: json.nonce,
    };
    if header.block_hash() != asked {
        return Err(format!(
            "the header's fields hash to {}, not to {asked}",
            header.block_hash()
        ));
    }
    let standing = match u32::try_from(json.confirmations) {
        Ok(0) => return Err("a header with 0 confirmations".into()),
        Ok(confirmations) => Standing::Active { confirmations },
        Err(_) if json.confirmations == -1 => Standing::Stale,
        Err(_) => {
            return Err(format!(
                "a header with {} confirmations",
                json.confirmations
            ));
        }
    };
    Ok(HeaderInfo {
        header,
        hash: asked,
        height: json.height,
        standing,
        median_time_past: json.mediantime,
        chain_work: chain_work(&json.chainwork)?,
    })
}

/// A block in hex. Trailing bytes, another hash or a body that does not belong to the header are refused.
pub(crate) fn check_block(hex: &str, asked: BlockHash) -> Result<Block, Reason> {
    let bytes = Vec::<u8>::from_hex(hex).map_err(|e| format!("the block is not hex: {e}"))?;
    let block: Block =
        consensus::deserialize(&bytes).map_err(|e| format!("the block cannot be decoded: {e}"))?;
    if block.block_hash() != asked {
        return Err(format!("block {} instead of {asked}", block.block_hash()));
    }
    if !block.check_merkle_root() {
        return Err("the transactions do not match the block's Merkle root".into());
    }
    Ok(block)
}

#[derive(Debug, Deserialize)]
pub(crate) struct TemplateJson {
    version: i32,
    previousblockhash: BlockHash,
    transactions: Vec<TransactionJson>,
    coinbasevalue: u64,
    longpollid: Option<String>,
    target: String,
    mintime: u32,
    curtime: u32,
    bits: String,
    height: u32,
    default_witness_commitment: Option<String>,
    #[serde(default)]
    rules: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TransactionJson {
    data: String,
    /// BIP22 lets both be absent, and a fee be negative.
    fee: Option<i64>,
    sigops: Option<u64>,
}

/// A `getblocktemplate` answer taken apart; `work` checks what is inside the parts.
#[derive(Debug)]
pub(crate) enum CheckedTemplate {
    Parts {
        parts: TemplateParts,
        long_poll: Option<String>,
        /// Of every transaction, or of none.
        costs: Option<Vec<TransactionCost>>,
    },
    UnknownRule(String),
}

pub(crate) fn check_template(json: TemplateJson) -> Result<CheckedTemplate, Reason> {
    let unknown = json
        .rules
        .iter()
        .find(|r| r.starts_with('!') && !KNOWN_FORCED_RULES.contains(&r.as_str()));
    if let Some(rule) = unknown {
        return Ok(CheckedTemplate::UnknownRule(clip(rule)));
    }
    let bits = nbits(&json.bits)?;
    // Miners work for the target of the header's nBits; a node that names another one is broken or lying.
    let target = Target::from_be_bytes(bytes32(&json.target).ok_or("target is not 64 hex digits")?);
    if target != Target::from_compact(bits) {
        return Err(format!(
            "target {} does not belong to bits {}",
            clip(&json.target),
            clip(&json.bits)
        ));
    }
    if let Some(id) = &json.longpollid
        && (id.len() > LongPollId::MAX_LEN || !id.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err("longpollid is too long or not plain ASCII".into());
    }
    let transactions = json
        .transactions
        .iter()
        .enumerate()
        .map(|(i, tx)| {
            Vec::from_hex(&tx.data).map_err(|e| format!("transaction {i} is not hex: {e}"))
        })
        .collect::<Result<Vec<Vec<u8>>, Reason>>()?;
    let costs = json.transactions.iter().map(cost).collect();
    let witness_commitment_script = json
        .default_witness_commitment
        .map(|hex| {
            Vec::from_hex(&hex).map_err(|e| format!("default_witness_commitment is not hex: {e}"))
        })
        .transpose()?;
    Ok(CheckedTemplate::Parts {
        parts: TemplateParts {
            height: json.height,
            prev_hash: json.previousblockhash.to_byte_array(),
            version: json.version,
            nbits: bits.to_consensus(),
            min_time: json.mintime,
            cur_time: json.curtime,
            coinbase_value: json.coinbasevalue,
            transactions,
            witness_commitment_script,
        },
        long_poll: json.longpollid,
        costs,
    })
}

fn cost(transaction: &TransactionJson) -> Option<TransactionCost> {
    let fee = u64::try_from(transaction.fee?).ok()?;
    Some(TransactionCost {
        fee: Amount::from_sat(fee),
        sigops: transaction.sigops?,
    })
}

/// BIP22: null is success, a string is the reason for anything else.
pub(crate) fn submit_outcome(answer: Option<&str>) -> SubmitOutcome {
    match answer {
        None => SubmitOutcome::Accepted,
        Some("duplicate") => SubmitOutcome::Duplicate,
        Some("inconclusive" | "duplicate-inconclusive") => SubmitOutcome::Inconclusive,
        Some(reason) => SubmitOutcome::Rejected(clip(reason)),
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct NotificationJson {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

pub(crate) fn check_notifications(
    list: Vec<NotificationJson>,
) -> Result<Vec<ZmqNotification>, Reason> {
    if list.len() > MAX_NOTIFICATIONS {
        return Err(format!("{} ZMQ publishers", list.len()));
    }
    Ok(list
        .into_iter()
        .map(|n| ZmqNotification {
            kind: clip(&n.kind),
            address: clip(&n.address),
        })
        .collect())
}

fn chain_work(hex: &str) -> Result<Work, Reason> {
    bytes32(hex)
        .map(Work::from_be_bytes)
        .ok_or_else(|| "chainwork is not 64 hex digits".into())
}

fn bytes32(hex: &str) -> Option<[u8; 32]> {
    <[u8; 32]>::from_hex(hex).ok()
}

fn nbits(hex: &str) -> Result<CompactTarget, Reason> {
    <[u8; 4]>::from_hex(hex)
        .map(|bytes| CompactTarget::from_consensus(u32::from_be_bytes(bytes)))
        .map_err(|_| "bits is not 8 hex digits".into())
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
