//! THE share check against rust-bitcoin: the same header, the same hash, and no credit that was not earned.
#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{CompactTarget, Network, Target, Transaction, TxMerkleNode};
use libfuzzer_sys::fuzz_target;
use pow::ShareDifficulty;
use work::{
    BlockTemplate, Claim, DuplicateFilter, Extranonce, Freshness, Job, JobTemplate, K2Address,
    PayoutScript, PoolTag, RejectReason, RoundNumber, ShareContext, ShareFields, TaskId,
    TemplateParts, UnixTime, Verdict, VersionMask, check_share,
};

#[derive(Debug, Arbitrary)]
struct Input {
    extranonce: [u8; Extranonce::BYTES],
    ntime: u32,
    nonce: u32,
    version_bits: Option<u32>,
    mask: u32,
    now: u64,
    stale: bool,
    // Both the pool's own choice of difficulty and its miners are arbitrary to the check.
    harder: u8,
    round: u32,
    miner: [u8; 32],
}

/// Regtest's target: every second hash is a block, so both sides of every comparison are reached.
static TEMPLATE: LazyLock<Arc<JobTemplate>> = LazyLock::new(|| {
    let parts = TemplateParts {
        height: 17,
        prev_hash: [0x11; 32],
        version: 0x2000_0000,
        nbits: 0x207f_ffff,
        min_time: 1_000_000,
        cur_time: 1_000_600,
        coinbase_value: 50_0000_0000,
        transactions: (0..3).map(transaction).collect(),
        witness_commitment_script: None,
    };
    let block = BlockTemplate::new(&parts, Network::Regtest).unwrap();
    let payout = PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap();
    Arc::new(JobTemplate::new(
        &block,
        &payout,
        PoolTag::new(*b"/orcapool/").unwrap(),
    ))
});

/// A transaction without witness that differs by its lock time.
fn transaction(lock_time: u8) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0, 1];
    bytes.extend([0x22; 32]); // spends output 0 of this
    bytes.extend([0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // one empty output
    bytes.extend([lock_time, 0, 0, 0]);
    bytes
}

fuzz_target!(|input: Input| {
    let mut difficulty = ShareDifficulty::MIN;
    for _ in 0..input.harder % 32 {
        difficulty = difficulty.harder();
    }
    let claim = Claim {
        task: TaskId::from_bytes([7; 32]),
        round: RoundNumber::new(input.round.into()).unwrap(),
        node: K2Address::from_bytes([8; 32]),
        miner: K2Address::from_bytes(input.miner),
        difficulty,
        extension: Vec::new(),
    };
    let claim_hash = claim.hash();
    let job = Arc::new(Job::new(Arc::clone(&TEMPLATE), claim).unwrap());
    let mask = VersionMask::negotiate(input.mask);
    let context = ShareContext {
        job: &job,
        freshness: if input.stale {
            Freshness::Stale
        } else {
            Freshness::Current
        },
        version_mask: mask,
        now: UnixTime(input.now),
    };
    let fields = ShareFields {
        extranonce: Extranonce::from_bytes(input.extranonce),
        ntime: input.ntime,
        nonce: input.nonce,
        version_bits: input.version_bits,
    };
    let mut seen = DuplicateFilter::new(2);
    seen.building_on(TEMPLATE.prev_hash());
    let checked = check_share(&context, &fields, &mut seen);

    // The header again, by other code.
    let coinbase: Transaction = deserialize(&job.coinbase(&fields.extranonce)).unwrap();
    let script = coinbase.input[0].script_sig.as_bytes();
    assert!(coinbase.is_coinbase() && script.len() <= 100);
    assert!(
        script.windows(32).any(|window| window == claim_hash),
        "the claim is in the coinbase"
    );
    assert!(
        script
            .windows(Extranonce::BYTES)
            .any(|window| window == input.extranonce)
    );
    let root = TEMPLATE
        .branch()
        .iter()
        .fold(coinbase.compute_txid().to_byte_array(), |left, right| {
            sha256d::Hash::hash(&[left, *right].concat()).to_byte_array()
        });
    let rolled = |mask: VersionMask, bits: u32| TEMPLATE.version() & !mask.to_u32() | bits;
    let version = match input.version_bits {
        None => TEMPLATE.version(),
        Some(bits) if bits & !mask.to_u32() == 0 => rolled(mask, bits),
        // Not to be credited, but what it most likely hashed (DATUM #214).
        Some(bits) => rolled(VersionMask::BIP320, bits),
    };
    let header = Header {
        version: Version::from_consensus(version as i32),
        prev_blockhash: TEMPLATE.prev_hash(),
        merkle_root: TxMerkleNode::from_byte_array(root),
        time: input.ntime,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: input.nonce,
    };
    assert_eq!(checked.hash, header.block_hash());

    // A block is handed out whatever else is wrong with the share.
    let is_block = header.target().is_met_by(header.block_hash());
    assert_eq!(checked.block.is_some(), is_block);
    if let Some(found) = &checked.block {
        assert_eq!(found.header[..], serialize(&header)[..]);
    }

    let share_target = Target::from_be_bytes(difficulty.target().to_be_bytes());
    let earned = !input.stale
        && input.ntime >= TEMPLATE.min_time()
        && u64::from(input.ntime) <= input.now.saturating_add(2 * 60 * 60)
        && input
            .version_bits
            .is_none_or(|bits| bits & !mask.to_u32() == 0)
        && share_target.is_met_by(header.block_hash());
    match checked.verdict {
        Verdict::Credited(share) => {
            assert!(earned);
            assert_eq!(share.work(), difficulty.work());
            assert_eq!(share.is_block(), is_block);
            // What is stored is the same header again, and it is not credited twice.
            let stored = ShareContext {
                version_mask: VersionMask::BIP320,
                ..context
            };
            let again = check_share(&stored, share.fields(), &mut seen);
            assert_eq!(again.hash, checked.hash);
            assert!(matches!(
                again.verdict,
                Verdict::Rejected(RejectReason::Duplicate)
            ));
        }
        Verdict::Rejected(_) => {
            assert!(!earned);
            assert!(seen.is_empty(), "a bad share leaves no trace");
        }
    }
});
