//! A transaction as a PSBT, with all that any signer wants to see.

use std::collections::BTreeMap;

use bdk_wallet::KeychainKind;
use bitcoin::absolute::LockTime;
use bitcoin::bip32::{KeySource, Xpub};
use bitcoin::psbt::{Input, Output};
use bitcoin::transaction::Version;
use bitcoin::{EcdsaSighashType, Psbt, Sequence, Transaction, TxIn, TxOut};
use miniscript::psbt::{PsbtInputExt as _, PsbtOutputExt as _};

use super::PlanError;
use crate::setup::Setup;
use crate::view::{BitcoinView, Coin};

/// Replaceable (BIP125), and the lock time counts.
pub(super) const SEQUENCE: Sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;

/// The transaction of coins and outputs. Its lock time is the best block's height, so that nobody gains by mining that
/// block anew (anti fee sniping).
pub(super) fn transaction(
    bitcoin: &BitcoinView,
    coins: &[&Coin],
    outputs: Vec<TxOut>,
) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::from_height(bitcoin.tip).unwrap_or(LockTime::ZERO),
        input: coins
            .iter()
            .map(|coin| TxIn {
                previous_output: coin.outpoint,
                sequence: SEQUENCE,
                ..TxIn::default()
            })
            .collect(),
        output: outputs,
    }
}

/// The PSBT of a transaction that spends these coins, in this order; `change` is the output that comes back, and its index
/// on the keychain of change.
pub(super) fn psbt(
    setup: &Setup,
    bitcoin: &BitcoinView,
    coins: &[&Coin],
    unsigned: Transaction,
    change: Option<(usize, u32)>,
) -> Result<Psbt, PlanError> {
    let inputs = coins
        .iter()
        .map(|coin| {
            let mut input = input(setup, coin)?;
            let funding = bitcoin.funding.get(&coin.outpoint.txid);
            let funding = funding.ok_or(PlanError::NoFunding(coin.outpoint.txid))?;
            input.non_witness_utxo = Some(funding.clone());
            Ok(input)
        })
        .collect::<Result<Vec<_>, PlanError>>()?;
    let mut outputs = vec![Output::default(); unsigned.output.len()];
    if let Some((at, index)) = change
        && let Some(place) = outputs.get_mut(at)
    {
        *place = output(setup, KeychainKind::Internal, index)?;
    }
    Ok(Psbt {
        unsigned_tx: unsigned,
        version: 0,
        xpub: xpubs(setup),
        proprietary: BTreeMap::new(),
        unknown: BTreeMap::new(),
        inputs,
        outputs,
    })
}

/// What a PSBT says of a coin, the transaction that made it excepted.
pub(super) fn input(setup: &Setup, coin: &Coin) -> Result<Input, PlanError> {
    let descriptor = setup.keychain(coin.keychain);
    let derived = descriptor
        .at_derivation_index(coin.index)
        .map_err(|error| PlanError::Descriptor(error.to_string()))?;
    let mut input = Input {
        witness_utxo: Some(coin.txout.clone()),
        sighash_type: Some(EcdsaSighashType::All.into()),
        ..Input::default()
    };
    input
        .update_with_descriptor_unchecked(&derived)
        .map_err(|error| PlanError::Descriptor(error.to_string()))?;
    Ok(input)
}

/// What a PSBT says of an output that comes back.
pub(super) fn output(
    setup: &Setup,
    keychain: KeychainKind,
    index: u32,
) -> Result<Output, PlanError> {
    let derived = setup
        .keychain(keychain)
        .at_derivation_index(index)
        .map_err(|error| PlanError::Descriptor(error.to_string()))?;
    let mut output = Output::default();
    output
        .update_with_descriptor_unchecked(&derived)
        .map_err(|error| PlanError::Descriptor(error.to_string()))?;
    Ok(output)
}

/// The cosigners' accounts: some signers want to see that change goes to the same ones.
pub(super) fn xpubs(setup: &Setup) -> BTreeMap<Xpub, KeySource> {
    let cosigners = setup.cosigners().iter();
    cosigners
        .map(|cosigner| (cosigner.xpub, (cosigner.fingerprint, cosigner.path.clone())))
        .collect()
}
