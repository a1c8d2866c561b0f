//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::RoundRoot;

use crate::accounts::Context;
use crate::error::Result;

/// ProposeRound: Proposes a reward root, and attests it.
pub(super) fn propose(_context: &Context<'_, '_>, _args: &RoundRoot) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// AttestRound: Attests a proposed root; all of it must be what the operator computed itself.
pub(super) fn attest(_context: &Context<'_, '_>, _args: &RoundRoot) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// FinalizeRound: Puts a root in force: attested by the quorum, unchallenged for the challenge slots, and no more in total than was minted. Anybody may.
pub(super) fn finalize(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// VetoRound: Ends a proposal that is not finalized yet.
pub(super) fn veto(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// CloseProposal: Returns the rent of a proposal of a round that is past, once the operators that signed it could no longer be slashed for it.
pub(super) fn close_proposal(_context: &Context<'_, '_>) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
