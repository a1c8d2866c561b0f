//! Proofs that a block contains a transaction, as bytes.
//!
//! ```text
//! coinbase proof  header 80 | tx_len u16le | tx | siblings n*32
//! payment proof   header 80 | tx_len u16le | tx | index u32le | depth u8 | siblings depth*32
//!                 | coinbase_len u32le | coinbase | coinbase siblings depth*32
//! ```
//!
//! Nothing may follow. The header is not judged here: that its hash is a block of the best chain, deep enough, is for the
//! caller to compare.
//!
//! # Why a payment brings its block's coinbase
//!
//! A merkle tree does not say how deep it is. Whoever gets a transaction of 64 bytes into a block can present its two
//! halves as the ids of one level more, one half being the id of a transaction that exists nowhere (CVE-2017-12842). It
//! costs some 2^61 hashes, because half of those bytes can be chosen, and the 64 bytes belong to the *real* transaction, so
//! that refusing proved transactions of 64 bytes does not help (GHSA-wg2x-rv86-mmpx).
//!
//! The coinbase shows the depth. Say the block's tree has D levels and the proof claims d, for both branches alike:
//!
//! - d > D: the coinbase's branch goes left at every step, so at level D it leads through the coinbase's place, whose id is
//!   that of the block's real coinbase. The two hashes that the proof puts below it are then, SHA-256 being what it is, that
//!   coinbase's own 64 bytes, and the first of them - itself a double hash - its first 32 bytes: a version, the number of
//!   its inputs and 27 zeros of its null input, which Bitcoin's nodes insist on. Such a hash takes some 2^224 tries.
//! - d < D: what is shown as the coinbase hashes to an inner node, so it is that node: 64 bytes. They are refused by length.
//! - d = D: both are leaves, the payment is a transaction of the block and the coinbase the block's own.
//!
//! A coinbase proof needs no companion, for the same reason.
//!
//! # Why the companion is not parsed
//!
//! None of this rests on what the coinbase says after its null input: its id commits to it, and whether it is a valid
//! transaction Bitcoin's nodes have judged. Whoever finds the block writes it, and may make it as long as a block - up to
//! [`MAX_BLOCK_LEN`], tens of thousands of outputs. If it had to pass the parser, which takes 10,000 bytes, a miner could
//! make a payment in his block unprovable, and its redemption would be paid and refunded. So it is only hashed, at a cost
//! that its length bounds. That it begins as a coinbase does is asked so that a mistake is named: nothing but the block's
//! coinbase leads to the root at that place and depth.

use alloc::vec::Vec;
use core::fmt;

use super::header::HEADER_LEN;
use super::reader::Reader;
use super::transaction::{MIN_TX_LEN, NODE_LEN};
use super::{Hash, Header, MerkleError, Transaction, TxError, merkle, sha256d};

/// The most bytes of a block without witnesses: each counts four times towards its weight, of which there are 4,000,000
/// (`MAX_BLOCK_WEIGHT`, BIP141).
pub const MAX_BLOCK_LEN: usize = 1_000_000;
/// The most levels of a block's tree: 1,000,000 bytes hold 16,665 transactions of [`MIN_TX_LEN`].
pub const MAX_BLOCK_DEPTH: usize = 15;

/// What follows a coinbase's version: the number of its inputs, one, and that input's null outpoint (`COutPoint::SetNull`).
const NULL_INPUT: [u8; 37] = {
    let mut bytes = [0; 37];
    bytes[0] = 1;
    let mut at = 33;
    while at < 37 {
        bytes[at] = 0xff;
        at += 1;
    }
    bytes
};

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProofError {
    /// It ends within a field.
    Truncated,
    /// Bytes follow it, or its siblings are not whole.
    Trailing,
    /// The proved transaction of a [`PaymentProof`] is the block's first, or a coinbase.
    IsCoinbase,
    /// The transaction at index 0 is not a coinbase.
    NotCoinbase,
    /// The branch leads to another root than the header's.
    Root,
    /// The coinbase's branch leads to another root than the header's.
    CoinbaseRoot,
    /// A part is too long to be encoded, or the two branches differ in length.
    Unencodable,
    /// The transaction is malformed.
    Transaction(TxError),
    /// The coinbase of a [`PaymentProof`] has a length no coinbase is shown with, or its witness.
    Coinbase(TxError),
    /// The branch is malformed.
    Branch(MerkleError),
}

impl ProofError {
    /// Its number: never another one's, in any version. Malformed transactions are 32 and up, malformed coinbases of
    /// payment proofs 64 and up, malformed branches 96 and up.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Truncated => 1,
            Self::Trailing => 2,
            Self::IsCoinbase => 3,
            Self::NotCoinbase => 4,
            Self::Root => 5,
            Self::CoinbaseRoot => 6,
            Self::Unencodable => 7,
            Self::Transaction(error) => 32 + error.code(),
            Self::Coinbase(error) => 64 + error.code(),
            Self::Branch(error) => 96 + error.code(),
        }
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the proof is cut short: submit all of it",
            Self::Trailing => "bytes are left over after the proof: submit only one, whole",
            Self::IsCoinbase => "the transaction is a coinbase: prove it by a coinbase proof",
            Self::NotCoinbase => "the block's first transaction must be its coinbase",
            Self::Root => {
                "the transaction's branch leads to another root than the header's: build the proof from this very block"
            }
            Self::CoinbaseRoot => {
                "the coinbase's branch leads to another root than the header's: build the proof from this very block"
            }
            Self::Unencodable => {
                "a transaction is too long, or the two branches differ in length: build the proof from one block"
            }
            Self::Transaction(error) => return write!(f, "the transaction: {error}"),
            Self::Coinbase(error) => return write!(f, "the coinbase: {error}"),
            Self::Branch(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for ProofError {}

impl From<MerkleError> for ProofError {
    fn from(error: MerkleError) -> Self {
        Self::Branch(error)
    }
}

/// What a proof has shown: the block with this hash contains this transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven<'a> {
    /// Hash of the header. Nothing is proved until it is found in the best chain.
    pub block_hash: Hash,
    /// The transaction's id.
    pub txid: Hash,
    /// The transaction.
    pub transaction: Transaction<'a>,
}

/// A proof of a block's coinbase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoinbaseProof<'a> {
    header: Header<'a>,
    transaction: Transaction<'a>,
    siblings: &'a [Hash],
}

impl<'a> CoinbaseProof<'a> {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofError`] where a part is malformed, or the transaction is no coinbase.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ProofError> {
        let reader = &mut Reader(bytes);
        let header = header(reader)?;
        let transaction = transaction(reader)?;
        if !transaction.is_coinbase() {
            return Err(ProofError::NotCoinbase);
        }
        let (siblings, rest) = reader.0.as_chunks();
        if !rest.is_empty() {
            return Err(ProofError::Trailing);
        }
        Ok(Self {
            header,
            transaction,
            siblings,
        })
    }

    /// The block's header.
    #[must_use]
    pub const fn header(&self) -> Header<'a> {
        self.header
    }

    /// The coinbase.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction<'a> {
        &self.transaction
    }

    /// Follows the branch to the header's root.
    ///
    /// # Errors
    /// [`ProofError::Root`], or [`ProofError::Branch`] where the branch is malformed.
    pub fn verify(&self, sha256: impl Fn(&[&[u8]]) -> Hash) -> Result<Proven<'a>, ProofError> {
        let txid = self.transaction.txid(&sha256);
        if merkle::root_from_branch(&txid, 0, self.siblings, &sha256)? != *self.header.merkle_root()
        {
            return Err(ProofError::Root);
        }
        Ok(Proven {
            block_hash: self.header.hash(sha256),
            txid,
            transaction: self.transaction,
        })
    }

    /// The bytes of a proof. For the host: it allocates.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), which reads what is returned.
    pub fn encode(
        header: &[u8; HEADER_LEN],
        coinbase: &[u8],
        siblings: &[Hash],
    ) -> Result<Vec<u8>, ProofError> {
        let mut bytes = header.to_vec();
        write_transaction(&mut bytes, coinbase)?;
        bytes.extend_from_slice(siblings.as_flattened());
        CoinbaseProof::parse(&bytes)?;
        Ok(bytes)
    }
}

/// A proof of any other transaction of a block: a deposit or a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentProof<'a> {
    header: Header<'a>,
    transaction: Transaction<'a>,
    index: u32,
    siblings: &'a [Hash],
    coinbase: &'a [u8],
    coinbase_siblings: &'a [Hash],
}

impl<'a> PaymentProof<'a> {
    /// The most bytes a block's proof takes. Both transactions stand in one block, beside its header and the byte that
    /// counts them; then the fields, and two branches.
    pub const MAX_LEN: usize = (MAX_BLOCK_LEN - HEADER_LEN - 1)
        + (HEADER_LEN + 2 + 4 + 1 + 4)
        + 2 * MAX_BLOCK_DEPTH * size_of::<Hash>();

    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofError`] where a part is malformed, the transaction is a coinbase, or the coinbase does not begin as one.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ProofError> {
        let reader = &mut Reader(bytes);
        let header = header(reader)?;
        let transaction = transaction(reader)?;
        let index = reader.u32().ok_or(ProofError::Truncated)?;
        if index == 0 || transaction.is_coinbase() {
            return Err(ProofError::IsCoinbase);
        }
        let depth = usize::from(reader.u8().ok_or(ProofError::Truncated)?);
        let siblings = reader.hashes(depth).ok_or(ProofError::Truncated)?;
        let coinbase = companion(reader)?;
        let coinbase_siblings = reader.hashes(depth).ok_or(ProofError::Truncated)?;
        if !reader.0.is_empty() {
            return Err(ProofError::Trailing);
        }
        Ok(Self {
            header,
            transaction,
            index,
            siblings,
            coinbase,
            coinbase_siblings,
        })
    }

    /// The block's header.
    #[must_use]
    pub const fn header(&self) -> Header<'a> {
        self.header
    }

    /// The transaction.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction<'a> {
        &self.transaction
    }

    /// Follows both branches to the header's root.
    ///
    /// # Errors
    /// [`ProofError::Root`], [`ProofError::CoinbaseRoot`], or [`ProofError::Branch`] where a branch is malformed.
    pub fn verify(&self, sha256: impl Fn(&[&[u8]]) -> Hash) -> Result<Proven<'a>, ProofError> {
        let root = self.header.merkle_root();
        let txid = self.transaction.txid(&sha256);
        if merkle::root_from_branch(&txid, self.index, self.siblings, &sha256)? != *root {
            return Err(ProofError::Root);
        }
        let coinbase = sha256d(&[self.coinbase], &sha256);
        if merkle::root_from_branch(&coinbase, 0, self.coinbase_siblings, &sha256)? != *root {
            return Err(ProofError::CoinbaseRoot);
        }
        Ok(Proven {
            block_hash: self.header.hash(sha256),
            txid,
            transaction: self.transaction,
        })
    }

    /// The bytes of a proof. For the host: it allocates.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), which reads what is returned; [`ProofError::Unencodable`] where the branches differ in
    /// length.
    pub fn encode(
        header: &[u8; HEADER_LEN],
        transaction: &[u8],
        index: u32,
        siblings: &[Hash],
        coinbase: &[u8],
        coinbase_siblings: &[Hash],
    ) -> Result<Vec<u8>, ProofError> {
        let depth = u8::try_from(siblings.len()).map_err(|_| ProofError::Unencodable)?;
        if siblings.len() != coinbase_siblings.len() {
            return Err(ProofError::Unencodable);
        }
        let mut bytes = header.to_vec();
        write_transaction(&mut bytes, transaction)?;
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.push(depth);
        bytes.extend_from_slice(siblings.as_flattened());
        let length = u32::try_from(coinbase.len()).map_err(|_| ProofError::Unencodable)?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(coinbase);
        bytes.extend_from_slice(coinbase_siblings.as_flattened());
        PaymentProof::parse(&bytes)?;
        Ok(bytes)
    }
}

fn header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, ProofError> {
    let bytes = reader.take(HEADER_LEN).ok_or(ProofError::Truncated)?;
    Header::parse(bytes).map_err(|_| ProofError::Truncated)
}

fn transaction<'a>(reader: &mut Reader<'a>) -> Result<Transaction<'a>, ProofError> {
    let length = usize::from(reader.u16().ok_or(ProofError::Truncated)?);
    let bytes = reader.take(length).ok_or(ProofError::Truncated)?;
    Transaction::parse(bytes).map_err(ProofError::Transaction)
}

/// The coinbase beside a payment: see "Why the companion is not parsed".
fn companion<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ProofError> {
    let length = reader.u32().ok_or(ProofError::Truncated)?;
    let length = usize::try_from(length).map_err(|_| ProofError::Truncated)?;
    let bytes = reader.take(length).ok_or(ProofError::Truncated)?;
    match bytes.len() {
        NODE_LEN => return Err(ProofError::Coinbase(TxError::NodeLength)),
        length if length < MIN_TX_LEN => return Err(ProofError::Coinbase(TxError::Length)),
        _ => {}
    }
    let (_version, rest) = bytes.split_at(4);
    match rest {
        // No inputs: the marker, and the flag its only known value (BIP144).
        [0, 1, ..] => Err(ProofError::Coinbase(TxError::Witness)),
        rest if rest.starts_with(&NULL_INPUT) => Ok(bytes),
        _ => Err(ProofError::NotCoinbase),
    }
}

fn write_transaction(bytes: &mut Vec<u8>, transaction: &[u8]) -> Result<(), ProofError> {
    let length = u16::try_from(transaction.len()).map_err(|_| ProofError::Unencodable)?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(transaction);
    Ok(())
}
