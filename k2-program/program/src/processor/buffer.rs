//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::{OpenBuffer, WriteBuffer};

use crate::accounts::Context;
use crate::error::Result;

/// OpenBuffer: Opens a proof buffer.
pub(super) fn open(_context: &Context<'_, '_>, _args: &OpenBuffer) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// WriteBuffer: Writes the next piece.
pub(super) fn write(_context: &Context<'_, '_>, _args: &WriteBuffer, _piece: &[u8]) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// CloseBuffer: Returns the rent.
pub(super) fn close(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
