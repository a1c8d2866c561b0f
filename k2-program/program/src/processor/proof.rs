//! Where a proof stands, and whether its block is one of the best chain.

use core::cell::Ref;
use core::ops::Deref;

use k2_interface::PoolError;
use k2_interface::bitcoin::proof::ProofError;
use k2_interface::bitcoin::{Hash, TxError};
use k2_interface::instruction::{Anchor, ProveOutput, Source};
use k2_interface::state::{Cursor, Kind, Relay};

use super::{buffer, cursor};
use crate::accounts::{Context, Optional, Slot};
use crate::error::Result;

/// The accounts the arguments call for besides the fixed ones.
///
/// # Errors
/// [`PoolError::BadArgument`] where a byte names neither anchor nor source.
pub(super) fn optional(args: &ProveOutput) -> Result<Optional> {
    let anchor = args.anchor().ok_or(PoolError::BadArgument)?;
    let source = args.source().ok_or(PoolError::BadArgument)?;
    Ok(Optional {
        cursor: anchor == Anchor::Cursor,
        buffer: source == Source::Buffer,
        inputs: 0,
    })
}

/// A proof's bytes.
pub(super) enum Bytes<'a> {
    Inline(&'a [u8]),
    Buffer(Ref<'a, [u8]>),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Buffer(bytes) => bytes,
        }
    }
}

/// The proof: in the payer's buffer, if there is one among the accounts, or after the arguments.
///
/// # Errors
/// [`PoolError::BadArgument`] where bytes stand in both places; what is wrong with the buffer.
pub(super) fn bytes<'a>(
    context: &Context<'a, '_>,
    payer: &Slot<'_, '_>,
    buffer: Option<&Slot<'a, '_>>,
    inline: &'a [u8],
) -> Result<Bytes<'a>> {
    let Some(buffer) = buffer else {
        return Ok(Bytes::Inline(inline));
    };
    if !inline.is_empty() {
        return Err(PoolError::BadArgument.into());
    }
    Ok(Bytes::Buffer(buffer::proof(context, payer, buffer)?))
}

/// Checks that the block with this hash is the best chain's at the height given, known from the ring or from the payer's
/// cursor, and returns its confirmations.
///
/// # Errors
/// [`PoolError::BelowHorizon`], [`PoolError::BlockNotInRing`], [`PoolError::UnknownBlock`]; what is wrong with the cursor.
pub(super) fn confirmations(
    context: &Context<'_, '_>,
    payer: &Slot<'_, '_>,
    relay: &Relay,
    cursor: Option<&Slot<'_, '_>>,
    height: u32,
    hash: &Hash,
    mint_horizon: u32,
) -> Result<u32> {
    if relay.is_below_horizon(height, mint_horizon) {
        return Err(PoolError::BelowHorizon.into());
    }
    let known = match cursor {
        None => {
            let entry = relay.entry(height).ok_or(PoolError::BlockNotInRing)?;
            entry.hash == *hash
        }
        Some(cursor) => {
            let cursor = cursor.load::<Cursor>(context.program_id, Kind::Cursor)?;
            cursor::require_payer(&cursor, &payer.key())?;
            cursor.height.get() == height && cursor.hash == *hash
        }
    };
    if !known {
        return Err(PoolError::UnknownBlock.into());
    }
    Ok(relay.confirmations(height))
}

/// Why a proof is refused, as the program reports it.
pub(super) const fn refusal(error: ProofError) -> PoolError {
    match error {
        ProofError::IsCoinbase => PoolError::IsCoinbase,
        ProofError::NotCoinbase => PoolError::NotCoinbase,
        ProofError::Root | ProofError::CoinbaseRoot => PoolError::WrongMerkleRoot,
        ProofError::Branch(_) => PoolError::BadMerkleBranch,
        ProofError::Transaction(TxError::Length | TxError::NodeLength)
        | ProofError::Coinbase(TxError::Length | TxError::NodeLength) => {
            PoolError::BadTransactionLength
        }
        ProofError::Transaction(_) | ProofError::Coinbase(_) => PoolError::BadTransaction,
        // Cut short, or bytes left over.
        _ => PoolError::BadProof,
    }
}
