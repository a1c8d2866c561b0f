//! What a custodian checks before he signs a draft: he derives all of it himself, from his own node and his own K2 endpoint.
//!
//! A proof asks for signatures over every coin there is, so a draft that is none must not get one. The PSBT that is signed is
//! therefore not the one in the file: it is built anew, and only then compared.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, BlockHash, OutPoint, Psbt, Transaction, Txid};

use super::draft::{self, Draft, DraftError};
use super::facts::K2Facts;
use super::report::Backing;
use super::transaction::ClaimError;
use crate::keys::{CustodianKey, SigningError};
use crate::setup::Setup;
use crate::view::BitcoinView;

/// How old a statement may be that a custodian signs: two days of slots of 400 ms.
pub const MAX_AGE_SLOTS: u64 = 432_000;

/// By what part of the supply the totals may have moved since: a tenth.
const MAX_DRIFT: u64 = 10;

/// Which rule a draft breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another pool.
    #[error("elsewhere: the {0} of the draft is not ours")]
    Elsewhere(&'static str),
    /// The own endpoint has not seen the slot.
    #[error(
        "slot: it states slot {stated} and our K2 endpoint is at {own}: wait until that has caught up"
    )]
    Slot {
        /// The draft's.
        stated: u64,
        /// Our own.
        own: u64,
    },
    /// Too old.
    #[error("age: slot {stated} is more than {MAX_AGE_SLOTS} slots ago: make a new proof")]
    Age {
        /// The draft's.
        stated: u64,
    },
    /// Other totals.
    #[error(
        "supply: it states {minted} minted and {burned} burned, and our K2 endpoint says otherwise, or too much has changed \
         since: make a new proof"
    )]
    Supply {
        /// Stated.
        minted: Amount,
        /// Stated.
        burned: Amount,
    },
    /// Not our block.
    #[error("block: our node does not have {0} at that height of its best chain")]
    Block(BlockHash),
    /// A redemption that is not paid.
    #[error("paid: redemption {0} is not open and paid by the transaction the draft names")]
    Paid(u64),
    /// A coin that is not ours.
    #[error("coin: {0} is not a confirmed coin of this wallet at that block")]
    Foreign(OutPoint),
    /// A coin that is gone.
    #[error("coin: {0} was spent since: make a new proof")]
    Spent(OutPoint),
    /// A coin that is left out.
    #[error("coin: {0} is ours and is left out: make a new proof")]
    LeftOut(OutPoint),
    /// Other values.
    #[error("coin: {0} is not worth, or not where, the draft says")]
    Value(OutPoint),
    /// Another transaction.
    #[error("transaction: {0}")]
    Transaction(#[from] ClaimError),
    /// It could not be built from the own wallet.
    #[error("wallet: {0}")]
    Wallet(#[from] DraftError),
}

/// What a custodian knows himself.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// The wallet.
    pub setup: &'a Setup,
    /// Its coins.
    pub bitcoin: &'a BitcoinView,
    /// Hash of the own node's block at the statement's height.
    pub block: Option<BlockHash>,
    /// K2, finalized.
    pub k2: &'a K2Facts,
    /// The statement's payments, as far as they are in the own node's best chain, with their heights.
    pub payments: &'a BTreeMap<Txid, (Transaction, u32)>,
}

/// A draft that may be signed.
#[derive(Debug, Clone)]
pub struct Reviewed {
    draft: Draft,
    /// Built from the own wallet; what is signed.
    own: Psbt,
    backing: Backing,
}

/// Reviews a draft.
///
/// # Errors
/// [`Refusal`], naming the rule.
pub fn review(draft: &Draft, own: &Own<'_>) -> Result<Reviewed, Refusal> {
    let claim = draft.claim();
    let statement = claim.statement();
    let k2 = own.k2;
    for (what, same) in [
        ("Bitcoin network", statement.bitcoin == own.setup.network()),
        ("K2 cluster", statement.k2 == k2.genesis),
        ("program", statement.program == k2.program),
        ("token", statement.mint == k2.mint),
    ] {
        if !same {
            return Err(Refusal::Elsewhere(what));
        }
    }
    let stated = statement.slot;
    let age = k2.slot.checked_sub(stated).ok_or(Refusal::Slot {
        stated,
        own: k2.slot,
    })?;
    if age > MAX_AGE_SLOTS {
        return Err(Refusal::Age { stated });
    }
    let supply = agreed_supply(draft, k2).ok_or(Refusal::Supply {
        minted: statement.proved_in,
        burned: statement.burned,
    })?;
    if own.block != Some(statement.block) || own.bitcoin.tip < statement.height {
        return Err(Refusal::Block(statement.block));
    }
    let (in_flight, _) = k2
        .in_flight(&statement.paid, own.payments)
        .map_err(Refusal::Paid)?;
    coins(draft, own.bitcoin)?;
    let rebuilt = draft::psbt(claim, own.setup, own.bitcoin)?;
    claim.check(&rebuilt.unsigned_tx)?;
    claim.check(&draft.psbt().unsigned_tx)?;
    Ok(Reviewed {
        draft: draft.clone(),
        own: rebuilt,
        backing: Backing {
            supply,
            in_flight,
            reserves: claim.mature(),
            immature: claim.immature(),
        },
    })
}

/// The stated supply, if the own totals are the same or have grown by no more than is likely since.
fn agreed_supply(draft: &Draft, k2: &K2Facts) -> Option<Amount> {
    let statement = draft.claim().statement();
    let minted = k2.proved_in.checked_sub(statement.proved_in)?;
    let burned = k2.burned.checked_sub(statement.burned)?;
    let drift = minted.checked_add(burned)?;
    let supply = statement.supply()?;
    let is_same_slot = k2.slot == statement.slot;
    let allowed = if is_same_slot {
        Amount::ZERO
    } else {
        supply.max(k2.supply()?) / MAX_DRIFT
    };
    (drift <= allowed).then_some(supply)
}

/// Whether the draft's coins are exactly the wallet's at that height.
fn coins(draft: &Draft, bitcoin: &BitcoinView) -> Result<(), Refusal> {
    let height = draft.claim().statement().height;
    let mut named = BTreeSet::new();
    for coin in draft.claim().coins() {
        let outpoint = coin.outpoint;
        named.insert(outpoint);
        let Some(own) = bitcoin.coins.get(&outpoint) else {
            return Err(match bitcoin.spent.get(&outpoint) {
                Some(spent) if spent.height > height => Refusal::Spent(outpoint),
                _ => Refusal::Foreign(outpoint),
            });
        };
        if own.height.is_none_or(|mined| mined > height) {
            return Err(Refusal::Foreign(outpoint));
        }
        if (own.txout.value, own.height, own.is_coinbase)
            != (coin.amount, Some(coin.height), coin.is_coinbase)
        {
            return Err(Refusal::Value(outpoint));
        }
    }
    let left_out = bitcoin.coins.values().find(|coin| {
        coin.height.is_some_and(|mined| mined <= height) && !named.contains(&coin.outpoint)
    });
    match left_out {
        Some(coin) => Err(Refusal::LeftOut(coin.outpoint)),
        None => Ok(()),
    }
}

impl Reviewed {
    /// What it will show.
    #[must_use]
    pub const fn backing(&self) -> &Backing {
        &self.backing
    }

    /// The draft with the custodian's signatures, and how many they are; 0: the key is not of this wallet.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn sign(mut self, key: &CustodianKey) -> Result<(Draft, usize), SigningError> {
        let signatures = key.sign(&mut self.own)?;
        self.draft.add(self.own);
        Ok((self.draft, signatures))
    }
}
