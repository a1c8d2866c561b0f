//! Proof-of-work functions, 256-bit targets and difficulty.
//!
//! Everything here is exact integer arithmetic. The only `f64` is the number shown to people and written into
//! `mining.set_difficulty`; it is derived from the enforced [`NBits`], never the other way round.
//!
//! One file per algorithm: an algorithm is a type that implements [`Algorithm`]. [`Sha256d`] is Bitcoin's.

mod algorithm;
mod difficulty;
mod sha256d;
mod target;

pub use algorithm::Algorithm;
pub use difficulty::{DifficultyError, ShareDifficulty};
pub use sha256d::Sha256d;
pub use target::{NBits, Target, TargetError, Work};
