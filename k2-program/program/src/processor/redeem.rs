//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::{RefundRedeem, RequestRedeem};

use crate::accounts::Context;
use crate::error::Result;

/// RequestRedeem: Locks wrapped sats for BTC to a script.
pub(super) fn request(_context: &Context<'_, '_>, _args: &RequestRedeem) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// RefundRedeem: Returns the tokens of a redemption that expired. Anybody may.
pub(super) fn refund(_context: &Context<'_, '_>, _args: &RefundRedeem) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// CloseRedemption: Returns the rent of a redemption that is settled or refunded.
pub(super) fn close(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
