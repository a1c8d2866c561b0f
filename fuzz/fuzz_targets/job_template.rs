//! A job template out of somebody's bundle: one form, and a coinbase Bitcoin can read.
#![no_main]

use std::sync::Arc;

use bitcoin::Transaction;
use bitcoin::consensus::deserialize;
use libfuzzer_sys::fuzz_target;
use pow::ShareDifficulty;
use work::{
    Claim, Extranonce, Job, JobTemplate, K2Address, RoundNumber, ShareFields, TaskId, VersionMask,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(template) = JobTemplate::decode(bytes) else {
        return;
    };
    assert_eq!(template.encode().unwrap(), bytes);
    let template = Arc::new(template);
    let claim = Claim {
        task: TaskId::from_bytes([1; 32]),
        round: RoundNumber::MAX,
        node: K2Address::from_bytes([2; 32]),
        miner: K2Address::from_bytes([3; 32]),
        difficulty: ShareDifficulty::ONE,
        extension: Vec::new(),
    };
    let job = Job::new(Arc::clone(&template), claim).unwrap();
    let extranonce = Extranonce::from_bytes([0xee; Extranonce::BYTES]);
    let coinbase: Transaction = deserialize(&job.coinbase(&extranonce)).unwrap();
    assert!(coinbase.is_coinbase());
    let input = &coinbase.input[0];
    assert!((2..=100).contains(&input.script_sig.len()));
    let paid: u64 = coinbase
        .output
        .iter()
        .map(|output| output.value.to_sat())
        .sum();
    assert_eq!(paid, template.total_value().to_sat());
    let fields = ShareFields {
        extranonce,
        ntime: u32::MAX,
        nonce: 0,
        version_bits: Some(u32::MAX),
    };
    assert_eq!(job.header(&fields, VersionMask::BIP320).len(), 80);
});
