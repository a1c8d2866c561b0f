//! What the node tells about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{RoundRecord, RoundState};
use utoipa::ToSchema;

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Whether it can hand out jobs: it has a template of the current tip.
    pub ready: bool,
    /// The same in words, and what is missing.
    pub message: String,
    /// The round that jobs claim, if one is open.
    pub round: Option<u64>,
    /// Height of the block being mined.
    pub height: Option<u32>,
    /// Where this node has its knowledge of Bitcoin from, and whom that trusts.
    #[serde(default)]
    pub bitcoin_mode: String,
    /// Each configured Bitcoin node, or peer in place of one: its name and how it is.
    pub bitcoin_nodes: BTreeMap<String, String>,
}

/// How a peer is, in words.
pub(crate) fn peer_text(peer: &chain::peer::PeerStatus) -> String {
    if let Some(failure) = &peer.failure {
        let what = if peer.set_aside {
            "set aside"
        } else {
            "gives nothing"
        };
        return format!("{what}: {failure}");
    }
    let Some((height, _)) = peer.tip else {
        return "not asked yet".to_owned();
    };
    let standing = match peer.behind {
        Some(0) => String::new(),
        Some(behind) => format!(", {behind} blocks behind"),
        None => ", on a branch with less work".to_owned(),
    };
    let template = if peer.offers {
        ""
    } else {
        ", no template for the tip"
    };
    format!("healthy, height {height}{standing}{template}")
}

/// The node's state, for the operator and the dashboard.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// The node's K2 key.
    pub node: String,
    /// The Koii task.
    pub task: String,
    /// This program's version.
    pub version: String,
    /// The node's wall clock, Unix seconds.
    pub now: u64,
    /// Where it stands.
    pub health: Health,
    /// Open Stratum connections.
    pub connections: usize,
    /// Hashes per second of all miners, estimated from credited shares.
    pub hash_rate: f64,
    /// The workers seen since this node started.
    pub workers: Vec<WorkerView>,
    /// The blocks found last, newest first.
    pub blocks: Vec<BlockView>,
    /// The newest settled round: what was earned up to it is final. Absent before the first one.
    pub settled_round: Option<u64>,
    /// The IPFS node that pins this node's bundles. Absent without one.
    pub ipfs: Option<IpfsView>,
}

/// The operator's IPFS node, and what it pins for this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IpfsView {
    /// Its RPC API, without credentials.
    pub rpc: String,
    /// Bundles and reward lists it pins, as far as this node has looked since it started.
    pub pinned: u64,
    /// Those that are still to be pinned.
    pub waiting: u64,
    /// Why the last attempt failed; absent while all is well.
    pub error: Option<String>,
}

/// One worker seen since this node started.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Who is paid.
    pub miner: String,
    /// Which of their machines.
    pub worker: String,
    /// What it calls itself.
    pub user_agent: String,
    /// The difficulty of its last job.
    pub difficulty: Option<f64>,
    /// Hashes per second, estimated from credited shares.
    pub hash_rate: f64,
    /// Sessions open now.
    pub sessions: usize,
    /// Shares accepted since this node started.
    pub accepted: u64,
    /// Shares rejected since this node started, by reason.
    pub rejected: RejectedView,
    /// When its last share came, Unix seconds.
    pub last_share: Option<u64>,
}

/// Rejected shares by reason.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RejectedView {
    /// Unknown or expired job, another previous block, a closed round.
    pub stale: u64,
    /// Submitted before.
    pub duplicate: u64,
    /// Above the job's target.
    pub low_difficulty: u64,
    /// Header time out of bounds.
    pub time: u64,
    /// Version bits outside the mask.
    pub version_bits: u64,
    /// Anything else.
    pub other: u64,
}

/// One block a miner of this node found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BlockView {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: String,
    /// The round its share claims.
    pub round: u64,
    /// Who found it.
    pub miner: String,
    /// With which worker.
    pub worker: String,
    /// What it pays the pool, in satoshis.
    pub value: u64,
    /// When, Unix seconds.
    pub at: u64,
    /// `submitted`, `accepted`, `stale`, or `rejected: ...`.
    pub status: String,
}

/// One round of this node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RoundView {
    /// Its number.
    pub round: u64,
    /// `open`, `closed` or `sealed`.
    pub state: String,
    /// Its shares.
    pub shares: u64,
    /// Their work in units of difficulty 1.
    pub difficulty: f64,
    /// When it was opened, Unix seconds.
    pub opened_at: u64,
    /// When it was closed, Unix seconds.
    pub closed_at: Option<u64>,
    /// Its bundle, once sealed.
    pub cid: Option<String>,
}

impl From<&RoundRecord> for RoundView {
    fn from(record: &RoundRecord) -> Self {
        Self {
            round: record.round.get(),
            state: match record.state {
                RoundState::Open => "open",
                RoundState::Closed(_) => "closed",
                RoundState::Sealed { .. } => "sealed",
            }
            .to_owned(),
            shares: record.shares,
            difficulty: record.work.difficulty_for_display(),
            opened_at: record.opened.at.0,
            closed_at: record.state.closed().map(|mark| mark.at.0),
            cid: record.state.seal().map(|seal| seal.cid.to_string()),
        }
    }
}

/// One audit this node made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// Whose submission.
    pub node: String,
    /// Which bundle.
    pub cid: String,
    /// The verdict.
    pub valid: bool,
    /// What was found wrong first.
    pub reason: Option<String>,
    /// When, Unix seconds.
    pub at: u64,
}

/// What one round's blocks pay, and what everybody earned up to it, by the chain as it was when Koii asked for the
/// distribution. The operators' list stays; everything else is provisional: blocks may still be orphaned, and what miners
/// get in the end is said by the settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DistributionView {
    /// The round.
    pub round: u64,
    /// Whether the round is settled, so that `/api/rounds/{round}/settlement` says what is final.
    pub settled: bool,
    /// Blocks found in the round's accepted bundles.
    pub blocks: u64,
    /// What those on the best chain pay, with what an earlier round left undistributed, in satoshis.
    pub pot: u64,
    /// The window that was asked for, in hashes (decimal).
    pub window: String,
    /// The work found in it, in hashes (decimal).
    pub window_filled: String,
    /// The operators' list as it was answered last.
    pub operators: BTreeMap<String, i64>,
    /// Everybody's cumulative earnings in canonical order.
    pub earned: Vec<EarnedView>,
    /// Leaves of the cumulative reward tree: the entries that are not dust.
    pub leaves: u32,
    /// Its root, hex; absent while nobody has earned.
    pub root: Option<String>,
}

/// A settled round: what its blocks pay for good, and what K2 is asked to pay from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettlementView {
    /// The round.
    pub round: u64,
    /// Always true: a round that is not settled has no settlement.
    pub settled: bool,
    /// The K2 program that pays.
    pub program: String,
    /// What its matured blocks pay, with what the round before left undistributed, in satoshis.
    pub pot: u64,
    /// What the round before left undistributed; part of the pot.
    pub carried: u64,
    /// What nobody earned; goes to the next round.
    pub undistributed: u64,
    /// Everything everybody has earned so far, in satoshis.
    pub earned: u64,
    /// The part of it that has leaves and can be claimed; the rest are entries too small for a leaf yet.
    pub total: u64,
    /// Leaves of the cumulative reward tree.
    pub leaves: u32,
    /// Its root, hex; absent while nobody has earned.
    pub root: Option<String>,
    /// CID of the reward list, from which anybody rebuilds the tree and every proof (`/ipfs/{cid}`).
    pub list: Option<String>,
    /// The tip's height with which the last of its blocks matured; absent without blocks.
    pub maturity_height: Option<u32>,
    /// The blocks that pay for it, by height.
    pub blocks: Vec<MaturedBlockView>,
}

/// A block whose coinbase has matured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MaturedBlockView {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: String,
    /// What it pays the pool, in satoshis.
    pub value: u64,
}

/// What an address can claim on K2, with proofs, by the newest settled round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RewardsView {
    /// The K2 address.
    pub address: String,
    /// The newest settled round. A claim needs the proof for the round that is finalized on K2.
    pub round: u64,
    /// The K2 program that pays.
    pub program: String,
    /// Leaves of the reward tree.
    pub leaves: u32,
    /// The tree's root, hex.
    pub root: Option<String>,
    /// CID of the reward list.
    pub list: Option<String>,
    /// What it has earned in each role, if anything.
    pub rewards: Vec<RewardView>,
}

/// What one address has earned in one role, and the way to claim it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RewardView {
    /// `miner` or `operator`.
    pub role: String,
    /// Everything earned up to the round, in satoshis.
    pub cumulative: u64,
    /// The leaf; absent while the amount is too small for one.
    pub claim: Option<ClaimView>,
}

/// A leaf's place in the reward tree, and its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClaimView {
    /// The leaf's index.
    pub index: u32,
    /// The siblings, hex, lowest level first.
    pub proof: Vec<String>,
}

/// What one address has earned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EarnedView {
    /// `miner` or `operator`.
    pub role: String,
    /// The K2 address.
    pub owner: String,
    /// Everything earned so far, in satoshis.
    pub cumulative: u64,
}
