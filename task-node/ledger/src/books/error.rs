//! Why an event cannot be booked.

use bitcoin::Amount;

use super::account::Sheet;
use super::event::Key;

/// Why an event cannot be booked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BooksError {
    /// Debits are not credits.
    #[error(
        "an entry does not balance on the sheet {sheet:?}: {debits} debit, {credits} credit: this is a bug, please report it"
    )]
    Unbalanced {
        /// Where.
        sheet: Sheet,
        /// Left.
        debits: Amount,
        /// Right.
        credits: Amount,
    },
    /// More than 64 bits of sats.
    #[error("the books add up to more sats than there can ever be")]
    Overflow,
    /// Not after what is booked for its subject.
    #[error(
        "{0} cannot be booked now: what must come before it is not booked, or something is booked after it"
    )]
    OutOfOrder(Key),
    /// Booked before with other figures.
    #[error(
        "{0} is booked already, with other figures: what was told before has changed, so somebody is wrong"
    )]
    Contradiction(Key),
    /// A running total cannot be taken back.
    #[error("{0} is a running total: it is corrected by the next total, not by a reversal")]
    NotReversible(Key),
}
