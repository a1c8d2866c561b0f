//! The root block of somebody's bundle: one form, and totals that are the sums they claim to be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rounds::{BundleRoot, MAX_SHARE_CHUNKS};

fuzz_target!(|bytes: &[u8]| {
    let Ok(root) = BundleRoot::decode(bytes) else {
        return;
    };
    assert_eq!(&root.encode().unwrap().bytes()[..], bytes);
    assert!(root.chunks().len() <= MAX_SHARE_CHUNKS);
    let totals = root.totals();
    let shares: u64 = root
        .chunks()
        .iter()
        .map(|chunk| u64::from(chunk.shares))
        .sum();
    assert_eq!(shares, totals.shares);
    let tree = root.sum_tree().unwrap();
    assert_eq!(
        (tree.root(), tree.shares(), tree.work()),
        (*root.sum_root(), totals.shares, totals.work)
    );
});
