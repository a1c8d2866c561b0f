//! A whole bundle whose blocks say what they like: refused, or as many shares as it claims.
#![no_main]

use bytes::Bytes;
use content::{Block, Codec};
use libfuzzer_sys::fuzz_target;
use rounds::Bundle;

fuzz_target!(|input: (Vec<&[u8]>, &[u8])| {
    let (parts, root) = input;
    let Ok(name) = Block::new(Codec::DagCbor, root.to_vec()) else {
        return;
    };
    // Mutated blocks never bear the names in the root, so here they are handed out in turn.
    let mut parts = parts.into_iter();
    let Ok(bundle) = Bundle::read(name.cid(), root, |_| {
        parts.next().map(Bytes::copy_from_slice)
    }) else {
        return;
    };
    for index in bundle.present() {
        let Ok(shares) = bundle.shares(index) else {
            return;
        };
        assert_eq!(shares.len(), bundle.root().chunks()[index].shares as usize);
        for share in &shares {
            assert!((share.job as usize) < bundle.jobs().len());
            assert!((share.claim as usize) < bundle.claims().len());
            assert!(share.ntime >= bundle.jobs()[share.job as usize].min_time());
        }
    }
});
