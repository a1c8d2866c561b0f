//! The cases of `orcapool-sbf-difftest` as a program: instruction data in, return data out. It has no accounts.

use solana_program::account_info::AccountInfo;
use solana_program::entrypoint::ProgramResult;
use solana_program::program::set_return_data;
use solana_program::program_error::ProgramError;
use solana_program::pubkey::Pubkey;

solana_program::entrypoint!(process);

/// Runs the case that the instruction data names and returns its digest and the beginning of its output.
pub fn process(_program: &Pubkey, _accounts: &[AccountInfo<'_>], data: &[u8]) -> ProgramResult {
    let output = difftest::run(data).ok_or(ProgramError::InvalidInstructionData)?;
    set_return_data(&output);
    Ok(())
}
