//! What a step did, and what a test says about it.

use crate::format::{Expect, InstructionError};

/// How a step ended. A test has to say what it wants: [`must_succeed`](Self::must_succeed) or one of the others.
#[derive(Debug, Clone)]
#[must_use = "say how the step must end"]
pub struct Outcome {
    /// The step's name.
    pub step: String,
    /// How it ended.
    pub ending: Expect,
    /// What came of it besides.
    pub execution: Execution,
}

/// What an execution leaves besides accounts.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Compute units of the step's instructions here. Solana 1.14 has other prices: see
    /// [`Step::ceiling`](crate::Step::ceiling).
    pub compute_units: u64,
    /// What the runtime and the programs wrote.
    pub logs: Vec<String>,
    /// What the last program that did so returned.
    pub return_data: Vec<u8>,
}

impl Outcome {
    /// It did what it should; else panics with the logs.
    #[track_caller]
    pub fn must_succeed(self) -> Execution {
        self.must_end(&Expect::Ok)
    }

    /// The first instruction was refused with the program's own error number.
    #[track_caller]
    pub fn must_fail_with(self, code: u32) -> Execution {
        self.must_end(&Expect::Instruction {
            index: 0,
            error: InstructionError::Custom(code),
        })
    }

    /// The first instruction was refused with an error of `InstructionError` of that name, for example
    /// `MissingRequiredSignature`.
    #[track_caller]
    pub fn must_fail_as(self, name: &str) -> Execution {
        self.must_end(&Expect::Instruction {
            index: 0,
            error: InstructionError::Builtin(name.to_owned()),
        })
    }

    /// It ended in exactly this way. The names of errors are the runtime's own: those of whole transactions and of the
    /// virtual machine differ between generations, and a scenario with them will not replay.
    #[track_caller]
    pub fn must_end(self, wanted: &Expect) -> Execution {
        if self.ending != *wanted {
            panic!(
                "step `{}`: want {wanted}, got {}\n  {}",
                self.step,
                self.ending,
                self.execution.logs.join("\n  ")
            );
        }
        self.execution
    }

    /// The program's own error number, if that is how it ended.
    #[must_use]
    pub fn custom(&self) -> Option<u32> {
        match self.ending {
            Expect::Instruction {
                error: InstructionError::Custom(code),
                ..
            } => Some(code),
            _ => None,
        }
    }
}
