//! The one thing a key does: it signs inputs that name it.
//!
//! This is the last line of defence, not the policy: *whether* to sign is decided in [`payment`](crate::payment) before.
//! Here it is only made sure that a signature covers what it seems to cover.

use bitcoin::bip32::{ChildNumber, DerivationPath, KeySource};
use bitcoin::blockdata::script::Instruction;
use bitcoin::psbt::{GetKey, GetKeyError, Input, KeyRequest, SigningKeys};
use bitcoin::secp256k1::{self, Secp256k1, Signing};
use bitcoin::{EcdsaSighashType, PrivateKey, Psbt, PublicKey, ScriptBuf, TxIn};

use super::{CustodianKey, Purpose, Secret, SigningError};

impl CustodianKey {
    /// Signs every input that names this key's fingerprint, and returns how many signatures it made. Other inputs stay as they
    /// are. On an error the PSBT is unchanged.
    ///
    /// An input that names this key must
    /// - bring the whole transaction it spends (`non_witness_utxo`), because a segwit v0 signature alone does not keep a hostile
    ///   coordinator from hiding fees (CVE-2020-14199),
    /// - be P2WPKH or P2WSH with a script that holds the key,
    /// - be derived as `account/0/*` or `account/1/*` of one of the two accounts,
    /// - ask for `SIGHASH_ALL`, or for nothing, which is the same.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn sign(&self, psbt: &mut Psbt) -> Result<usize, SigningError> {
        let secp = Secp256k1::new();
        let master = self.master()?;
        let handle = Handle { key: self, master };
        let mut ours = Vec::new();
        for (index, (input, txin)) in psbt.inputs.iter().zip(&psbt.unsigned_tx.input).enumerate() {
            let refuse = |reason| SigningError::Input {
                input: index,
                fingerprint: self.fingerprint(),
                reason,
            };
            if self.names_this_key(input) {
                handle.check(&secp, input, txin).map_err(refuse)?;
                ours.push(index);
            }
        }
        let mut signed = psbt.clone();
        let used = match signed.sign(&handle, &secp) {
            Ok(used) => used,
            Err((used, errors)) => {
                // Inputs of others may be of kinds the library does not sign.
                if let Some((input, error)) =
                    errors.into_iter().find(|(index, _)| ours.contains(index))
                {
                    let reason = error.to_string();
                    return Err(SigningError::Refused { input, reason });
                }
                used
            }
        };
        let count = |keys: &SigningKeys| match keys {
            SigningKeys::Ecdsa(keys) => keys.len(),
            SigningKeys::Schnorr(keys) => keys.len(),
        };
        *psbt = signed;
        Ok(used.values().map(count).sum())
    }

    fn names_this_key(&self, input: &Input) -> bool {
        let mut origins = input.bip32_derivation.values();
        let mut taproot = input.tap_key_origins.values();
        origins.any(|(fingerprint, _)| *fingerprint == self.fingerprint())
            || taproot.any(|(_, (fingerprint, _))| *fingerprint == self.fingerprint())
    }

    /// Whether a path is one of a wallet's scripts below one of the two accounts.
    fn is_own_path(&self, path: &DerivationPath) -> bool {
        [Purpose::Single, Purpose::Multisig].iter().any(|purpose| {
            let account = &self.cosigner(*purpose).path;
            let steps: &[ChildNumber] = path.as_ref();
            matches!(
                steps.strip_prefix(account.as_ref() as &[ChildNumber]),
                Some([
                    ChildNumber::Normal { index: 0 | 1 },
                    ChildNumber::Normal { .. }
                ])
            )
        })
    }
}

/// Hands the keys of single inputs to [`Psbt::sign`].
struct Handle<'a> {
    key: &'a CustodianKey,
    master: Secret,
}

impl Handle<'_> {
    /// The secret key of an origin, if it is ours.
    fn secret<C: Signing>(
        &self,
        secp: &Secp256k1<C>,
        (fingerprint, path): &KeySource,
    ) -> Option<Secret> {
        if *fingerprint != self.key.fingerprint() || !self.key.is_own_path(path) {
            return None;
        }
        self.master.derive(secp, path).ok()
    }

    fn check<C: Signing>(
        &self,
        secp: &Secp256k1<C>,
        input: &Input,
        txin: &TxIn,
    ) -> Result<(), &'static str> {
        let previous = input
            .non_witness_utxo
            .as_ref()
            .ok_or("the transaction it spends is missing")?;
        if previous.compute_txid() != txin.previous_output.txid {
            return Err("the transaction it brings is another than the one it spends");
        }
        let spent = usize::try_from(txin.previous_output.vout)
            .ok()
            .and_then(|vout| previous.output.get(vout))
            .ok_or("the transaction it spends has no such output")?;
        if input.witness_utxo.as_ref().is_some_and(|own| own != spent) {
            return Err("its amount or script is not that of the output it spends");
        }
        if input.final_script_witness.is_some() || input.final_script_sig.is_some() {
            return Err("it is final already");
        }
        if input
            .sighash_type
            .is_some_and(|kind| kind != EcdsaSighashType::All.into())
        {
            return Err("it asks for another signature than SIGHASH_ALL");
        }
        if !input.tap_key_origins.is_empty() {
            return Err("it is a taproot input");
        }
        for (named, origin) in &input.bip32_derivation {
            if origin.0 != self.key.fingerprint() {
                continue;
            }
            let secret = self
                .secret(secp, origin)
                .ok_or("its path is not one of this key's two accounts")?;
            if secret.0.private_key.public_key(secp) != *named {
                return Err("the public key is not the one at its path");
            }
            match input.witness_script.as_ref() {
                Some(script) if spent.script_pubkey == script.to_p2wsh() => {
                    if !holds(script, named) {
                        return Err("its script does not hold the key");
                    }
                }
                None if spent.script_pubkey == p2wpkh(named)? => {}
                _ => return Err("the output it spends is neither the key's nor its script's"),
            }
        }
        Ok(())
    }
}

/// Whether a script pushes the compressed key.
fn holds(script: &bitcoin::Script, key: &secp256k1::PublicKey) -> bool {
    let mut instructions = script.instructions();
    instructions.any(|instruction| {
        matches!(instruction, Ok(Instruction::PushBytes(bytes)) if bytes.as_bytes() == key.serialize())
    })
}

fn p2wpkh(key: &secp256k1::PublicKey) -> Result<ScriptBuf, &'static str> {
    let hash = PublicKey::new(*key).wpubkey_hash();
    Ok(ScriptBuf::new_p2wpkh(
        &hash.map_err(|_| "its key is not compressed")?,
    ))
}

impl GetKey for Handle<'_> {
    type Error = GetKeyError;

    fn get_key<C: Signing>(
        &self,
        request: KeyRequest,
        secp: &Secp256k1<C>,
    ) -> Result<Option<PrivateKey>, GetKeyError> {
        // A request by public key would skip the check of the path.
        let KeyRequest::Bip32(origin) = request else {
            return Ok(None);
        };
        Ok(self.secret(secp, &origin).map(|secret| secret.0.to_priv()))
    }
}
