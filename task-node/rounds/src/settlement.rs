//! A settled round: what its decided blocks pay, divided for good.
//!
//! The provisional [`Distribution`] of a round counts the blocks that are on the best chain when Koii asks. A settlement
//! counts those that are on it for ever ([`crate::maturity`]) and adds up along settlements only. It is a function of the
//! accepted bundles, the rules and the buried part of Bitcoin's chain: the same bytes on every node.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash};
use ledger::{Distribution, DistributionError, Window};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use work::{K2Address, RoundNumber};

use crate::audit::BlockShare;
use crate::distribution::{DistributeError, PayoutTerms, distribute};
use crate::maturity::decided_at;
use crate::rules::PoolRules;

/// Names the encoding; a newer one gets another name, and a newer build still reads this one.
pub const SETTLEMENT_FORMAT: &str = "orcapool/settlement/1";

/// Why a round has no settlement, or bytes are none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettlementError {
    /// Rounds settle one after the other.
    #[error(
        "round {round} cannot be settled after round {previous}: rounds settle one after the other"
    )]
    Order {
        /// The settled round.
        previous: RoundNumber,
        /// The round that is not the one after it.
        round: RoundNumber,
    },
    /// The blocks do not stand in order, each height once.
    #[error("the blocks of a settlement stand by height, one at each")]
    BlockOrder,
    /// The pot is another than the blocks pay.
    #[error("the blocks and what was carried over are {blocks}, the pot is {pot}")]
    Pot {
        /// What the blocks pay, with what the round before left.
        blocks: Amount,
        /// The distribution's pot.
        pot: Amount,
    },
    /// Not the canonical encoding of a settlement.
    #[error("not a canonically encoded settlement: {0}")]
    Encoding(String),
    /// The money cannot be divided.
    #[error(transparent)]
    Distribute(#[from] DistributeError),
}

impl From<DistributionError> for SettlementError {
    fn from(error: DistributionError) -> Self {
        Self::Distribute(error.into())
    }
}

/// What a settlement depends on besides bundles and rules.
#[derive(Debug, Clone, Copy)]
pub struct SettlementTerms<'a> {
    /// The K2 program that pays.
    pub program: K2Address,
    /// The round's blocks that matured, by height.
    pub blocks: &'a [BlockShare],
    /// The settlement of the round before; none for the first round of the task's history.
    pub previous: Option<&'a Settlement>,
}

/// A settled round: its distribution, and the blocks that pay for it. All fields agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    distribution: Distribution,
    blocks: Vec<BlockShare>,
    carried: Amount,
}

/// The encoded form: a DAG-CBOR map.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    /// Height, hash (internal byte order), sats.
    blocks: Vec<(u32, ByteArray<32>, u64)>,
    carried: u64,
    distribution: ByteBuf,
}

impl Settlement {
    /// Settles a round whose window has been filled.
    ///
    /// # Errors
    /// [`SettlementError`]; nothing is settled then.
    pub fn compute(
        rules: &PoolRules,
        round: RoundNumber,
        window: &Window,
        terms: &SettlementTerms<'_>,
    ) -> Result<Self, SettlementError> {
        if let Some(previous) = terms.previous.map(Self::round)
            && previous.next() != round
        {
            return Err(SettlementError::Order { previous, round });
        }
        let previous = terms.previous.map(Self::distribution);
        let carried = previous.map_or(Amount::ZERO, |previous| previous.record().undistributed);
        let pot = sum(terms.blocks, carried)?;
        let distribution = distribute(
            rules,
            round,
            window,
            &PayoutTerms {
                program: terms.program,
                // Koii's list for the operators was answered long ago, from the provisional distribution.
                bounty: 0,
                pot,
                previous,
            },
        )?;
        let settlement = Self {
            distribution,
            blocks: terms.blocks.to_vec(),
            carried,
        };
        settlement.check()?;
        Ok(settlement)
    }

    /// The round.
    #[must_use]
    pub fn round(&self) -> RoundNumber {
        self.distribution.record().round
    }

    /// Who has earned what up to and including this round. Its operators' list is empty.
    #[must_use]
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// The blocks that pay for it, by height. Each coinbase has matured and can be minted on K2.
    #[must_use]
    pub fn blocks(&self) -> &[BlockShare] {
        &self.blocks
    }

    /// What the round before left undistributed; part of the pot.
    #[must_use]
    pub fn carried(&self) -> Amount {
        self.carried
    }

    /// The height of the tip with which the last of its blocks matured; `None` without blocks.
    #[must_use]
    pub fn maturity_height(&self) -> Option<u32> {
        self.blocks.last().map(|block| decided_at(block.height))
    }

    /// The canonical DAG-CBOR encoding: the same bytes on every node.
    ///
    /// # Errors
    /// [`SettlementError::Encoding`]; no settlement is known to cause it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SettlementError> {
        let blocks = self.blocks.iter();
        let wire = Wire {
            format: SETTLEMENT_FORMAT.to_owned(),
            blocks: blocks
                .map(|block| {
                    let hash = ByteArray::new(block.hash.to_byte_array());
                    (block.height, hash, block.value.to_sat())
                })
                .collect(),
            carried: self.carried.to_sat(),
            distribution: ByteBuf::from(self.distribution.to_bytes()?),
        };
        serde_ipld_dagcbor::to_vec(&wire)
            .map_err(|error| SettlementError::Encoding(error.to_string()))
    }

    /// Reads what [`Self::to_bytes`] wrote, and checks it.
    ///
    /// # Errors
    /// [`SettlementError`] if it is not that, byte for byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SettlementError> {
        let wire: Wire = serde_ipld_dagcbor::from_slice(bytes)
            .map_err(|error| SettlementError::Encoding(error.to_string()))?;
        if wire.format != SETTLEMENT_FORMAT {
            return Err(SettlementError::Encoding(format!(
                "format {:?} is not one this version reads; update it",
                wire.format
            )));
        }
        let blocks = wire.blocks.into_iter();
        let settlement = Self {
            distribution: Distribution::from_bytes(&wire.distribution)?,
            blocks: blocks
                .map(|(height, hash, sats)| BlockShare {
                    hash: BlockHash::from_byte_array(hash.into_array()),
                    height,
                    value: Amount::from_sat(sats),
                })
                .collect(),
            carried: Amount::from_sat(wire.carried),
        };
        settlement.check()?;
        if settlement.to_bytes()? == bytes {
            Ok(settlement)
        } else {
            Err(SettlementError::Encoding(
                "the same fields encode to other bytes".to_owned(),
            ))
        }
    }

    fn check(&self) -> Result<(), SettlementError> {
        if !self
            .blocks
            .is_sorted_by(|one, next| one.height < next.height)
        {
            return Err(SettlementError::BlockOrder);
        }
        let (blocks, pot) = (
            sum(&self.blocks, self.carried)?,
            self.distribution.record().pot,
        );
        if blocks != pot {
            return Err(SettlementError::Pot { blocks, pot });
        }
        Ok(())
    }
}

fn sum(blocks: &[BlockShare], carried: Amount) -> Result<Amount, DistributeError> {
    blocks
        .iter()
        .try_fold(carried, |sum, block| sum.checked_add(block.value))
        .ok_or(DistributeError::PotOverflow)
}
