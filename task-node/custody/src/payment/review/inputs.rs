//! The rules of inputs.

use std::collections::BTreeSet;

use bitcoin::Psbt;

use super::super::rule::{Refused, Rule, refuse};
use super::super::{Known, build};
use crate::view::{COINBASE_MATURITY, Coin};

/// The coins that are spent, in the order of the inputs, as this custodian's own node has them.
pub(super) fn coins<'a>(psbt: &Psbt, known: &Known<'a>) -> Result<Vec<&'a Coin>, Refused> {
    let mut seen = BTreeSet::new();
    let mut coins = Vec::new();
    for (n, input) in psbt.unsigned_tx.input.iter().enumerate() {
        let outpoint = input.previous_output;
        if !seen.insert(outpoint) {
            return refuse(
                Rule::RepeatedInput,
                format!("input {n} spends {outpoint} again"),
            );
        }
        let coin = coin(known, n, outpoint)?;
        if input.sequence != build::SEQUENCE {
            let detail = format!("input {n} has the sequence {:#010x}", input.sequence.0);
            return refuse(Rule::Sequence, detail);
        }
        if !input.script_sig.is_empty() || !input.witness.is_empty() {
            return refuse(
                Rule::Finalized,
                format!("input {n} holds a script or a witness"),
            );
        }
        coins.push(coin);
    }
    Ok(coins)
}

fn coin<'a>(known: &Known<'a>, n: usize, outpoint: bitcoin::OutPoint) -> Result<&'a Coin, Refused> {
    let bitcoin = known.bitcoin;
    let Some(coin) = bitcoin.coins.get(&outpoint) else {
        if let Some(spent) = bitcoin.spent.get(&outpoint) {
            let detail = format!(
                "input {n} spends {outpoint}, which {} spent at height {}",
                spent.by, spent.height
            );
            return refuse(Rule::SpentCoin, detail);
        }
        let detail = format!(
            "input {n} spends {outpoint}, which this custodian's node does not have among them"
        );
        return refuse(Rule::ForeignInput, detail);
    };
    if coin.height.is_none() {
        let detail = format!("input {n} spends {outpoint}, which is in no block yet");
        return refuse(Rule::UnconfirmedCoin, detail);
    }
    if !coin.is_spendable(bitcoin.tip) {
        let height = coin.height.unwrap_or_default();
        let mature = height.saturating_add(COINBASE_MATURITY).saturating_sub(1);
        let detail = format!(
            "input {n} spends the coinbase {outpoint} of height {height}, which can be spent from height {mature} on"
        );
        return refuse(Rule::ImmatureCoin, detail);
    }
    Ok(coin)
}
