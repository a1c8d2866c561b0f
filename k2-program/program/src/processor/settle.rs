//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::ProveOutput;

use crate::accounts::Context;
use crate::error::Result;

/// SettleRedeem: Burns a redemption's tokens against the proof that it was paid: a later block, an output to its script of at least amount - max_fee, and its id in an OP_RETURN output. Anybody may.
pub(super) fn settle(_context: &Context<'_, '_>, _args: &ProveOutput, _proof: &[u8]) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
