//! A transaction without its witness, as its id commits to it. Read once, checked whole, nothing copied.
//!
//! Every transaction has exactly one accepted form, and none is shaped like something else a merkle tree holds:
//!
//! - The form with marker and flag (BIP144) is refused: the id does not commit to it.
//! - Compact sizes are minimal and nothing follows the lock time, as in Bitcoin Core's `ReadCompactSize` and block reading.
//! - 64 bytes are refused: an inner node of the merkle tree has that length, and could be taken for a transaction or a
//!   transaction for it (CVE-2017-12842, GHSA-wg2x-rv86-mmpx).
//! - Values are money, each and in sum, and a null input stands only in a coinbase: Core's `CheckTransaction`.
//!
//! Whether a block may contain it (scripts, double spends) is for Bitcoin's nodes: the proof of work says they had no
//! objection.

use super::reader::Reader;
use super::{Hash, sha256d};

/// The shortest transaction: one input and one output, both with empty scripts.
pub const MIN_TX_LEN: usize = 60;
/// The longest one taken, in bytes without witness. A pool's coinbases and payouts are far shorter, and it bounds what
/// parsing costs on chain.
pub const MAX_TX_LEN: usize = 10_000;
/// All the money there will be, in sats (`MAX_MONEY`).
pub const MAX_MONEY: u64 = 21_000_000 * 100_000_000;

/// The length of two hashes, which a merkle node is made of.
pub(super) const NODE_LEN: usize = 64;
const MIN_INPUT_LEN: usize = 41;
const MIN_OUTPUT_LEN: usize = 9;

errors! {
    /// Why bytes are not a transaction.
    pub enum TxError {
        /// Shorter than [`MIN_TX_LEN`] or longer than [`MAX_TX_LEN`].
        Length = 1 => "a transaction of less than 60 or more than 10000 bytes cannot be proved",
        /// Exactly 64 bytes.
        NodeLength = 2 => "a transaction of 64 bytes looks like a merkle node and cannot be proved",
        /// The form with marker, flag and witnesses.
        Witness = 3 => "the transaction has its witness: serialize it without (its id does not commit to it)",
        /// No inputs.
        NoInputs = 4 => "the transaction has no inputs",
        /// No outputs.
        NoOutputs = 5 => "the transaction has no outputs",
        /// A length or count in more bytes than it needs.
        CompactSize = 6 => "a length in the transaction is not in its shortest form",
        /// It ends within a field, or announces more than there is.
        Truncated = 7 => "the transaction is cut short",
        /// Bytes follow its lock time.
        Trailing = 8 => "bytes follow the transaction",
        /// A null input in what is no coinbase.
        NullInput = 9 => "an input is null though the transaction is no coinbase",
        /// An output, or all together, exceed [`MAX_MONEY`].
        Value = 10 => "the outputs exceed 21 million bitcoin",
    }
}

/// A valid transaction without witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction<'a> {
    bytes: &'a [u8],
    inputs: &'a [u8],
    outputs: &'a [u8],
    input_count: usize,
    output_count: usize,
    version: i32,
    lock_time: u32,
    coinbase: bool,
}

/// An input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxIn<'a> {
    /// The transaction whose output it spends.
    pub txid: &'a Hash,
    /// Which of its outputs.
    pub vout: u32,
    /// The script that unlocks it.
    pub script_sig: &'a [u8],
    /// The sequence number.
    pub sequence: u32,
}

impl TxIn<'_> {
    /// Whether it spends nothing, as a coinbase's input does (`COutPoint::IsNull`).
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.vout == u32::MAX && *self.txid == [0; 32]
    }
}

/// An output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxOut<'a> {
    /// In sats.
    pub value: u64,
    /// The script that locks it.
    pub script: &'a [u8],
}

impl<'a> Transaction<'a> {
    /// Reads exactly one transaction and checks all of it.
    ///
    /// # Errors
    /// [`TxError`] names the rule that was broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TxError> {
        if !(MIN_TX_LEN..=MAX_TX_LEN).contains(&bytes.len()) {
            return Err(TxError::Length);
        }
        if bytes.len() == NODE_LEN {
            return Err(TxError::NodeLength);
        }
        let reader = &mut Reader(bytes);
        let version = reader.u32().ok_or(TxError::Truncated)? as i32;
        // No inputs would be the marker, and the flag its only known value (BIP144).
        if let [0, 1, ..] = reader.0 {
            return Err(TxError::Witness);
        }

        let input_count = count(reader, MIN_INPUT_LEN)?;
        if input_count == 0 {
            return Err(TxError::NoInputs);
        }
        let inputs = reader.0;
        let mut has_null = false;
        for _ in 0..input_count {
            has_null |= input(reader)?.is_null();
        }
        let inputs = &inputs[..inputs.len() - reader.0.len()];
        if has_null && input_count > 1 {
            return Err(TxError::NullInput);
        }

        let output_count = count(reader, MIN_OUTPUT_LEN)?;
        if output_count == 0 {
            return Err(TxError::NoOutputs);
        }
        let outputs = reader.0;
        let mut total = 0_u64;
        for _ in 0..output_count {
            // At most 1,111 outputs of at most 2^51: no overflow before the check of the next one.
            let value = output(reader)?.value;
            total = total.saturating_add(value);
            if value > MAX_MONEY || total > MAX_MONEY {
                return Err(TxError::Value);
            }
        }
        let outputs = &outputs[..outputs.len() - reader.0.len()];

        let lock_time = reader.u32().ok_or(TxError::Truncated)?;
        if !reader.0.is_empty() {
            return Err(TxError::Trailing);
        }
        Ok(Self {
            bytes,
            inputs,
            outputs,
            input_count,
            output_count,
            version,
            lock_time,
            coinbase: has_null,
        })
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> i32 {
        self.version
    }

    /// Its lock time.
    #[must_use]
    pub const fn lock_time(&self) -> u32 {
        self.lock_time
    }

    /// Whether its only input is null.
    #[must_use]
    pub const fn is_coinbase(&self) -> bool {
        self.coinbase
    }

    /// Its inputs, at least one.
    #[must_use]
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = TxIn<'a>> + Clone + use<'a> {
        Items::new(self.inputs, self.input_count, input)
    }

    /// Its outputs, at least one.
    #[must_use]
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = TxOut<'a>> + Clone + use<'a> {
        Items::new(self.outputs, self.output_count, output)
    }

    /// One output; `None` where there are fewer.
    #[must_use]
    pub fn output(&self, vout: u32) -> Option<TxOut<'a>> {
        self.outputs().nth(usize::try_from(vout).ok()?)
    }

    /// Its id.
    #[must_use]
    pub fn txid(&self, sha256: impl Fn(&[&[u8]]) -> Hash) -> Hash {
        sha256d(&[self.bytes], sha256)
    }
}

/// Fields that have been read once without error.
#[derive(Clone)]
struct Items<'a, T> {
    reader: Reader<'a>,
    left: usize,
    read: fn(&mut Reader<'a>) -> Result<T, TxError>,
}

impl<'a, T> Items<'a, T> {
    const fn new(
        bytes: &'a [u8],
        left: usize,
        read: fn(&mut Reader<'a>) -> Result<T, TxError>,
    ) -> Self {
        Self {
            reader: Reader(bytes),
            left,
            read,
        }
    }
}

impl<T> Iterator for Items<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        (self.read)(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Items<'_, T> {}

fn input<'a>(reader: &mut Reader<'a>) -> Result<TxIn<'a>, TxError> {
    Ok(TxIn {
        txid: reader.array().ok_or(TxError::Truncated)?,
        vout: reader.u32().ok_or(TxError::Truncated)?,
        script_sig: script(reader)?,
        sequence: reader.u32().ok_or(TxError::Truncated)?,
    })
}

fn output<'a>(reader: &mut Reader<'a>) -> Result<TxOut<'a>, TxError> {
    Ok(TxOut {
        value: reader.u64().ok_or(TxError::Truncated)?,
        script: script(reader)?,
    })
}

fn script<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], TxError> {
    let length = compact_size(reader)?;
    let length = usize::try_from(length).map_err(|_| TxError::Truncated)?;
    reader.take(length).ok_or(TxError::Truncated)
}

/// A number of items that are at least so long; more than fit into what is left are refused before any is read.
fn count(reader: &mut Reader<'_>, min_len: usize) -> Result<usize, TxError> {
    let count = compact_size(reader)?;
    match usize::try_from(count) {
        Ok(count) if count <= reader.0.len() / min_len => Ok(count),
        _ => Err(TxError::Truncated),
    }
}

/// A compact size in its shortest form (Core's `ReadCompactSize`).
fn compact_size(reader: &mut Reader<'_>) -> Result<u64, TxError> {
    let (value, least) = match reader.u8().ok_or(TxError::Truncated)? {
        0xfd => (reader.u16().map(u64::from), 0xfd),
        0xfe => (reader.u32().map(u64::from), 0x1_0000),
        0xff => (reader.u64(), 0x1_0000_0000),
        byte => (Some(u64::from(byte)), 0),
    };
    let value = value.ok_or(TxError::Truncated)?;
    if value < least {
        return Err(TxError::CompactSize);
    }
    Ok(value)
}
