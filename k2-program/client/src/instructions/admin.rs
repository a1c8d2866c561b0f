//! Setting the pool up, and who may change it.

use k2_interface::K2Address;
use k2_interface::instruction::{
    Initialize, Instruction as Call, NewAuthority, NewGuardian, PauseFlags, ProposeCustody,
};
use k2_interface::state::CustodyScripts;
use solana_instruction::Instruction;

use crate::pda::Program;

impl Program {
    /// Creates everything that exists once. `upgrade_authority` is the program's, and signs.
    #[must_use]
    pub fn initialize(
        &self,
        payer: K2Address,
        upgrade_authority: K2Address,
        args: Initialize,
    ) -> Instruction {
        self.instruction(
            &Call::Initialize { args },
            &[("payer", payer), ("upgrade_authority", upgrade_authority)],
        )
    }

    /// Names the next authority; all zeros takes the proposal back.
    #[must_use]
    pub fn propose_authority(&self, authority: K2Address, next: K2Address) -> Instruction {
        let args = NewAuthority { key: next };
        self.instruction(
            &Call::ProposeAuthority { args },
            &[("authority", authority)],
        )
    }

    /// Takes over.
    #[must_use]
    pub fn accept_authority(&self, pending_authority: K2Address) -> Instruction {
        self.instruction(
            &Call::AcceptAuthority {},
            &[("pending_authority", pending_authority)],
        )
    }

    /// Names the guardian.
    #[must_use]
    pub fn set_guardian(&self, authority: K2Address, guardian: K2Address) -> Instruction {
        let args = NewGuardian { key: guardian };
        self.instruction(&Call::SetGuardian { args }, &[("authority", authority)])
    }

    /// Sets bits of [`Pause`](k2_interface::state::Pause).
    #[must_use]
    pub fn pause(&self, guardian_or_authority: K2Address, flags: u8) -> Instruction {
        let args = PauseFlags { flags };
        self.instruction(
            &Call::Pause { args },
            &[("guardian_or_authority", guardian_or_authority)],
        )
    }

    /// Clears bits of [`Pause`](k2_interface::state::Pause).
    #[must_use]
    pub fn resume(&self, authority: K2Address, flags: u8) -> Instruction {
        let args = PauseFlags { flags };
        self.instruction(&Call::Resume { args }, &[("authority", authority)])
    }

    /// Announces new custody scripts.
    #[must_use]
    pub fn propose_custody(&self, authority: K2Address, scripts: &CustodyScripts) -> Instruction {
        let args = ProposeCustody {
            coinbase_script: scripts.coinbase,
            deposit_script: scripts.deposit,
        };
        self.instruction(&Call::ProposeCustody { args }, &[("authority", authority)])
    }

    /// Takes the announcement back.
    #[must_use]
    pub fn cancel_custody(&self, guardian_or_authority: K2Address) -> Instruction {
        self.instruction(
            &Call::CancelCustody {},
            &[("guardian_or_authority", guardian_or_authority)],
        )
    }

    /// Puts announced scripts in force.
    #[must_use]
    pub fn activate_custody(&self) -> Instruction {
        self.instruction(&Call::ActivateCustody {}, &[])
    }
}
