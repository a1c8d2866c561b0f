//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::{NewAuthority, NewGuardian, PauseFlags};

use crate::accounts::Context;
use crate::error::Result;

/// ProposeAuthority: First step: names the next authority.
pub(super) fn propose_authority(_context: &Context<'_, '_>, _args: &NewAuthority) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// AcceptAuthority: Second step: the next authority takes over.
pub(super) fn accept_authority(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// SetGuardian: Names the guardian.
pub(super) fn set_guardian(_context: &Context<'_, '_>, _args: &NewGuardian) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// Pause: Sets pause bits.
pub(super) fn pause(_context: &Context<'_, '_>, _args: &PauseFlags) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// Resume: Clears pause bits.
pub(super) fn resume(_context: &Context<'_, '_>, _args: &PauseFlags) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
