//! The wallet's books: [`ledger::books`], kept in the wallet's folder and held against what node and K2 say.
//!
//! | file | responsibility |
//! |---|---|
//! | `facts` | what the books are held against |
//! | `follow` | which events are missing |

mod facts;
mod follow;

pub use facts::{Facts, K2Sums, Moment, Seen, Transactions};
pub use follow::{FollowError, follow};
