//! A Bitcoin transaction to be proved, and the instructions that do it.

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

/// An output of the transaction that is proved, and what it is proved for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// What for.
    pub purpose: Purpose,
    /// Which output.
    pub vout: u32,
}

/// A Bitcoin transaction to be proved to the program. The payouts of one transaction have one proof, so it may be used more
/// than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What the proof is used for, each time by an instruction of its own.
    pub uses: Vec<Use>,
    /// Height of the block.
    pub height: u32,
    /// Hash of the block, in internal byte order.
    pub block_hash: [u8; 32],
    /// The transaction, in internal byte order.
    pub txid: [u8; 32],
    /// Confirmations the program asks for.
    pub confirmations: u32,
    proof: Vec<u8>,
    digest: [u8; 32],
}

impl Job {
    /// To mint an output of a block's coinbase.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn mint_coinbase(block: &Block, height: u32, vout: u32) -> Result<Self, BuildError> {
        let proof = coinbase_proof(block)?;
        let purpose = Purpose::MintCoinbase;
        let uses = vec![Use { purpose, vout }];
        Self::new(block, height, 0, uses, proof, COINBASE_MATURITY)
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
        let uses = vec![Use { purpose, vout }];
        Self::new(block, height, index, uses, proof, confirmations)
    }

    /// To settle redemptions with outputs of the block's transaction at `index`: each `(redemption, vout)`.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn settle(
        block: &Block,
        height: u32,
        index: usize,
        payouts: impl IntoIterator<Item = (u64, u32)>,
        confirmations: u32,
    ) -> Result<Self, BuildError> {
        let proof = payment_proof(block, index)?;
        let settles = |(redemption, vout)| Use {
            purpose: Purpose::Settle { redemption },
            vout,
        };
        let uses = payouts.into_iter().map(settles).collect();
        Self::new(block, height, index, uses, proof, confirmations)
    }

    fn new(
        block: &Block,
        height: u32,
        index: usize,
        uses: Vec<Use>,
        proof: Vec<u8>,
        confirmations: u32,
    ) -> Result<Self, BuildError> {
        let transaction = block.txdata.get(index).ok_or(BuildError::NoTransaction {
            index,
            count: block.txdata.len(),
        })?;
        Ok(Self {
            uses,
            height,
            block_hash: block.block_hash().to_byte_array(),
            txid: transaction.compute_txid().to_byte_array(),
            confirmations,
            digest: sha256(&[&proof]),
            proof,
        })
    }

    /// The proof.
    #[must_use]
    pub fn proof(&self) -> &[u8] {
        &self.proof
    }

    /// The SHA-256 a buffer is announced with.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The output of a use.
    #[must_use]
    pub const fn outpoint(&self, used: &Use) -> Outpoint {
        Outpoint {
            txid: self.txid,
            vout: used.vout,
        }
    }

    /// The buffer's id: from the digest, so that after a crash the same buffer is found again.
    #[must_use]
    pub const fn buffer_id(&self) -> u32 {
        let [a, b, c, d, ..] = self.digest;
        u32::from_le_bytes([a, b, c, d])
    }

    /// The instruction of a use.
    #[must_use]
    pub fn instruction(
        &self,
        used: &Use,
        program: &Program,
        payer: K2Address,
        anchoring: Anchoring,
        buffered: bool,
    ) -> Instruction {
        let location = Location {
            height: self.height,
            outpoint: self.outpoint(used),
            anchoring,
            proof: if buffered {
                ProofBytes::Buffer(self.buffer_id())
            } else {
                ProofBytes::Inline(&self.proof)
            },
        };
        match &used.purpose {
            Purpose::MintCoinbase => program.mint_coinbase(payer, &location),
            Purpose::MintDeposit { inputs } => program.mint_deposit(payer, &location, inputs),
            Purpose::Settle { redemption } => program.settle_redeem(payer, *redemption, &location),
        }
    }
}
