//! The miner on the pool's own jobs: what it finds passes THE share check.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bitcoin::Network;
use miner::{Engine, EngineSettings, MiningWork, NotifiedJob, target_of_difficulty};
use pow::ShareDifficulty;
use serde_json::{Value, json};
use work::{
    BlockTemplate, Claim, DuplicateFilter, Extranonce1, Freshness, JobId, K2Address, LiveTemplate,
    PayoutScript, PoolTag, RoundNumber, ShareContext, ShareFields, TaskId, TemplateParts, UnixTime,
    Verdict, VersionMask, block_subsidy, check_share,
};

const NOW: u32 = 1_900_000_000;

fn template() -> LiveTemplate {
    let parts = TemplateParts {
        height: 840_000,
        prev_hash: std::array::from_fn(|index| index as u8),
        version: 0x2000_2000, // a signalling bit inside BIP320
        nbits: 0x1d00_ffff,
        min_time: NOW - 10,
        cur_time: NOW,
        coinbase_value: block_subsidy(Network::Regtest, 840_000).to_sat() + 1,
        transactions: Vec::new(),
        witness_commitment_script: None,
    };
    let payout = PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap();
    LiveTemplate::new(
        Arc::new(BlockTemplate::new(&parts, Network::Regtest).unwrap()),
        &payout,
        PoolTag::new("/orcapool/").unwrap(),
    )
    .unwrap()
}

#[test]
fn what_the_engine_finds_the_share_check_credits() {
    let live = template();
    let (engine, mut solutions) = Engine::start(&EngineSettings {
        threads: NonZeroUsize::new(2).unwrap(),
        ..EngineSettings::default()
    })
    .unwrap();
    let extranonce1 = Extranonce1::from_u32(0x0102_0304);
    let mut seen = DuplicateFilter::new(10_000);
    let mut credited = HashSet::new();
    let easy = ShareDifficulty::at_most(1.0 / f64::from(1 << 22)).unwrap();
    // Up, down, up: the last claim is the first one again, so is its coinbase.
    for (number, (difficulty, mask)) in [
        (easy, Some(VersionMask::BIP320)),
        (easy.harder().harder(), Some(VersionMask::negotiate(0x6000))),
        (easy, None),
        (easy, Some(VersionMask::BIP320)),
    ]
    .into_iter()
    .enumerate()
    {
        let job = Arc::new(live.job(Claim {
            task: TaskId::from_bytes([1; 32]),
            round: RoundNumber::ZERO,
            node: K2Address::from_bytes([2; 32]),
            miner: K2Address::from_bytes([3; 32]),
            difficulty,
            extension: Vec::new(),
        }));
        let line = live.notify().line(JobId(7), job.claim_hash(), true);
        let message: Value = serde_json::from_slice(&line).unwrap();
        let announced = json!(difficulty.announced());
        let Value::Number(announced) = &announced else {
            panic!("{announced}")
        };
        engine.set_work(Some(Arc::new(MiningWork {
            session: 1,
            sequence: number as u64,
            job: NotifiedJob::parse(message["params"].as_array().unwrap()).unwrap(),
            extranonce1: extranonce1.as_bytes().to_vec(),
            extranonce2_size: work::EXTRANONCE2_BYTES,
            version_mask: mask,
            target: target_of_difficulty(announced).unwrap(),
        })));
        let context = ShareContext {
            job: &job,
            freshness: Freshness::Current,
            version_mask: mask.unwrap_or(VersionMask::NONE),
            now: UnixTime(u64::from(NOW)),
        };
        let mut checked = 0;
        while checked < 30 {
            let solution = solutions.blocking_recv().unwrap();
            if solution.work.sequence != number as u64 {
                continue;
            }
            checked += 1;
            let fields = ShareFields::parse(
                extranonce1,
                &hex::encode(&solution.extranonce2),
                &format!("{:08x}", solution.ntime),
                &format!("{:08x}", solution.nonce),
                solution
                    .version_bits
                    .map(|bits| format!("{bits:08x}"))
                    .as_deref(),
            )
            .unwrap();
            match check_share(&context, &fields, &mut seen).verdict {
                Verdict::Credited(share) => {
                    assert_eq!(share.work(), difficulty.work());
                    assert!(credited.insert(share.hash()));
                }
                Verdict::Rejected(reason) => panic!("{reason}"),
            }
        }
    }
    assert_eq!(credited.len(), 120);
}
