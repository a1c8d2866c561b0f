//! Signatures out of a witness that a wallet has finished by itself.
//!
//! Such a witness is not taken as it is. Consensus code accepts signatures that no node relays, those with a high S
//! (BIP146), and a payment that nobody relays would hold up every other: so each signature is looked at on its own, and the
//! witness that is sent is made here.

use bitcoin::ecdsa::Signature;
use bitcoin::psbt::Input;
use bitcoin::secp256k1::{self, Message, Secp256k1, VerifyOnly};
use bitcoin::{PublicKey, Witness};

/// The signatures of a witness of P2WPKH or of P2WSH with CHECKMULTISIG, each with the key of `input` that it is by. Whether
/// they are good enough is for [`check_signatures`](super::sign::check_signatures) to say.
///
/// # Errors
/// A sentence about the first element that is none.
pub(super) fn signatures(
    input: &Input,
    message: Option<&Message>,
    witness: &Witness,
) -> Result<Vec<(PublicKey, Signature)>, String> {
    if input.bip32_derivation.is_empty() {
        return Err(
            "the wallet that finished this file took the keys out of it: give the file it was made from first"
                .to_owned(),
        );
    }
    let secp = Secp256k1::verification_only();
    let mut elements: Vec<&[u8]> = witness.iter().collect();
    // The key or the script; that it is the right one follows from the signatures.
    elements.pop();
    // The element that CHECKMULTISIG takes too much.
    if elements.first().is_some_and(|first| first.is_empty()) {
        elements.remove(0);
    }
    let keys = input.bip32_derivation.keys();
    if elements.len() > keys.len() {
        return Err("its witness has more elements than keys".to_owned());
    }
    elements
        .into_iter()
        .map(|element| {
            let signature = Signature::from_slice(element).map_err(|error| {
                format!("its witness has something else than signatures: {error}")
            })?;
            let by = keys
                .clone()
                .find(|key| is_by(&secp, key, message, &signature));
            let by = by.ok_or("its witness has a signature that is by none of its keys")?;
            Ok((PublicKey::new(*by), signature))
        })
        .collect()
}

/// Whose it is, whatever its S.
fn is_by(
    secp: &Secp256k1<VerifyOnly>,
    key: &secp256k1::PublicKey,
    message: Option<&Message>,
    signature: &Signature,
) -> bool {
    let mut low = signature.signature;
    low.normalize_s();
    message.is_some_and(|message| secp.verify_ecdsa(message, &low, key).is_ok())
}

/// Whether a signature's S is above half of the group's order (BIP62 rule 5, BIP146). Anybody can make it out of a good one.
pub(super) fn has_high_s(signature: &Signature) -> bool {
    let mut low = signature.signature;
    low.normalize_s();
    low != signature.signature
}
