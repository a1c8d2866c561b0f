//! The headers of a hostile peer: whatever comes, the chain stays linked and its work only grows.
#![no_main]

use bitcoin::Network;
use chain::peer::HeaderChain;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(headers) = chain::fuzzing::peer_headers(bytes) else {
        return;
    };
    let mut chain = HeaderChain::genesis(Network::Regtest);
    for header in headers {
        let before = chain.tip().unwrap();
        let _ = chain.accept(header, 2_000_000_000);
        assert!(chain.tip().unwrap().chain_work >= before.chain_work);
    }
    for height in 1..=chain.height() {
        let header = chain.header(&chain.hash_at(height).unwrap()).unwrap();
        assert_eq!(
            Some(header.header.prev_blockhash),
            chain.hash_at(height - 1)
        );
    }
});
