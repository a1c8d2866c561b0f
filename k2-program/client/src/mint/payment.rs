//! Which outputs of a block pay custody, and whether the program would mint them: pure functions of block, configuration and
//! relay.

use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash, Txid};
use k2_interface::PoolError;
use k2_interface::bitcoin::ScriptType;
use k2_interface::instruction::MAX_DEPOSIT_INPUTS;
use k2_interface::state::{Config, CustodyScripts, PackedScript, Relay};
use serde::Serialize;

use crate::pda::Outpoint;
use crate::prove::COINBASE_MATURITY;

/// What an output is minted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The pool found the block.
    Coinbase,
    /// An ordinary payment to the deposit script.
    Deposit,
}

/// An output that pays custody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Payment {
    /// Minted as what.
    pub origin: Origin,
    /// Height of its block.
    pub height: u32,
    /// Its block.
    pub block: BlockHash,
    /// Its transaction.
    pub txid: Txid,
    /// Place of the transaction in the block.
    pub index: usize,
    /// Which output.
    pub vout: u32,
    /// Sats.
    pub value: u64,
    /// How many outputs its transaction spends.
    pub inputs: usize,
}

impl Payment {
    /// The output.
    #[must_use]
    pub fn outpoint(&self) -> Outpoint {
        Outpoint {
            txid: self.txid.to_byte_array(),
            vout: self.vout,
        }
    }

    /// Confirmations it needs.
    #[must_use]
    pub const fn confirmations(&self, config: &Config) -> u32 {
        match self.origin {
            Origin::Coinbase => COINBASE_MATURITY,
            Origin::Deposit => config.parameters.deposit_confirmations.get(),
        }
    }
}

/// Where a payment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Standing {
    /// Minted already.
    Minted,
    /// Can be minted now.
    Ready,
    /// Waits for blocks.
    Waiting {
        /// The relay's height at which it can be minted.
        ready_at: u32,
    },
    /// The program will never mint it.
    Never {
        /// Why.
        reason: String,
    },
}

/// A payment and what decides whether it can be minted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) payment: Payment,
    /// The output's; custody's scripts are all of a standard form.
    script: ScriptType,
    /// The outputs its transaction spends.
    pub(super) spends: Vec<Outpoint>,
}

/// The outputs of a block that pay custody by scripts in force at its height.
pub(super) fn candidates(block: &Block, height: u32, config: &Config) -> Vec<Candidate> {
    let hash = block.block_hash();
    let mut found = Vec::new();
    for (index, transaction) in block.txdata.iter().enumerate() {
        let origin = if index == 0 {
            Origin::Coinbase
        } else {
            Origin::Deposit
        };
        let mut txid = None;
        for (vout, output) in (0..).zip(&transaction.output) {
            let bytes = output.script_pubkey.as_bytes();
            if !in_force(config, origin, bytes, height) {
                continue;
            }
            let Ok(script) = ScriptType::of(bytes) else {
                continue;
            };
            let payment = Payment {
                origin,
                height,
                block: hash,
                txid: *txid.get_or_insert_with(|| transaction.compute_txid()),
                index,
                vout,
                value: output.value.to_sat(),
                inputs: transaction.input.len(),
            };
            found.push(Candidate {
                payment,
                script,
                spends: crate::prove::spent(transaction),
            });
        }
    }
    found
}

/// Whether the program honours this script at this height.
fn in_force(config: &Config, origin: Origin, script: &[u8], height: u32) -> bool {
    let custody = &config.custody;
    let of = |scripts: &CustodyScripts| match origin {
        Origin::Coinbase => scripts.coinbase,
        Origin::Deposit => scripts.deposit,
    };
    is(&of(&custody.active), script)
        || (height <= custody.previous_until.get() && is(&of(&custody.previous), script))
}

fn is(packed: &PackedScript, script: &[u8]) -> bool {
    let [length, bytes @ ..] = packed;
    *length > 0 && bytes.get(..usize::from(*length)) == Some(script)
}

/// Where a payment stands that is not minted yet.
pub(super) fn standing(candidate: &Candidate, config: &Config, relay: &Relay) -> Standing {
    let payment = &candidate.payment;
    let never = |reason: PoolError| Standing::Never {
        reason: reason.to_string(),
    };
    let needed = payment.confirmations(config);
    if relay.is_below_horizon(payment.height, config.parameters.mint_horizon.get()) {
        never(PoolError::BelowHorizon)
    } else if payment.value < candidate.script.dust_limit() {
        never(PoolError::Dust)
    } else if payment.origin == Origin::Deposit && payment.inputs > MAX_DEPOSIT_INPUTS {
        never(PoolError::TooManyInputs)
    } else if relay.confirmations(payment.height) < needed {
        Standing::Waiting {
            ready_at: payment.height.saturating_add(needed.saturating_sub(1)),
        }
    } else {
        Standing::Ready
    }
}
