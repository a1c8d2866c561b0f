//! What a transaction will weigh with its signatures.

use bdk_wallet::KeychainKind;
use bitcoin::{Transaction, Weight};

use crate::setup::Setup;

/// The witness marker and flag of BIP144.
const SEGWIT_HEADER: Weight = Weight::from_wu(2);

/// What one input adds to a transaction, at most: outpoint, sequence, empty script, witness.
pub(super) fn input_weight(setup: &Setup) -> Weight {
    const TXIN: Weight = Weight::from_non_witness_data_size(32 + 4 + 4 + 1);
    TXIN + witness_weight(setup)
}

/// The transaction's weight when every input has the largest witness its descriptor allows.
pub(super) fn signed_weight(setup: &Setup, unsigned: &Transaction) -> Weight {
    let witnesses = witness_weight(setup).checked_mul(unsigned.input.len() as u64);
    Weight::from_vb(unsigned.base_size() as u64)
        .and_then(|base| base.checked_add(SEGWIT_HEADER))
        .and_then(|base| base.checked_add(witnesses?))
        .unwrap_or(Weight::MAX)
}

/// The count of the witness's elements is one more byte, which is there without signatures too.
fn witness_weight(setup: &Setup) -> Weight {
    // Both keychains are of one form, so one answers for both; a descriptor that could not be satisfied at all does not
    // make a `Setup`.
    let satisfied = setup
        .keychain(KeychainKind::External)
        .max_weight_to_satisfy();
    satisfied.unwrap_or(super::MAX_WEIGHT) + Weight::from_wu(1)
}
