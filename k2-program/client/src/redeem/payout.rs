//! Which Bitcoin outputs settle which redemption: a pure function of block and redemptions.

use std::cmp::Reverse;
use std::collections::HashSet;

use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxOut, Txid};
use k2_interface::bitcoin::redeem_ids::is_payout;
use k2_interface::bitcoin::{RedeemIds, ScriptPubkey};
use k2_interface::state::{Redemption, RedemptionState};
use serde::Serialize;

use crate::pda::Outpoint;

/// A Bitcoin output that settles a redemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Payout {
    /// Which redemption.
    pub redemption: u64,
    /// Height of its block.
    pub height: u32,
    /// Its block.
    pub block: BlockHash,
    /// Its transaction.
    pub txid: Txid,
    /// Place of the transaction in the block.
    pub index: usize,
    /// Which output.
    pub vout: u32,
    /// Sats.
    pub value: u64,
}

/// Payouts by their transactions, each of which has one proof: from the highest block down, as a cursor walks.
pub(super) fn batches(mut payouts: Vec<Payout>) -> Vec<Vec<Payout>> {
    payouts.sort_by_key(|payout| (Reverse(payout.height), payout.index, payout.redemption));
    payouts
        .chunk_by(|one, other| (one.block, one.txid) == (other.block, other.txid))
        .map(<[Payout]>::to_vec)
        .collect()
}

/// A transaction that names redemptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Naming {
    index: usize,
    txid: Txid,
    transaction: Transaction,
}

/// The transactions of a block that name redemptions. The coinbase is none: no proof of a payment takes it.
pub(super) fn naming(block: &Block) -> Vec<Naming> {
    let names = |transaction: &Transaction| {
        let parse = |output: &TxOut| RedeemIds::parse(output.script_pubkey.as_bytes()).is_ok();
        transaction.output.iter().any(parse)
    };
    block
        .txdata
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, transaction)| names(transaction))
        .map(|(index, transaction)| Naming {
            index,
            txid: transaction.compute_txid(),
            transaction: transaction.clone(),
        })
        .collect()
}

/// Which of these transactions' outputs settle which redemption, as [`is_payout`] has it. An output is taken for one
/// redemption only, and none that is in `used`; where several would do, the smallest.
pub(super) fn payouts(
    naming: &[Naming],
    (height, block): (u32, BlockHash),
    open: &[Redemption],
    used: &HashSet<Outpoint>,
) -> Vec<Payout> {
    let mut found: Vec<Payout> = Vec::new();
    for Naming {
        index,
        txid,
        transaction,
    } in naming
    {
        for redemption in open {
            let id = redemption.id.get();
            let is_open = redemption.state == RedemptionState::Open as u8;
            let is_paid = found.iter().any(|payout| payout.redemption == id);
            if !is_open || is_paid || height <= redemption.requested_height.get() {
                continue;
            }
            let Ok(script) = ScriptPubkey::from_packed(&redemption.script) else {
                continue;
            };
            let (amount, fee) = (redemption.amount.get(), redemption.max_fee.get());
            let least = amount.saturating_sub(fee);
            let is_free = |vout: u32| {
                let outpoint = OutPoint::new(*txid, vout);
                let taken = |payout: &Payout| OutPoint::new(payout.txid, payout.vout) == outpoint;
                !found.iter().any(taken) && !used.contains(&outpoint.into())
            };
            let scripts = transaction
                .output
                .iter()
                .map(|output| output.script_pubkey.as_bytes());
            let output = (0..)
                .zip(&transaction.output)
                .filter(|(vout, output)| {
                    is_payout(scripts.clone(), id, *vout) == Some(true)
                        && output.script_pubkey.as_bytes() == script.as_bytes()
                        && output.value.to_sat() >= least
                        && is_free(*vout)
                })
                .min_by_key(|(_, output)| output.value);
            if let Some((vout, output)) = output {
                found.push(Payout {
                    redemption: id,
                    height,
                    block,
                    txid: *txid,
                    index: *index,
                    vout,
                    value: output.value.to_sat(),
                });
            }
        }
    }
    found
}
