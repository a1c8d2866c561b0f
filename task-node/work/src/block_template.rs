//! A block template as the Bitcoin node gave it, validated.
//!
//! The node may be somebody else's or broken: every transaction is decoded, every id recomputed, the witness commitment
//! compared, so that nothing a miner works on rests on the node's word where it can be checked.

use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256d};
use bitcoin::{Amount, Block, BlockHash, Network, Transaction};
use pow::{NBits, TargetError};

use crate::{FoundBlock, block_subsidy, merkle};

/// Maximum block weight (BIP141).
const MAX_BLOCK_WEIGHT: u64 = 4_000_000;
/// What `default_witness_commitment` begins with: OP_RETURN, a 36-byte push, the BIP141 header.
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// The fields of a `getblocktemplate` reply the pool uses, still unchecked.
#[derive(Debug, Clone, Default)]
pub struct TemplateParts {
    /// Height of the block to be mined.
    pub height: u32,
    /// Hash of the block it builds on.
    pub prev_hash: [u8; 32],
    /// Header version.
    pub version: i32,
    /// Compact target.
    pub nbits: u32,
    /// Lowest allowed header time.
    pub min_time: u32,
    /// The node's idea of now.
    pub cur_time: u32,
    /// What the coinbase may pay out, in satoshis.
    pub coinbase_value: u64,
    /// All transactions but the coinbase, serialised with witness, in block order.
    pub transactions: Vec<Vec<u8>>,
    /// `default_witness_commitment`, a whole output script.
    pub witness_commitment_script: Option<Vec<u8>>,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The height is 0 or does not fit a BIP34 push.
    #[error("height {0} cannot be mined")]
    Height(u32),
    /// The compact target.
    #[error("bits: {0}")]
    Bits(#[from] TargetError),
    /// Times that contradict each other.
    #[error("mintime {min_time} lies after curtime {cur_time}")]
    Times {
        /// `mintime`
        min_time: u32,
        /// `curtime`
        cur_time: u32,
    },
    /// Less than the subsidy: miners would be paid too little, and every auditor would refuse the round.
    #[error("coinbasevalue {given} is below the block subsidy {subsidy}")]
    BelowSubsidy {
        /// What the node offers, in satoshis.
        given: u64,
        /// The subsidy at this height, in satoshis.
        subsidy: u64,
    },
    /// More than all coins there will ever be.
    #[error("coinbasevalue {0} is more than 21 million BTC")]
    AboveMaxMoney(u64),
    /// A transaction that does not decode.
    #[error("transaction {0} does not decode")]
    Transaction(usize),
    /// A coinbase among the transactions.
    #[error("transaction {0} is a coinbase")]
    Coinbase(usize),
    /// A transaction without inputs or outputs. No block may hold one, and twelve bytes each they would make a tree
    /// deeper than any block's, which no auditor reads.
    #[error("transaction {0} has no inputs or no outputs")]
    EmptyTransaction(usize),
    /// Heavier than a block may be.
    #[error("the transactions weigh {0}, more than a block may")]
    TooHeavy(u64),
    /// The witness commitment is missing, malformed or not that of the transactions.
    #[error(
        "default_witness_commitment does not commit to the transactions (ask with rules [\"segwit\"])"
    )]
    WitnessCommitment,
}

/// A validated template.
#[derive(Debug, Clone)]
pub struct BlockTemplate {
    pub(crate) height: u32,
    pub(crate) prev_hash: BlockHash,
    pub(crate) version: u32,
    pub(crate) nbits: NBits,
    pub(crate) min_time: u32,
    pub(crate) cur_time: u32,
    pub(crate) coinbase_value: Amount,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) branch: Vec<merkle::Hash>,
    pub(crate) witness_commitment: Option<[u8; 32]>,
}

impl BlockTemplate {
    /// Checks a template and precomputes its merkle branch.
    ///
    /// # Errors
    /// [`TemplateError`] names the first field that cannot be right.
    pub fn new(parts: &TemplateParts, network: Network) -> Result<Self, TemplateError> {
        // BIP34 pushes a signed number; Core's block heights are int.
        if parts.height == 0 || parts.height > i32::MAX as u32 {
            return Err(TemplateError::Height(parts.height));
        }
        let nbits = NBits::from_consensus(parts.nbits)?;
        if parts.min_time > parts.cur_time {
            return Err(TemplateError::Times {
                min_time: parts.min_time,
                cur_time: parts.cur_time,
            });
        }
        let subsidy = block_subsidy(network, parts.height).to_sat();
        if parts.coinbase_value < subsidy {
            return Err(TemplateError::BelowSubsidy {
                given: parts.coinbase_value,
                subsidy,
            });
        }
        if parts.coinbase_value > Amount::MAX_MONEY.to_sat() {
            return Err(TemplateError::AboveMaxMoney(parts.coinbase_value));
        }

        let mut transactions = Vec::with_capacity(parts.transactions.len());
        let mut weight = 0_u64;
        for (index, raw) in parts.transactions.iter().enumerate() {
            let transaction: Transaction =
                deserialize(raw).map_err(|_| TemplateError::Transaction(index))?;
            if transaction.is_coinbase() {
                return Err(TemplateError::Coinbase(index));
            }
            if transaction.input.is_empty() || transaction.output.is_empty() {
                return Err(TemplateError::EmptyTransaction(index));
            }
            weight = weight.saturating_add(transaction.weight().to_wu());
            transactions.push(transaction);
        }
        if weight > MAX_BLOCK_WEIGHT {
            return Err(TemplateError::TooHeavy(weight));
        }

        let txids: Vec<merkle::Hash> = transactions
            .iter()
            .map(|transaction| transaction.compute_txid().to_byte_array())
            .collect();
        Ok(Self {
            height: parts.height,
            prev_hash: BlockHash::from_byte_array(parts.prev_hash),
            // The header stores the same 32 bits; consensus reads them as signed.
            version: parts.version as u32,
            nbits,
            min_time: parts.min_time,
            cur_time: parts.cur_time,
            coinbase_value: Amount::from_sat(parts.coinbase_value),
            branch: merkle::coinbase_branch(&txids),
            witness_commitment: witness_commitment(
                &transactions,
                parts.witness_commitment_script.as_deref(),
            )?,
            transactions,
        })
    }

    /// Height of the block to be mined.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The block it builds on.
    #[must_use]
    pub fn prev_hash(&self) -> BlockHash {
        self.prev_hash
    }

    /// The network's compact target.
    #[must_use]
    pub fn nbits(&self) -> NBits {
        self.nbits
    }

    /// The node's time when it made the template.
    #[must_use]
    pub fn cur_time(&self) -> u32 {
        self.cur_time
    }

    /// Subsidy and fees.
    #[must_use]
    pub fn coinbase_value(&self) -> Amount {
        self.coinbase_value
    }

    /// All transactions but the coinbase.
    #[must_use]
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// The whole block a share found: header, coinbase with its witness, and this template's transactions.
    ///
    /// # Errors
    /// [`AssembleError`] when the find is not of this template.
    pub fn assemble(&self, found: &FoundBlock) -> Result<Block, AssembleError> {
        let mut coinbase: Transaction =
            deserialize(&found.coinbase).map_err(|_| AssembleError::Coinbase)?;
        if self.witness_commitment.is_some() {
            // BIP141: the coinbase's witness is the reserved value the commitment was made with.
            for input in &mut coinbase.input {
                input.witness = bitcoin::Witness::from_slice(&[[0_u8; 32]]);
            }
        }
        let header = deserialize(&found.header).map_err(|_| AssembleError::Header)?;
        let mut txdata = Vec::with_capacity(self.transactions.len() + 1);
        txdata.push(coinbase);
        txdata.extend(self.transactions.iter().cloned());
        let block = Block { header, txdata };
        if block.header.prev_blockhash != self.prev_hash || !block.check_merkle_root() {
            return Err(AssembleError::OtherTemplate);
        }
        Ok(block)
    }
}

/// Why a find cannot be made into a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The coinbase does not decode.
    #[error("the coinbase does not decode")]
    Coinbase,
    /// The header does not decode.
    #[error("the header does not decode")]
    Header,
    /// The header commits to other transactions or another previous block.
    #[error("the header belongs to another template")]
    OtherTemplate,
}

/// Recomputes the BIP141 commitment and compares it with the node's.
fn witness_commitment(
    transactions: &[Transaction],
    script: Option<&[u8]>,
) -> Result<Option<[u8; 32]>, TemplateError> {
    let Some(script) = script else {
        // Without a commitment no transaction may have a witness.
        let segwit = transactions
            .iter()
            .any(|t| t.input.iter().any(|input| !input.witness.is_empty()));
        return if segwit {
            Err(TemplateError::WitnessCommitment)
        } else {
            Ok(None)
        };
    };
    // The coinbase counts as 32 zero bytes in the witness tree.
    let wtxids: Vec<merkle::Hash> = transactions
        .iter()
        .map(|transaction| transaction.compute_wtxid().to_byte_array())
        .collect();
    let root = merkle::root_from_branch([0; 32], &merkle::coinbase_branch(&wtxids));
    let mut engine = sha256d::Hash::engine();
    engine.input(&root);
    engine.input(&[0; 32]);
    let expected = sha256d::Hash::from_engine(engine).to_byte_array();
    match script.strip_prefix(&COMMITMENT_PREFIX) {
        Some(given) if given == expected => Ok(Some(expected)),
        _ => Err(TemplateError::WitnessCommitment),
    }
}

/// The output script of a witness commitment.
pub(crate) fn commitment_script(commitment: &[u8; 32]) -> Vec<u8> {
    [&COMMITMENT_PREFIX[..], commitment].concat()
}
