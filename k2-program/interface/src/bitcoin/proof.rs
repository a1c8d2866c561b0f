//! Proofs that a block contains a transaction, as bytes.
//!
//! ```text
//! coinbase proof  header 80 | tx_len u16le | tx | siblings n*32
//! payment proof   header 80 | tx_len u16le | tx | index u32le | depth u8 | siblings depth*32
//!                 | coinbase_len u16le | coinbase | coinbase siblings depth*32
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
//! The coinbase shows the depth. It is the first transaction, so every step of its branch goes left, and a level
//! more would lead through the first 32 bytes of the coinbase itself: its version, the number of its inputs, and 27 zeros
//! of its null input. An id of that form takes 2^224 hashes. A level less would show an inner node as the coinbase, and its 64
//! bytes are refused by length. So a payment whose branch is as long as the coinbase's is a leaf. The coinbase's own proof
//! needs no companion, for the same reason.

use alloc::vec::Vec;
use core::fmt;

use super::header::HEADER_LEN;
use super::reader::Reader;
use super::{Hash, Header, MerkleError, Transaction, TxError, merkle};

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
    /// The coinbase of a [`PaymentProof`] is malformed.
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
        let transaction = coinbase(reader, ProofError::Transaction)?;
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
    coinbase: Transaction<'a>,
    coinbase_siblings: &'a [Hash],
}

impl<'a> PaymentProof<'a> {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofError`] where a part is malformed, the transaction is a coinbase, or the coinbase is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ProofError> {
        let reader = &mut Reader(bytes);
        let header = header(reader)?;
        let transaction = transaction(reader, ProofError::Transaction)?;
        let index = reader.u32().ok_or(ProofError::Truncated)?;
        if index == 0 || transaction.is_coinbase() {
            return Err(ProofError::IsCoinbase);
        }
        let depth = usize::from(reader.u8().ok_or(ProofError::Truncated)?);
        let siblings = reader.hashes(depth).ok_or(ProofError::Truncated)?;
        let coinbase = coinbase(reader, ProofError::Coinbase)?;
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
        let coinbase = self.coinbase.txid(&sha256);
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
        write_transaction(&mut bytes, coinbase)?;
        bytes.extend_from_slice(coinbase_siblings.as_flattened());
        PaymentProof::parse(&bytes)?;
        Ok(bytes)
    }
}

fn header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, ProofError> {
    let bytes = reader.take(HEADER_LEN).ok_or(ProofError::Truncated)?;
    Header::parse(bytes).map_err(|_| ProofError::Truncated)
}

fn transaction<'a>(
    reader: &mut Reader<'a>,
    malformed: fn(TxError) -> ProofError,
) -> Result<Transaction<'a>, ProofError> {
    let length = usize::from(reader.u16().ok_or(ProofError::Truncated)?);
    let bytes = reader.take(length).ok_or(ProofError::Truncated)?;
    Transaction::parse(bytes).map_err(malformed)
}

fn coinbase<'a>(
    reader: &mut Reader<'a>,
    malformed: fn(TxError) -> ProofError,
) -> Result<Transaction<'a>, ProofError> {
    let coinbase = transaction(reader, malformed)?;
    if coinbase.is_coinbase() {
        Ok(coinbase)
    } else {
        Err(ProofError::NotCoinbase)
    }
}

fn write_transaction(bytes: &mut Vec<u8>, transaction: &[u8]) -> Result<(), ProofError> {
    let length = u16::try_from(transaction.len()).map_err(|_| ProofError::Unencodable)?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(transaction);
    Ok(())
}
