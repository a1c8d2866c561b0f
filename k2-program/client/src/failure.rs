//! Why a transaction failed, for programs ([`Failure::refusal`]) and for people (`Display`).

use std::fmt;

use k2_interface::instruction::InstructionKind;
use k2_interface::{K2Address, Refusal};
use solana_transaction_error::TransactionError;
use spl_token_interface::error::TokenError;

use crate::address::{SYSTEM_PROGRAM, TOKEN_PROGRAM};
use crate::k2::Fault;
use crate::transaction::{Budget, Draft};

/// The program's own numbers begin here; below are those of the programs it calls.
const FIRST_OF_OURS: u32 = 100;

/// A transaction that failed, or would fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    fault: Fault,
    instruction: Option<usize>,
    kind: Option<InstructionKind>,
    culprit: Option<K2Address>,
    logs: Vec<String>,
}

impl Failure {
    /// From what the cluster says about a draft sent with this budget.
    #[must_use]
    pub fn new(
        fault: Fault,
        draft: &Draft,
        budget: Budget,
        program: &K2Address,
        logs: Vec<String>,
    ) -> Self {
        let instruction = match &fault {
            Fault::Known(TransactionError::InstructionError(index, _))
            | Fault::Instruction(index, _) => {
                usize::from(*index).checked_sub(Draft::budget_instructions(budget))
            }
            _ => None,
        };
        Self {
            kind: instruction.and_then(|place| draft.kind(place, program)),
            culprit: first_failed(&logs),
            instruction,
            fault,
            logs,
        }
    }

    /// The rule or account the pool's program refused, if it was that.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let code = self.custom().filter(|code| *code >= FIRST_OF_OURS)?;
        self.kind.map(|_| Refusal::from_code(code))
    }

    /// Which instruction of the program failed.
    #[must_use]
    pub const fn kind(&self) -> Option<InstructionKind> {
        self.kind
    }

    /// Which instruction of the draft failed, from 0.
    #[must_use]
    pub const fn instruction(&self) -> Option<usize> {
        self.instruction
    }

    /// What the cluster said.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// What the programs printed, where it is known.
    #[must_use]
    pub fn logs(&self) -> &[String] {
        &self.logs
    }

    /// The number of a `Custom` error.
    #[must_use]
    pub const fn custom(&self) -> Option<u32> {
        use solana_instruction::error::InstructionError;
        match &self.fault {
            Fault::Known(TransactionError::InstructionError(_, InstructionError::Custom(code))) => {
                Some(*code)
            }
            _ => None,
        }
    }

    /// A number of the system or the token program, in words.
    fn callee(&self, code: u32) -> Option<String> {
        let program = self.culprit?;
        if program == SYSTEM_PROGRAM {
            // `solana_system_interface::error::SystemError`
            return match code {
                0 => Some("an account of this address exists already".into()),
                1 => Some("the payer has too few lamports: fund it".into()),
                _ => None,
            };
        }
        if program == TOKEN_PROGRAM {
            return TokenError::try_from(code)
                .ok()
                .map(|error| format!("the token program says \"{error}\""));
        }
        None
    }
}

/// The innermost program that failed: the runtime logs failures from the inside out.
fn first_failed(logs: &[String]) -> Option<K2Address> {
    logs.iter().find_map(|line| {
        let (program, rest) = line.strip_prefix("Program ")?.split_once(' ')?;
        rest.starts_with("failed: ").then(|| program.parse().ok())?
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(kind), Some(code)) = (self.kind, self.custom()) {
            return match self.callee(code).filter(|_| code < FIRST_OF_OURS) {
                Some(words) => write!(f, "{}: {words}", kind.name()),
                None => write!(f, "{}", Refusal::from_code(code).of(kind)),
            };
        }
        if let Some(kind) = self.kind {
            write!(f, "{}: ", kind.name())?;
        } else if let Some(place) = self.instruction {
            write!(f, "instruction {place}: ")?;
        }
        match &self.fault {
            Fault::Known(TransactionError::InsufficientFundsForFee) => {
                f.write_str("the payer cannot pay the fee: fund it")
            }
            Fault::Known(TransactionError::AccountNotFound) => {
                f.write_str("the payer has no lamports: fund it")
            }
            Fault::Known(TransactionError::InstructionError(_, error)) => {
                match self.custom().and_then(|code| self.callee(code)) {
                    Some(words) => f.write_str(&words),
                    None => write!(f, "{error}"),
                }
            }
            Fault::Known(error) => write!(f, "{error}"),
            Fault::Instruction(_, text) | Fault::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k2_interface::{AccountFault, PoolError};
    use solana_instruction::Instruction;
    use solana_instruction::error::InstructionError;

    use super::*;
    use crate::address::pubkey;

    const PROGRAM: K2Address = K2Address::from_bytes([5; 32]);

    fn claim() -> Draft {
        let instruction = |program_id, data| Instruction {
            program_id,
            accounts: vec![],
            data,
        };
        Draft::new(
            K2Address::from_bytes([1; 32]),
            [
                instruction(pubkey(&TOKEN_PROGRAM), vec![]),
                instruction(pubkey(&PROGRAM), vec![InstructionKind::Claim as u8]),
            ],
        )
    }

    fn failure(index: u8, error: InstructionError, logs: &[&str]) -> Failure {
        let budget = Budget { units: 1, price: 1 };
        let fault = Fault::Known(TransactionError::InstructionError(index, error));
        let logs = logs.iter().map(ToString::to_string).collect();
        Failure::new(fault, &claim(), budget, &PROGRAM, logs)
    }

    #[test]
    fn a_refusal_is_told_in_the_programs_words() {
        let code = PoolError::NothingToClaim.code();
        let failure = failure(3, InstructionError::Custom(code), &[]);
        assert_eq!(
            failure.refusal(),
            Some(Refusal::Rule(PoolError::NothingToClaim))
        );
        assert_eq!(
            failure.to_string(),
            "Claim: everything has been claimed already"
        );
        assert_eq!(failure.instruction(), Some(1));
    }

    #[test]
    fn an_account_is_named() {
        let code = AccountFault::WrongMint.at(4);
        let failure = failure(3, InstructionError::Custom(code), &[]);
        assert!(failure.to_string().contains("`destination`"), "{failure}");
    }

    #[test]
    fn a_number_of_a_called_program_is_not_taken_for_the_pools() {
        let logs = [
            "Program 11111111111111111111111111111111 invoke [2]",
            "Transfer: insufficient lamports 5, need 6",
            "Program 11111111111111111111111111111111 failed: custom program error: 0x1",
            "Program 6rdFDDB9LeNFmKKZ4aMr3Nf5tdFpTqWsLZTfxeGmhAbF failed: custom program error: 0x1",
        ];
        let poor = failure(3, InstructionError::Custom(1), &logs);
        assert_eq!(poor.refusal(), None);
        assert!(poor.to_string().contains("fund it"), "{poor}");

        let logs = [format!(
            "Program {TOKEN_PROGRAM} failed: custom program error: 0x1"
        )];
        let logs: Vec<&str> = logs.iter().map(String::as_str).collect();
        let empty = failure(3, InstructionError::Custom(1), &logs);
        assert!(empty.to_string().contains("nsufficient funds"), "{empty}");

        // The same number of an instruction that is not the pool's at all.
        let foreign = failure(2, InstructionError::Custom(605), &[]);
        assert_eq!(foreign.refusal(), None);
    }

    #[test]
    fn a_failure_of_the_budget_itself_is_of_no_instruction() {
        let failure = failure(0, InstructionError::InvalidInstructionData, &[]);
        assert_eq!((failure.instruction(), failure.kind()), (None, None));
    }
}
