//! Buffers, and what is done against a proof: minting and settling.

use k2_interface::K2Address;
use k2_interface::instruction::{
    Anchor, Instruction as Call, OpenBuffer, ProveOutput, Source, WriteBuffer,
};
use solana_instruction::Instruction;

use crate::pda::{Outpoint, Program};

/// Where the program knows a proof's block from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchoring {
    /// The relay's ring.
    Ring,
    /// The payer's cursor with this id.
    Cursor(u32),
}

/// Where a proof's bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofBytes<'a> {
    /// In the instruction.
    Inline(&'a [u8]),
    /// In the payer's buffer with this id.
    Buffer(u32),
}

/// Which output is proved, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location<'a> {
    /// Height of its block.
    pub height: u32,
    /// The output.
    pub outpoint: Outpoint,
    /// Where the block is known from.
    pub anchoring: Anchoring,
    /// Where the proof is.
    pub proof: ProofBytes<'a>,
}

type Accounts = Vec<(&'static str, K2Address)>;

impl<'a> Location<'a> {
    fn args(&self) -> ProveOutput {
        let (anchor, source) = (
            match self.anchoring {
                Anchoring::Ring => Anchor::Ring,
                Anchoring::Cursor(_) => Anchor::Cursor,
            },
            match self.proof {
                ProofBytes::Inline(_) => Source::Inline,
                ProofBytes::Buffer(_) => Source::Buffer,
            },
        );
        ProveOutput {
            height: self.height,
            vout: self.outpoint.vout,
            anchor: anchor as u8,
            source: source as u8,
        }
    }

    const fn inline(&self) -> &'a [u8] {
        match self.proof {
            ProofBytes::Inline(bytes) => bytes,
            ProofBytes::Buffer(_) => &[],
        }
    }

    fn accounts(&self, program: &Program, payer: K2Address) -> Accounts {
        let mut accounts = vec![("payer", payer)];
        if let Anchoring::Cursor(id) = self.anchoring {
            accounts.push(("cursor", program.cursor(&payer, id).address));
        }
        if let ProofBytes::Buffer(id) = self.proof {
            accounts.push(("buffer", program.buffer(&payer, id).address));
        }
        accounts
    }
}

impl Program {
    /// Announces a proof of so many bytes.
    #[must_use]
    pub fn open_buffer(
        &self,
        payer: K2Address,
        id: u32,
        length: u32,
        sha256: [u8; 32],
    ) -> Instruction {
        let args = OpenBuffer { id, length, sha256 };
        self.instruction(
            &Call::OpenBuffer { args },
            &[
                ("payer", payer),
                ("buffer", self.buffer(&payer, id).address),
            ],
        )
    }

    /// Writes the next piece.
    #[must_use]
    pub fn write_buffer(
        &self,
        payer: K2Address,
        id: u32,
        offset: u32,
        piece: &[u8],
    ) -> Instruction {
        let args = WriteBuffer { offset };
        self.instruction(
            &Call::WriteBuffer { args, piece },
            &[
                ("payer", payer),
                ("buffer", self.buffer(&payer, id).address),
            ],
        )
    }

    /// Returns a buffer's rent.
    #[must_use]
    pub fn close_buffer(&self, payer: K2Address, id: u32) -> Instruction {
        self.instruction(
            &Call::CloseBuffer {},
            &[
                ("payer", payer),
                ("buffer", self.buffer(&payer, id).address),
            ],
        )
    }

    /// Mints a coinbase output.
    #[must_use]
    pub fn mint_coinbase(&self, payer: K2Address, location: &Location<'_>) -> Instruction {
        let (args, proof) = (location.args(), location.inline());
        let mut accounts = location.accounts(self, payer);
        accounts.push(("deposit", self.deposit(&location.outpoint).address));
        self.instruction(&Call::MintCoinbase { args, proof }, &accounts)
    }

    /// Mints an ordinary output; `inputs` are those of its transaction, in their order.
    #[must_use]
    pub fn mint_deposit(
        &self,
        payer: K2Address,
        location: &Location<'_>,
        inputs: &[Outpoint],
    ) -> Instruction {
        let (args, proof) = (location.args(), location.inline());
        let mut accounts = location.accounts(self, payer);
        accounts.push(("deposit", self.deposit(&location.outpoint).address));
        accounts.extend(
            inputs
                .iter()
                .map(|input| ("spent", self.deposit(input).address)),
        );
        self.instruction(&Call::MintDeposit { args, proof }, &accounts)
    }

    /// Burns a redemption's tokens against its payout.
    #[must_use]
    pub fn settle_redeem(
        &self,
        payer: K2Address,
        redemption: u64,
        location: &Location<'_>,
    ) -> Instruction {
        let (args, proof) = (location.args(), location.inline());
        let mut accounts = location.accounts(self, payer);
        accounts.push(("redemption", self.redemption(redemption).address));
        accounts.push(("payout", self.payout(&location.outpoint).address));
        self.instruction(&Call::SettleRedeem { args, proof }, &accounts)
    }

    /// Closes the record of a minted output; the rent goes to who paid it.
    #[must_use]
    pub fn close_deposit(&self, rent_receiver: K2Address, outpoint: &Outpoint) -> Instruction {
        self.instruction(
            &Call::CloseDeposit {},
            &[
                ("rent_receiver", rent_receiver),
                ("deposit", self.deposit(outpoint).address),
            ],
        )
    }

    /// Closes the record of a payout; the rent goes to who paid it.
    #[must_use]
    pub fn close_payout(&self, rent_receiver: K2Address, outpoint: &Outpoint) -> Instruction {
        self.instruction(
            &Call::ClosePayout {},
            &[
                ("rent_receiver", rent_receiver),
                ("payout", self.payout(outpoint).address),
            ],
        )
    }
}
