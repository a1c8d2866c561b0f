//! A proof on its way from custodian to custodian.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::bip32::Fingerprint;
use bitcoin::psbt::raw;
use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{Amount, OutPoint, Psbt, ScriptBuf, TxOut, Witness, consensus, opcodes};
use miniscript::psbt::PsbtExt as _;

use super::statement::Statement;
use super::transaction::{Claim, ClaimError, ProvedCoin};
use super::verify::Proof;
use crate::setup::Setup;
use crate::view::BitcoinView;

/// BIP127's `PSBT_IN_POR_COMMITMENT`: the message, for signing devices that know what a proof is.
const POR_COMMITMENT: u8 = 0x09;

/// Why a draft cannot be made, joined or finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// The claims.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The wallet does not know a coin's transaction.
    #[error(
        "the transaction of coin {0} is not known: wait until the wallet has caught up with its node"
    )]
    Funding(OutPoint),
    /// The wallet's descriptor does not make a coin's script.
    #[error("coin {0} is not of this wallet's descriptor")]
    Script(OutPoint),
    /// Drafts of two statements, or of other coins.
    #[error("the files are drafts of different proofs: begin again from one file of `prove`")]
    Different,
    /// A signature that is not valid.
    #[error(
        "the signature of key {key} for coin {outpoint} is not valid: sign again from the file that `prove` wrote"
    )]
    Signature {
        /// Which coin.
        outpoint: OutPoint,
        /// Whose.
        key: bitcoin::PublicKey,
    },
    /// Too few signatures.
    #[error("coin {outpoint} lacks signatures ({reason}): let another custodian sign")]
    Unfinished {
        /// Which coin.
        outpoint: OutPoint,
        /// Why.
        reason: String,
    },
}

/// A proof that custodians still have to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    claim: Claim,
    psbt: Psbt,
}

impl Draft {
    /// The draft of a statement over all coins that the wallet has at its height.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn new(
        statement: Statement,
        setup: &Setup,
        bitcoin: &BitcoinView,
    ) -> Result<Self, DraftError> {
        let height = statement.height;
        let coins = bitcoin.coins.values().filter_map(|coin| {
            Some(ProvedCoin {
                outpoint: coin.outpoint,
                amount: coin.txout.value,
                height: coin.height.filter(|mined| *mined <= height)?,
                is_coinbase: coin.is_coinbase,
            })
        });
        let claim = Claim::new(statement, coins.collect())?;
        let psbt = psbt(&claim, setup, bitcoin)?;
        Ok(Self { claim, psbt })
    }

    /// A draft that was read.
    ///
    /// # Errors
    /// [`ClaimError`]: the PSBT is not of the claim.
    pub fn from_parts(claim: Claim, psbt: Psbt) -> Result<Self, ClaimError> {
        claim.check(&psbt.unsigned_tx)?;
        Ok(Self { claim, psbt })
    }

    /// What it claims.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// For wallets that are not ours.
    #[must_use]
    pub const fn psbt(&self) -> &Psbt {
        &self.psbt
    }

    /// Takes signatures over, whosever they are; [`finish`](Self::finish) looks at each of them.
    pub(super) fn add(&mut self, signed: Psbt) {
        for (own, theirs) in self.psbt.inputs.iter_mut().zip(signed.inputs) {
            own.partial_sigs.extend(theirs.partial_sigs);
        }
    }

    /// For how many coins each custodian has signed, by master fingerprint.
    #[must_use]
    pub fn signed(&self) -> BTreeMap<Fingerprint, usize> {
        let mut signed = BTreeMap::new();
        for input in &self.psbt.inputs {
            let fingerprints: BTreeSet<_> = input
                .partial_sigs
                .keys()
                .filter_map(|key| input.bip32_derivation.get(&key.inner))
                .map(|(fingerprint, _)| *fingerprint)
                .collect();
            for fingerprint in fingerprints {
                *signed.entry(fingerprint).or_insert(0) += 1;
            }
        }
        signed
    }

    /// The proof, from what several custodians signed of one draft.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn finish(drafts: Vec<Self>) -> Result<Proof, DraftError> {
        let mut drafts = drafts.into_iter();
        let mut all = drafts.next().ok_or(DraftError::Different)?;
        for draft in drafts {
            if draft.claim != all.claim {
                return Err(DraftError::Different);
            }
            all.add(draft.psbt);
        }
        let Self { claim, mut psbt } = all;
        let secp = Secp256k1::verification_only();
        let mut transaction = psbt.unsigned_tx.clone();
        for (index, coin) in (1..).zip(claim.coins()) {
            let outpoint = coin.outpoint;
            check_signatures(&psbt, index, outpoint, &secp)?;
            let unfinished = |reason: String| DraftError::Unfinished { outpoint, reason };
            psbt.finalize_inp_mut(&secp, index)
                .map_err(|error| unfinished(error.to_string()))?;
            let witness = psbt.inputs[index].final_script_witness.clone();
            transaction.input[index].witness =
                witness.ok_or_else(|| unfinished("no witness".to_owned()))?;
        }
        let bytes = consensus::serialize(&transaction);
        for (index, coin) in (1..).zip(claim.coins()) {
            let spent: Option<&TxOut> = psbt.inputs[index].witness_utxo.as_ref();
            let unfinished = |reason: String| DraftError::Unfinished {
                outpoint: coin.outpoint,
                reason,
            };
            let spent = spent.ok_or_else(|| unfinished("the coin is not in the PSBT".into()))?;
            consensus::verify_script(&spent.script_pubkey, index, spent.value, &bytes)
                .map_err(|error| unfinished(error.to_string()))?;
        }
        Ok(Proof::new(claim, transaction)?)
    }
}

/// Only SIGHASH_ALL says something about the challenge and the output; whose signature is wrong must be said before it
/// spoils the proof.
fn check_signatures<C: Verification>(
    psbt: &Psbt,
    index: usize,
    outpoint: OutPoint,
    secp: &Secp256k1<C>,
) -> Result<(), DraftError> {
    let mut cache = SighashCache::new(&psbt.unsigned_tx);
    for (key, signature) in &psbt.inputs[index].partial_sigs {
        let wrong = DraftError::Signature {
            outpoint,
            key: *key,
        };
        let Ok((message, EcdsaSighashType::All)) = psbt.sighash_ecdsa(index, &mut cache) else {
            return Err(wrong);
        };
        if signature.sighash_type != EcdsaSighashType::All
            || secp
                .verify_ecdsa(&message, &signature.signature, &key.inner)
                .is_err()
        {
            return Err(wrong);
        }
    }
    Ok(())
}

/// The PSBT of a claim, from the custodian's own wallet alone.
pub(super) fn psbt(
    claim: &Claim,
    setup: &Setup,
    bitcoin: &BitcoinView,
) -> Result<Psbt, DraftError> {
    let mut psbt = Psbt {
        unsigned_tx: claim.transaction(),
        version: 0,
        xpub: BTreeMap::new(),
        proprietary: BTreeMap::new(),
        unknown: BTreeMap::new(),
        inputs: vec![bitcoin::psbt::Input::default(); claim.coins().len() + 1],
        outputs: vec![bitcoin::psbt::Output::default()],
    };
    let challenge = &mut psbt.inputs[0];
    challenge.witness_utxo = Some(TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::builder()
            .push_opcode(opcodes::OP_TRUE)
            .into_script(),
    });
    let key = raw::Key {
        type_value: POR_COMMITMENT,
        key: Vec::new(),
    };
    challenge
        .unknown
        .insert(key, claim.statement().message().into_bytes());
    for (index, coin) in (1..).zip(claim.coins()) {
        let outpoint = coin.outpoint;
        let own = bitcoin
            .coins
            .get(&outpoint)
            .ok_or(DraftError::Funding(outpoint))?;
        let funding = bitcoin
            .funding
            .get(&outpoint.txid)
            .ok_or(DraftError::Funding(outpoint))?;
        let input = &mut psbt.inputs[index];
        input.witness_utxo = Some(own.txout.clone());
        input.non_witness_utxo = Some(without_witnesses(funding));
        let descriptor = setup
            .keychain(own.keychain)
            .at_derivation_index(own.index)
            .map_err(|_| DraftError::Script(outpoint))?;
        psbt.update_input_with_descriptor(index, &descriptor)
            .map_err(|_| DraftError::Script(outpoint))?;
    }
    Ok(psbt)
}

/// The id is all that counts, and a payout's witnesses are most of its bytes.
fn without_witnesses(transaction: &bitcoin::Transaction) -> bitcoin::Transaction {
    let mut bare = transaction.clone();
    for input in &mut bare.input {
        input.witness = Witness::new();
    }
    bare
}
