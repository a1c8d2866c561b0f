//! Bytes to the parts of a CAR, every claim checked before it is believed.

use bytes::{Bytes, BytesMut};
use cid::Cid;
use serde::{Deserialize, Serialize};
use tokio_util::codec::Decoder;
use unsigned_varint::decode;

use super::CarError;
use crate::{
    block::{Block, CID_BYTES, MAX_BLOCK_BYTES},
    dag::DagLimits,
    dag_cbor,
};

/// The longest header read. One with a single root has 58 bytes.
pub(super) const MAX_HEADER_BYTES: usize = 1024;

/// The whole header of a CARv2, `{version: 2}`.
pub(super) const CARV2_PRAGMA: &[u8] = b"\xa1\x67version\x02";

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) roots: Vec<Cid>,
    pub(super) version: u64,
}

/// One part of a CAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarItem {
    /// The root the header names; always the first item.
    Root(Cid),
    /// A block that hashes to its CID.
    Block(Block),
}

/// Cuts a byte stream into [`CarItem`]s. Pure: bytes in, items out.
#[derive(Debug)]
pub struct CarDecoder {
    limits: DagLimits,
    header_read: bool,
    sections: usize,
    bytes: u64,
}

impl CarDecoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub const fn new(limits: DagLimits) -> Self {
        Self {
            limits,
            header_read: false,
            sections: 0,
            bytes: 0,
        }
    }

    fn header(&mut self, bytes: &[u8]) -> Result<CarItem, CarError> {
        if bytes == CARV2_PRAGMA {
            return Err(CarError::UnsupportedVersion(2));
        }
        let header: Header = dag_cbor::decode_slice(bytes)?;
        if header.version != 1 {
            return Err(CarError::UnsupportedVersion(header.version));
        }
        let [root] = header.roots[..] else {
            return Err(CarError::NotOneRoot(header.roots.len()));
        };
        self.header_read = true;
        Ok(CarItem::Root(root))
    }

    fn section(&mut self, bytes: &[u8]) -> Result<CarItem, CarError> {
        let index = self.sections;
        let bad_cid = CarError::BadCid { index };
        let Some((cid, content)) = bytes.split_at_checked(CID_BYTES) else {
            return Err(bad_cid);
        };
        let cid = match Cid::try_from(cid) {
            Ok(cid) if cid.encoded_len() == CID_BYTES => cid,
            _ => return Err(bad_cid),
        };
        // A copy: a slice of the read buffer would keep all of it alive for a block of a few bytes.
        let block = Block::verify(&cid, Bytes::copy_from_slice(content))
            .map_err(|error| CarError::BadBlock { index, error })?;
        self.sections += 1;
        Ok(CarItem::Block(block))
    }

    /// Checks a section's claimed length against everything it could break, before any of it is waited for.
    fn admit(&mut self, length: u64) -> Result<(), CarError> {
        let overhead = u64::try_from(CID_BYTES).unwrap_or(u64::MAX);
        let max = u64::try_from(CID_BYTES + MAX_BLOCK_BYTES).unwrap_or(u64::MAX);
        if length < overhead || length > max {
            return Err(CarError::BadSection { length });
        }
        if self.sections >= self.limits.max_blocks {
            return Err(CarError::TooManySections {
                limit: self.limits.max_blocks,
            });
        }
        if self.bytes + (length - overhead) > self.limits.max_total_bytes {
            return Err(CarError::TooManyBytes {
                limit: self.limits.max_total_bytes,
            });
        }
        Ok(())
    }
}

impl Decoder for CarDecoder {
    type Item = CarItem;
    type Error = CarError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<CarItem>, CarError> {
        let (length, prefix) = match decode::u64(source) {
            Ok((length, rest)) => (length, source.len() - rest.len()),
            Err(decode::Error::Insufficient) => return Ok(None),
            Err(_) => return Err(CarError::BadLength),
        };
        if self.header_read {
            self.admit(length)?;
        } else if length > u64::try_from(MAX_HEADER_BYTES).unwrap_or(u64::MAX) {
            return Err(CarError::HeaderTooLarge { length });
        }
        // Both branches above leave at most a little over 1 MiB.
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(prefix))
            .ok_or(CarError::BadLength)?;
        if source.len() < end {
            return Ok(None);
        }
        let framed = source.split_to(end);
        let body = framed.get(prefix..).unwrap_or_default();
        if self.header_read {
            let item = self.section(body)?;
            self.bytes += length - u64::try_from(CID_BYTES).unwrap_or(0);
            Ok(Some(item))
        } else {
            self.header(body).map(Some)
        }
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<CarItem>, CarError> {
        match self.decode(source)? {
            Some(item) => Ok(Some(item)),
            None if source.is_empty() && self.header_read => Ok(None),
            None => Err(CarError::Truncated),
        }
    }
}
