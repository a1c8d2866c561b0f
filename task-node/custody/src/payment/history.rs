//! Why no redemption is ever paid twice.
//!
//! *Conflict*: all transactions that name a redemption and can still confirm share an input with each other, so the chain
//! takes one of them at most. Every signer holds a new one against all it ever signed and all its node has seen; any two
//! quorums of 2-of-3 have a signer in common, so somebody always knows.
//!
//! *Fence*: a signer that lost its journal does not know what it signed before. For redemptions that old, the new
//! transaction spends every coin that could have been spent then, so it conflicts with whatever was forgotten.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};

use super::Known;
use super::rule::{Refused, Rule, refuse};
use crate::view::{BURIED, BitcoinView, Coin, Payment, Redemption, confirmations};

/// All payments one custodian knows of: those it signed, and those its node has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(BTreeMap<Txid, Payment>);

impl History {
    /// Both sources as one; what the node says of heights counts.
    #[must_use]
    pub fn new(signed: &[Payment], bitcoin: &BitcoinView) -> Self {
        let mut all: BTreeMap<_, _> = signed
            .iter()
            .map(|payment| {
                let height = None;
                (
                    payment.txid,
                    Payment {
                        height,
                        ..payment.clone()
                    },
                )
            })
            .collect();
        // Anybody can send the wallet a little and name redemptions beside it. Only what spends its coins is a payment.
        let own = |input: &OutPoint| {
            bitcoin.coins.contains_key(input) || bitcoin.spent.contains_key(input)
        };
        for payment in &bitcoin.payments {
            if payment.inputs.iter().any(own) {
                all.insert(payment.txid, payment.clone());
            }
        }
        Self(all)
    }

    /// The payments that can still confirm or have confirmed, ordered by their ids.
    pub fn live<'a>(&'a self, bitcoin: &'a BitcoinView) -> impl Iterator<Item = &'a Payment> {
        self.0.values().filter(|payment| !payment.is_dead(bitcoin))
    }

    /// Those of them that name one redemption.
    pub fn naming<'a>(
        &'a self,
        bitcoin: &'a BitcoinView,
        id: u64,
    ) -> impl Iterator<Item = &'a Payment> {
        let naming = self.0.values();
        naming.filter(move |payment| payment.ids.contains(&id) && !payment.is_dead(bitcoin))
    }

    /// The payment in a block that names a redemption.
    #[must_use]
    pub fn confirmed<'a>(&'a self, bitcoin: &'a BitcoinView, id: u64) -> Option<&'a Payment> {
        self.naming(bitcoin, id)
            .find(|payment| payment.height.is_some())
    }

    /// The conflict rule, for a transaction that spends `inputs` and names or cancels `id`.
    ///
    /// # Errors
    /// [`Rule::MissingConflict`].
    pub fn check_conflict(
        &self,
        bitcoin: &BitcoinView,
        txid: Txid,
        inputs: &BTreeSet<OutPoint>,
        id: u64,
    ) -> Result<(), Refused> {
        let free = self
            .naming(bitcoin, id)
            .find(|other| other.txid != txid && other.inputs.is_disjoint(inputs));
        match free {
            None => Ok(()),
            Some(other) => refuse(
                Rule::MissingConflict,
                format!(
                    "redemption {id} is named by {} too, which spends none of this transaction's coins: both could confirm",
                    other.txid
                ),
            ),
        }
    }
}

/// Whether a redemption may have been paid by a transaction this custodian has forgotten.
#[must_use]
pub fn is_fenced(known: &Known<'_>, redemption: &Redemption) -> bool {
    redemption.requested <= known.born
}

/// Whether a transaction signed before the journal began may spend this coin.
///
/// A re-organisation since may have moved the coin's transaction up the chain, by [`BURIED`] blocks at most; a coinbase is
/// another one then.
#[must_use]
pub fn is_before_birth(known: &Known<'_>, coin: &Coin) -> bool {
    if coin.is_coinbase {
        coin.is_spendable(known.born)
    } else {
        coin.height
            .is_some_and(|height| height <= known.born.saturating_add(BURIED))
    }
}

/// The fence, for a transaction that spends `inputs` and names a redemption that [`is_fenced`].
///
/// # Errors
/// [`Rule::Fence`].
pub fn check_fence(known: &Known<'_>, inputs: &BTreeSet<OutPoint>) -> Result<(), Refused> {
    let bitcoin = known.bitcoin;
    let left = bitcoin
        .coins
        .values()
        .find(|coin| is_before_birth(known, coin) && !inputs.contains(&coin.outpoint));
    if let Some(coin) = left {
        return refuse(
            Rule::Fence,
            format!(
                "the journal begins at height {}, and {} is left unspent, which an older payment may spend; sweep the \
                 wallet first, if these are many",
                known.born, coin.outpoint
            ),
        );
    }
    match loose_spend(bitcoin, inputs) {
        None => Ok(()),
        Some((outpoint, height)) => refuse(
            Rule::Fence,
            format!(
                "the journal begins at height {}, and {outpoint} was spent at height {height} only: a re-organisation \
                 could free it for an older payment; wait until {BURIED} blocks bury it",
                known.born
            ),
        ),
    }
}

/// A coin whose spending is not buried yet and which this transaction does not build upon. Were that spending undone, a
/// forgotten payment could spend the coin while the new one stands.
fn loose_spend(bitcoin: &BitcoinView, inputs: &BTreeSet<OutPoint>) -> Option<(OutPoint, u32)> {
    let fresh: Vec<_> = bitcoin
        .spent
        .iter()
        .filter(|(_, spent)| confirmations(bitcoin.tip, spent.height) < BURIED)
        .collect();
    // The transactions that must stand for this one to stand.
    let mut ancestors: BTreeSet<Txid> = inputs.iter().map(|input| input.txid).collect();
    loop {
        let before = ancestors.len();
        let parents = fresh
            .iter()
            .filter(|(_, spent)| ancestors.contains(&spent.by))
            .map(|(outpoint, _)| outpoint.txid);
        let parents: Vec<_> = parents.collect();
        ancestors.extend(parents);
        if ancestors.len() == before {
            break;
        }
    }
    fresh
        .into_iter()
        .find(|(_, spent)| !ancestors.contains(&spent.by))
        .map(|(outpoint, spent)| (*outpoint, spent.height))
}
