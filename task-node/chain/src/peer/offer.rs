//! One peer's template: what it says about the next block, decoded and bounded, and not believed.

use std::collections::HashSet;

use bitcoin::{
    BlockHash, OutPoint, Transaction, Txid, Wtxid, consensus::encode::deserialize, hex::DisplayHex,
    hex::FromHex as _,
};
use serde::{Deserialize, Serialize};
use work::BlockTemplate;

use crate::node::TransactionCost;

/// More than fit a block: the smallest transaction with an input and an output weighs 240.
const MAX_TRANSACTIONS: usize = 20_000;

/// Why a peer's template is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// Not the JSON of a template.
    #[error("not a template: {0}")]
    Json(String),
    /// More transactions than a block holds.
    #[error("{0} transactions, more than a block holds")]
    TooMany(usize),
    /// A transaction that does not decode, is a coinbase, or has no inputs or outputs.
    #[error("transaction {0} cannot be in a block")]
    Transaction(usize),
    /// Listed twice.
    #[error("transaction {0} is listed twice")]
    Twice(Txid),
}

/// A transaction as one peer lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedTransaction {
    /// With its witness.
    pub raw: Vec<u8>,
    /// Recomputed.
    pub txid: Txid,
    /// Recomputed: two witnesses of one transaction are two offers.
    pub wtxid: Wtxid,
    /// Weight units (BIP141), recomputed.
    pub weight: u64,
    /// What it spends.
    pub spends: Vec<OutPoint>,
    /// What the peer says of it; without its inputs it cannot be checked.
    pub cost: TransactionCost,
}

/// A peer's template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The block it builds on.
    pub prev_hash: BlockHash,
    /// Its transactions, in the peer's order.
    pub transactions: Vec<OfferedTransaction>,
}

/// The fields of `getblocktemplate` (BIP22) that peers give each other. Everything else is computed by who asks.
#[derive(Debug, Serialize, Deserialize)]
struct OfferJson {
    previousblockhash: BlockHash,
    height: u32,
    curtime: u32,
    bits: String,
    transactions: Vec<TransactionJson>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TransactionJson {
    data: String,
    /// Satoshis.
    fee: u64,
    /// Signature operations cost (BIP141).
    sigops: u64,
}

impl Offer {
    /// Reads what a [`super::ChainSource`] serves.
    ///
    /// # Errors
    /// [`OfferError`] names what is wrong.
    pub fn decode(json: &[u8]) -> Result<Self, OfferError> {
        let json: OfferJson =
            serde_json::from_slice(json).map_err(|error| OfferError::Json(error.to_string()))?;
        if json.transactions.len() > MAX_TRANSACTIONS {
            return Err(OfferError::TooMany(json.transactions.len()));
        }
        let mut seen = HashSet::with_capacity(json.transactions.len());
        let mut transactions = Vec::with_capacity(json.transactions.len());
        for (index, listed) in json.transactions.into_iter().enumerate() {
            let offered =
                OfferedTransaction::decode(listed).ok_or(OfferError::Transaction(index))?;
            if !seen.insert(offered.txid) {
                return Err(OfferError::Twice(offered.txid));
            }
            transactions.push(offered);
        }
        Ok(Self {
            prev_hash: json.previousblockhash,
            transactions,
        })
    }
}

impl OfferedTransaction {
    fn decode(listed: TransactionJson) -> Option<Self> {
        let raw = Vec::from_hex(&listed.data).ok()?;
        let transaction: Transaction = deserialize(&raw).ok()?;
        if transaction.is_coinbase()
            || transaction.input.is_empty()
            || transaction.output.is_empty()
        {
            return None;
        }
        Some(Self {
            txid: transaction.compute_txid(),
            wtxid: transaction.compute_wtxid(),
            weight: transaction.weight().to_wu(),
            spends: transaction
                .input
                .iter()
                .map(|input| input.previous_output)
                .collect(),
            raw,
            cost: TransactionCost {
                fee: bitcoin::Amount::from_sat(listed.fee),
                sigops: listed.sigops,
            },
        })
    }
}

/// A template as peers read it. `costs` are those of its transactions, in order.
///
/// # Errors
/// It cannot be written as JSON, or `costs` are not those of `template`.
pub(super) fn encode(
    template: &BlockTemplate,
    costs: &[TransactionCost],
) -> Result<Vec<u8>, String> {
    if costs.len() != template.transactions().len() {
        return Err("the node did not say what its transactions pay".into());
    }
    let transactions = template.transactions().iter().zip(costs);
    serde_json::to_vec(&OfferJson {
        previousblockhash: template.prev_hash(),
        height: template.height(),
        curtime: template.cur_time(),
        bits: format!("{:08x}", template.nbits().to_consensus()),
        transactions: transactions
            .map(|(transaction, cost)| TransactionJson {
                data: bitcoin::consensus::serialize(transaction).to_lower_hex_string(),
                fee: cost.fee.to_sat(),
                sigops: cost.sigops,
            })
            .collect(),
    })
    .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// One input, one output, no witness.
    fn raw() -> String {
        let (coin, value) = ("11".repeat(32), "e803000000000000");
        format!("0200000001{coin}0000000000ffffffff01{value}015100000000")
    }

    fn offer(transactions: serde_json::Value) -> Result<Offer, OfferError> {
        let json = json!({"previousblockhash": "11".repeat(32), "height": 5, "curtime": 7, "bits": "207fffff",
            "transactions": transactions});
        Offer::decode(json.to_string().as_bytes())
    }

    #[test]
    fn what_cannot_be_in_a_block_is_refused() {
        let good = json!({"data": raw(), "fee": 5, "sigops": 4});
        let read = offer(json!([good])).unwrap();
        assert_eq!(read.transactions[0].cost.fee.to_sat(), 5);
        assert_eq!(read.transactions[0].spends.len(), 1);
        assert!(matches!(
            offer(json!([good, good])),
            Err(OfferError::Twice(_))
        ));
        for bad in [
            json!({"data": "00", "fee": 5, "sigops": 4}),
            json!({"data": "zz", "fee": 5, "sigops": 4}),
            json!({"data": format!("{}00", raw()), "fee": 5, "sigops": 4}),
        ] {
            assert_eq!(
                offer(json!([bad])),
                Err(OfferError::Transaction(0)),
                "{bad}"
            );
        }
        for bad in [
            json!([{"data": raw(), "fee": -5, "sigops": 4}]),
            json!([{"data": raw(), "sigops": 4}]),
            json!([{"data": raw(), "fee": 1.5, "sigops": 4}]),
            json!({}),
            json!(null),
        ] {
            assert!(
                matches!(offer(bad.clone()), Err(OfferError::Json(_))),
                "{bad}"
            );
        }
        assert!(matches!(Offer::decode(b"<html>"), Err(OfferError::Json(_))));
    }

    #[test]
    fn the_seed_of_the_fuzz_target_is_an_offer() {
        let seed = include_bytes!("../../../../fuzz/corpus/peer_offer/regtest");
        assert_eq!(Offer::decode(seed).unwrap().transactions.len(), 2);
    }

    #[test]
    fn a_peer_reads_what_a_node_s_template_is_written_as() {
        let seed = include_bytes!("../../../../fuzz/corpus/getblocktemplate/regtest");
        let template = crate::fuzzing::template(seed, bitcoin::Network::Regtest).unwrap();
        let cost = TransactionCost {
            fee: bitcoin::Amount::from_sat(77),
            sigops: 3,
        };
        let offer = Offer::decode(&encode(&template, &[cost; 2]).unwrap()).unwrap();
        assert_eq!(offer.prev_hash, template.prev_hash());
        for (offered, own) in offer.transactions.iter().zip(template.transactions()) {
            assert_eq!((offered.wtxid, offered.cost), (own.compute_wtxid(), cost));
        }
        assert!(encode(&template, &[cost]).is_err(), "one cost is missing");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Offer::decode(&bytes);
        }
    }
}
