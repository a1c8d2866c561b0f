//! The header relay and cursors.

use bitcoin::block::Header;
use k2_interface::K2Address;
use k2_interface::bitcoin::linked;
use k2_interface::instruction::{CursorId, InitializeRelay, Instruction as Call, SubmitFork};
use solana_instruction::Instruction;

use crate::pda::Program;

/// Headers as the program reads them: 80 bytes each.
pub(crate) fn bytes(headers: &[Header]) -> Vec<u8> {
    headers
        .iter()
        .flat_map(bitcoin::consensus::serialize::<Header>)
        .collect()
}

impl Program {
    /// Sets the relay's checkpoint. The headers must follow one another.
    #[must_use]
    pub fn initialize_relay(
        &self,
        payer: K2Address,
        authority: K2Address,
        args: InitializeRelay,
        headers: &[Header],
    ) -> Instruction {
        let headers = &linked::encode(bytes(headers).as_chunks().0);
        self.instruction(
            &Call::InitializeRelay { args, headers },
            &[("payer", payer), ("authority", authority)],
        )
    }

    /// Extends the best chain, or replaces its end.
    #[must_use]
    pub fn submit_headers(&self, headers: &[Header]) -> Instruction {
        let headers = &bytes(headers);
        self.instruction(&Call::SubmitHeaders { headers }, &[])
    }

    /// Adds to the payer's branch, which leaves the best chain after `base_height`.
    #[must_use]
    pub fn submit_fork(
        &self,
        payer: K2Address,
        base_height: u32,
        headers: &[Header],
    ) -> Instruction {
        let headers = &bytes(headers);
        let args = SubmitFork { base_height };
        self.instruction(
            &Call::SubmitFork { args, headers },
            &[("payer", payer), ("fork", self.fork(&payer).address)],
        )
    }

    /// Gives the payer's branch up.
    #[must_use]
    pub fn close_fork(&self, payer: K2Address) -> Instruction {
        self.instruction(
            &Call::CloseFork {},
            &[("payer", payer), ("fork", self.fork(&payer).address)],
        )
    }

    /// Opens a cursor at the ring's oldest block.
    #[must_use]
    pub fn open_cursor(&self, payer: K2Address, id: u32) -> Instruction {
        let args = CursorId { id };
        self.instruction(
            &Call::OpenCursor { args },
            &[
                ("payer", payer),
                ("cursor", self.cursor(&payer, id).address),
            ],
        )
    }

    /// Walks a cursor down: the first header is the cursor's block, each next one its predecessor.
    #[must_use]
    pub fn advance_cursor(&self, payer: K2Address, id: u32, headers: &[Header]) -> Instruction {
        let headers = &bytes(headers);
        self.instruction(
            &Call::AdvanceCursor { headers },
            &[
                ("payer", payer),
                ("cursor", self.cursor(&payer, id).address),
            ],
        )
    }

    /// Returns a cursor's rent.
    #[must_use]
    pub fn close_cursor(&self, payer: K2Address, id: u32) -> Instruction {
        self.instruction(
            &Call::CloseCursor {},
            &[
                ("payer", payer),
                ("cursor", self.cursor(&payer, id).address),
            ],
        )
    }
}
