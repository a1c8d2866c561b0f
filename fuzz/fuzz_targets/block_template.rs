//! A template from a hostile node: refused, or made into jobs that can become that very block.
#![no_main]

use arbitrary::Arbitrary;
use bitcoin::Network;
use libfuzzer_sys::fuzz_target;
use work::{BlockTemplate, JobTemplate, PayoutScript, PoolTag, TemplateParts};

#[derive(Debug, Arbitrary)]
struct Parts<'a> {
    height: u32,
    version: i32,
    nbits: u32,
    min_time: u32,
    cur_time: u32,
    coinbase_value: u64,
    transactions: Vec<&'a [u8]>,
    commitment: Option<&'a [u8]>,
}

fuzz_target!(|given: Parts<'_>| {
    let parts = TemplateParts {
        height: given.height,
        prev_hash: [9; 32],
        version: given.version,
        nbits: given.nbits,
        min_time: given.min_time,
        cur_time: given.cur_time,
        coinbase_value: given.coinbase_value,
        transactions: given
            .transactions
            .iter()
            .map(|bytes| bytes.to_vec())
            .collect(),
        witness_commitment_script: given.commitment.map(<[u8]>::to_vec),
    };
    let Ok(block) = BlockTemplate::new(&parts, Network::Regtest) else {
        return;
    };
    assert_eq!(block.transactions().len(), given.transactions.len());
    let payout = PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap();
    let job = JobTemplate::new(&block, &payout, PoolTag::new(*b"/orcapool/").unwrap());
    assert_eq!(job.total_value().to_sat(), given.coinbase_value);
    // What a node accepts as a template, an auditor must be able to read back from its bundle.
    assert_eq!(JobTemplate::decode(&job.encode().unwrap()), Ok(job));
});
