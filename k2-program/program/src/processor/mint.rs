//! PLACEHOLDER

use k2_interface::PoolError;
use k2_interface::instruction::ProveOutput;

use crate::accounts::Context;
use crate::error::Result;

/// MintCoinbase: Mints what a coinbase output pays to custody, once its block has 100 confirmations, into the vault. Once.
pub(super) fn coinbase(
    _context: &Context<'_, '_>,
    _args: &ProveOutput,
    _proof: &[u8],
) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}

/// MintDeposit: Mints what an ordinary output pays to custody's deposit script into the vault. Once; and not where an input spends an output that was minted itself.
pub(super) fn deposit(
    _context: &Context<'_, '_>,
    _args: &ProveOutput,
    _proof: &[u8],
) -> Result<()> {
    Err(PoolError::UnknownInstruction.into())
}
