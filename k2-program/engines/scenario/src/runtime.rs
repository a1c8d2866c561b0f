//! LiteSVM, made as much like Solana 1.14 as it allows.
//!
//! What stays different: the prices of a few syscalls and of builtin programs (here 150 compute units a call and more, in
//! 1.14 none), the depth of calls, how errors inside the virtual machine are named, and everything that became a fixed
//! part of the runtime since 1.14. The SPL programs are of the same versions, 3.5.0 and 1.1.1. For compute units only 1.14 counts.

use agave_feature_set::FeatureSet;
use litesvm::LiteSVM;
use solana_sysvar::clock::Clock;

/// Every feature that Solana 1.14.19 knows: the table of `solana_sdk::feature_set`, id and name.
const FEATURES_1_14_19: &str = include_str!("features-1.14.19.txt");

/// An empty chain with the SPL programs, at slot 0.
pub(crate) fn runtime() -> LiteSVM {
    let mut svm = LiteSVM::default()
        .with_feature_set(features())
        .with_builtins()
        .with_sysvars();
    // LiteSVM begins at a slot of today's mainnet; a program loaded there could not be seen from slots before.
    svm.set_sysvar(&Clock::default());
    svm.with_default_programs()
        .with_sigverify(true)
        .with_blockhash_check(true)
}

/// 1.14.19's features switched on and later ones off, the replacement of SPL Token by p-token among them. Features that no
/// longer have a switch are on.
fn features() -> FeatureSet {
    let mut features = FeatureSet::default();
    for line in FEATURES_1_14_19.lines() {
        let id = line.split(' ').next().and_then(|id| id.parse().ok());
        features.activate(&id.expect("the table has an id in each line"), 0);
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_features_are_those_of_1_14_19() {
        let features = features();
        assert_eq!(features.active().len(), 129);
        assert!(features.is_active(&agave_feature_set::add_set_compute_unit_price_ix::ID));
        assert!(!features.is_active(&agave_feature_set::replace_spl_token_with_p_token::ID));
        assert!(!features.is_active(&agave_feature_set::get_sysvar_syscall_enabled::ID));
    }
}
