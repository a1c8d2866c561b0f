//! The template of a hostile peer: refused, or joined with itself into a block that passes every check.
#![no_main]

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, Network};
use chain::peer::{NextBlock, Offer, agree};
use libfuzzer_sys::fuzz_target;
use work::BlockTemplate;

fuzz_target!(|json: &[u8]| {
    let Ok(offer) = Offer::decode(json) else {
        return;
    };
    let next = NextBlock {
        network: Network::Regtest,
        height: 200,
        prev_hash: offer.prev_hash,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        min_time: 1,
        cur_time: 2,
    };
    let agreed = agree(&[&offer, &offer], 2, &next);
    BlockTemplate::new(&agreed.parts, Network::Regtest).unwrap();
    // Nothing of it on another tip.
    let elsewhere = NextBlock {
        prev_hash: BlockHash::hash(&agreed.parts.prev_hash),
        ..next
    };
    assert!(
        agree(&[&offer, &offer], 2, &elsewhere)
            .parts
            .transactions
            .is_empty()
    );
});
