//! PLACEHOLDER

use k2_interface::PoolError;

use crate::accounts::Context;
use crate::error::Result;

/// SlashOperator: Burns the bond of an operator that attested two different roots for one round, and takes it out of the set. Anybody may.
pub(super) fn slash(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
