//! What `GET /api/status` answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The operator's four questions, answered: for `orcapool status` and the dashboard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// The node's K2 key.
    pub node: String,
    /// The Koii task.
    pub task: String,
    /// The program's version.
    pub version: String,
    /// When this was said, Unix seconds.
    pub now: u64,
    /// Whether a running node says it; else it is what its store last knew.
    pub running: bool,
    /// Nothing needs a hand.
    pub well: bool,
    /// Am I mining?
    pub mining: MiningView,
    /// Is my last submission accepted?
    pub submission: SubmissionStatusView,
    /// What did I earn?
    pub earnings: EarningsView,
    /// What needs my hand, the urgent first.
    pub problems: Vec<ProblemView>,
}

/// An answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Yes,
    /// No.
    No,
    /// It is on its way.
    NotYet,
    /// Nobody here can tell.
    Unknown,
}

/// Am I mining?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MiningView {
    /// In one word.
    pub answer: Verdict,
    /// In sentences, the most important first.
    pub lines: Vec<String>,
    /// The round that jobs claim.
    pub round: Option<u64>,
    /// Height of the block being mined.
    pub height: Option<u32>,
    /// Seconds since the Bitcoin node gave the template.
    pub template_age: Option<u64>,
    /// Whether K2's relay has the chain that peers show, as far as the two can be compared; absent without peers, and where
    /// the relay was not read yet.
    #[serde(default)]
    pub relay_agrees: Option<bool>,
    /// Open Stratum sessions, the built-in miner's not counted.
    pub sessions: usize,
    /// Hashes per second of the miners on Stratum, estimated from credited shares.
    pub stratum_hash_rate: f64,
    /// The same of the built-in miner, if there is one.
    pub built_in_hash_rate: Option<f64>,
    /// When the last share was credited since this node started, Unix seconds.
    pub last_share: Option<u64>,
    /// Shares of the newest round.
    pub round_shares: u64,
    /// Blocks found, of the last hundred.
    pub blocks: usize,
}

/// Is my last submission accepted?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionStatusView {
    /// In one word, of the newest round that is decided, or of the newest sealed one if none is.
    pub answer: Verdict,
    /// In sentences, the most important first.
    pub lines: Vec<String>,
    /// The newest sealed round.
    pub round: Option<u64>,
    /// Its bundle.
    pub cid: Option<String>,
    /// When it was sealed, Unix seconds.
    pub sealed_at: Option<u64>,
    /// How often its bundle was fetched here since it was sealed; absent where this process has not seen all of that time.
    pub fetched: Option<u64>,
    /// The newest round of which Koii has told who was accepted.
    pub decided_round: Option<u64>,
}

/// What did I earn?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EarningsView {
    /// `yes`: something is settled for this operator's key.
    pub answer: Verdict,
    /// In sentences, the most important first.
    pub lines: Vec<String>,
    /// The newest settled round: what is below is final up to it.
    pub settled_round: Option<u64>,
    /// Earned as operator up to it, in satoshis.
    pub operator: u64,
    /// Earned as miner with the node's own address up to it, in satoshis.
    pub miner: u64,
    /// Claimed on K2 by this key in both roles, in satoshis; absent where K2 is not configured or does not answer.
    pub claimed: Option<u64>,
    /// What a claim would pay now, in satoshis.
    pub claimable: Option<u64>,
}

/// How urgent a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It costs money, or will, until somebody does something.
    Hand,
    /// Worth knowing.
    Notice,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemView {
    /// How urgent it is.
    pub severity: Severity,
    /// What it is about: `bitcoin`, `koii`, `disk`, ...
    pub part: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub todo: String,
}
