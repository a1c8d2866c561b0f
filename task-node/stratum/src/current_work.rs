//! What the node's miners work on right now.

use std::sync::{Arc, OnceLock};

use bitcoin::BlockHash;
use k2_interface::K2Address;
use pow::ShareDifficulty;
use work::{Claim, Job, LiveTemplate, RoundNumber, TaskId};

/// Beyond this many transactions `mining.get_transactions` is refused: the reply would outgrow a session's queue.
const MAX_LISTED_TRANSACTIONS: usize = 5_000;

/// A block template together with everything a claim on it needs, apart from the miner and the difficulty.
///
/// The application publishes it through a [`tokio::sync::watch`] channel; `None` there means that there is nothing to
/// mine yet, and sessions wait. A new one is due for every new template and for every new round.
#[derive(Debug)]
pub struct CurrentWork {
    template: Arc<LiveTemplate>,
    task: TaskId,
    node: K2Address,
    round: RoundNumber,
    /// The JSON array of transaction ids, made once for all sessions that ask.
    txids: OnceLock<Option<String>>,
}

impl CurrentWork {
    /// Work on `template` whose shares count for `task`, in `round`, for the operator `node`.
    #[must_use]
    pub fn new(
        template: Arc<LiveTemplate>,
        task: TaskId,
        node: K2Address,
        round: RoundNumber,
    ) -> Self {
        Self {
            template,
            task,
            node,
            round,
            txids: OnceLock::new(),
        }
    }

    /// The template.
    #[must_use]
    pub fn template(&self) -> &Arc<LiveTemplate> {
        &self.template
    }

    /// The round shares of its jobs count in.
    #[must_use]
    pub fn round(&self) -> RoundNumber {
        self.round
    }

    /// The block it builds on.
    #[must_use]
    pub fn prev_hash(&self) -> BlockHash {
        self.template.job_template().prev_hash()
    }

    /// The hardest share difficulty that is not harder than finding the block itself.
    #[must_use]
    pub fn block_difficulty(&self) -> ShareDifficulty {
        let block = self.template.job_template().nbits().target();
        let step = ShareDifficulty::for_target(block);
        if step.target() < block {
            step.easier()
        } else {
            step
        }
    }

    /// The claim of `miner` at `difficulty` on this work.
    #[must_use]
    pub fn claim(&self, miner: K2Address, difficulty: ShareDifficulty) -> Claim {
        Claim {
            task: self.task,
            round: self.round,
            node: self.node,
            miner,
            difficulty,
            extension: Vec::new(),
        }
    }

    /// The job of `miner` at `difficulty`.
    #[must_use]
    pub fn job(&self, miner: K2Address, difficulty: ShareDifficulty) -> Job {
        self.template.job(self.claim(miner, difficulty))
    }

    /// A JSON array with the ids of all transactions but the coinbase, or `None` where the list would be too long.
    pub(crate) fn txids(&self) -> Option<&str> {
        self.txids
            .get_or_init(|| {
                let transactions = self.template.block().transactions();
                (transactions.len() <= MAX_LISTED_TRANSACTIONS).then(|| {
                    let ids: Vec<String> = transactions
                        .iter()
                        .map(|transaction| format!("\"{}\"", transaction.compute_txid()))
                        .collect();
                    format!("[{}]", ids.join(","))
                })
            })
            .as_deref()
    }
}
