//! A Bitcoin output to be proved, and the instruction that does it.

use bitcoin::Block;
use bitcoin::hashes::Hash as _;
use k2_interface::K2Address;
use solana_instruction::Instruction;

use super::COINBASE_MATURITY;
use super::build::{BuildError, coinbase_proof, payment_proof, sha256, spent};
use crate::instructions::{Anchoring, Location, ProofBytes};
use crate::pda::{Outpoint, Program};

/// What a proof is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// MintCoinbase.
    MintCoinbase,
    /// MintDeposit.
    MintDeposit {
        /// The outputs the transaction spends, in the order of its inputs.
        inputs: Vec<Outpoint>,
    },
    /// SettleRedeem.
    Settle {
        /// The redemption.
        redemption: u64,
    },
}

/// A Bitcoin output to be proved to the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What for.
    pub purpose: Purpose,
    /// Height of the block.
    pub height: u32,
    /// Hash of the block, in internal byte order.
    pub block_hash: [u8; 32],
    /// The output.
    pub outpoint: Outpoint,
    /// The proof.
    pub proof: Vec<u8>,
    /// Confirmations the program asks for.
    pub confirmations: u32,
}

impl Job {
    /// To mint an output of a block's coinbase.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn mint_coinbase(block: &Block, height: u32, vout: u32) -> Result<Self, BuildError> {
        let proof = coinbase_proof(block)?;
        let confirmations = COINBASE_MATURITY;
        Self::new(
            block,
            height,
            0,
            vout,
            Purpose::MintCoinbase,
            proof,
            confirmations,
        )
    }

    /// To mint an output of the block's transaction at `index`.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn mint_deposit(
        block: &Block,
        height: u32,
        index: usize,
        vout: u32,
        confirmations: u32,
    ) -> Result<Self, BuildError> {
        let proof = payment_proof(block, index)?;
        let inputs = block.txdata.get(index).map(spent).unwrap_or_default();
        let purpose = Purpose::MintDeposit { inputs };
        Self::new(block, height, index, vout, purpose, proof, confirmations)
    }

    /// To settle a redemption with an output of the block's transaction at `index`.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn settle(
        block: &Block,
        height: u32,
        index: usize,
        vout: u32,
        redemption: u64,
        confirmations: u32,
    ) -> Result<Self, BuildError> {
        let proof = payment_proof(block, index)?;
        let purpose = Purpose::Settle { redemption };
        Self::new(block, height, index, vout, purpose, proof, confirmations)
    }

    fn new(
        block: &Block,
        height: u32,
        index: usize,
        vout: u32,
        purpose: Purpose,
        proof: Vec<u8>,
        confirmations: u32,
    ) -> Result<Self, BuildError> {
        let transaction = block.txdata.get(index).ok_or(BuildError::NoTransaction {
            index,
            count: block.txdata.len(),
        })?;
        Ok(Self {
            purpose,
            height,
            block_hash: block.block_hash().to_byte_array(),
            outpoint: Outpoint {
                txid: transaction.compute_txid().to_byte_array(),
                vout,
            },
            proof,
            confirmations,
        })
    }

    /// The SHA-256 a buffer is announced with.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[&self.proof])
    }

    /// The buffer's id: from the digest, so that after a crash the same buffer is found again.
    #[must_use]
    pub fn buffer_id(&self) -> u32 {
        let [a, b, c, d, ..] = self.digest();
        u32::from_le_bytes([a, b, c, d])
    }

    /// The instruction that uses the proof.
    #[must_use]
    pub fn instruction(
        &self,
        program: &Program,
        payer: K2Address,
        anchoring: Anchoring,
        buffered: bool,
    ) -> Instruction {
        let location = Location {
            height: self.height,
            outpoint: self.outpoint,
            anchoring,
            proof: if buffered {
                ProofBytes::Buffer(self.buffer_id())
            } else {
                ProofBytes::Inline(&self.proof)
            },
        };
        match &self.purpose {
            Purpose::MintCoinbase => program.mint_coinbase(payer, &location),
            Purpose::MintDeposit { inputs } => program.mint_deposit(payer, &location, inputs),
            Purpose::Settle { redemption } => program.settle_redeem(payer, *redemption, &location),
        }
    }
}
