//! What the program refuses with, on its way to Solana's `ProgramError`.

use k2_interface::{AccountFault, PoolError};
use solana_program::program_error::ProgramError;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A broken rule.
    Rule(PoolError),
    /// A wrong account and its place.
    Account(AccountFault, usize),
    /// An error of the runtime, or of a program that was called.
    Program(ProgramError),
}

/// The result of a check.
pub type Result<T> = core::result::Result<T, Error>;

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Rule(error)
    }
}

impl From<ProgramError> for Error {
    fn from(error: ProgramError) -> Self {
        Self::Program(error)
    }
}

impl From<Error> for ProgramError {
    fn from(error: Error) -> Self {
        match error {
            Error::Rule(rule) => Self::Custom(rule.code()),
            Error::Account(fault, place) => Self::Custom(fault.at(place)),
            Error::Program(error) => error,
        }
    }
}
