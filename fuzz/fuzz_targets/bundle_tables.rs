//! Blocks of a bundle's jobs and claims tables.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rounds::{decode_claims_block, decode_jobs_block};

fuzz_target!(|input: (u32, &[u8])| {
    let (count, bytes) = input;
    if let Ok(jobs) = decode_jobs_block(bytes, count) {
        assert_eq!(jobs.len(), count as usize);
        assert!(jobs.iter().all(|job| job.encode().is_ok()));
    }
    if let Ok(claims) = decode_claims_block(bytes, count) {
        assert_eq!(claims.len(), count as usize);
        assert!(claims.is_sorted());
    }
});
