//! An honest round with real proofs of work, and what an auditor knows about it.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::HashMap;
use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, BlockHash, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};
use bytes::Bytes;
use cid::Cid;
use pow::{ShareDifficulty, Work};
use rounds::{
    AllowedBits, AuditFailure, AuditSummary, Bundle, BundleBuilder, BundleHead, ChainFacts,
    EncodedBundle, Expectation, HeaderFact, HeightRange, Moment, PoolRules, RoundWindow,
    RulesParts, SeenInRound, Submitted, audit,
};
use work::{
    BlockTemplate, Claim, CreditedShare, DuplicateFilter, Extranonce, Extranonce1, Freshness, Job,
    JobTemplate, K2Address, PayoutScript, PoolTag, RoundNumber, ShareContext, ShareFields, TaskId,
    TemplateParts, UnixTime, Verdict, VersionMask, check_share,
};

/// 2^14 hashes a block: harder than the shares, easy enough that some of them are blocks.
pub const NETWORK_BITS: u32 = 0x1f03_ffff;
pub const OPENED_AT: u64 = 1_700_000_000;
pub const CLOSED_AT: u64 = OPENED_AT + 600;
/// Median time past of the blocks that are built on.
pub const MEDIAN_TIME: u32 = OPENED_AT as u32 - 3000;
/// The tip when the round is opened; the one at its close is one higher.
pub const FIRST_TIP: u32 = 199;
/// What one block pays: the subsidy of regtest's second halving and some fees.
pub const VALUE: u64 = 2_500_001_234;

pub fn task() -> TaskId {
    TaskId::from_bytes([7; 32])
}

pub fn round() -> RoundNumber {
    RoundNumber::new(5).unwrap()
}

pub fn address(n: u8) -> K2Address {
    K2Address::from_bytes([n; 32])
}

pub fn node() -> K2Address {
    address(0xa0)
}

/// P2WPKH of BIP173's example key hash, on regtest.
pub fn payout() -> PayoutScript {
    PayoutScript::parse(
        "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)",
        Network::Regtest,
    )
    .unwrap()
}

pub fn rules() -> PoolRules {
    PoolRules::new(rules_parts()).unwrap()
}

pub fn rules_parts() -> RulesParts {
    let mut parts = RulesParts::usual(task(), Network::Regtest, payout().as_script().to_owned());
    parts.clock_tolerance_seconds = 120;
    parts
}

/// About 2^12 hashes: few enough to mine in a test, so many that no altered share passes by luck in this file.
pub fn difficulty() -> ShareDifficulty {
    ShareDifficulty::at_least(1.0 / f64::from(1 << 20)).unwrap()
}

pub fn block_hash(height: u32) -> BlockHash {
    let mut bytes = [0x5a; 32];
    bytes[..4].copy_from_slice(&height.to_le_bytes());
    BlockHash::from_byte_array(bytes)
}

/// Two transactions, so that there is a merkle branch.
fn transactions() -> Vec<Vec<u8>> {
    [1_u8, 2]
        .map(|n| {
            bitcoin::consensus::serialize(&Transaction {
                version: Version::TWO,
                lock_time: LockTime::ZERO,
                input: vec![TxIn {
                    previous_output: OutPoint::new(bitcoin::Txid::from_byte_array([n; 32]), 0),
                    script_sig: ScriptBuf::new(),
                    sequence: Sequence::MAX,
                    witness: Witness::new(),
                }],
                output: vec![TxOut {
                    value: Amount::from_sat(1000),
                    script_pubkey: ScriptBuf::new(),
                }],
            })
        })
        .to_vec()
}

pub fn parts(tip: u32) -> TemplateParts {
    TemplateParts {
        height: tip + 1,
        prev_hash: block_hash(tip).to_byte_array(),
        version: 0x2000_0000,
        nbits: NETWORK_BITS,
        min_time: MEDIAN_TIME + 1,
        cur_time: OPENED_AT as u32 + 5,
        coinbase_value: VALUE,
        transactions: transactions(),
        witness_commitment_script: None,
    }
}

pub fn template_paying(parts: &TemplateParts, payout: &PayoutScript) -> Arc<JobTemplate> {
    let block = BlockTemplate::new(parts, Network::Regtest).unwrap();
    Arc::new(JobTemplate::new(
        &block,
        payout,
        PoolTag::new(*b"/orcapool/").unwrap(),
    ))
}

pub fn template(tip: u32) -> Arc<JobTemplate> {
    template_paying(&parts(tip), &payout())
}

pub fn claim(miner: u8) -> Claim {
    Claim {
        task: task(),
        round: round(),
        node: node(),
        miner: address(miner),
        difficulty: difficulty(),
        extension: Vec::new(),
    }
}

/// Mines one share. `ntime` is that of the header, `session` keeps two searches apart.
pub fn mine(template: &Arc<JobTemplate>, claim: Claim, session: u32, ntime: u32) -> CreditedShare {
    let job = Arc::new(Job::new(Arc::clone(template), claim).unwrap());
    let context = ShareContext {
        job: &job,
        freshness: Freshness::Current,
        version_mask: VersionMask::BIP320,
        // Miners of these tests choose their times freely.
        now: UnixTime(CLOSED_AT + 1000),
    };
    let mut seen = DuplicateFilter::new(usize::MAX);
    for nonce in 0..u32::MAX {
        let fields = ShareFields {
            extranonce: Extranonce::join(
                Extranonce1::from_u32(session),
                [0, 0, 0, 0, 0, 0, 0x1f, 0x02],
            ),
            ntime,
            nonce,
            version_bits: Some(0x0abc_6000),
        };
        if let Verdict::Credited(share) = check_share(&context, &fields, &mut seen).verdict {
            return share;
        }
    }
    panic!("no share")
}

pub fn head() -> BundleHead {
    let moment = |at, height| Moment {
        at: UnixTime(at),
        height,
        tip: block_hash(height),
    };
    BundleHead {
        task: task(),
        round: round(),
        node: node(),
        network: Network::Regtest,
        rules: rules().digest(),
        opened: moment(OPENED_AT, FIRST_TIP),
        closed: moment(CLOSED_AT, FIRST_TIP + 1),
    }
}

pub fn bundle_of(head: BundleHead, shares: &[CreditedShare]) -> EncodedBundle {
    let mut builder = BundleBuilder::new(head);
    for share in shares {
        let claim = share.job().claim();
        let job = builder.job(share.job().template()).unwrap();
        builder
            .push(
                job,
                claim.miner,
                claim.difficulty,
                &claim.extension,
                share.fields(),
                share.is_block(),
            )
            .unwrap();
    }
    builder.finish().unwrap()
}

/// Two tips, three miners, two difficulties, an extension: eighteen shares.
pub fn honest_shares() -> Vec<CreditedShare> {
    let mut shares = Vec::new();
    for (tip, ntime) in [(FIRST_TIP, 0), (FIRST_TIP + 1, 300)] {
        let template = template(tip);
        for miner in 1..=3_u8 {
            let mut claim = claim(miner);
            if miner == 2 {
                claim.difficulty = claim.difficulty.harder();
            }
            if miner == 3 {
                claim.extension = vec![1, 2, 3];
            }
            for session in 0..3 {
                let ntime = OPENED_AT as u32 + ntime + session;
                shares.push(mine(
                    &template,
                    claim.clone(),
                    u32::from(miner) << 8 | session,
                    ntime,
                ));
            }
        }
    }
    shares
}

pub fn facts() -> ChainFacts {
    let fact = |height| HeaderFact {
        height,
        min_child_time: MEDIAN_TIME + 1,
        child_bits: AllowedBits {
            regular: NETWORK_BITS,
            late: None,
        },
    };
    ChainFacts {
        opened: HeightRange::around(FIRST_TIP, FIRST_TIP),
        closed: HeightRange::around(FIRST_TIP + 1, FIRST_TIP + 1),
        headers: (FIRST_TIP - 5..FIRST_TIP + 5)
            .map(|h| (block_hash(h), fact(h)))
            .collect(),
    }
}

/// Blocks by name, whoever made them: each is hashed when it is asked for.
#[derive(Debug, Clone, Default)]
pub struct Blocks(pub HashMap<Cid, Bytes>);

impl Blocks {
    pub fn of(bundle: &EncodedBundle) -> Self {
        Self(
            bundle
                .blocks
                .iter()
                .map(|b| (*b.cid(), b.bytes().clone()))
                .collect(),
        )
    }

    pub fn get(&self, cid: &Cid) -> Option<Bytes> {
        let bytes = self.0.get(cid)?;
        content::Block::verify(cid, bytes.clone())
            .ok()
            .map(content::Block::into_bytes)
    }
}

/// What a node that made this bundle submits: what its root says.
pub fn submission(cid: &Cid, bundle: &Bundle) -> Submitted {
    let root = bundle.root();
    Submitted {
        cid: *cid,
        shares: root.totals().shares,
        work: root.totals().work,
        root: *root.sum_root(),
    }
}

/// Reads and audits as an auditor that took part in the round.
pub fn audit_blocks(
    cid: &Cid,
    blocks: &Blocks,
    submitter: K2Address,
) -> Result<AuditSummary, AuditFailure> {
    audit_with(
        cid,
        blocks,
        submitter,
        &rules(),
        &facts(),
        &mut SeenInRound::new(100_000),
    )
}

pub fn audit_with(
    cid: &Cid,
    blocks: &Blocks,
    submitter: K2Address,
    rules: &PoolRules,
    facts: &ChainFacts,
    seen: &mut SeenInRound,
) -> Result<AuditSummary, AuditFailure> {
    let root = blocks
        .get(cid)
        .ok_or(AuditFailure::Unavailable("root".to_owned()))?;
    let bundle = Bundle::read(cid, &root, |cid| blocks.get(cid))?;
    let expectation = Expectation {
        rules,
        round: round(),
        node: submitter,
        submitted: submission(cid, &bundle),
        window: Some(RoundWindow {
            opened_at: UnixTime(OPENED_AT),
            closed_at: Some(UnixTime(CLOSED_AT)),
        }),
    };
    audit(&bundle, &expectation, facts, seen)
}

pub fn work_of(shares: &[CreditedShare]) -> Work {
    shares.iter().map(CreditedShare::work).sum()
}
