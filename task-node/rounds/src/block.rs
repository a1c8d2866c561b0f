//! Content-addressed blocks: CIDv1, SHA-256, raw or DAG-CBOR.

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;
use sha2::{Digest, Sha256};

/// The two codecs of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Bytes.
    Raw,
    /// DAG-CBOR.
    DagCbor,
}

/// Bytes and their name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    bytes: Bytes,
}

impl Block {
    /// Names bytes.
    pub fn new(codec: Codec, bytes: Bytes) -> Option<Self> {
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let hash = Multihash::wrap(0x12, &digest).ok()?;
        let codec = match codec {
            Codec::Raw => 0x55,
            Codec::DagCbor => 0x71,
        };
        Some(Self {
            cid: Cid::new_v1(codec, hash),
            bytes,
        })
    }

    /// The name.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, String> {
    serde_ipld_dagcbor::to_vec(value).map_err(|error| error.to_string())
}

pub(crate) fn decode<T: serde::Serialize + serde::de::DeserializeOwned>(
    bytes: &[u8],
) -> Result<T, String> {
    let value: T = serde_ipld_dagcbor::from_slice(bytes).map_err(|error| error.to_string())?;
    if encode(&value)? == bytes {
        Ok(value)
    } else {
        Err("another form of the same value".to_owned())
    }
}
