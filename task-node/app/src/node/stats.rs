//! Numbers for the operator.

use pow::ShareDifficulty;
use store::{BlockStatus, StoreError};

use super::pinning::PinStatus;
use super::{AuditView, BlockView, Node, RejectedView, RoundView, Stats, WorkerView};
use work::RoundNumber;

/// Blocks in the overview.
const BLOCKS: u32 = 20;
/// Workers in the overview: the answer stays far below a sidecar's 1 MB.
const WORKERS: usize = 500;

impl Node {
    /// The node's state.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        let server = self.stratum.stats();
        let mut workers: Vec<WorkerView> = server
            .workers
            .iter()
            .map(|worker| WorkerView {
                miner: worker.miner.to_string(),
                worker: worker.worker.clone(),
                user_agent: worker.user_agent.clone(),
                difficulty: worker.difficulty.map(ShareDifficulty::announced),
                hash_rate: worker.hash_rate,
                sessions: worker.sessions,
                accepted: worker.accepted,
                rejected: RejectedView {
                    stale: worker.rejected.stale,
                    duplicate: worker.rejected.duplicate,
                    low_difficulty: worker.rejected.low_difficulty,
                    time: worker.rejected.time,
                    version_bits: worker.rejected.version_bits,
                    other: worker.rejected.other,
                },
                last_share: worker.last_share.map(|at| at.0),
            })
            .collect();
        workers.sort_by(|a, b| {
            b.hash_rate
                .total_cmp(&a.hash_rate)
                .then_with(|| a.miner.cmp(&b.miner))
        });
        let hash_rate = workers.iter().map(|worker| worker.hash_rate).sum();
        workers.truncate(WORKERS);
        let blocks = self.store.blocks(BLOCKS).await?;
        let settled = self.store.newest_settled().await?;
        Ok(Stats {
            node: self.key.to_string(),
            task: self.task.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: self.clock.now().0,
            health: self.health().await,
            connections: server.connections,
            hash_rate,
            workers,
            blocks: blocks
                .into_iter()
                .map(|block| BlockView {
                    height: block.height,
                    hash: block.hash.to_string(),
                    round: block.round.get(),
                    miner: block.miner.to_string(),
                    worker: block.worker,
                    value: block.value.to_sat(),
                    at: block.at.0,
                    status: match block.status {
                        BlockStatus::Submitted => "submitted".to_owned(),
                        BlockStatus::Accepted => "accepted".to_owned(),
                        BlockStatus::Stale => "stale".to_owned(),
                        BlockStatus::Rejected(reason) => format!("rejected: {reason}"),
                    },
                })
                .collect(),
            settled_round: settled.map(RoundNumber::get),
            ipfs: self.pins.borrow().as_ref().map(PinStatus::view),
        })
    }

    /// The rounds this node took part in, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn rounds(&self, limit: u32) -> Result<Vec<RoundView>, StoreError> {
        let rounds = self.store.rounds(limit).await?;
        Ok(rounds.iter().map(RoundView::from).collect())
    }

    /// This node's audits of a round.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn audits(&self, round: RoundNumber) -> Result<Vec<AuditView>, StoreError> {
        let audits = self.store.audits(round).await?;
        Ok(audits
            .into_iter()
            .map(|audit| AuditView {
                node: audit.node.to_string(),
                cid: audit.cid.to_string(),
                valid: audit.valid,
                reason: audit.reason,
                at: audit.at.0,
            })
            .collect())
    }
}
