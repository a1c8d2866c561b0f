//! Real shares for tests: mined, and credited by [`work::check_share`], because nothing else can make one.

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Network};
use cid::Cid;
use cid::multihash::Multihash;
use k2_interface::K2Address;
use pow::ShareDifficulty;
use work::{
    BlockTemplate, Claim, CreditedShare, DuplicateFilter, Extranonce, Extranonce1, Freshness, Job,
    JobTemplate, PayoutScript, PoolTag, RoundNumber, ShareContext, ShareFields, TaskId,
    TemplateParts, UnixTime, Verdict, VersionMask, check_share,
};

use crate::{Identity, Mark, NewShare, StoredShare, Tip};

/// The time all fixtures begin at.
pub const START: UnixTime = UnixTime(1_700_000_000);

/// SHA-256 in a multihash.
const SHA2_256: u64 = 0x12;
/// DAG-CBOR in a CID.
const DAG_CBOR: u64 = 0x71;

/// Whom the stores of the suite belong to.
#[must_use]
pub fn identity() -> Identity {
    Identity {
        task: TaskId::from_bytes([0x11; 32]),
        node: K2Address::from_bytes([0x22; 32]),
    }
}

/// The address of a miner.
#[must_use]
pub fn miner(number: u8) -> K2Address {
    K2Address::from_bytes([number; 32])
}

/// The round of this number.
#[must_use]
pub fn round(number: u64) -> RoundNumber {
    RoundNumber::new(number).unwrap()
}

/// A moment `minutes` after [`START`].
#[must_use]
pub fn mark(minutes: u32) -> Mark {
    Mark {
        at: START.plus(u64::from(minutes) * 60),
        tip: Tip {
            hash: BlockHash::from_byte_array([minutes.to_le_bytes()[0]; 32]),
            height: minutes,
        },
    }
}

/// A CID.
#[must_use]
pub fn cid(number: u8) -> Cid {
    Cid::new_v1(DAG_CBOR, Multihash::wrap(SHA2_256, &[number; 32]).unwrap())
}

/// The job template of an empty regtest-like block at a height from 1 to 149. About one share in eight of the easiest
/// difficulty meets its block target.
#[must_use]
pub fn job_template(height: u32) -> Arc<JobTemplate> {
    let parts = TemplateParts {
        height,
        prev_hash: [height.to_le_bytes()[0]; 32],
        version: 0x2000_0000,
        nbits: 0x200f_ffff,
        min_time: 1_699_999_000,
        cur_time: 1_700_000_000,
        coinbase_value: 5_000_000_000,
        ..TemplateParts::default()
    };
    let block = BlockTemplate::new(&parts, Network::Regtest).unwrap();
    let payout = PayoutScript::parse(
        "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)",
        Network::Regtest,
    )
    .unwrap();
    let tag = PoolTag::new(b"/orcapool/".to_vec()).unwrap();
    Arc::new(JobTemplate::new(&block, &payout, tag))
}

/// A claim of a miner at the easiest difficulty.
#[must_use]
pub fn claim(round: RoundNumber, miner: K2Address) -> Claim {
    let Identity { task, node } = identity();
    Claim {
        task,
        round,
        node,
        miner,
        difficulty: ShareDifficulty::MIN,
        extension: Vec::new(),
    }
}

/// Finds a share of a job. Another `extranonce1` gives another share.
#[must_use]
pub fn mine(job: &Arc<Job>, extranonce1: u32) -> CreditedShare {
    let context = ShareContext {
        job,
        freshness: Freshness::Current,
        version_mask: VersionMask::BIP320,
        now: START,
    };
    for nonce in 0.. {
        let fields = ShareFields {
            extranonce: Extranonce::join(Extranonce1::from_u32(extranonce1), [7; 8]),
            ntime: job.template().cur_time(),
            nonce,
            version_bits: Some((nonce << 13) & VersionMask::BIP320.to_u32()),
        };
        let checked = check_share(&context, &fields, &mut DuplicateFilter::new(1));
        if let Verdict::Credited(share) = checked.verdict {
            return share;
        }
    }
    panic!("no nonce meets the easiest difficulty");
}

/// A share of `miner` for `round` on the template of height 1, by a worker named "rig".
#[must_use]
pub fn share(round: RoundNumber, miner: K2Address, extranonce1: u32) -> NewShare {
    share_of(&job_template(1), claim(round, miner), extranonce1)
}

/// A share of `claim` on `template`, by a worker named "rig".
#[must_use]
pub fn share_of(template: &Arc<JobTemplate>, claim: Claim, extranonce1: u32) -> NewShare {
    let job = Arc::new(Job::new(Arc::clone(template), claim).unwrap());
    NewShare {
        share: mine(&job, extranonce1),
        worker: "rig".to_owned(),
        at: START,
    }
}

/// What a store must give back for a share.
#[must_use]
pub fn stored(new: &NewShare) -> StoredShare {
    let share = &new.share;
    StoredShare {
        job: share.job().template_id(),
        claim: Arc::new(share.job().claim().clone()),
        fields: *share.fields(),
        hash: share.hash(),
        is_block: share.is_block(),
        worker: new.worker.as_str().into(),
        at: new.at,
    }
}
