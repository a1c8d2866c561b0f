//! A chunk of packed shares: one form, sorted, each share once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rounds::{decode_chunk, encode_chunk};

const BASE_TIMES: [u32; 4] = [0, 1, 1_700_000_000, u32::MAX];
const CLAIMS: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    let Ok(shares) = decode_chunk(bytes, &BASE_TIMES, CLAIMS) else {
        return;
    };
    assert!(shares.is_sorted_by(|a, b| a < b));
    assert!(shares.iter().all(|share| share.claim < CLAIMS as u32));
    assert_eq!(encode_chunk(&shares, &BASE_TIMES).unwrap(), bytes);
});
