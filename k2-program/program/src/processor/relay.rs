//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::InitializeRelay;

use crate::accounts::Context;
use crate::error::Result;

/// InitializeRelay: Sets the relay's checkpoint. Anybody can compare it with Bitcoin; until it is set nothing can be minted.
pub(super) fn initialize(
    _context: &Context<'_, '_>,
    _args: &InitializeRelay,
    _headers: &[u8],
) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// SubmitHeaders: Extends the best chain, or replaces its end by a branch with more work that fits one transaction. At most 10 headers; the first one's previous block must be in the ring, at most 24 below the tip.
pub(super) fn submit_headers(_context: &Context<'_, '_>, _headers: &[u8]) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
