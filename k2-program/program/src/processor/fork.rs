//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::SubmitFork;

use crate::accounts::Context;
use crate::error::Result;

/// SubmitFork: Collects a branch too long for one transaction. As soon as it has more work than the best chain it becomes the best chain, and the account is closed.
pub(super) fn submit(
    _context: &Context<'_, '_>,
    _args: &SubmitFork,
    _headers: &[u8],
) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// CloseFork: Gives up a branch and returns the rent.
pub(super) fn close(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
