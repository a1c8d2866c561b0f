//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::SetQuorum;

use crate::accounts::Context;
use crate::error::Result;

/// SetQuorum: Sets how many operators must attest.
pub(super) fn set_quorum(_context: &Context<'_, '_>, _args: &SetQuorum) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// RegisterOperator: Admits an operator to the set, with its bond. Both it and the authority sign: a bond alone would let somebody buy a quorum.
pub(super) fn register(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// LeaveOperator: Takes an operator out of the set; by itself, or by the authority.
pub(super) fn leave(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// WithdrawBond: Returns the bond of an operator that has left.
pub(super) fn withdraw_bond(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
