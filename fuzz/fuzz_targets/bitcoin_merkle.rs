//! Merkle branches: those of a block lead to rust-bitcoin's root, and whatever leads there is the transaction at that index.
#![no_main]

use arbitrary::Arbitrary;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256, sha256d};
use k2_interface::bitcoin::Hash;
use k2_interface::bitcoin::merkle::{MAX_DEPTH, branch, root_from_branch};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    transactions: Vec<u8>,
    index: u32,
    /// Level, byte and what it is changed by.
    changes: Vec<(u8, u8, u8)>,
    /// Level to copy onto the one above, to make repetitions likely.
    repeat: Option<u8>,
    cut: u8,
    claimed_index: Option<u32>,
    claimed_transaction: u32,
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut engine = sha256::Hash::engine();
    parts.iter().for_each(|part| engine.input(part));
    sha256::Hash::from_engine(engine).to_byte_array()
}

fuzz_target!(|input: Input| {
    // A coinbase per height and no repeated transactions: what BIP34 and BIP30 see to.
    let txids: Vec<Hash> = input
        .transactions
        .iter()
        .take(300)
        .enumerate()
        .map(|(at, byte)| sha256(&[&at.to_le_bytes(), &[*byte]]))
        .collect();
    let Some(root) = bitcoin::merkle_tree::calculate_root(
        txids.iter().map(|id| sha256d::Hash::from_byte_array(*id)),
    ) else {
        return assert_eq!(branch(&txids, input.index, sha256), None);
    };
    let root = root.to_byte_array();
    let at = |number: u32| number as usize % txids.len();
    let index = at(input.index) as u32;
    let honest = branch(&txids, index, sha256).unwrap();
    assert_eq!(
        root_from_branch(&txids[index as usize], index, &honest, sha256),
        Ok(root)
    );

    let mut siblings = honest.clone();
    for (level, byte, change) in input.changes {
        if let Some(sibling) = siblings.get_mut(usize::from(level)) {
            sibling[usize::from(byte % 32)] ^= change;
        }
    }
    if let Some(level) = input.repeat
        && let Some(sibling) = siblings.get(usize::from(level)).copied()
    {
        siblings.insert(usize::from(level), sibling);
    }
    siblings.truncate(siblings.len().saturating_sub(usize::from(input.cut / 64)));
    let claimed = input.claimed_index.unwrap_or(index);
    let txid = txids[at(input.claimed_transaction)];
    match root_from_branch(&txid, claimed, &siblings, sha256) {
        Ok(proved) if proved == root => {
            assert_eq!(txids.get(claimed as usize), Some(&txid));
            assert_eq!(siblings, branch(&txids, claimed, sha256).unwrap());
        }
        Ok(_) => assert!(siblings.len() <= MAX_DEPTH),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
