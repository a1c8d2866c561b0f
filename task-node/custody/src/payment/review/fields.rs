//! What else stands in the PSBT: compared, never believed.

use std::collections::BTreeMap;

use bdk_wallet::KeychainKind;
use bitcoin::psbt::{Input, Output};
use bitcoin::{EcdsaSighashType, Psbt};

use super::super::rule::{Refused, Rule, refuse};
use super::super::{Known, PlanError, build, sign};
use super::Purpose;
use crate::view::Coin;

/// Compares what the PSBT says of itself and of its inputs.
pub(super) fn check(psbt: &Psbt, known: &Known<'_>, coins: &[&Coin]) -> Result<(), Refused> {
    if psbt.version != 0 {
        return refuse(
            Rule::ForeignField,
            format!("the PSBT is of version {}", psbt.version),
        );
    }
    if !psbt.proprietary.is_empty() || !psbt.unknown.is_empty() {
        return refuse(
            Rule::ForeignField,
            "the PSBT holds fields that no rule knows",
        );
    }
    if !is_subset(&psbt.xpub, &build::xpubs(known.setup)) {
        return refuse(
            Rule::Derivation,
            "the PSBT names cosigners that are not this wallet's",
        );
    }
    for (n, (given, coin)) in psbt.inputs.iter().zip(coins).enumerate() {
        input(n, given, coin, known)?;
    }
    Ok(())
}

/// The field of an input that this wallet's transactions never have, if there is one.
fn foreign(input: &Input) -> Option<&'static str> {
    let Input {
        non_witness_utxo: _,
        witness_utxo: _,
        partial_sigs: _,
        sighash_type: _,
        redeem_script,
        witness_script: _,
        bip32_derivation: _,
        final_script_sig: _,
        final_script_witness: _,
        ripemd160_preimages,
        sha256_preimages,
        hash160_preimages,
        hash256_preimages,
        tap_key_sig,
        tap_script_sigs,
        tap_scripts,
        tap_key_origins,
        tap_internal_key,
        tap_merkle_root,
        proprietary,
        unknown,
    } = input;
    let preimages = ripemd160_preimages.is_empty()
        && sha256_preimages.is_empty()
        && hash160_preimages.is_empty()
        && hash256_preimages.is_empty();
    let taproot = tap_key_sig.is_some()
        || !tap_script_sigs.is_empty()
        || !tap_scripts.is_empty()
        || !tap_key_origins.is_empty()
        || tap_internal_key.is_some()
        || tap_merkle_root.is_some();
    [
        (redeem_script.is_some(), "a redeem script"),
        (!preimages, "a preimage"),
        (taproot, "taproot"),
        (!proprietary.is_empty(), "a proprietary field"),
        (!unknown.is_empty(), "an unknown field"),
    ]
    .into_iter()
    .find_map(|(there, name)| there.then_some(name))
}

fn input(n: usize, given: &Input, coin: &Coin, known: &Known<'_>) -> Result<(), Refused> {
    if given.final_script_sig.is_some() || given.final_script_witness.is_some() {
        return refuse(Rule::Finalized, format!("input {n} is finalized"));
    }
    if let Some(name) = foreign(given) {
        return refuse(Rule::ForeignField, format!("input {n} holds {name}"));
    }
    let all = EcdsaSighashType::All.into();
    if given.sighash_type.is_some_and(|sighash| sighash != all) {
        return refuse(Rule::Sighash, format!("input {n} asks for another one"));
    }
    let sighashes = given.partial_sigs.values();
    if sighashes
        .map(|signature| signature.sighash_type)
        .any(|sighash| sighash != EcdsaSighashType::All)
    {
        return refuse(
            Rule::Sighash,
            format!("a signature of input {n} covers less"),
        );
    }
    if let Some(txout) = &given.witness_utxo
        && *txout != coin.txout
    {
        let detail = format!(
            "input {n} is said to be worth {}; {} is worth {}, or its script is another one",
            txout.value, coin.outpoint, coin.txout.value
        );
        return refuse(Rule::CoinDiffers, detail);
    }
    if let Some(funding) = &given.non_witness_utxo
        && funding.compute_txid() != coin.outpoint.txid
    {
        return refuse(
            Rule::CoinDiffers,
            format!("input {n} comes with another transaction"),
        );
    }
    let own = build::input(known.setup, coin).map_err(own_descriptor)?;
    if given.witness_script.is_some() && given.witness_script != own.witness_script {
        return refuse(
            Rule::Derivation,
            format!("input {n} has another witness script"),
        );
    }
    if !is_subset(&given.bip32_derivation, &own.bip32_derivation) {
        return refuse(Rule::Derivation, format!("input {n} names other keys"));
    }
    Ok(())
}

/// The PSBT as this custodian would have built it, with the signatures that were there, verified.
pub(super) fn rebuild(
    psbt: &Psbt,
    known: &Known<'_>,
    coins: &[&Coin],
    purpose: &Purpose,
) -> Result<Psbt, Refused> {
    let change = match purpose {
        Purpose::Payout {
            payouts, change, ..
        } => change.map(|change| (payouts.len(), change.index)),
        Purpose::Cancel { change, .. } => Some((0, change.index)),
        Purpose::Sweep { .. } => None,
    };
    for (n, given) in psbt.outputs.iter().enumerate() {
        let expected = match change {
            Some((at, index)) if at == n => {
                build::output(known.setup, KeychainKind::Internal, index).map_err(own_descriptor)?
            }
            _ => Output::default(),
        };
        output(n, given, &expected)?;
    }
    let unsigned = psbt.unsigned_tx.clone();
    let mut own =
        build::psbt(known.setup, known.bitcoin, coins, unsigned, change).map_err(own_descriptor)?;
    for (own, given) in own.inputs.iter_mut().zip(&psbt.inputs) {
        own.partial_sigs.clone_from(&given.partial_sigs);
    }
    sign::check_signatures(&own).map_err(|detail| Refused::new(Rule::Signature, detail))?;
    Ok(own)
}

fn output(n: usize, given: &Output, expected: &Output) -> Result<(), Refused> {
    let Output {
        redeem_script,
        witness_script,
        bip32_derivation,
        tap_internal_key,
        tap_tree,
        tap_key_origins,
        proprietary,
        unknown,
    } = given;
    if redeem_script.is_some()
        || tap_internal_key.is_some()
        || tap_tree.is_some()
        || !tap_key_origins.is_empty()
        || !proprietary.is_empty()
        || !unknown.is_empty()
    {
        let detail = format!("output {n} holds fields that no rule knows");
        return refuse(Rule::ForeignField, detail);
    }
    if witness_script.is_some() && *witness_script != expected.witness_script
        || !is_subset(bip32_derivation, &expected.bip32_derivation)
    {
        // A signer could show such an output as change.
        let detail = format!("output {n} claims keys that it does not pay to");
        return refuse(Rule::Derivation, detail);
    }
    Ok(())
}

/// The wallet itself could not be derived or lacks a transaction: nothing is signed then.
fn own_descriptor(error: PlanError) -> Refused {
    Refused::new(
        Rule::Derivation,
        format!("this custodian's own wallet: {error}"),
    )
}

fn is_subset<K: Ord, V: PartialEq>(given: &BTreeMap<K, V>, own: &BTreeMap<K, V>) -> bool {
    given.iter().all(|(key, value)| own.get(key) == Some(value))
}
