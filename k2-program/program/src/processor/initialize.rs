//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::Initialize;

use crate::accounts::Context;
use crate::error::Result;

/// Initialize: Creates configuration, operators' set, mint, vault and escrow. Only the program's upgrade authority may, so that nobody can set up the program before its owner does.
pub(super) fn initialize(_context: &Context<'_, '_>, _args: &Initialize) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
