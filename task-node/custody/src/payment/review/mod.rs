//! What a custodian does before it signs: every rule, from its own knowledge.
//!
//! Only the unsigned transaction is taken from whoever asks; all else the PSBT says is compared with what this custodian's
//! node and K2 endpoint say, and what is signed in the end is a PSBT built anew from those.

mod fields;
mod inputs;
mod outputs;
mod transfer;

use std::collections::BTreeSet;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, FeeRate, OutPoint, Psbt, ScriptBuf, Txid, Weight};
use serde::Serialize;

use super::rule::{Refused, Rule, refuse};
use super::{History, Known, MAX_WEIGHT, sum, weight};
use crate::journal::Cost;
use crate::view::{Coin, Payment};

/// What one redemption gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payout {
    /// The redemption.
    pub id: u64,
    /// Where it goes.
    pub script: ScriptBuf,
    /// Burned on K2.
    pub amount: Amount,
    /// Paid on Bitcoin.
    pub paid: Amount,
    /// Its share of the fee: the difference.
    pub fee: Amount,
}

/// What comes back to the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Change {
    /// How much.
    pub amount: Amount,
    /// Index on the keychain of change.
    pub index: u32,
}

/// What a transaction is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Pays redemptions.
    Payout {
        /// In the order of outputs and of ids.
        payouts: Vec<Payout>,
        /// What is left.
        change: Option<Change>,
    },
    /// Moves coins to a coinbase script registered on K2.
    Sweep {
        /// That script.
        to: ScriptBuf,
        /// What arrives.
        amount: Amount,
    },
    /// Makes payments impossible, so that their redemptions can be paid anew or refunded.
    Cancel {
        /// The redemptions; none: of payments that this custodian does not know
        /// ([`Limits::unknown_cancel`](crate::payment::Limits::unknown_cancel)).
        ids: BTreeSet<u64>,
        /// What comes back.
        change: Change,
    },
}

/// A transaction that passed the review. Nothing else makes one, and nothing else is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    psbt: Psbt,
    txid: Txid,
    purpose: Purpose,
    fee: Amount,
    weight: Weight,
    replaces: BTreeSet<Txid>,
}

impl Reviewed {
    /// The transaction as a PSBT, built from this custodian's own knowledge, with the signatures that were in it.
    #[must_use]
    pub const fn psbt(&self) -> &Psbt {
        &self.psbt
    }

    /// Its id, which signatures do not change.
    #[must_use]
    pub const fn txid(&self) -> Txid {
        self.txid
    }

    /// What it is for.
    #[must_use]
    pub const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// What miners get.
    #[must_use]
    pub const fn fee(&self) -> Amount {
        self.fee
    }

    /// What it weighs with the largest signatures.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.weight
    }

    /// What it costs, the rate rounded up.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let rate = self.fee.to_sat().saturating_mul(1000);
        Cost {
            fee: self.fee,
            rate: FeeRate::from_sat_per_kwu(rate.div_ceil(self.weight.to_wu().max(1))),
        }
    }

    /// The payments it makes impossible, because they spend a coin that it spends.
    #[must_use]
    pub const fn replaces(&self) -> &BTreeSet<Txid> {
        &self.replaces
    }

    /// The payment it is, for the journal; none: it names no redemption.
    #[must_use]
    pub fn payment(&self) -> Option<Payment> {
        Payment::of(&self.psbt.unsigned_tx, None)
    }
}

/// Reviews a transaction by every [`Rule`].
///
/// # Errors
/// [`Refused`] by the first rule that is broken.
pub fn review(psbt: &Psbt, known: &Known<'_>) -> Result<Reviewed, Refused> {
    whole(psbt, known)?;
    let coins = inputs::coins(psbt, known)?;
    fields::check(psbt, known, &coins)?;
    let history = History::new(known.signed, known.bitcoin);
    let facts = Facts::new(psbt, known, &history, &coins)?;
    let is_payout = |script: &ScriptBuf| script.is_op_return();
    let scripts = psbt.unsigned_tx.output.iter();
    let purpose = if scripts.map(|output| &output.script_pubkey).any(is_payout) {
        outputs::payout(psbt, &facts)?
    } else {
        transfer::check(psbt, &facts)?
    };
    let own = fields::rebuild(psbt, known, &coins, &purpose)?;
    let txid = facts.txid;
    let replaces = history
        .live(known.bitcoin)
        .filter(|other| other.txid != txid && !other.inputs.is_disjoint(&facts.inputs))
        .map(|other| other.txid)
        .collect();
    Ok(Reviewed {
        psbt: own,
        txid,
        purpose,
        fee: facts.fee,
        weight: facts.weight,
        replaces,
    })
}

/// What all purposes have in common, computed once.
struct Facts<'a> {
    known: &'a Known<'a>,
    history: &'a History,
    txid: Txid,
    inputs: BTreeSet<OutPoint>,
    spent: Amount,
    /// Zero where outputs exceed inputs; [`Facts::check_fee`] refuses that.
    fee: Amount,
    overspent: bool,
    weight: Weight,
}

impl<'a> Facts<'a> {
    fn new(
        psbt: &Psbt,
        known: &'a Known<'a>,
        history: &'a History,
        coins: &[&Coin],
    ) -> Result<Self, Refused> {
        let outputs = psbt.unsigned_tx.output.iter().map(|output| output.value);
        let (Some(spent), Some(paid)) = (
            sum(coins.iter().map(|coin| coin.txout.value)),
            sum(outputs).filter(|paid| *paid <= Amount::MAX_MONEY),
        ) else {
            return refuse(
                Rule::Overspent,
                "the sum is more than all bitcoin there can be",
            );
        };
        let fee = spent.checked_sub(paid);
        Ok(Self {
            known,
            history,
            txid: psbt.unsigned_tx.compute_txid(),
            inputs: coins.iter().map(|coin| coin.outpoint).collect(),
            spent,
            fee: fee.unwrap_or(Amount::ZERO),
            overspent: fee.is_none(),
            weight: weight::signed_weight(known.setup, &psbt.unsigned_tx),
        })
    }

    /// The caps. After the outputs, so that what is wrong with one of them is said of it.
    fn check_fee(&self) -> Result<(), Refused> {
        let Self { fee, weight, .. } = self;
        let limits = self.known.limits;
        if self.overspent {
            return refuse(
                Rule::Overspent,
                format!("the inputs are worth {} only", self.spent),
            );
        }
        if *fee > limits.max_fee {
            let detail = format!("the fee is {fee} and the cap {}", limits.max_fee);
            return refuse(Rule::FeeCap, detail);
        }
        let most = limits.max_fee_rate.fee_wu(*weight);
        if most.is_none_or(|most| *fee > most) {
            let detail = format!(
                "the fee is {fee} for {} vB, and the cap is {} sat/vB",
                weight.to_vbytes_ceil(),
                limits.max_fee_rate.to_sat_per_vb_ceil()
            );
            return refuse(Rule::FeeRateCap, detail);
        }
        Ok(())
    }
}

fn whole(psbt: &Psbt, known: &Known<'_>) -> Result<(), Refused> {
    let transaction = &psbt.unsigned_tx;
    if transaction.version != Version::TWO {
        return refuse(Rule::Version, format!("it is {}", transaction.version));
    }
    if transaction.input.is_empty() || transaction.output.is_empty() {
        return refuse(Rule::Shape, "it has no inputs, or no outputs");
    }
    if transaction.input.len() != psbt.inputs.len()
        || transaction.output.len() != psbt.outputs.len()
    {
        return refuse(
            Rule::Shape,
            "its maps are not those of its inputs and outputs",
        );
    }
    let tip = known.bitcoin.tip;
    match transaction.lock_time {
        LockTime::Blocks(height) if height.to_consensus_u32() <= tip => {}
        lock_time => {
            return refuse(
                Rule::LockTime,
                format!("it is {lock_time}, and this custodian's node is at height {tip}"),
            );
        }
    }
    let weight = weight::signed_weight(known.setup, transaction);
    if weight > MAX_WEIGHT {
        return refuse(
            Rule::Weight,
            format!("it is {weight}, and {MAX_WEIGHT} is the most"),
        );
    }
    Ok(())
}
