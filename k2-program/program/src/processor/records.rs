//! PLACEHOLDER

use k2_interface::PoolError;

use crate::accounts::Context;
use crate::error::Result;

/// CloseDeposit: Closes the record of an output whose block is below the mint horizon.
pub(super) fn close_deposit(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// ClosePayout: The same for the record of a payout.
pub(super) fn close_payout(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
