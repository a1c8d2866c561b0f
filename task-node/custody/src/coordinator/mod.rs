//! Brings each payment from its intent to its settlement.
//!
//! ```text
//! what the journal says --+
//! own node's chain -------+--> advance --> actions --> Turn: journal first, then the act --> journal
//! own view of K2 ---------+
//! ```
//!
//! | file | responsibility |
//! |---|---|
//! | `standing` | where a batch stands, by what chain and K2 show |
//! | `action` | what is to be done |
//! | `advance` | which of it now: a pure function, and all of the judgement |
//! | `turn` | does it, each act after its intent is on the disk |
//! | `asked` | what people ask for: bumps, cancellations, sweeps; signed files |
//! | `outside` | what a turn reaches: files, the node |
//! | `done` | what became of it |
//! | [`node`] | takes transactions and knows fees |
//!
//! Nothing is remembered between two turns but what is in the journal, so a turn may end anywhere, at every write and every
//! act, and the next one goes on from there. Every act may be done twice: a file is written again, a node that has a
//! transaction is given it again, K2 settles a redemption once.
//!
//! One batch is in flight at a time. While it is, none of its coins is planned for anything else.

mod action;
mod advance;
mod asked;
mod done;
pub mod node;
mod outside;
mod standing;
#[cfg(test)]
mod tests;
mod turn;

pub use action::{Action, Alarm, Policy, Role, State, Stop};
pub use advance::advance;
pub use done::{Done, Submitted, TurnError};
pub use outside::{Outside, OutsideError};
pub use turn::Turn;
