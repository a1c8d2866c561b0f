//! The pool's program on K2.
//!
//! It mints wrapped BTC only against Bitcoin proofs of work it checks itself, pays miners from a cumulative reward root
//! that operators attest, and burns on redemption. Layouts, instructions and error numbers stand in
//! `orcapool-k2-interface`; here are the rules.
//!
//! - [`accounts`] - checks an instruction's accounts against its list in the interface
//! - [`create`] - creates and closes the program's accounts
//! - [`token`] - the few calls to the SPL Token program
//! - [`processor`] - one file per group of instructions

pub mod accounts;
pub mod create;
pub mod error;
pub mod hash;
pub mod processor;
pub mod token;

#[cfg(not(feature = "no-entrypoint"))]
solana_program::entrypoint!(process_instruction);

use solana_program::account_info::AccountInfo;
use solana_program::entrypoint::ProgramResult;
use solana_program::pubkey::Pubkey;

/// The program's entry.
///
/// # Errors
/// `Custom` with a number of [`k2_interface::Refusal`].
pub fn process_instruction(
    program_id: &Pubkey,
    accounts: &[AccountInfo<'_>],
    data: &[u8],
) -> ProgramResult {
    processor::process(program_id, accounts, data).map_err(Into::into)
}
