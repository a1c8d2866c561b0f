//! From signed parts to a transaction that Bitcoin's own consensus code accepts.

use bitcoin::secp256k1::Secp256k1;
use bitcoin::{EcdsaSighashType, OutPoint, Psbt, Transaction, Witness};
use miniscript::psbt::PsbtExt as _;

use super::{PlanError, build, sign, witness};
use crate::setup::Setup;
use crate::view::{BitcoinView, Coin};

/// Why files do not belong together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// No file.
    #[error("there is nothing to combine")]
    Nothing,
    /// Another transaction.
    #[error("file {file} is of the transaction {txid}, and the first one of {first}")]
    OtherTransaction {
        /// Which, from 1.
        file: usize,
        /// Its transaction.
        txid: bitcoin::Txid,
        /// The first file's.
        first: bitcoin::Txid,
    },
    /// They contradict each other.
    #[error("file {file} says something else of input {input} than the first one")]
    Conflict {
        /// Which, from 1.
        file: usize,
        /// The input.
        input: usize,
    },
    /// A signature is wrong.
    #[error("file {file}: {reason}")]
    Signature {
        /// Which, from 1.
        file: usize,
        /// Why.
        reason: String,
    },
}

/// Why there is no transaction to send.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// A coin is gone.
    #[error("{0} is not among the wallet's coins any more: the transaction cannot confirm")]
    CoinGone(OutPoint),
    /// Signatures are missing.
    #[error("input {input} has {have} signatures of {need}: ask another custodian to sign")]
    Incomplete {
        /// Which.
        input: usize,
        /// Valid ones.
        have: usize,
        /// The threshold.
        need: usize,
    },
    /// A signature is wrong.
    #[error("{0}")]
    Signature(String),
    /// A signature covers less than everything.
    #[error("a signature of input {0} does not cover everything (SIGHASH_ALL)")]
    Sighash(usize),
    /// The wallet.
    #[error(transparent)]
    Own(#[from] PlanError),
    /// Witnesses could not be made.
    #[error("the witness of input {input} cannot be made: {reason}")]
    Finalize {
        /// Which.
        input: usize,
        /// Why.
        reason: String,
    },
    /// Bitcoin's consensus code refuses it.
    #[error("consensus code refuses the transaction: {0}")]
    Consensus(#[from] bitcoin::consensus::validation::TxVerifyError),
}

/// Puts the signatures of several files of one transaction together. All but signatures comes from the first one; every
/// signature must be valid by what the first one says of coins and keys, and one that nodes relay. A file that a wallet has
/// finished is taken apart; it comes after one that still says which keys there are.
///
/// # Errors
/// [`CombineError`].
pub fn combine(psbts: &[Psbt]) -> Result<Psbt, CombineError> {
    let Some((first, others)) = psbts.split_first() else {
        return Err(CombineError::Nothing);
    };
    let mut first = first.clone();
    let witnesses = finished(&first);
    take_apart(&mut first, &witnesses)
        .and_then(|()| sign::check_signatures(&first))
        .map_err(|reason| CombineError::Signature { file: 1, reason })?;
    let mut result = first.clone();
    for (file, other) in (2..).zip(others) {
        if other.unsigned_tx != first.unsigned_tx || other.inputs.len() != first.inputs.len() {
            return Err(CombineError::OtherTransaction {
                file,
                txid: other.unsigned_tx.compute_txid(),
                first: first.unsigned_tx.compute_txid(),
            });
        }
        let mut checked = first.clone();
        for (input, (own, theirs)) in checked.inputs.iter_mut().zip(&other.inputs).enumerate() {
            if differ(&own.witness_utxo, &theirs.witness_utxo)
                || differ(&own.witness_script, &theirs.witness_script)
                || differ(
                    &own.non_witness_utxo.as_ref().map(Transaction::compute_txid),
                    &theirs
                        .non_witness_utxo
                        .as_ref()
                        .map(Transaction::compute_txid),
                )
            {
                return Err(CombineError::Conflict { file, input });
            }
            own.partial_sigs.clone_from(&theirs.partial_sigs);
        }
        take_apart(&mut checked, &finished(other))
            .map_err(|reason| CombineError::Signature { file, reason })?;
        sign::check_signatures(&checked)
            .map_err(|reason| CombineError::Signature { file, reason })?;
        for (own, theirs) in result.inputs.iter_mut().zip(checked.inputs) {
            // A key signs one transaction in many valid ways; the first is as good as any.
            for (key, signature) in theirs.partial_sigs {
                own.partial_sigs.entry(key).or_insert(signature);
            }
        }
    }
    Ok(result)
}

/// The witnesses of a wallet that has finished its file by itself.
fn finished(psbt: &Psbt) -> Vec<Option<Witness>> {
    let inputs = psbt.inputs.iter();
    inputs
        .map(|input| input.final_script_witness.clone())
        .collect()
}

/// Puts the signatures of witnesses where those of custodians are.
fn take_apart(psbt: &mut Psbt, witnesses: &[Option<Witness>]) -> Result<(), String> {
    if witnesses.iter().all(Option::is_none) {
        return Ok(());
    }
    let messages = sign::messages(psbt);
    let inputs = psbt.inputs.iter_mut().zip(messages).zip(witnesses);
    for (n, ((input, message), witness)) in inputs.enumerate() {
        input.final_script_witness = None;
        let Some(witness) = witness else { continue };
        let found = witness::signatures(input, message.as_ref(), witness)
            .map_err(|reason| format!("input {n}: {reason}"))?;
        for (key, signature) in found {
            input.partial_sigs.entry(key).or_insert(signature);
        }
    }
    Ok(())
}

fn differ<T: PartialEq>(own: &Option<T>, theirs: &Option<T>) -> bool {
    own.is_some() && theirs.is_some() && own != theirs
}

/// Makes the witnesses and [`verify`]s the result. Coins and scripts are those of the wallet, whatever the PSBT says.
///
/// # Errors
/// [`FinishError`].
pub fn finalize(
    psbt: &Psbt,
    setup: &Setup,
    bitcoin: &BitcoinView,
) -> Result<Transaction, FinishError> {
    let coins = coins(&psbt.unsigned_tx, bitcoin)?;
    let mut own = build::psbt(setup, bitcoin, &coins, psbt.unsigned_tx.clone(), None)?;
    for (own, given) in own.inputs.iter_mut().zip(&psbt.inputs) {
        own.partial_sigs.clone_from(&given.partial_sigs);
    }
    take_apart(&mut own, &finished(psbt)).map_err(FinishError::Signature)?;
    sign::check_signatures(&own).map_err(FinishError::Signature)?;
    let secp = Secp256k1::verification_only();
    let mut transaction = psbt.unsigned_tx.clone();
    for (n, input) in transaction.input.iter_mut().enumerate() {
        let (have, need) = (own.inputs[n].partial_sigs.len(), setup.threshold());
        if have < need {
            return Err(FinishError::Incomplete {
                input: n,
                have,
                need,
            });
        }
        own.finalize_inp_mut(&secp, n)
            .map_err(|error| FinishError::Finalize {
                input: n,
                reason: error.to_string(),
            })?;
        input.witness = own.inputs[n]
            .final_script_witness
            .take()
            .unwrap_or_default();
    }
    verify(&transaction, bitcoin)?;
    Ok(transaction)
}

/// Runs Bitcoin's consensus code on every input, with the wallet's coins, and holds that every signature covers everything.
///
/// # Errors
/// [`FinishError`].
pub fn verify(transaction: &Transaction, bitcoin: &BitcoinView) -> Result<(), FinishError> {
    coins(transaction, bitcoin)?;
    for (n, input) in transaction.input.iter().enumerate() {
        // The last element is the key (P2WPKH) or the script (P2WSH), an empty one the dummy of CHECKMULTISIG.
        let elements = input.witness.len().saturating_sub(1);
        let all = EcdsaSighashType::All.to_u32();
        let signatures = input.witness.iter().take(elements);
        let mut signatures = signatures.filter_map(<[u8]>::last);
        if signatures.any(|sighash| u32::from(*sighash) != all) {
            return Err(FinishError::Sighash(n));
        }
    }
    transaction.verify(|outpoint| {
        let coin = bitcoin.coins.get(outpoint)?;
        Some(coin.txout.clone())
    })?;
    Ok(())
}

fn coins<'a>(
    transaction: &Transaction,
    bitcoin: &'a BitcoinView,
) -> Result<Vec<&'a Coin>, FinishError> {
    let inputs = transaction.input.iter();
    inputs
        .map(|input| {
            let outpoint = input.previous_output;
            let coin = bitcoin.coins.get(&outpoint);
            coin.ok_or(FinishError::CoinGone(outpoint))
        })
        .collect()
}
