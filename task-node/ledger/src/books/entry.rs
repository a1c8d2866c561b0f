//! Postings and the entries made of them. An entry that does not balance cannot be made.

use bitcoin::Amount;
use serde::Serialize;

use super::account::{Account, Sheet, Side};
use super::error::BooksError;
use super::event::Event;

/// An amount on one side of one account. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Posting {
    /// Where.
    pub account: Account,
    /// On which side.
    pub side: Side,
    /// How much.
    #[serde(rename = "sats", with = "bitcoin::amount::serde::as_sat")]
    pub amount: Amount,
}

/// Postings whose debits are their credits, on each sheet by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Balanced(Vec<Posting>);

impl Balanced {
    /// Takes them if they balance; those of nothing are left out.
    ///
    /// # Errors
    /// [`BooksError::Unbalanced`], [`BooksError::Overflow`].
    pub fn new(postings: impl IntoIterator<Item = Posting>) -> Result<Self, BooksError> {
        let postings: Vec<Posting> = postings
            .into_iter()
            .filter(|posting| posting.amount != Amount::ZERO)
            .collect();
        for sheet in [Sheet::Bitcoin, Sheet::K2] {
            let sum = |side| {
                postings
                    .iter()
                    .filter(|posting| posting.account.sheet() == sheet && posting.side == side)
                    .try_fold(Amount::ZERO, |sum, posting| sum.checked_add(posting.amount))
                    .ok_or(BooksError::Overflow)
            };
            let (debits, credits) = (sum(Side::Debit)?, sum(Side::Credit)?);
            if debits != credits {
                return Err(BooksError::Unbalanced {
                    sheet,
                    debits,
                    credits,
                });
            }
        }
        Ok(Self(postings))
    }

    /// The same on the other sides: what takes an entry back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let postings = self.0.iter().map(|posting| Posting {
            side: posting.side.opposite(),
            ..*posting
        });
        Self(postings.collect())
    }

    /// The postings.
    #[must_use]
    pub fn postings(&self) -> &[Posting] {
        &self.0
    }
}

/// One line of the journal. It is never changed: what was wrong, or came undone, is reversed by another entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its place, from 1 on.
    pub number: u64,
    /// What happened.
    pub event: Event,
    /// The entry it takes back.
    pub reverses: Option<u64>,
    /// What moves.
    pub postings: Balanced,
}
