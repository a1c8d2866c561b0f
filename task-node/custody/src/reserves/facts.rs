//! What whoever checks a proof knows by himself: from his own Bitcoin node and his own K2 endpoint.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use k2_interface::K2Address;
use k2_interface::bitcoin::RedeemIds;
use k2_interface::bitcoin::redeem_ids::is_payout;
use k2_interface::state::RedemptionState;

use super::statement::{Paid, Statement};
use crate::view::{Redemption, named};

/// The pool's program, finalized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K2Facts {
    /// The cluster's genesis hash.
    pub genesis: K2Address,
    /// The program.
    pub program: K2Address,
    /// The wrapped token.
    pub mint: K2Address,
    /// The slot that the totals are of.
    pub slot: u64,
    /// Everything ever minted.
    pub proved_in: Amount,
    /// Everything ever burned.
    pub burned: Amount,
    /// The coinbase scripts K2 knows: in force, before the last rotation, announced.
    pub scripts: Vec<ScriptBuf>,
    /// The redemptions whose accounts exist, read after the totals, each with the payment that settled it.
    pub redemptions: BTreeMap<u64, (Redemption, Option<Txid>)>,
}

impl K2Facts {
    /// Wrapped sats there are.
    #[must_use]
    pub fn supply(&self) -> Option<Amount> {
        self.proved_in.checked_sub(self.burned)
    }

    /// The statement of this slot and a block, with those of `payments` (confirmed transactions, with their heights) that
    /// pay redemptions which are open.
    #[must_use]
    pub fn statement(
        &self,
        bitcoin: bitcoin::Network,
        (height, block): (u32, BlockHash),
        payments: &BTreeMap<Txid, (Transaction, u32)>,
    ) -> Statement {
        let mut ordered: Vec<_> = payments
            .iter()
            .filter(|(_, (_, mined))| *mined <= height)
            .map(|(txid, (transaction, mined))| (*mined, *txid, transaction))
            .collect();
        ordered.sort_unstable_by_key(|(mined, txid, _)| (*mined, *txid));
        let mut seen: BTreeSet<u64> = BTreeSet::new();
        let mut paid = Vec::new();
        for (height, txid, transaction) in ordered {
            let is_open = |id: &u64| {
                self.redemptions.get(id).is_some_and(|(redemption, _)| {
                    redemption.state == RedemptionState::Open
                        && pays(transaction, height, redemption)
                })
            };
            let ids: Vec<u64> = named(transaction)
                .into_iter()
                .filter(|id| !seen.contains(id) && is_open(id))
                .collect();
            seen.extend(&ids);
            if !ids.is_empty() {
                paid.push(Paid { txid, height, ids });
            }
        }
        Statement {
            bitcoin,
            k2: self.genesis,
            program: self.program,
            mint: self.mint,
            slot: self.slot,
            proved_in: self.proved_in,
            burned: self.burned,
            height,
            block,
            paid,
        }
    }

    /// What the payments a statement names have taken off the debt: at its slot, and of that what is still open now.
    ///
    /// # Errors
    /// The redemption that is not paid as it is said to be, or whose account is closed, so that nobody can see it.
    pub(super) fn in_flight(
        &self,
        paid: &[Paid],
        payments: &BTreeMap<Txid, (Transaction, u32)>,
    ) -> Result<(Amount, Amount), u64> {
        let mut then = Amount::ZERO;
        let mut now = Amount::ZERO;
        for Paid { txid, height, ids } in paid {
            for id in ids {
                let found = payments.get(txid).filter(|(_, mined)| mined == height);
                let account = self.redemptions.get(id);
                let (Some((transaction, _)), Some((redemption, settled_by))) = (found, account)
                else {
                    return Err(*id);
                };
                if !pays(transaction, *height, redemption) {
                    return Err(*id);
                }
                let add = |sum: Amount| sum.checked_add(redemption.amount).ok_or(*id);
                match redemption.state {
                    RedemptionState::Open => now = add(now)?,
                    RedemptionState::Settled if *settled_by == Some(*txid) => {}
                    _ => return Err(*id),
                }
                then = add(then)?;
            }
        }
        Ok((then, now))
    }
}

/// Whether a transaction in a block at `height` settles a redemption, as the program judges it.
fn pays(transaction: &Transaction, height: u32, redemption: &Redemption) -> bool {
    let scripts = transaction
        .output
        .iter()
        .map(|output| output.script_pubkey.as_bytes());
    // With two outputs that name ids one output could stand for two redemptions, and the program settles only one by it.
    let namings = scripts
        .clone()
        .filter(|script| RedeemIds::parse(script).is_ok());
    let least = redemption.amount.checked_sub(redemption.max_fee);
    height > redemption.requested
        && namings.count() == 1
        && (0..).zip(&transaction.output).any(|(vout, output)| {
            is_payout(scripts.clone(), redemption.id, vout) == Some(true)
                && output.script_pubkey == redemption.script
                && least.is_some_and(|least| output.value >= least)
        })
}

/// The Bitcoin chain, asked for what one proof claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainFacts {
    /// Height of the best block.
    pub tip: u32,
    /// Hash of the best chain's block at the statement's height; none: there is no such block yet.
    pub block: Option<BlockHash>,
    /// Those of the proof's coins that exist in the best chain.
    pub coins: BTreeMap<OutPoint, Found>,
    /// Those of the statement's payments that are in the best chain, with their heights.
    pub payments: BTreeMap<Txid, (Transaction, u32)>,
}

/// A coin as the own node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Value and script.
    pub txout: TxOut,
    /// Height of its block.
    pub height: u32,
    /// Whether it is a coinbase's.
    pub is_coinbase: bool,
    /// What spent it, in the best chain.
    pub spent: Option<Spending>,
}

/// How a coin went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spending {
    /// The transaction.
    pub txid: Txid,
    /// Height of its block.
    pub height: u32,
    /// The redemptions it names.
    pub ids: BTreeSet<u64>,
}
