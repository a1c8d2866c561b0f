//! A chunk of packed shares: what a miner chose, and nothing that can be rebuilt.
//!
//! ```text
//! chunk  := count varint, share*                       shares in strictly rising order (all fields, as listed)
//! share  := job          varint   difference to the share before
//!           claim        varint   difference, or absolute when the job differs
//!           extranonce   varint   difference as a 96-bit number, or absolute when job or claim differ
//!           ntime        varint   seconds since the job's base time
//!           nonce        4 bytes  big-endian
//!           version bits 2 bytes  big-endian, the sixteen bits of BIP320
//! ```
//!
//! Before the first share everything is zero, so each chunk is readable by itself. A varint is unsigned LEB128 in its
//! shortest form. The order is total and each number has one form, so a set of shares has exactly one encoding.

use unsigned_varint::{decode, encode};
use work::{Extranonce, ShareFields, VersionMask};

/// Shares in every chunk of a bundle but the last. A fixed number makes the cut canonical without looking at bytes.
pub const SHARES_PER_CHUNK: usize = 8192;

/// The longest chunk: what IPFS tools take as one raw block without splitting it.
pub const MAX_CHUNK_BYTES: usize = 256 * 1024;

/// The most entries a table may have, so that an index takes three varint bytes.
pub(crate) const MAX_TABLE_ENTRIES: usize = 1 << 17;

/// 3 (job) + 3 (claim) + 14 (96 bits) + 5 (32 bits) + 4 + 2.
const MAX_SHARE_BYTES: usize = 31;
/// A varint of at most [`SHARES_PER_CHUNK`].
const MAX_COUNT_BYTES: usize = 2;
const _: () = assert!(SHARES_PER_CHUNK < 1 << (7 * MAX_COUNT_BYTES));
const _: () = assert!(MAX_COUNT_BYTES + SHARES_PER_CHUNK * MAX_SHARE_BYTES <= MAX_CHUNK_BYTES);
const _: () = assert!(MAX_TABLE_ENTRIES <= 1 << 21);

/// Four varints of one byte, nonce and version bits. With it a claimed count is checked before memory is reserved.
const MIN_SHARE_BYTES: usize = 10;

/// BIP320's bits start here.
const VERSION_SHIFT: u32 = 13;
const _: () = assert!(VersionMask::BIP320.to_u32() == 0xffff << VERSION_SHIFT);

/// The most bytes a chunk of so many shares can have.
pub(crate) fn most_chunk_bytes(shares: u32) -> u64 {
    (MAX_COUNT_BYTES as u64).saturating_add(u64::from(shares) * MAX_SHARE_BYTES as u64)
}

/// A share as a bundle holds it. Its order is the canonical one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackedShare {
    /// Index into the bundle's jobs.
    pub job: u32,
    /// Index into the bundle's claims.
    pub claim: u32,
    /// Extranonce1 and extranonce2; read as one big-endian number.
    pub extranonce: Extranonce,
    /// The header's time.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The header's version bits under [`VersionMask::BIP320`].
    pub version_bits: u32,
}

impl PackedShare {
    /// What [`work::check_share`] takes.
    #[must_use]
    pub fn fields(&self) -> ShareFields {
        ShareFields {
            extranonce: self.extranonce,
            ntime: self.ntime,
            nonce: self.nonce,
            version_bits: Some(self.version_bits),
        }
    }
}

/// Why bytes are not a chunk of shares (or shares cannot be made into one).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// Longer than [`MAX_CHUNK_BYTES`].
    #[error("{0} bytes are more than a chunk may have ({MAX_CHUNK_BYTES})")]
    TooLong(usize),
    /// No share, more than [`SHARES_PER_CHUNK`], or more than the bytes can hold.
    #[error("a count of {0} shares is impossible for these bytes")]
    Count(u64),
    /// The bytes end inside a share.
    #[error("share {0}: the bytes end inside it")]
    Truncated(usize),
    /// A number that is too large, or not in its shortest form.
    #[error("share {share}: its {field} is out of range or not in shortest form")]
    Number {
        /// Position in the chunk.
        share: usize,
        /// Which field.
        field: &'static str,
    },
    /// Not above the share before.
    #[error("share {0}: not above the share before it (shares are sorted, each stands once)")]
    Order(usize),
    /// Bytes after the last share.
    #[error("{0} bytes after the last share")]
    Trailing(usize),
}

/// Encodes shares in canonical order; `base_times` are those of the jobs, by index.
///
/// # Errors
/// [`ChunkError`] when they are not in order, too many, or name a job that is not there.
pub fn encode_chunk(shares: &[PackedShare], base_times: &[u32]) -> Result<Vec<u8>, ChunkError> {
    if shares.is_empty() || shares.len() > SHARES_PER_CHUNK {
        return Err(ChunkError::Count(shares.len() as u64));
    }
    let mut bytes = Vec::with_capacity(shares.len() * 16);
    let mut buffer = encode::u128_buffer();
    let mut varint = |bytes: &mut Vec<u8>, number: u128| {
        bytes.extend_from_slice(encode::u128(number, &mut buffer));
    };
    varint(&mut bytes, shares.len() as u128);
    let mut before: Option<&PackedShare> = None;
    for (index, share) in shares.iter().enumerate() {
        if before.is_some_and(|before| before >= share) {
            return Err(ChunkError::Order(index));
        }
        let out_of_range = |field| ChunkError::Number {
            share: index,
            field,
        };
        let base_time = base_times
            .get(share.job as usize)
            .filter(|_| (share.job as usize) < MAX_TABLE_ENTRIES)
            .ok_or(out_of_range("job"))?;
        if share.claim as usize >= MAX_TABLE_ENTRIES {
            return Err(out_of_range("claim"));
        }
        if !VersionMask::BIP320.allows(share.version_bits) {
            return Err(out_of_range("version bits"));
        }
        let same_job = before.filter(|b| b.job == share.job);
        let same_claim = same_job.filter(|b| b.claim == share.claim);
        varint(
            &mut bytes,
            u128::from(share.job - before.map_or(0, |b| b.job)),
        );
        varint(
            &mut bytes,
            u128::from(share.claim - same_job.map_or(0, |b| b.claim)),
        );
        let from = same_claim.map_or(0, |b| number_of(&b.extranonce));
        varint(&mut bytes, number_of(&share.extranonce) - from);
        let offset = share
            .ntime
            .checked_sub(*base_time)
            .ok_or(out_of_range("ntime"))?;
        varint(&mut bytes, u128::from(offset));
        bytes.extend(share.nonce.to_be_bytes());
        bytes.extend(((share.version_bits >> VERSION_SHIFT) as u16).to_be_bytes());
        before = Some(share);
    }
    Ok(bytes)
}

/// Decodes a chunk; `base_times` are those of the bundle's jobs, `claims` is the number of its claims.
///
/// Memory is bounded by the bytes given: 10 bytes make a share at least.
///
/// # Errors
/// [`ChunkError`] names the first share that is not in its one right form.
pub fn decode_chunk(
    bytes: &[u8],
    base_times: &[u32],
    claims: usize,
) -> Result<Vec<PackedShare>, ChunkError> {
    if bytes.len() > MAX_CHUNK_BYTES {
        return Err(ChunkError::TooLong(bytes.len()));
    }
    let mut reader = Reader {
        rest: bytes,
        share: 0,
    };
    let count = reader.varint("count", u128::from(u64::MAX))? as u64;
    let fits = (reader.rest.len() / MIN_SHARE_BYTES).min(SHARES_PER_CHUNK);
    if count == 0 || count > fits as u64 {
        return Err(ChunkError::Count(count));
    }
    let mut shares: Vec<PackedShare> = Vec::with_capacity(count as usize);
    for index in 0..count as usize {
        reader.share = index;
        let before = shares.last();
        let share = reader.share(before, base_times, claims)?;
        if before.is_some_and(|before| *before >= share) {
            return Err(ChunkError::Order(index));
        }
        shares.push(share);
    }
    match reader.rest.len() {
        0 => Ok(shares),
        more => Err(ChunkError::Trailing(more)),
    }
}

/// An extranonce as a 96-bit number.
fn number_of(extranonce: &Extranonce) -> u128 {
    extranonce
        .as_bytes()
        .iter()
        .fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

/// The largest 96-bit number.
const MAX_EXTRANONCE: u128 = (1 << (8 * Extranonce::BYTES)) - 1;

fn extranonce_of(number: u128) -> Extranonce {
    let mut bytes = [0; Extranonce::BYTES];
    bytes.copy_from_slice(&number.to_be_bytes()[16 - Extranonce::BYTES..]);
    Extranonce::from_bytes(bytes)
}

/// Reads the fields of a share.
struct Reader<'a> {
    rest: &'a [u8],
    share: usize,
}

impl Reader<'_> {
    /// A varint of at most `max`, in its shortest form.
    fn varint(&mut self, field: &'static str, max: u128) -> Result<u128, ChunkError> {
        let bad = ChunkError::Number {
            share: self.share,
            field,
        };
        let (number, rest) = decode::u128(self.rest).map_err(|error| match error {
            decode::Error::Insufficient => ChunkError::Truncated(self.share),
            _ => bad.clone(),
        })?;
        // The library drops bits that a last byte carries beyond its type, so a number could be written in two ways;
        // the length it should have had gives that away.
        let shortest = (128 - number.leading_zeros()).div_ceil(7).max(1) as usize;
        if number > max || self.rest.len() - rest.len() != shortest {
            return Err(bad);
        }
        self.rest = rest;
        Ok(number)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ChunkError> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(ChunkError::Truncated(self.share))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn share(
        &mut self,
        before: Option<&PackedShare>,
        base_times: &[u32],
        claims: usize,
    ) -> Result<PackedShare, ChunkError> {
        let bad = |share, field| ChunkError::Number { share, field };
        let job_from = before.map_or(0, |b| b.job);
        let job = job_from as usize + self.varint("job", MAX_TABLE_ENTRIES as u128)? as usize;
        let base_time = *base_times.get(job).ok_or(bad(self.share, "job"))?;
        let same_job = before.filter(|b| b.job as usize == job);

        let claim_from = same_job.map_or(0, |b| b.claim);
        let claim = claim_from as usize + self.varint("claim", MAX_TABLE_ENTRIES as u128)? as usize;
        if claim >= claims {
            return Err(bad(self.share, "claim"));
        }
        let same_claim = same_job.filter(|b| b.claim as usize == claim);

        let from = same_claim.map_or(0, |b| number_of(&b.extranonce));
        let extranonce = from + self.varint("extranonce", MAX_EXTRANONCE)?;
        if extranonce > MAX_EXTRANONCE {
            return Err(bad(self.share, "extranonce"));
        }
        let offset = self.varint("ntime", u128::from(u32::MAX))? as u32;
        let ntime = base_time
            .checked_add(offset)
            .ok_or(bad(self.share, "ntime"))?;
        let nonce = u32::from_be_bytes(self.bytes()?);
        let version_bits = u32::from(u16::from_be_bytes(self.bytes()?)) << VERSION_SHIFT;
        Ok(PackedShare {
            // Both are indices below 2^17.
            job: job as u32,
            claim: claim as u32,
            extranonce: extranonce_of(extranonce),
            ntime,
            nonce,
            version_bits,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const BASE_TIMES: [u32; 3] = [0, 1_700_000_000, u32::MAX];

    fn share(
        job: u32,
        claim: u32,
        extranonce: u128,
        offset: u32,
        nonce: u32,
        bits: u16,
    ) -> PackedShare {
        PackedShare {
            job,
            claim,
            extranonce: extranonce_of(extranonce),
            ntime: BASE_TIMES[job as usize].saturating_add(offset),
            nonce,
            version_bits: u32::from(bits) << VERSION_SHIFT,
        }
    }

    fn shares() -> impl Strategy<Value = Vec<PackedShare>> {
        let one = (
            0..3_u32,
            0..4_u32,
            prop_oneof![0..4_u128, 0..=MAX_EXTRANONCE],
            0..3_u32,
            0..3_u32,
            any::<u16>(),
        )
            .prop_map(|(job, claim, extranonce, offset, nonce, bits)| {
                share(job, claim, extranonce, offset, nonce, bits)
            });
        prop::collection::btree_set(one, 1..200)
            .prop_map(|set: BTreeSet<_>| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn round_trip(shares in shares()) {
            let bytes = encode_chunk(&shares, &BASE_TIMES).unwrap();
            prop_assert_eq!(decode_chunk(&bytes, &BASE_TIMES, 4).unwrap(), shares);
        }

        #[test]
        fn whatever_decodes_is_the_one_encoding(shares in shares(), at: prop::sample::Index, flip in 1..=255_u8) {
            let mut bytes = encode_chunk(&shares, &BASE_TIMES).unwrap();
            *at.get_mut(&mut bytes) ^= flip;
            if let Ok(decoded) = decode_chunk(&bytes, &BASE_TIMES, 4) {
                prop_assert_eq!(encode_chunk(&decoded, &BASE_TIMES).unwrap(), bytes);
            }
        }

        #[test]
        fn garbage_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(decoded) = decode_chunk(&bytes, &BASE_TIMES, 4) {
                prop_assert_eq!(encode_chunk(&decoded, &BASE_TIMES).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn the_longest_chunk_fits() {
        // Every field as long as it gets: jobs far apart, absolute extranonces, late times.
        let base_times = vec![0_u32; MAX_TABLE_ENTRIES];
        let shares: Vec<_> = (0..SHARES_PER_CHUNK as u32)
            .map(|i| PackedShare {
                job: i * 15,
                claim: MAX_TABLE_ENTRIES as u32 - 1,
                extranonce: Extranonce::from_bytes([0xff; 12]),
                ntime: u32::MAX,
                nonce: 0,
                version_bits: 0,
            })
            .collect();
        let bytes = encode_chunk(&shares, &base_times).unwrap();
        assert!(bytes.len() <= MAX_CHUNK_BYTES, "{}", bytes.len());
        assert_eq!(
            decode_chunk(&bytes, &base_times, MAX_TABLE_ENTRIES).unwrap(),
            shares
        );
    }

    #[test]
    fn order_and_repetition() {
        let (a, b) = (share(0, 0, 1, 0, 0, 0), share(0, 0, 2, 0, 0, 0));
        assert_eq!(
            encode_chunk(&[b, a], &BASE_TIMES),
            Err(ChunkError::Order(1))
        );
        assert_eq!(
            encode_chunk(&[a, a], &BASE_TIMES),
            Err(ChunkError::Order(1))
        );
        // The second share as a difference of nothing at all.
        let mut twice = encode_chunk(&[a], &BASE_TIMES).unwrap();
        twice[0] = 2;
        twice.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            decode_chunk(&twice, &BASE_TIMES, 4),
            Err(ChunkError::Order(1))
        );
    }

    #[test]
    fn padded_and_overflowing_numbers_are_refused() {
        let padded = [&[0x81_u8, 0x00][..], &[0; 10]].concat();
        assert!(matches!(
            decode_chunk(&padded, &BASE_TIMES, 4),
            Err(ChunkError::Number { .. })
        ));
        // unsigned-varint reads nineteen bytes that end in 0x04 as zero: the bit is shifted out of its u128.
        let mut lost_bits = vec![1_u8];
        lost_bits.extend([0x80; 18]);
        lost_bits.push(0x04);
        lost_bits.extend([0; 9]);
        assert_eq!(decode::u128(&lost_bits[1..20]).unwrap().0, 0);
        assert!(matches!(
            decode_chunk(&lost_bits, &BASE_TIMES, 4),
            Err(ChunkError::Number {
                share: 0,
                field: "job"
            })
        ));
    }

    #[test]
    fn counts_are_checked_before_memory_is_reserved() {
        let mut buffer = encode::u64_buffer();
        let mut huge = encode::u64(u64::MAX, &mut buffer).to_vec();
        huge.extend([0; 20]);
        assert_eq!(
            decode_chunk(&huge, &BASE_TIMES, 4),
            Err(ChunkError::Count(u64::MAX))
        );
        assert_eq!(
            decode_chunk(&[0], &BASE_TIMES, 4),
            Err(ChunkError::Count(0))
        );
        assert_eq!(
            decode_chunk(&[], &BASE_TIMES, 4),
            Err(ChunkError::Truncated(0))
        );
    }
}
