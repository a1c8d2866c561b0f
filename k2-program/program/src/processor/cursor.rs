//! Cursors: proofs of blocks that have left the relay's ring.
//!
//! A cursor begins at the ring's oldest block and walks down by previous-block hashes. Each header is the one the block above
//! it names, so nothing else needs to be checked of it, and the ring's oldest block is never taken back (see `relay`): what a
//! cursor has reached is an ancestor of the best chain for good, wherever the ring moves.

use k2_interface::bitcoin::headers;
use k2_interface::instruction::{CursorId, MAX_HEADERS};
use k2_interface::state::{Cursor, Kind, Relay};
use k2_interface::{K2Address, PoolError, pda};

use crate::accounts::Context;
use crate::error::Result;
use crate::hash::sha256;
use crate::token::require_system_program;

/// OpenCursor.
pub(super) fn open(context: &Context<'_, '_>, args: &CursorId) -> Result<()> {
    let [payer, relay, cursor, system_program] = &context.accounts()?;
    require_system_program(system_program)?;
    let relay = relay.load::<Relay>(context.program_id, Kind::Relay)?;
    let height = relay.oldest_height.get();
    let oldest = relay.entry(height).ok_or(PoolError::UnknownBlock)?;
    let id = args.id.to_le_bytes();
    let seeds = [pda::CURSOR, payer.info.key.as_ref(), &id];
    let mut cursor = cursor.create::<Cursor>(context, payer, Kind::Cursor, &seeds, 0)?;
    cursor.payer = payer.key();
    cursor.id = args.id.into();
    cursor.height = height.into();
    cursor.hash = oldest.hash;
    Ok(())
}

/// AdvanceCursor.
pub(super) fn advance(context: &Context<'_, '_>, bytes: &[u8]) -> Result<()> {
    let [payer, cursor] = &context.accounts()?;
    let mut cursor = cursor.load_mut::<Cursor>(context.program_id, Kind::Cursor)?;
    require_payer(&cursor, &payer.key())?;
    let headers = headers(bytes)
        .ok()
        .filter(|headers| headers.len() <= MAX_HEADERS)
        .ok_or(PoolError::HeaderCount)?;
    let mut height = cursor.height.get();
    let mut hash = &cursor.hash;
    for header in headers {
        height = height.checked_sub(1).ok_or(PoolError::CursorAtGenesis)?;
        if header.hash(sha256) != *hash {
            return Err(PoolError::CursorHeader.into());
        }
        hash = header.prev_hash();
    }
    let hash = *hash;
    cursor.height = height.into();
    cursor.hash = hash;
    Ok(())
}

/// CloseCursor.
pub(super) fn close(context: &Context<'_, '_>) -> Result<()> {
    let [payer, cursor_slot] = &context.accounts()?;
    {
        let cursor = cursor_slot.load::<Cursor>(context.program_id, Kind::Cursor)?;
        require_payer(&cursor, &payer.key())?;
    }
    cursor_slot.close(payer)
}

/// # Errors
/// [`PoolError::NotPayer`].
pub(super) fn require_payer(cursor: &Cursor, payer: &K2Address) -> Result<()> {
    if cursor.payer == *payer {
        Ok(())
    } else {
        Err(PoolError::NotPayer.into())
    }
}
