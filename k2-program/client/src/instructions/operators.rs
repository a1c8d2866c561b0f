//! The operators' set and their rounds.

use k2_interface::K2Address;
use k2_interface::instruction::{Instruction as Call, RoundRoot, SetQuorum};
use solana_instruction::Instruction;

use crate::pda::Program;

impl Program {
    /// Sets how many operators must attest.
    #[must_use]
    pub fn set_quorum(&self, authority: K2Address, quorum: u8) -> Instruction {
        let args = SetQuorum { quorum };
        self.instruction(&Call::SetQuorum { args }, &[("authority", authority)])
    }

    /// Admits an operator; both it and the authority sign, the operator pays bond and rent.
    #[must_use]
    pub fn register_operator(&self, operator: K2Address, authority: K2Address) -> Instruction {
        self.instruction(
            &Call::RegisterOperator {},
            &[
                ("operator_key", operator),
                ("authority", authority),
                ("operator", self.operator(&operator).address),
            ],
        )
    }

    /// Takes an operator out of the set. `signer` is itself or the authority.
    #[must_use]
    pub fn leave_operator(&self, signer: K2Address, operator: K2Address) -> Instruction {
        self.instruction(
            &Call::LeaveOperator {},
            &[
                ("operator_key_or_authority", signer),
                ("operator", self.operator(&operator).address),
            ],
        )
    }

    /// Returns the bond of an operator that has left.
    #[must_use]
    pub fn withdraw_bond(&self, operator: K2Address) -> Instruction {
        self.instruction(
            &Call::WithdrawBond {},
            &[
                ("operator_key", operator),
                ("operator", self.operator(&operator).address),
            ],
        )
    }

    /// Burns the bond of an operator that attested two proposals of one round with different roots.
    #[must_use]
    pub fn slash_operator(
        &self,
        operator: K2Address,
        one_proposal: K2Address,
        other_proposal: K2Address,
    ) -> Instruction {
        self.instruction(
            &Call::SlashOperator {},
            &[
                ("operator", self.operator(&operator).address),
                ("one_proposal", one_proposal),
                ("other_proposal", other_proposal),
            ],
        )
    }

    /// Proposes a reward root, and attests it.
    #[must_use]
    pub fn propose_round(&self, operator: K2Address, args: RoundRoot) -> Instruction {
        self.instruction(
            &Call::ProposeRound { args },
            &[
                ("operator_key", operator),
                ("proposal", self.proposal(args.round, &operator).address),
            ],
        )
    }

    /// Attests what `proposer` proposed.
    #[must_use]
    pub fn attest_round(
        &self,
        operator: K2Address,
        proposer: K2Address,
        args: RoundRoot,
    ) -> Instruction {
        self.instruction(
            &Call::AttestRound { args },
            &[
                ("operator_key", operator),
                ("proposal", self.proposal(args.round, &proposer).address),
            ],
        )
    }

    /// Puts the proposer's root of a round in force.
    #[must_use]
    pub fn finalize_round(&self, round: u64, proposer: K2Address) -> Instruction {
        let proposal = self.proposal(round, &proposer).address;
        self.instruction(&Call::FinalizeRound {}, &[("proposal", proposal)])
    }

    /// Ends a proposal that is not finalized yet.
    #[must_use]
    pub fn veto_round(
        &self,
        guardian_or_authority: K2Address,
        round: u64,
        proposer: K2Address,
    ) -> Instruction {
        self.instruction(
            &Call::VetoRound {},
            &[
                ("guardian_or_authority", guardian_or_authority),
                ("proposal", self.proposal(round, &proposer).address),
            ],
        )
    }

    /// Returns the rent of an old proposal to its proposer.
    #[must_use]
    pub fn close_proposal(&self, round: u64, proposer: K2Address) -> Instruction {
        self.instruction(
            &Call::CloseProposal {},
            &[
                ("rent_receiver", proposer),
                ("proposal", self.proposal(round, &proposer).address),
            ],
        )
    }
}
