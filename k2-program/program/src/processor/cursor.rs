//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::CursorId;

use crate::accounts::Context;
use crate::error::Result;

/// OpenCursor: Opens a cursor at the ring's oldest block.
pub(super) fn open(_context: &Context<'_, '_>, _args: &CursorId) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// AdvanceCursor: Walks down: the first header must be the cursor's block, each next one its predecessor. At most 10.
pub(super) fn advance(_context: &Context<'_, '_>, _headers: &[u8]) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// CloseCursor: Returns the rent.
pub(super) fn close(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
