//! The output that names the redemptions a Bitcoin payout settles, so that one payout cannot settle another's.
//!
//! ```text
//! OP_RETURN push( "KOII" | 0x01 | first_id u64le | bitmap 1..=64 bytes )
//! ```
//!
//! Bit `i` of the bitmap (byte `i / 8`, least significant bit first) names redemption `first_id + i`. There is one form of
//! a set: its first bit is set, its last byte is not zero, the push is the shortest. 77 bytes are what fits the 80 bytes
//! that relaying nodes have allowed in such an output since 2014 (`MAX_OP_RETURN_RELAY`, with the opcodes 83).
//!
//! Which output pays which of them is [`is_payout`]'s to say.

use alloc::vec::Vec;

use super::reader::Reader;

/// A batch's ids span at most so many numbers.
pub const MAX_SPAN: u64 = 8 * MAX_BITMAP_LEN as u64;

const MAGIC: [u8; 4] = *b"KOII";
const VERSION: u8 = 1;
const PREFIX_LEN: usize = 4 + 1 + 8;
const MAX_BITMAP_LEN: usize = 64;

const OP_RETURN: u8 = 0x6a;
const OP_PUSHDATA1: u8 = 0x4c;

errors! {
    /// Why a script names no redemptions, or redemptions cannot be named in one.
    pub enum RedeemIdsError {
        /// Not an OP_RETURN output of this form.
        NotRedeemIds = 1 => "the script is not the pool's OP_RETURN output",
        /// Of another version.
        Version = 2 => "the OP_RETURN output is of a version this program does not know",
        /// The push's opcode is not the shortest for its length, or bytes follow it.
        Push = 3 => "the OP_RETURN output must be a single push in its shortest form",
        /// No bitmap, or more than 64 bytes of it.
        BitmapLength = 4 => "the bitmap of redemption ids has 1 to 64 bytes",
        /// The first id is not set, or the last byte is zero.
        BitmapForm = 5 => "the bitmap of redemption ids must start with a set bit and not end with a zero byte",
        /// An id above 2^64 - 1.
        Overflow = 6 => "a redemption id exceeds 64 bits",
        /// No ids.
        NoIds = 7 => "no redemption ids are given",
        /// An id twice.
        Repeated = 8 => "a redemption id is given twice",
        /// Ids too far apart.
        Span = 9 => "the batch's redemption ids span more than 512: pay them in two batches",
    }
}

/// A set of redemption ids, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedeemIds<'a> {
    first: u64,
    bitmap: &'a [u8],
}

impl<'a> RedeemIds<'a> {
    /// Reads an output's script.
    ///
    /// # Errors
    /// [`RedeemIdsError`]: [`NotRedeemIds`](RedeemIdsError::NotRedeemIds) for any other output, another one where this
    /// is meant and malformed.
    pub fn parse(script: &'a [u8]) -> Result<Self, RedeemIdsError> {
        let (pushed, long, payload) = match script {
            [OP_RETURN, OP_PUSHDATA1, pushed, payload @ ..] => (*pushed, true, payload),
            [OP_RETURN, pushed, payload @ ..] if *pushed < OP_PUSHDATA1 => {
                (*pushed, false, payload)
            }
            _ => return Err(RedeemIdsError::NotRedeemIds),
        };
        let reader = &mut Reader(payload);
        if reader.array() != Some(&MAGIC) {
            return Err(RedeemIdsError::NotRedeemIds);
        }
        if usize::from(pushed) != payload.len() || long != (pushed >= OP_PUSHDATA1) {
            return Err(RedeemIdsError::Push);
        }
        if reader.u8() != Some(VERSION) {
            return Err(RedeemIdsError::Version);
        }
        let first = reader.u64().ok_or(RedeemIdsError::BitmapLength)?;
        let bitmap = reader.0;
        if !(1..=MAX_BITMAP_LEN).contains(&bitmap.len()) {
            return Err(RedeemIdsError::BitmapLength);
        }
        let (lowest, highest) = (bitmap[0], bitmap[bitmap.len() - 1]);
        if lowest & 1 == 0 || highest == 0 {
            return Err(RedeemIdsError::BitmapForm);
        }
        let last = 8 * bitmap.len() as u64 - 1 - u64::from(highest.leading_zeros());
        if first.checked_add(last).is_none() {
            return Err(RedeemIdsError::Overflow);
        }
        Ok(Self { first, bitmap })
    }

    /// Whether this redemption is named.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        let Some(bit) = id.checked_sub(self.first) else {
            return false;
        };
        let byte = usize::try_from(bit / 8)
            .ok()
            .and_then(|at| self.bitmap.get(at));
        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// All of them, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u64> + use<'a> {
        let Self { first, bitmap } = *self;
        (0..8 * bitmap.len() as u64)
            .filter(move |bit| bitmap[(bit / 8) as usize] >> (bit % 8) & 1 == 1)
            .filter_map(move |bit| first.checked_add(bit))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bitmap
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum()
    }

    /// How many of them are below this one, if it is named.
    #[must_use]
    pub fn rank(&self, id: u64) -> Option<usize> {
        self.contains(id)
            .then(|| self.ids().take_while(|other| *other < id).count())
    }

    /// The script that names these ids, given in any order. For the host: it allocates.
    ///
    /// # Errors
    /// [`RedeemIdsError::NoIds`], [`RedeemIdsError::Repeated`], [`RedeemIdsError::Span`].
    pub fn encode(ids: &[u64]) -> Result<Vec<u8>, RedeemIdsError> {
        let first = *ids.iter().min().ok_or(RedeemIdsError::NoIds)?;
        let mut bitmap = [0_u8; MAX_BITMAP_LEN];
        let mut len = 0;
        for id in ids {
            let bit = id - first;
            if bit >= MAX_SPAN {
                return Err(RedeemIdsError::Span);
            }
            let (at, mask) = ((bit / 8) as usize, 1 << (bit % 8));
            if bitmap[at] & mask != 0 {
                return Err(RedeemIdsError::Repeated);
            }
            bitmap[at] |= mask;
            len = len.max(at + 1);
        }
        let pushed = (PREFIX_LEN + len) as u8;
        let mut script = Vec::with_capacity(3 + usize::from(pushed));
        script.push(OP_RETURN);
        if pushed >= OP_PUSHDATA1 {
            script.push(OP_PUSHDATA1);
        }
        script.push(pushed);
        script.extend_from_slice(&MAGIC);
        script.push(VERSION);
        script.extend_from_slice(&first.to_le_bytes());
        script.extend_from_slice(&bitmap[..len]);
        Ok(script)
    }
}

/// Whether a transaction with these output scripts pays redemption `id` by its output `vout`; `None` where it does not name
/// it.
///
/// A transaction that names one redemption pays it by whichever output is sufficient. Of several the first is paid by the
/// first output, the second by the second, and so on, outputs of data (OP_RETURN) not counted: if any sufficient output would
/// do, then of two redemptions to one script the little one could be settled by the large one's output, and the large one,
/// which nothing is left for, be refunded though it was paid.
#[must_use]
pub fn is_payout<'a>(
    scripts: impl Iterator<Item = &'a [u8]> + Clone,
    id: u64,
    vout: u32,
) -> Option<bool> {
    let mut named = 0;
    let mut rank = None;
    for ids in scripts
        .clone()
        .filter_map(|script| RedeemIds::parse(script).ok())
    {
        named += ids.count();
        rank = rank.or_else(|| ids.rank(id));
    }
    let rank = rank?;
    let place = (0..)
        .zip(scripts)
        .filter(|(_, script)| script.first() != Some(&OP_RETURN))
        .map(|(place, _): (u32, _)| place)
        .nth(rank);
    Some(named == 1 || place == Some(vout))
}
