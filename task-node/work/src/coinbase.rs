//! The coinbase transaction around a claim.
//!
//! ```text
//! input script: push(height, BIP34) | push("KOII" | version u8 | claim_hash[32]) | push(extranonce1 | extranonce2) | push(tag)
//! outputs:      the payout outputs, then the witness commitment
//! ```
//!
//! The extranonces stand in a push of their own because legacy signature operations are counted in coinbase scripts too:
//! twelve loose bytes 0xae are twelve CHECKMULTISIGs, and a full block with them would be invalid.
//!
//! `nLockTime` is the height less one and `nSequence` is not final, as BIP54 will require.

use bitcoin::opcodes::all::OP_PUSHBYTES_37;
use bitcoin::script::Builder;

use crate::{CLAIM_TAG, CLAIM_VERSION, Extranonce, JobTemplate};

/// The longest pool tag: the script may have 100 bytes, and everything else takes at most 58.
pub const MAX_POOL_TAG_BYTES: usize = 40;

/// Bytes of the claim push's data.
const CLAIM_PUSH_BYTES: u8 = 37;
const _: () = assert!(OP_PUSHBYTES_37.to_u8() == CLAIM_PUSH_BYTES);
const _: () = assert!(CLAIM_TAG.len() + 1 + 32 == CLAIM_PUSH_BYTES as usize);

/// Why a coinbase cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoinbaseError {
    /// The tag is too long for the coinbase script.
    #[error("the pool tag has {0} bytes; at most {MAX_POOL_TAG_BYTES} fit the coinbase script")]
    TagTooLong(usize),
}

/// The text a pool signs its blocks with, e.g. `/orcapool/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PoolTag(Vec<u8>);

impl PoolTag {
    /// A tag of at most [`MAX_POOL_TAG_BYTES`] bytes.
    ///
    /// # Errors
    /// [`CoinbaseError::TagTooLong`].
    pub fn new(tag: impl Into<Vec<u8>>) -> Result<Self, CoinbaseError> {
        let tag = tag.into();
        if tag.len() > MAX_POOL_TAG_BYTES {
            return Err(CoinbaseError::TagTooLong(tag.len()));
        }
        Ok(Self(tag))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A coinbase in its stripped form (the one whose double SHA-256 is the transaction id), cut where a claim and an
/// extranonce go in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CoinbaseParts {
    /// Up to and without the claim hash.
    pub(crate) before_claim: Vec<u8>,
    /// Between claim hash and extranonce: the opcode that pushes the extranonce.
    pub(crate) before_extranonce: Vec<u8>,
    /// From the pool tag to the end.
    pub(crate) after_extranonce: Vec<u8>,
}

impl CoinbaseParts {
    pub(crate) fn of(template: &JobTemplate) -> Self {
        // Heights up to i32::MAX: checked by JobTemplate.
        let height = Builder::new()
            .push_int(i64::from(template.height()))
            .into_bytes();
        let tag = template.pool_tag().as_bytes();
        let tag_push = if tag.is_empty() { 0 } else { 1 + tag.len() };
        let script_length =
            height.len() + 1 + usize::from(CLAIM_PUSH_BYTES) + 1 + Extranonce::BYTES + tag_push;

        let mut before_claim = Vec::with_capacity(96);
        before_claim.extend(2_u32.to_le_bytes()); // transaction version
        before_claim.push(1); // one input
        before_claim.extend([0; 32]); // the null outpoint
        before_claim.extend(u32::MAX.to_le_bytes());
        // At most 5 + 38 + 13 + 41 = 97, so one byte of compact size.
        before_claim.push(script_length as u8);
        before_claim.extend(height);
        before_claim.push(CLAIM_PUSH_BYTES);
        before_claim.extend(CLAIM_TAG);
        before_claim.push(CLAIM_VERSION);

        let mut after_extranonce = Vec::with_capacity(128);
        if !tag.is_empty() {
            after_extranonce.push(tag.len() as u8); // at most 40: a direct push
            after_extranonce.extend(tag);
        }
        after_extranonce.extend(0xffff_fffe_u32.to_le_bytes()); // nSequence (BIP54: not final)
        let outputs: Vec<bitcoin::TxOut> = template.outputs();
        after_extranonce.extend(bitcoin::consensus::serialize(&outputs));
        after_extranonce.extend((template.height() - 1).to_le_bytes()); // nLockTime (BIP54)

        Self {
            before_claim,
            before_extranonce: vec![Extranonce::BYTES as u8],
            after_extranonce,
        }
    }
}
