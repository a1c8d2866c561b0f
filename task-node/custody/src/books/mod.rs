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

pub use check::{Check, Relation, check};
pub use facts::{Facts, K2Sums, Moment, Seen, Transactions};
pub use file::{BookkeepingError, BooksFile, FILE, Line};
pub use follow::{FollowError, follow};
