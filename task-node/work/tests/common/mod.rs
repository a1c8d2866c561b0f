//! A regtest template, claims and shares found by counting, for the tests of this folder.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Witness};
use pow::{Algorithm, NBits, Sha256d, ShareDifficulty};
use work::{
    BlockTemplate, CheckedShare, Claim, DuplicateFilter, Extranonce, Extranonce1, Freshness, Job,
    K2Address, LiveTemplate, PayoutScript, PoolTag, RejectReason, RoundNumber, SeenShares,
    ShareContext, ShareFields, TaskId, TemplateParts, UnixTime, Verdict, VersionMask,
    block_subsidy, check_share,
};

pub const NOW: u32 = 1_900_000_000;
pub const MIN_TIME: u32 = NOW - 600;
/// The easiest target there is: every second hash is a block.
pub const REGTEST_BITS: u32 = 0x207f_ffff;
/// Mainnet at difficulty 1: no test finds a block by chance.
pub const HARD_BITS: u32 = 0x1d00_ffff;

/// A transaction like any other, told apart by `seed`; with a witness if `segwit`.
pub fn transaction(seed: u8, segwit: bool) -> Transaction {
    let witness = if segwit {
        Witness::from_slice(&[vec![seed; 71], vec![2; 33]])
    } else {
        Witness::new()
    };
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(bitcoin::Txid::from_byte_array([seed; 32]), 0),
            script_sig: ScriptBuf::new(),
            sequence: bitcoin::Sequence::MAX,
            witness,
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1_000 + u64::from(seed)),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
        }],
    }
}

/// The commitment script, computed by rust-bitcoin.
pub fn commitment_script(transactions: &[Transaction]) -> Vec<u8> {
    let ids = std::iter::once(bitcoin::Wtxid::all_zeros())
        .chain(transactions.iter().map(Transaction::compute_wtxid));
    let root = bitcoin::merkle_tree::calculate_root(ids.map(|id| id.to_raw_hash())).unwrap();
    let commitment = bitcoin::Block::compute_witness_commitment(
        &bitcoin::WitnessMerkleNode::from_raw_hash(root),
        &[0; 32],
    );
    [
        &[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..],
        commitment.as_ref(),
    ]
    .concat()
}

pub fn parts(height: u32, bits: u32, transactions: &[Transaction]) -> TemplateParts {
    TemplateParts {
        height,
        prev_hash: [0x11; 32],
        version: 0x2000_0000,
        nbits: bits,
        min_time: MIN_TIME,
        cur_time: NOW,
        coinbase_value: block_subsidy(Network::Regtest, height).to_sat() + 777,
        transactions: transactions.iter().map(serialize).collect(),
        witness_commitment_script: Some(commitment_script(transactions)),
    }
}

pub fn payout() -> PayoutScript {
    PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap()
}

pub fn live(parts: &TemplateParts) -> LiveTemplate {
    let block = Arc::new(BlockTemplate::new(parts, Network::Regtest).unwrap());
    LiveTemplate::new(block, &payout(), PoolTag::new("/orcapool/").unwrap()).unwrap()
}

pub fn claim(difficulty: ShareDifficulty) -> Claim {
    Claim {
        task: TaskId::from_bytes([1; 32]),
        round: RoundNumber::ZERO,
        node: K2Address::from_bytes([2; 32]),
        miner: K2Address::from_bytes([3; 32]),
        difficulty,
        extension: Vec::new(),
    }
}

/// A job on mainnet-like bits with the easiest share difficulty: shares abound, blocks do not.
pub fn share_job() -> Arc<Job> {
    let template = live(&parts(
        200,
        HARD_BITS,
        &[transaction(1, true), transaction(2, false)],
    ));
    Arc::new(template.job(claim(ShareDifficulty::MIN)))
}

/// A job on regtest bits: every second hash is a block, and none ever meets `difficulty` if that is high.
pub fn block_job(difficulty: ShareDifficulty) -> Arc<Job> {
    Arc::new(live(&parts(200, REGTEST_BITS, &[transaction(1, true)])).job(claim(difficulty)))
}

pub fn fields(nonce: u32) -> ShareFields {
    ShareFields {
        extranonce: Extranonce::join(Extranonce1::from_u32(7), [0, 0, 0, 0, 0, 0, 0, 1]),
        ntime: NOW,
        nonce,
        version_bits: None,
    }
}

pub fn context(job: &Arc<Job>) -> ShareContext<'_> {
    ShareContext {
        job,
        freshness: Freshness::Current,
        version_mask: VersionMask::NONE,
        now: UnixTime(u64::from(NOW)),
    }
}

/// Counts nonces until the header's hash meets (`hit`) or misses `bits`.
pub fn find(
    job: &Job,
    base: &ShareFields,
    mask: VersionMask,
    bits: NBits,
    hit: bool,
) -> ShareFields {
    (0..)
        .map(|nonce| ShareFields { nonce, ..*base })
        .find(|fields| {
            let hash = Sha256d::hash(&job.header(fields, mask));
            bits.target().is_met_by_le(&hash) == hit
        })
        .unwrap()
}

/// Fields whose hash meets the job's share target.
pub fn find_share(job: &Job, base: &ShareFields, mask: VersionMask) -> ShareFields {
    find(job, base, mask, job.claim().difficulty.nbits(), true)
}

/// Fields whose hash meets the block target.
pub fn find_block(job: &Job, base: &ShareFields, mask: VersionMask) -> ShareFields {
    find(job, base, mask, job.template().nbits(), true)
}

pub fn check(
    context: &ShareContext<'_>,
    fields: &ShareFields,
    seen: &mut impl SeenShares,
) -> CheckedShare {
    check_share(context, fields, seen)
}

/// The reason, or `None` where the share was credited.
pub fn reason(checked: &CheckedShare) -> Option<RejectReason> {
    match &checked.verdict {
        Verdict::Rejected(reason) => Some(*reason),
        Verdict::Credited(_) => None,
    }
}

pub fn filter() -> DuplicateFilter {
    DuplicateFilter::new(1_000)
}
