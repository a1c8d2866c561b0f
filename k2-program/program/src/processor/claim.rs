//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::Claim;

use crate::accounts::Context;
use crate::error::Result;

/// Claim: Pays an owner everything earned and not yet claimed, to its own token account. Anybody may pay the fee.
pub(super) fn claim(_context: &Context<'_, '_>, _args: &Claim, _siblings: &[u8]) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
