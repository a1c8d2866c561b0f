//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::ProposeCustody;

use crate::accounts::Context;
use crate::error::Result;

/// ProposeCustody: Announces new custody scripts.
pub(super) fn propose(_context: &Context<'_, '_>, _args: &ProposeCustody) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// CancelCustody: Takes the announcement back.
pub(super) fn cancel(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// ActivateCustody: Puts announced scripts in force once their delay is over. Anybody may.
pub(super) fn activate(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
