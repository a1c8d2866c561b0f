//! A block: bytes that hash to their CID.
//!
//! Only CIDv1 with sha2-256 over `raw` or `dag-cbor` is spoken here. One form per content means one CID per content:
//! a bundle cannot be submitted twice under two names, and the verdict on it cannot depend on the spelling.

use bytes::Bytes;
use cid::{Cid, Version};
use multihash::Multihash;
use sha2::{Digest, Sha256};

/// The largest block, in bytes. Bitswap and the public gateways carry up to 2 MiB; bundle chunks are at most 256 KiB.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;

/// Multihash code of sha2-256 (multicodec table).
pub const SHA2_256: u64 = 0x12;

/// Length of a CID of the one form spoken here: version, codec, hash code and hash length of one byte each, and the hash.
pub const CID_BYTES: usize = 4 + SHA2_256_BYTES;

const SHA2_256_BYTES: usize = 32;

/// The longest CID text looked at. The canonical base32 form has 59 characters.
const MAX_CID_CHARS: usize = 128;

/// How the bytes of a block are to be read (multicodec table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Codec {
    /// Plain bytes without links.
    Raw = 0x55,
    /// DAG-CBOR: canonical CBOR whose tag 42 is a link.
    DagCbor = 0x71,
}

impl Codec {
    /// The multicodec code.
    #[must_use]
    pub const fn code(self) -> u64 {
        self as u64
    }
}

impl TryFrom<u64> for Codec {
    type Error = BlockError;

    fn try_from(code: u64) -> Result<Self, BlockError> {
        match code {
            0x55 => Ok(Self::Raw),
            0x71 => Ok(Self::DagCbor),
            _ => Err(BlockError::UnsupportedCodec(code)),
        }
    }
}

/// Why bytes and a CID do not make a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The text is not a CID.
    #[error("not a CID; expected base32 CIDv1 such as bafyrei…")]
    NotACid,
    /// The CID is written in another base or case than base32 lower case.
    #[error("CID is not in its canonical base32 form; write it as {canonical}")]
    NotCanonicalCid {
        /// The form that is taken.
        canonical: String,
    },
    /// A CIDv0, or a version from the future.
    #[error("CID version {0} is not supported; use CIDv1")]
    UnsupportedVersion(u64),
    /// A codec other than `raw` and `dag-cbor`.
    #[error("CID codec 0x{0:x} is not supported; use raw (0x55) or dag-cbor (0x71)")]
    UnsupportedCodec(u64),
    /// A hash other than sha2-256 of 32 bytes.
    #[error("CID hash 0x{code:x} of {length} bytes is not supported; use sha2-256")]
    UnsupportedHash {
        /// Multihash code.
        code: u64,
        /// Digest length in bytes.
        length: usize,
    },
    /// More bytes than a block may have.
    #[error("block of {length} bytes is larger than {MAX_BLOCK_BYTES}")]
    TooLarge {
        /// Its length.
        length: usize,
    },
    /// The bytes belong to another CID.
    #[error("bytes do not hash to the CID")]
    HashMismatch,
}

/// Bytes together with the CID they hash to. No other pair can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    codec: Codec,
    bytes: Bytes,
}

impl Block {
    /// Names `bytes` by their hash.
    ///
    /// # Errors
    /// [`BlockError::TooLarge`] above [`MAX_BLOCK_BYTES`].
    pub fn new(codec: Codec, bytes: impl Into<Bytes>) -> Result<Self, BlockError> {
        let bytes = bytes.into();
        check_length(bytes.len())?;
        Ok(Self {
            cid: cid_of(codec, &bytes)?,
            codec,
            bytes,
        })
    }

    /// Accepts `bytes` as the block `cid` if they hash to it.
    ///
    /// # Errors
    /// A CID of another form than [`check_cid`] allows, too many bytes, or another hash.
    pub fn verify(cid: &Cid, bytes: impl Into<Bytes>) -> Result<Self, BlockError> {
        let codec = check_cid(cid)?;
        let bytes = bytes.into();
        check_length(bytes.len())?;
        if cid_of(codec, &bytes)? != *cid {
            return Err(BlockError::HashMismatch);
        }
        Ok(Self {
            cid: *cid,
            codec,
            bytes,
        })
    }

    /// The block's name.
    #[must_use]
    pub const fn cid(&self) -> &Cid {
        &self.cid
    }

    /// How the bytes are to be read.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The content.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The content, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// The codec of a CID of the one form spoken here.
///
/// # Errors
/// Anything but CIDv1 + sha2-256 + `raw`/`dag-cbor`, by name.
pub fn check_cid(cid: &Cid) -> Result<Codec, BlockError> {
    if cid.version() != Version::V1 {
        return Err(BlockError::UnsupportedVersion(cid.version().into()));
    }
    let hash = cid.hash();
    if hash.code() != SHA2_256 || usize::from(hash.size()) != SHA2_256_BYTES {
        return Err(BlockError::UnsupportedHash {
            code: hash.code(),
            length: usize::from(hash.size()),
        });
    }
    Codec::try_from(cid.codec())
}

/// Reads a CID from its canonical text: lower-case base32 with the prefix `b`, nothing before or after.
///
/// The `cid` crate also takes other bases and `/ipfs/` paths. One content under several texts would let one submission
/// pass for two, so those are refused.
///
/// # Errors
/// [`BlockError::NotACid`], [`BlockError::NotCanonicalCid`], or a form [`check_cid`] refuses.
pub fn parse_cid(text: &str) -> Result<Cid, BlockError> {
    // Decoding base58 takes time quadratic in the length.
    if text.len() > MAX_CID_CHARS {
        return Err(BlockError::NotACid);
    }
    let cid = Cid::try_from(text).map_err(|_| BlockError::NotACid)?;
    check_cid(&cid)?;
    let canonical = cid.to_string();
    if canonical != text {
        return Err(BlockError::NotCanonicalCid { canonical });
    }
    Ok(cid)
}

fn check_length(length: usize) -> Result<(), BlockError> {
    if length > MAX_BLOCK_BYTES {
        return Err(BlockError::TooLarge { length });
    }
    Ok(())
}

fn cid_of(codec: Codec, bytes: &[u8]) -> Result<Cid, BlockError> {
    let digest = Sha256::digest(bytes);
    let hash = Multihash::wrap(SHA2_256, &digest).map_err(|_| BlockError::UnsupportedHash {
        code: SHA2_256,
        length: digest.len(),
    })?;
    Ok(Cid::new_v1(codec.code(), hash))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    fn cid_text(codec: Codec, bytes: &'static [u8]) -> String {
        Block::new(codec, bytes).unwrap().cid().to_string()
    }

    /// Known from other implementations: `ipfs add --raw-leaves`, `ipfs dag put`, js-multiformats' documentation.
    #[test]
    fn cids_of_other_implementations() {
        for (codec, bytes, expected) in [
            (
                Codec::Raw,
                &b"hello world\n"[..],
                "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
            ),
            (
                Codec::Raw,
                b"hello world",
                "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
            ),
            (
                Codec::Raw,
                b"",
                "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
            ),
            (
                Codec::DagCbor,
                b"\xa0",
                "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
            ),
            (
                Codec::DagCbor,
                b"\xa1\x65hello\x65world",
                "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae",
            ),
        ] {
            assert_eq!(cid_text(codec, bytes), expected);
        }
    }

    #[test]
    fn one_spelling_of_a_cid() {
        let cid = *Block::new(Codec::Raw, &b"x"[..]).unwrap().cid();
        let text = cid.to_string();
        assert_eq!(parse_cid(&text), Ok(cid));
        for other in [
            text.to_uppercase(),
            cid.to_string_of_base(multibase(b'z')).unwrap(),
            cid.to_string_of_base(multibase(b'f')).unwrap(),
            format!("/ipfs/{text}"),
            format!("https://gateway.example/ipfs/{text}"),
        ] {
            assert_eq!(
                parse_cid(&other),
                Err(BlockError::NotCanonicalCid {
                    canonical: text.clone()
                }),
                "{other}"
            );
        }
        for garbage in ["", "b", "bafy", "../../etc/passwd", &"b".repeat(1 << 20)] {
            assert_eq!(parse_cid(garbage), Err(BlockError::NotACid));
        }
        for garbage in [
            format!(" {text}"),
            format!("{text} "),
            format!("{text}/"),
            format!("{text}a"),
        ] {
            assert!(parse_cid(&garbage).is_err(), "{garbage:?}");
        }
    }

    fn multibase(code: u8) -> cid::multibase::Base {
        cid::multibase::Base::from_code(char::from(code)).unwrap()
    }

    #[test]
    fn other_forms_of_cid_are_refused_by_name() {
        let digest = Sha256::digest(b"x");
        let sha256 = Multihash::wrap(SHA2_256, &digest).unwrap();
        let cases = [
            (
                Cid::new_v0(sha256).unwrap(),
                BlockError::UnsupportedVersion(0),
            ),
            (
                Cid::new_v1(0x70, sha256),
                BlockError::UnsupportedCodec(0x70),
            ),
            (
                Cid::new_v1(0x55, Multihash::wrap(0x00, b"x").unwrap()),
                BlockError::UnsupportedHash { code: 0, length: 1 },
            ),
            (
                Cid::new_v1(0x55, Multihash::wrap(SHA2_256, &digest[..31]).unwrap()),
                BlockError::UnsupportedHash {
                    code: SHA2_256,
                    length: 31,
                },
            ),
        ];
        for (cid, error) in cases {
            assert_eq!(Block::verify(&cid, &b"x"[..]), Err(error));
        }
        // "Qm…" is how most people still meet IPFS.
        assert_eq!(
            parse_cid("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"),
            Err(BlockError::UnsupportedVersion(0))
        );
    }

    #[test]
    fn the_size_limit_holds_to_the_byte() {
        let full = Block::new(Codec::Raw, vec![0; MAX_BLOCK_BYTES]).unwrap();
        assert_eq!(full.bytes().len(), MAX_BLOCK_BYTES);
        let error = BlockError::TooLarge {
            length: MAX_BLOCK_BYTES + 1,
        };
        assert_eq!(
            Block::new(Codec::Raw, vec![0; MAX_BLOCK_BYTES + 1]),
            Err(error.clone())
        );
        assert_eq!(
            Block::verify(full.cid(), vec![0; MAX_BLOCK_BYTES + 1]),
            Err(error)
        );
    }

    proptest! {
        #[test]
        fn verified_means_unaltered(
            bytes in proptest::collection::vec(any::<u8>(), 1..512),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let block = Block::new(Codec::Raw, bytes.clone()).unwrap();
            prop_assert_eq!(&Block::verify(block.cid(), bytes.clone()).unwrap(), &block);
            prop_assert_eq!(parse_cid(&block.cid().to_string()).unwrap(), *block.cid());
            prop_assert_eq!(block.cid().encoded_len(), CID_BYTES);

            let mut altered = bytes;
            let at = at.index(altered.len());
            altered[at] ^= flip;
            prop_assert_eq!(
                Block::verify(block.cid(), altered),
                Err(BlockError::HashMismatch)
            );
        }

        #[test]
        fn cid_text_never_panics(text in "\\PC{0,140}") {
            if let Ok(cid) = parse_cid(&text) {
                prop_assert_eq!(cid.to_string(), text);
            }
        }
    }
}
