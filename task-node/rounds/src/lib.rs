//! A Koii round: collect, seal to a bundle, audit, distribute.

mod rules;

pub use rules::{MAX_PAYOUT_SCRIPTS, PPM, PoolRules, RulesDigest, RulesError, RulesParts};
