//! DAG-CBOR: serde types to canonical blocks and back, and the links of a block.
//!
//! DAG-CBOR allows one encoding per value (shortest lengths, keys sorted by length then bytes, no indefinite lengths,
//! 64-bit floats). `serde_ipld_dagcbor` writes that form but reads others too, so [`decode`] encodes again what it
//! read and compares: a bundle with a second spelling, an unknown field or a repeated key is no bundle.
//!
//! The library ends nesting with an error too, but only at 128 levels, for which an unoptimised build needs between
//! 700 KiB and 1 MiB of stack, and at every level a claimed length may reserve up to 1 MiB. So `shape` looks at
//! the skeleton of the bytes first, without recursion: little nesting, and no length that the bytes cannot hold.

mod shape;

use cid::Cid;
use ipld_core::serde::ExtractLinks;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::block::{Block, BlockError, Codec, MAX_BLOCK_BYTES, check_cid};

/// Why a value is no canonical block, or a block no such value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The value has no DAG-CBOR form (a float that is not finite, a map key that is not a text).
    #[error("value cannot be written as DAG-CBOR: {0}")]
    Encode(String),
    /// The bytes are not DAG-CBOR of the wanted type.
    #[error("not the expected DAG-CBOR: {0}")]
    Decode(String),
    /// Arrays, maps and tags are nested too deeply.
    #[error("DAG-CBOR is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The bytes are another spelling of a value, or hold fields the type does not have.
    #[error("DAG-CBOR is not in canonical form, or has unknown or repeated fields")]
    NotCanonical,
    /// A `raw` block was to be read as DAG-CBOR.
    #[error("the block is raw bytes, not DAG-CBOR")]
    NotDagCbor,
    /// A size, or a link of a form that is not spoken here.
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// Encodes `value` as a block.
///
/// # Errors
/// [`CborError::Encode`], or a result above [`MAX_BLOCK_BYTES`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Block, CborError> {
    Ok(Block::new(Codec::DagCbor, to_bytes(value)?)?)
}

/// Decodes a block, canonical form only.
///
/// # Errors
/// [`CborError::NotDagCbor`], or what [`decode_slice`] says.
pub fn decode<T: Serialize + DeserializeOwned>(block: &Block) -> Result<T, CborError> {
    match block.codec() {
        Codec::DagCbor => decode_slice(block.bytes()),
        Codec::Raw => Err(CborError::NotDagCbor),
    }
}

/// Decodes bytes, canonical form only.
///
/// # Errors
/// [`CborError::Decode`], [`CborError::NotCanonical`], or more than [`MAX_BLOCK_BYTES`].
pub fn decode_slice<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    check_length(bytes)?;
    shape::check(bytes)?;
    let value: T = serde_ipld_dagcbor::from_slice(bytes).map_err(decode_error)?;
    // A value that was read but cannot be written (NaN) has no canonical form either.
    match to_bytes(&value) {
        Ok(again) if again == bytes => Ok(value),
        _ => Err(CborError::NotCanonical),
    }
}

/// The links of a block, in the order they stand in it, repetitions included. A `raw` block has none.
///
/// The bytes need not be canonical here: that is judged where a block is decoded into its type.
///
/// # Errors
/// [`CborError::Decode`] for bytes that are not DAG-CBOR, [`CborError::Block`] for a link of another form than
/// [`check_cid`] allows.
pub fn links(block: &Block) -> Result<Vec<Cid>, CborError> {
    match block.codec() {
        Codec::Raw => Ok(Vec::new()),
        Codec::DagCbor => links_of_slice(block.bytes()),
    }
}

/// As [`links`], for the bytes of a DAG-CBOR block.
///
/// # Errors
/// As [`links`], and for more than [`MAX_BLOCK_BYTES`].
pub fn links_of_slice(bytes: &[u8]) -> Result<Vec<Cid>, CborError> {
    check_length(bytes)?;
    shape::check(bytes)?;
    // `DagCborCodec::links` of the library stops at the first value; what follows it must not go unseen.
    let mut deserializer = serde_ipld_dagcbor::de::Deserializer::from_slice(bytes);
    let found: ExtractLinks<64> =
        Deserialize::deserialize(&mut deserializer).map_err(decode_error)?;
    deserializer.end().map_err(decode_error)?;
    let links = found.into_vec();
    for link in &links {
        check_cid(link)?;
    }
    Ok(links)
}

fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    serde_ipld_dagcbor::to_vec(value).map_err(|error| CborError::Encode(clip(&error.to_string())))
}

fn check_length(bytes: &[u8]) -> Result<(), BlockError> {
    if bytes.len() > MAX_BLOCK_BYTES {
        return Err(BlockError::TooLarge {
            length: bytes.len(),
        });
    }
    Ok(())
}

fn decode_error(error: impl std::fmt::Display) -> CborError {
    CborError::Decode(clip(&error.to_string()))
}

/// The message may quote the input (an unknown variant's name): neither a flood nor control characters for the log.
fn clip(message: &str) -> String {
    message
        .chars()
        .take(160)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
