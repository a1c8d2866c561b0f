//! The 80 bytes of a block header, read in place.

use zerocopy::little_endian::{I32, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{CompactTarget, Hash, sha256d};

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 80;

errors! {
    /// Why bytes are not headers.
    pub enum ParseHeaderError {
        /// Not 80 bytes, or not a multiple of 80.
        Length = 1 => "a block header has 80 bytes: pass whole headers, one after the other",
        /// No bytes at all.
        Empty = 2 => "at least one block header of 80 bytes is needed",
    }
}

#[derive(Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Fields {
    version: I32,
    prev_hash: Hash,
    merkle_root: Hash,
    time: U32,
    bits: U32,
    nonce: U32,
}
const _: () = assert!(size_of::<Fields>() == HEADER_LEN);

/// A block header. Any 80 bytes are one: what it says is judged by [`Context::extend`](super::Context::extend).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a>(&'a Fields);

impl<'a> Header<'a> {
    /// Reads exactly one header.
    ///
    /// # Errors
    /// [`ParseHeaderError`] where there are not exactly 80 bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseHeaderError> {
        match Fields::ref_from_bytes(bytes) {
            Ok(fields) => Ok(Self(fields)),
            Err(_) if bytes.is_empty() => Err(ParseHeaderError::Empty),
            Err(_) => Err(ParseHeaderError::Length),
        }
    }

    /// The version; its bits are signals to other miners (BIP9) or rolled by them (BIP320).
    #[must_use]
    pub const fn version(&self) -> i32 {
        self.0.version.get()
    }

    /// Hash of the previous block's header.
    #[must_use]
    pub const fn prev_hash(&self) -> &'a Hash {
        &self.0.prev_hash
    }

    /// Root over the block's transaction ids.
    #[must_use]
    pub const fn merkle_root(&self) -> &'a Hash {
        &self.0.merkle_root
    }

    /// The miner's clock, Unix seconds.
    #[must_use]
    pub const fn time(&self) -> u32 {
        self.0.time.get()
    }

    /// The compact target its hash must meet.
    #[must_use]
    pub const fn bits(&self) -> CompactTarget {
        CompactTarget(self.0.bits.get())
    }

    /// The nonce.
    #[must_use]
    pub const fn nonce(&self) -> u32 {
        self.0.nonce.get()
    }

    /// All 80 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// The block's hash.
    #[must_use]
    pub fn hash(&self, sha256: impl Fn(&[&[u8]]) -> Hash) -> Hash {
        sha256d(&[self.0.as_bytes()], sha256)
    }
}

/// Reads headers that stand one after the other.
///
/// # Errors
/// [`ParseHeaderError`] where their length is not a multiple of 80, or zero.
pub fn headers(
    bytes: &[u8],
) -> Result<impl ExactSizeIterator<Item = Header<'_>> + DoubleEndedIterator, ParseHeaderError> {
    if bytes.is_empty() {
        return Err(ParseHeaderError::Empty);
    }
    let headers = <[Fields]>::ref_from_bytes(bytes).map_err(|_| ParseHeaderError::Length)?;
    Ok(headers.iter().map(Header))
}
