//! The transaction of a proof, derived from what is claimed: challenge first, then the coins, one output nobody can spend.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, opcodes};
use serde::{Deserialize, Serialize};

use super::statement::Statement;
use crate::view::{COINBASE_MATURITY, confirmations};

/// The most coins of one proof: a verifier's consensus code reads the whole transaction once for each.
pub const MAX_COINS: usize = 2_000;

/// Why claims are none that a proof can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// No coins at all.
    #[error("there are no confirmed coins, so there is nothing to prove")]
    NoCoins,
    /// Too many.
    #[error("{0} coins, and one proof holds {MAX_COINS}: sweep them together first")]
    TooMany(usize),
    /// The coins are not in the order of their outpoints, or one of them is there twice.
    #[error("coin {0} is out of order, or there twice")]
    Order(OutPoint),
    /// A coin of a block after the proof's.
    #[error("coin {0} is younger than the block of the proof")]
    Younger(OutPoint),
    /// More than there can be.
    #[error("the amounts add up to more bitcoin than there can be")]
    Sum,
    /// The totals are not those of the coins.
    #[error("the totals are not those of the coins")]
    Totals,
    /// More burned than minted.
    #[error("it states that more was burned than minted")]
    Supply,
    /// The list of payments is not in its one order, or is longer than a proof's may be.
    #[error("the payments it names are not in order, or too many")]
    Paid,
    /// The transaction does not follow from statement and coins.
    #[error("the transaction is not the one of this statement and these coins: {0}")]
    Transaction(&'static str),
}

/// A coin that a proof signs for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvedCoin {
    /// Which.
    pub outpoint: OutPoint,
    /// Its value, in sats.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub amount: Amount,
    /// Height of its block.
    pub height: u32,
    /// Whether it is a coinbase's, which is owed to nobody before it is 100 deep: it cannot be minted either.
    pub is_coinbase: bool,
}

impl ProvedCoin {
    /// Whether it can be spent in the block after `tip`.
    #[must_use]
    pub const fn is_mature(&self, tip: u32) -> bool {
        let depth = confirmations(tip, self.height);
        depth >= 1 && (!self.is_coinbase || depth >= COINBASE_MATURITY)
    }
}

/// What is claimed: the statement and the coins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    statement: Statement,
    coins: Vec<ProvedCoin>,
    mature: Amount,
    immature: Amount,
}

impl Claim {
    /// The claim of these coins, in ascending order of their outpoints.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn new(statement: Statement, coins: Vec<ProvedCoin>) -> Result<Self, ClaimError> {
        if statement.supply().is_none() {
            return Err(ClaimError::Supply);
        }
        check_paid(&statement)?;
        if coins.is_empty() {
            return Err(ClaimError::NoCoins);
        }
        if coins.len() > MAX_COINS {
            return Err(ClaimError::TooMany(coins.len()));
        }
        if let Some(pair) = coins
            .windows(2)
            .find(|pair| pair[0].outpoint >= pair[1].outpoint)
        {
            return Err(ClaimError::Order(pair[1].outpoint));
        }
        if let Some(coin) = coins.iter().find(|coin| coin.height > statement.height) {
            return Err(ClaimError::Younger(coin.outpoint));
        }
        let sum = |mature: bool| {
            coins
                .iter()
                .filter(|coin| coin.is_mature(statement.height) == mature)
                .try_fold(Amount::ZERO, |sum, coin| sum.checked_add(coin.amount))
                .ok_or(ClaimError::Sum)
        };
        let (mature, immature) = (sum(true)?, sum(false)?);
        let total = mature.checked_add(immature).ok_or(ClaimError::Sum)?;
        if total > Amount::MAX_MONEY {
            return Err(ClaimError::Sum);
        }
        Ok(Self {
            statement,
            coins,
            mature,
            immature,
        })
    }

    /// What it is bound to.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The coins, in the order of the transaction's inputs after the first.
    #[must_use]
    pub fn coins(&self) -> &[ProvedCoin] {
        &self.coins
    }

    /// What can be spent at the statement's height.
    #[must_use]
    pub const fn mature(&self) -> Amount {
        self.mature
    }

    /// Coinbases that are not 100 deep there.
    #[must_use]
    pub const fn immature(&self) -> Amount {
        self.immature
    }

    /// The transaction, without signatures.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        let input = |previous_output| TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        };
        let coins = self.coins.iter().map(|coin| coin.outpoint);
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: std::iter::once(self.statement.challenge())
                .chain(coins)
                .map(input)
                .collect(),
            output: vec![TxOut {
                // Checked to be at most 21 million when the claim was made.
                value: self.mature.checked_add(self.immature).unwrap_or_default(),
                script_pubkey: unspendable(),
            }],
        }
    }

    /// Whether a transaction, apart from its witnesses, is that of the claim.
    ///
    /// # Errors
    /// [`ClaimError::Transaction`], with the first difference.
    pub fn check(&self, transaction: &Transaction) -> Result<(), ClaimError> {
        let differs = |what| Err(ClaimError::Transaction(what));
        let expected = self.transaction();
        if transaction.input.first().map(|input| input.previous_output)
            != Some(self.statement.challenge())
        {
            return differs("its first input is not the challenge of this statement");
        }
        let outpoints = |transaction: &Transaction| -> Vec<OutPoint> {
            let inputs = transaction.input.iter();
            inputs.map(|input| input.previous_output).collect()
        };
        if outpoints(transaction) != outpoints(&expected) {
            return differs("its inputs are not the coins");
        }
        if transaction.output != expected.output {
            return differs("its output is not the whole sum to nobody");
        }
        let mut bare = transaction.clone();
        for input in &mut bare.input {
            input.witness = Witness::new();
        }
        if bare != expected {
            return differs("version, lock time, a sequence or a script differs");
        }
        Ok(())
    }
}

/// OP_RETURN alone: whatever is paid to it is gone. The transaction can never be mined, and if it could nobody would gain.
pub(super) fn unspendable() -> ScriptBuf {
    ScriptBuf::builder()
        .push_opcode(opcodes::all::OP_RETURN)
        .into_script()
}

/// Ascending, each redemption once, and not more than a proof of this size can ever need.
fn check_paid(statement: &Statement) -> Result<(), ClaimError> {
    /// Redemptions that are paid and not settled at one moment: 25 full batches.
    const MAX_IDS: usize = 2_500;
    let paid = &statement.paid;
    let mut ids: Vec<u64> = paid.iter().flat_map(|paid| paid.ids.clone()).collect();
    let ordered = paid
        .windows(2)
        .all(|pair| (pair[0].height, pair[0].txid) < (pair[1].height, pair[1].txid))
        && paid.iter().all(|paid| {
            !paid.ids.is_empty()
                && paid.ids.windows(2).all(|pair| pair[0] < pair[1])
                && paid.height <= statement.height
        });
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ordered && ids.len() == count && count <= MAX_IDS {
        Ok(())
    } else {
        Err(ClaimError::Paid)
    }
}
