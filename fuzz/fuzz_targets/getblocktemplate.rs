//! The JSON of a hostile node: refused, or a template whose job an auditor can read back.
#![no_main]

use bitcoin::Network;
use libfuzzer_sys::fuzz_target;
use work::{JobTemplate, PayoutScript, PoolTag};

fuzz_target!(|json: &[u8]| {
    let Ok(template) = chain::fuzzing::template(json, Network::Regtest) else {
        return;
    };
    let payout = PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap();
    let job = JobTemplate::new(&template, &payout, PoolTag::new(*b"/orcapool/").unwrap());
    assert_eq!(job.height(), template.height());
    assert_eq!(JobTemplate::decode(&job.encode().unwrap()), Ok(job));
});
