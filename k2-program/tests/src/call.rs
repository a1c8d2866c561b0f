//! An instruction on its way to the program, whose accounts a test can exchange by their names.

use k2_interface::instruction::{AccountSpec, InstructionKind};
use k2_interface::{AccountFault, Refusal};
use scenario::format::Expect;
use scenario::{Execution, Outcome};
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;

/// An instruction with named accounts.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which one.
    pub kind: InstructionKind,
    /// Of which program.
    pub program: Pubkey,
    /// Its data.
    pub data: Vec<u8>,
    /// Its accounts, each with what the interface says of it.
    pub accounts: Vec<(AccountSpec, AccountMeta)>,
}

impl Call {
    /// The place of the account of this name; of the first one, where there are several.
    #[track_caller]
    pub fn place(&self, name: &str) -> usize {
        let place = self.accounts.iter().position(|(spec, _)| spec.name == name);
        place.unwrap_or_else(|| panic!("{:?} has no account `{name}`", self.kind))
    }

    /// The address passed as this account.
    #[track_caller]
    pub fn key(&self, name: &str) -> Pubkey {
        self.accounts[self.place(name)].1.pubkey
    }

    /// The number the program refuses with where this account is wrong in this way.
    #[track_caller]
    pub fn fault(&self, name: &str, fault: AccountFault) -> u32 {
        fault.at(self.place(name))
    }

    /// The same with another account in this place.
    #[must_use]
    #[track_caller]
    pub fn with(mut self, name: &str, key: Pubkey) -> Self {
        let place = self.place(name);
        self.accounts[place].1.pubkey = key;
        self
    }

    /// The same without, or with, the signature of this account.
    #[must_use]
    #[track_caller]
    pub fn signed(mut self, name: &str, is_signer: bool) -> Self {
        let place = self.place(name);
        self.accounts[place].1.is_signer = is_signer;
        self
    }

    /// What a refusal of this instruction says.
    #[must_use]
    pub fn explain(&self, code: u32) -> String {
        Refusal::from_code(code).of(self.kind).to_string()
    }
}

impl From<Call> for Instruction {
    fn from(call: Call) -> Self {
        Self {
            program_id: call.program,
            accounts: call.accounts.into_iter().map(|(_, meta)| meta).collect(),
            data: call.data,
        }
    }
}

/// A call that was sent. A test has to say how it must have ended.
#[derive(Debug, Clone)]
#[must_use = "say how the call must end"]
pub struct Sent {
    /// The call.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
}

impl Sent {
    /// It did what it should.
    #[track_caller]
    pub fn must_succeed(self) -> Execution {
        if let Some(code) = self.outcome.custom() {
            panic!(
                "step `{}`: {}\n  {}",
                self.outcome.step,
                self.call.explain(code),
                self.outcome.execution.logs.join("\n  ")
            );
        }
        self.outcome.must_succeed()
    }

    /// It was refused with this number.
    #[track_caller]
    pub fn must_fail_with(self, code: impl Into<u32>) -> Execution {
        let wanted = code.into();
        if let Some(got) = self.outcome.custom() {
            let (want, got) = (self.call.explain(wanted), self.call.explain(got));
            assert_eq!(got, want, "step `{}`", self.outcome.step);
        }
        self.outcome.must_fail_with(wanted)
    }

    /// It was refused because this account is wrong in this way.
    #[track_caller]
    pub fn must_fault(self, name: &str, fault: AccountFault) -> Execution {
        let code = self.call.fault(name, fault);
        self.must_fail_with(code)
    }

    /// The number it was refused with; none if it succeeded.
    ///
    /// # Panics
    /// If it failed otherwise than by a number.
    #[track_caller]
    pub fn code(&self) -> Option<u32> {
        let code = self.outcome.custom();
        let ended = code.is_some() || self.outcome.ending == Expect::Ok;
        assert!(
            ended,
            "step `{}`: {}\n  {}",
            self.outcome.step,
            self.outcome.ending,
            self.outcome.execution.logs.join("\n  ")
        );
        code
    }
}
