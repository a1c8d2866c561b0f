//! Proofs from whole blocks.

use bitcoin::hashes::Hash as _;
use bitcoin::{Block, Transaction, Txid};
use k2_interface::bitcoin::proof::ProofError;
use k2_interface::bitcoin::{CoinbaseProof, PaymentProof, merkle};
use sha2::{Digest as _, Sha256};

use crate::pda::Outpoint;

/// Why a block gives no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The block has no such transaction.
    #[error("the block has {count} transactions, none of them at place {index}")]
    NoTransaction {
        /// The place asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The program would refuse it.
    #[error("it cannot be proved to the program: {0}")]
    Proof(#[from] ProofError),
}

/// SHA-256 as the interface takes it.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The bytes that hash to the transaction's id: without witness.
fn stripped(transaction: &Transaction) -> Vec<u8> {
    let mut transaction = transaction.clone();
    for input in &mut transaction.input {
        input.witness.clear();
    }
    bitcoin::consensus::serialize(&transaction)
}

fn txids(block: &Block) -> Vec<[u8; 32]> {
    let id = |transaction: &Transaction| transaction.compute_txid().to_byte_array();
    block.txdata.iter().map(id).collect()
}

fn header(block: &Block) -> [u8; 80] {
    let mut header = [0; 80];
    let bytes = bitcoin::consensus::serialize(&block.header);
    for (to, from) in header.iter_mut().zip(bytes) {
        *to = from;
    }
    header
}

fn branch(txids: &[[u8; 32]], index: usize) -> Option<Vec<[u8; 32]>> {
    merkle::branch(txids, u32::try_from(index).ok()?, sha256)
}

fn transaction(block: &Block, index: usize) -> Result<&Transaction, BuildError> {
    block.txdata.get(index).ok_or(BuildError::NoTransaction {
        index,
        count: block.txdata.len(),
    })
}

/// The proof of the block's coinbase.
///
/// # Errors
/// [`BuildError`].
pub fn coinbase_proof(block: &Block) -> Result<Vec<u8>, BuildError> {
    payments(block, None)
}

/// The proof of the block's transaction at `index`, which is not the coinbase.
///
/// # Errors
/// [`BuildError`].
pub fn payment_proof(block: &Block, index: usize) -> Result<Vec<u8>, BuildError> {
    payments(block, Some(index))
}

fn payments(block: &Block, index: Option<usize>) -> Result<Vec<u8>, BuildError> {
    let none = |index| BuildError::NoTransaction {
        index,
        count: block.txdata.len(),
    };
    let txids = txids(block);
    let header = header(block);
    let coinbase = stripped(transaction(block, 0)?);
    let coinbase_branch = branch(&txids, 0).ok_or_else(|| none(0))?;
    let Some(index) = index else {
        return Ok(CoinbaseProof::encode(&header, &coinbase, &coinbase_branch)?);
    };
    let payment = stripped(transaction(block, index)?);
    let payment_branch = branch(&txids, index).ok_or_else(|| none(index))?;
    Ok(PaymentProof::encode(
        &header,
        &payment,
        u32::try_from(index).map_err(|_| none(index))?,
        &payment_branch,
        &coinbase,
        &coinbase_branch,
    )?)
}

/// Where a transaction stands in a block.
#[must_use]
pub fn position(block: &Block, txid: &Txid) -> Option<usize> {
    block
        .txdata
        .iter()
        .position(|transaction| transaction.compute_txid() == *txid)
}

/// The outputs a transaction spends.
#[must_use]
pub(crate) fn spent(transaction: &Transaction) -> Vec<Outpoint> {
    transaction
        .input
        .iter()
        .map(|input| input.previous_output.into())
        .collect()
}
