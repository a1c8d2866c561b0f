//! What is known when the questions are asked. Times are Unix seconds of this machine's clock.

/// Everything the answers rest on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    /// The node's K2 key.
    pub(crate) node: String,
    /// The Koii task.
    pub(crate) task: String,
    /// The program's version.
    pub(crate) version: String,
    /// Now.
    pub(crate) now: u64,
    /// What only a running node knows.
    pub(crate) live: Option<LiveFact>,
    /// The newest rounds, newest first.
    pub(crate) rounds: Vec<RoundFact>,
    /// This node's audits of the others' submissions in the newest sealed round.
    pub(crate) audits: AuditsFact,
    /// The newest blocks found here, newest first.
    pub(crate) blocks: Vec<BlockFact>,
    /// What the store says of earnings.
    pub(crate) earned: EarnedFact,
    /// Room left for the data directory, in bytes.
    pub(crate) disk_free: Option<u64>,
}

/// What only a running node knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LiveFact {
    /// When it started.
    pub(crate) started: u64,
    /// The round that jobs claim.
    pub(crate) claimed: Option<u64>,
    /// Its Bitcoin nodes.
    pub(crate) bitcoin: BitcoinFact,
    /// Its miners.
    pub(crate) miners: MinersFact,
    /// Why the next round cannot be settled, unless it only waits for blocks.
    pub(crate) settling_trouble: Option<String>,
    /// The configured gateways.
    pub(crate) gateways: Vec<GatewayFact>,
    /// The program on K2; `None` where none is configured.
    pub(crate) k2: Option<K2Fact>,
}

/// How far the watch over the Bitcoin nodes is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No node has answered yet.
    #[default]
    Connecting,
    /// The node is in initial block download.
    Syncing {
        /// Verified, in parts per million.
        ppm: u32,
    },
    /// Templates come.
    Running,
}

/// The Bitcoin nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BitcoinFact {
    /// How far the watch is.
    pub(crate) phase: Phase,
    /// The last failure, until something succeeds.
    pub(crate) error: Option<String>,
    /// Each node's name, and why it is left alone if it is.
    pub(crate) nodes: Vec<(String, Option<String>)>,
    /// The newest template.
    pub(crate) template: Option<TemplateFact>,
    /// A fresh template is asked for at least this often, in seconds.
    pub(crate) refresh: u64,
    /// K2's relay beside the chain of peers; `None` where there are no peers, or it was not read yet.
    pub(crate) relay: Option<RelayFact>,
}

/// What K2's relay says of the chain that peers show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RelayFact {
    /// In words.
    pub(crate) words: String,
    /// The two have different blocks, by more than a block or two that came late.
    pub(crate) is_wrong: bool,
    /// Seconds since K2 showed it.
    pub(crate) age: u64,
}

/// A template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TemplateFact {
    /// Height of the block it makes.
    pub(crate) height: u32,
    /// Seconds since it came.
    pub(crate) age: u64,
    /// The Bitcoin node's clock when it made it.
    pub(crate) node_time: u64,
}

/// The miners.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MinersFact {
    /// Open sessions over Stratum.
    pub(crate) sessions: usize,
    /// Workers with an open session over Stratum.
    pub(crate) workers: usize,
    /// Hashes per second over Stratum.
    pub(crate) stratum_rate: f64,
    /// Hashes per second of the built-in miner, if it is on.
    pub(crate) built_in_rate: Option<f64>,
    /// When the last share was credited.
    pub(crate) last_share: Option<u64>,
    /// Shares credited since the start.
    pub(crate) accepted: u64,
    /// Shares refused since the start.
    pub(crate) rejected: u64,
}

/// A round of this node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RoundFact {
    /// Its number.
    pub(crate) round: u64,
    /// When it was opened.
    pub(crate) opened: u64,
    /// When it was closed.
    pub(crate) closed: Option<u64>,
    /// Its shares.
    pub(crate) shares: u64,
    /// Their work in units of difficulty 1.
    pub(crate) difficulty: f64,
    /// Its bundle.
    pub(crate) seal: Option<SealFact>,
    /// Whether Koii accepted this node's bundle; `None` until it told who was accepted.
    pub(crate) accepted: Option<bool>,
    /// How many other nodes were accepted, once that is told.
    pub(crate) others: usize,
}

/// A bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SealFact {
    /// Its CID.
    pub(crate) cid: String,
    /// When it was sealed.
    pub(crate) at: u64,
    /// How often it was fetched here since, if this process has seen all of that time.
    pub(crate) fetched: Option<u64>,
}

/// Audits this node made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AuditsFact {
    /// Submissions found valid.
    pub(crate) valid: usize,
    /// Submissions found not valid.
    pub(crate) invalid: usize,
}

/// A block found here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BlockFact {
    /// Its height.
    pub(crate) height: u32,
    /// Its hash.
    pub(crate) hash: String,
    /// When it was found.
    pub(crate) at: u64,
    /// Whether no node has judged it yet.
    pub(crate) waits: bool,
    /// Why a node refused it.
    pub(crate) refused: Option<String>,
    /// Another block won its height.
    pub(crate) stale: bool,
}

/// Earnings, by the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EarnedFact {
    /// The newest settled round.
    pub(crate) settled: Option<SettledFact>,
    /// The settled round before it.
    pub(crate) before: Option<SettledFact>,
    /// The newest distributed round, and what Koii pays this operator for it in the bounty's base units.
    pub(crate) bounty: Option<(u64, i64)>,
}

/// What this node's key has earned up to a settled round, in satoshis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SettledFact {
    /// The round.
    pub(crate) round: u64,
    /// As operator.
    pub(crate) operator: u64,
    /// As miner.
    pub(crate) miner: u64,
}

/// A gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GatewayFact {
    /// Its URL.
    pub(crate) url: String,
    /// Why it does not answer.
    pub(crate) trouble: Option<String>,
}

/// This node's key on K2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum K2Fact {
    /// K2 has answered.
    Known {
        /// The round whose root is in force.
        finalized: Option<u64>,
        /// Claimed in both roles, in satoshis.
        claimed: u64,
        /// What a claim would pay now; `None` if this node has not settled that round itself.
        claimable: Option<u64>,
        /// Whether the root in force is the one this node computed for its round; `None` if it has none.
        agrees: Option<bool>,
    },
    /// K2 does not answer.
    Away(
        /// Why.
        String,
    ),
}
