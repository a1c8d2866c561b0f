//! Signing what was reviewed and written down, and nothing else.

use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sighash::SighashCache;
use bitcoin::{EcdsaSighashType, Psbt};

use super::Reviewed;
use super::witness::has_high_s;
use crate::journal::Cost;
use crate::keys::{CustodianKey, SigningError};
use crate::view::Payment;

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key.
    #[error(transparent)]
    Key(#[from] SigningError),
    /// Nothing was added.
    #[error("the key {0} is not one of this wallet's cosigners: which key file belongs to it?")]
    NotACosigner(bitcoin::bip32::Fingerprint),
    /// The signer changed more than signatures.
    #[error("the signer handed back another transaction: do not use it again before you know why")]
    OtherTransaction,
    /// What came back is wrong.
    #[error("the signer's signature is wrong: {0}")]
    Signature(String),
}

/// Where a custodian's signatures come from.
pub trait Signer {
    /// Adds the signer's signatures to a PSBT.
    ///
    /// # Errors
    /// [`SignError`].
    fn sign(&self, psbt: Psbt) -> Result<Psbt, SignError>;
}

impl Signer for CustodianKey {
    fn sign(&self, mut psbt: Psbt) -> Result<Psbt, SignError> {
        match CustodianKey::sign(self, &mut psbt)? {
            0 => Err(SignError::NotACosigner(self.fingerprint())),
            _ => Ok(psbt),
        }
    }
}

/// A hardware wallet, or another machine: the file is handed to it as it is, and comes back through
/// [`combine`](super::combine).
#[derive(Debug, Clone, Copy)]
pub struct External;

impl Signer for External {
    fn sign(&self, psbt: Psbt) -> Result<Psbt, SignError> {
        Ok(psbt)
    }
}

/// A reviewed transaction that stands in the journal. Only this is signed: a signature that nobody remembers could be the
/// second payment of a redemption.
#[derive(Debug)]
pub struct Intended(Reviewed);

impl Reviewed {
    /// Writes the payment down with what it costs, if it is one. `record` returns when it is safe on disk.
    ///
    /// # Errors
    /// Those of `record`; then nothing may be signed.
    pub fn intend<E>(
        self,
        record: impl FnOnce(&Payment, Cost) -> Result<(), E>,
    ) -> Result<Intended, E> {
        if let Some(payment) = self.payment() {
            record(&payment, self.cost())?;
        }
        Ok(Intended(self))
    }
}

impl Intended {
    /// What is signed.
    #[must_use]
    pub const fn reviewed(&self) -> &Reviewed {
        &self.0
    }
}

/// Signs.
///
/// # Errors
/// [`SignError`].
pub fn sign(intended: &Intended, signer: &dyn Signer) -> Result<Psbt, SignError> {
    let own = intended.0.psbt();
    let signed = signer.sign(own.clone())?;
    if signed.unsigned_tx != own.unsigned_tx || signed.inputs.len() != own.inputs.len() {
        return Err(SignError::OtherTransaction);
    }
    // Only signatures are taken over from the signer.
    let mut result = own.clone();
    for (to, from) in result.inputs.iter_mut().zip(signed.inputs) {
        to.partial_sigs.extend(from.partial_sigs);
    }
    check_signatures(&result).map_err(SignError::Signature)?;
    Ok(result)
}

/// The messages that signatures of each input are for, by the PSBT's own amounts and scripts; none: the input is not P2WPKH
/// or P2WSH, or a field is missing.
pub(super) fn messages(psbt: &Psbt) -> Vec<Option<Message>> {
    let mut cache = SighashCache::new(&psbt.unsigned_tx);
    let inputs = psbt.inputs.iter().enumerate();
    inputs
        .map(|(n, input)| {
            let txout = input.witness_utxo.as_ref()?;
            let script = &txout.script_pubkey;
            let all = EcdsaSighashType::All;
            let sighash = if script.is_p2wpkh() {
                let hash = cache.p2wpkh_signature_hash(n, script, txout.value, all);
                hash.ok()?
            } else if script.is_p2wsh() {
                let witness = input.witness_script.as_ref()?;
                let hash = cache.p2wsh_signature_hash(n, witness, txout.value, all);
                hash.ok()?
            } else {
                return None;
            };
            Some(Message::from(sighash))
        })
        .collect()
}

/// Whether every signature is valid, covers everything, is relayed by nodes, and is by a key that the input names.
///
/// # Errors
/// A sentence about the first that is not.
pub(super) fn check_signatures(psbt: &Psbt) -> Result<(), String> {
    let secp = Secp256k1::verification_only();
    let messages = messages(psbt);
    for (n, (input, message)) in psbt.inputs.iter().zip(messages).enumerate() {
        for (key, signature) in &input.partial_sigs {
            let named = input.bip32_derivation.get(&key.inner);
            let Some((fingerprint, _)) = named.filter(|_| key.compressed) else {
                return Err(format!(
                    "input {n} is signed by the key {key}, which is not its own"
                ));
            };
            if signature.sighash_type != EcdsaSighashType::All {
                return Err(format!("{fingerprint} signed input {n} in part only"));
            }
            if has_high_s(signature) {
                return Err(format!(
                    "the signature of {fingerprint} for input {n} has a high S (BIP146), so no node would relay the \
                     payment: have it signed anew, by another program or device"
                ));
            }
            let valid = message.as_ref().is_some_and(|message| {
                let verified = secp.verify_ecdsa(message, &signature.signature, &key.inner);
                verified.is_ok()
            });
            if !valid {
                return Err(format!(
                    "the signature of {fingerprint} for input {n} is invalid"
                ));
            }
        }
    }
    Ok(())
}
