//! The rules of a transaction that names no redemption: a sweep, or the cancelling of payments.

use std::collections::BTreeSet;

use bdk_wallet::KeychainKind;
use bitcoin::bip32::ChildNumber;
use bitcoin::{OutPoint, Psbt, Script};

use super::super::Known;
use super::super::rule::{Refused, Rule, refuse};
use super::{Change, Facts, Purpose};

pub(super) fn check(psbt: &Psbt, facts: &Facts<'_>) -> Result<Purpose, Refused> {
    let known = facts.known;
    let outputs = &psbt.unsigned_tx.output;
    let registered = |script: &Script| {
        let mut scripts = known.k2.scripts.iter();
        scripts.any(|registered| registered.as_script() == script)
    };
    let [output] = outputs.as_slice() else {
        let own = own_change(psbt, known, 0).is_ok();
        let first = outputs
            .first()
            .map(|output| output.script_pubkey.as_script());
        if own || first.is_some_and(registered) {
            return refuse(
                Rule::ExtraOutput,
                "output 1 is beside a sweep or a cancellation",
            );
        }
        let detail = format!("it has {} outputs and no list of ids", outputs.len());
        return refuse(Rule::DataMissing, detail);
    };
    if output.value < output.script_pubkey.minimal_non_dust() {
        return refuse(Rule::Dust, format!("output 0 is {}", output.value));
    }
    if registered(&output.script_pubkey) {
        facts.check_fee()?;
        return Ok(Purpose::Sweep {
            to: output.script_pubkey.clone(),
            amount: output.value,
        });
    }
    let change = match own_change(psbt, known, 0) {
        Ok(change) => change,
        Err(refused) if refused.rule == Rule::DistantChange => return Err(refused),
        Err(_) => {
            let detail = format!(
                "output 0 pays the script {:x}, which K2 does not have at slot {}",
                output.script_pubkey, known.k2.slot
            );
            return refuse(Rule::UnregisteredSweep, detail);
        }
    };
    facts.check_fee()?;
    let ids: BTreeSet<u64> = facts
        .history
        .live(known.bitcoin)
        .filter(|payment| !payment.inputs.is_disjoint(&facts.inputs))
        .flat_map(|payment| payment.ids.iter().copied())
        .collect();
    if ids.is_empty() && !known.limits.unknown_cancel {
        let detail = "no payment that this custodian knows, and that can still confirm, spends one of its coins; where another \
                      custodian has signed such a payment and asks for this, `orcapool sign --unknown-cancel` signs it";
        return refuse(Rule::CancelsNothing, detail);
    }
    for id in &ids {
        facts
            .history
            .check_conflict(known.bitcoin, facts.txid, &facts.inputs, *id)?;
    }
    if !known.limits.unknown_cancel {
        // Of all payments that name one of these redemptions, for one coin in common may be too small to pay the fee.
        let cancelled: BTreeSet<OutPoint> = facts
            .history
            .live(known.bitcoin)
            .filter(|payment| !payment.ids.is_disjoint(&ids))
            .flat_map(|payment| payment.inputs.iter().copied())
            .collect();
        if let Some(idle) = facts.inputs.difference(&cancelled).next() {
            let detail = format!("{idle} is no coin of what it cancels");
            return refuse(Rule::IdleCoin, detail);
        }
    }
    Ok(Purpose::Cancel { ids, change })
}

/// The change at one output. The PSBT says which index it should be; whether it is, the descriptor says.
pub(super) fn own_change(psbt: &Psbt, known: &Known<'_>, n: usize) -> Result<Change, Refused> {
    let (Some(output), Some(map)) = (psbt.unsigned_tx.output.get(n), psbt.outputs.get(n)) else {
        return refuse(Rule::ForeignChange, format!("there is no output {n}"));
    };
    let script = output.script_pubkey.as_script();
    let is = |keychain, index| {
        let own = known.setup.script(keychain, index);
        own.is_ok_and(|own| own.as_script() == script)
    };
    let hints = map.bip32_derivation.values();
    let hint = hints.filter_map(|(_, path)| path.into_iter().last()).next();
    let index = match hint {
        Some(ChildNumber::Normal { index }) => *index,
        _ => 0,
    };
    if is(KeychainKind::External, index) || is(KeychainKind::External, 0) {
        return refuse(
            Rule::MintableChange,
            format!("output {n} pays the keychain of coinbases"),
        );
    }
    if !is(KeychainKind::Internal, index) {
        let detail = format!(
            "output {n} pays the script {script:x}, which is not at the index that the PSBT gives for it"
        );
        return refuse(Rule::ForeignChange, detail);
    }
    if index >= known.change_bound() {
        let detail = format!(
            "output {n} is at index {index}; {} is the highest",
            known.change_bound().saturating_sub(1)
        );
        return refuse(Rule::DistantChange, detail);
    }
    if output.value < script.minimal_non_dust() {
        return refuse(Rule::Dust, format!("output {n} is {}", output.value));
    }
    Ok(Change {
        amount: output.value,
        index,
    })
}
