//! The wallet's books: [`ledger::books`], kept in the wallet's folder and held against what node and K2 say.
//!
//! | file | responsibility |
//! |---|---|
//! | `facts` | what the books are held against |
//! | `follow` | which events are missing |
//! | `file` | the entries in SQLite |
//! | `check` | whether books, node and K2 agree, and where they do not |

mod check;
mod facts;
mod file;
mod follow;
#[cfg(test)]
mod tests;

pub use check::{Check, Relation, check};
pub use facts::{Facts, K2Sums, Moment, Seen, Transactions, planned};
pub use file::{BookkeepingError, BooksFile, FILE, Line};
pub use follow::{FollowError, follow};
pub use ledger::books::{
    Account, Books, Change, Entry, Event, Posting, Reason, Sheet, Side, Step, Subject,
};
