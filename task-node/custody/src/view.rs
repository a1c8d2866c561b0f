//! What a custodian knows when it decides: its own node's chain and its own view of K2.
//!
//! Every rule that guards money takes these two and nothing else. Whoever fills them - a node, a test - is not trusted with
//! a decision.

use std::collections::{BTreeMap, BTreeSet};

pub use bdk_wallet::KeychainKind;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use k2_interface::bitcoin::{RedeemIds, ScriptPubkey};
use k2_interface::state::{self, RedemptionState};

/// Blocks after which a confirmation is final for custody: the deepest re-organisation that K2's relay follows.
pub const BURIED: u32 = 24;

/// Blocks a coinbase must be deep before it can be spent.
pub const COINBASE_MATURITY: u32 = 100;

/// An output of the wallet that no confirmed transaction spends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// Which.
    pub outpoint: OutPoint,
    /// Its value and script.
    pub txout: TxOut,
    /// Coinbases or change.
    pub keychain: KeychainKind,
    /// Index of its script in the keychain.
    pub index: u32,
    /// Height of its block; none: unconfirmed.
    pub height: Option<u32>,
    /// Whether it is a coinbase's.
    pub is_coinbase: bool,
}

impl Coin {
    /// Whether a transaction in the block after `tip` may spend it. Unconfirmed coins never: a payment must not depend on
    /// one that may be replaced.
    #[must_use]
    pub fn is_spendable(&self, tip: u32) -> bool {
        let needed = if self.is_coinbase {
            COINBASE_MATURITY
        } else {
            1
        };
        self.height
            .is_some_and(|height| confirmations(tip, height) >= needed)
    }
}

/// How deep a block at `height` is; 1: it is the tip.
#[must_use]
pub const fn confirmations(tip: u32, height: u32) -> u32 {
    match tip.checked_sub(height) {
        Some(above) => above.saturating_add(1),
        None => 0,
    }
}

/// A transaction of the wallet that names redemptions: seen by the node, or signed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub txid: Txid,
    /// What it spends.
    pub inputs: BTreeSet<OutPoint>,
    /// What it names.
    pub ids: BTreeSet<u64>,
    /// Height of its block; none: unconfirmed, or never sent.
    pub height: Option<u32>,
}

impl Payment {
    /// The payment of a transaction, if it names redemptions.
    #[must_use]
    pub fn of(transaction: &Transaction, height: Option<u32>) -> Option<Self> {
        let ids: BTreeSet<u64> = named(transaction);
        (!ids.is_empty()).then(|| Self {
            txid: transaction.compute_txid(),
            inputs: transaction
                .input
                .iter()
                .map(|input| input.previous_output)
                .collect(),
            ids,
            height,
        })
    }

    /// Whether it can never confirm any more: another transaction that spends one of its inputs is buried, or the payment
    /// whose change it spends can never confirm.
    #[must_use]
    pub fn is_dead(&self, bitcoin: &BitcoinView) -> bool {
        self.inputs.iter().any(|input| {
            if let Some(spent) = bitcoin.spent.get(input) {
                return spent.by != self.txid && confirmations(bitcoin.tip, spent.height) >= BURIED;
            }
            // A coin that is gone without being spent: a re-organisation took the transaction that made it.
            !bitcoin.coins.contains_key(input)
                && bitcoin
                    .payments
                    .iter()
                    .any(|parent| parent.txid == input.txid && parent.is_dead(bitcoin))
        })
    }
}

/// The redemptions a transaction names, in all outputs that are meant to.
#[must_use]
pub fn named(transaction: &Transaction) -> BTreeSet<u64> {
    let scripts = transaction.output.iter();
    scripts
        .filter_map(|output| RedeemIds::parse(output.script_pubkey.as_bytes()).ok())
        .flat_map(|ids| ids.ids())
        .collect()
}

/// Where a coin went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// The confirmed transaction.
    pub by: Txid,
    /// Height of its block.
    pub height: u32,
}

/// The chain as the custodian's own node has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BitcoinView {
    /// Height of the best block.
    pub tip: u32,
    /// All coins that no confirmed transaction spends; those that unconfirmed ones spend are among them.
    pub coins: BTreeMap<OutPoint, Coin>,
    /// The coins that confirmed transactions spent.
    pub spent: BTreeMap<OutPoint, Spent>,
    /// The transactions that `coins` are outputs of: signers of segwit v0 are shown them whole (CVE-2020-14199).
    pub funding: BTreeMap<Txid, Transaction>,
    /// All transactions of the wallet that name redemptions, as far as they were ever seen: unconfirmed, replaced and dropped
    /// ones are among them, because somebody may still have them.
    pub payments: Vec<Payment>,
    /// One above the highest index of the keychain of change that was ever paid; zero: none was.
    pub used_change: u32,
}

/// A redemption as K2 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redemption {
    /// Its id.
    pub id: u64,
    /// Burned when it settles.
    pub amount: Amount,
    /// The most of it that may go to fees.
    pub max_fee: Amount,
    /// Where the rest goes.
    pub script: ScriptBuf,
    /// Relay height of the request; only a later block can settle it.
    pub requested: u32,
    /// Relay height from which it may be refunded.
    pub expires: u32,
    /// Where it stands.
    pub state: RedemptionState,
}

impl TryFrom<&state::Redemption> for Redemption {
    type Error = k2_interface::bitcoin::ScriptError;

    fn try_from(account: &state::Redemption) -> Result<Self, Self::Error> {
        let script = ScriptPubkey::from_packed(&account.script)?;
        Ok(Self {
            id: account.id.get(),
            amount: Amount::from_sat(account.amount.get()),
            max_fee: Amount::from_sat(account.max_fee.get()),
            script: ScriptBuf::from_bytes(script.as_bytes().to_vec()),
            requested: account.requested_height.get(),
            expires: account.expires_height.get(),
            state: match account.state {
                0 => RedemptionState::Open,
                1 => RedemptionState::Settled,
                _ => RedemptionState::Refunded,
            },
        })
    }
}

/// The pool's program as the custodian's own K2 endpoint has it, finalized.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct K2View {
    /// The slot it was read at.
    pub slot: u64,
    /// Height of the relay's tip.
    pub relay_tip: u32,
    /// Redemptions whose accounts exist, by id. One that is settled or refunded may be closed at once by who opened it.
    pub redemptions: BTreeMap<u64, Redemption>,
    /// Other redemptions whose accounts exist: another wallet of the pool pays them.
    pub others: BTreeSet<u64>,
    /// Outputs that have settled a redemption, by K2's records, which outlive the redemptions: they may be closed only when
    /// their blocks are too deep to be proved again.
    pub paid: BTreeSet<OutPoint>,
    /// The lowest block whose records K2 still keeps for certain.
    pub records_from: u32,
    /// Coinbase scripts that are in force, or announced and past their delay: where a sweep may go.
    pub scripts: Vec<ScriptBuf>,
}
