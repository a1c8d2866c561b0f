//! Where the Stratum server's finds go: shares to the store, blocks to the Bitcoin nodes.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use chain::{BitcoinNode, SubmitOutcome};
use store::{BlockRecord, BlockStatus, NewShare, ShareStore};
use stratum::{BlockSink, CurrentWork, Recorded, ShareSink, SinkError};
use tokio_util::task::TaskTracker;
use work::{Clock, CreditedShare, FoundBlock, K2Address, UnixTime};

use super::blocks::{is_final, keep};

// What the store takes, a bundle holds: a round that cannot be sealed pays nobody.
const _: () = assert!(store::MAX_ROUND_SHARES <= rounds::MAX_SHARES);
const _: () = assert!(store::MAX_ROUND_CLAIMS <= rounds::MAX_CLAIMS as u64);

/// Stores shares.
pub(super) struct StoreSink {
    pub(super) store: Arc<dyn ShareStore>,
}

#[async_trait]
impl ShareSink for StoreSink {
    async fn record(
        &self,
        share: CreditedShare,
        worker: &str,
        at: UnixTime,
    ) -> Result<Recorded, SinkError> {
        let share = NewShare {
            share,
            worker: worker.to_owned(),
            at,
        };
        match self.store.record_share(share).await {
            Ok(store::Recorded::Stored) => Ok(Recorded::Stored),
            Ok(store::Recorded::Duplicate) => Ok(Recorded::Duplicate),
            Ok(store::Recorded::RoundClosed) => Ok(Recorded::RoundClosed),
            Ok(store::Recorded::RoundFull) => Ok(Recorded::RoundFull),
            Err(error) => {
                tracing::error!(%error, "a share could not be stored");
                Err(SinkError::new(error.to_string()))
            }
        }
    }
}

/// Hands blocks to the Bitcoin nodes.
pub(super) struct NodeSink {
    pub(super) chain: Arc<dyn BitcoinNode>,
    pub(super) store: Arc<dyn ShareStore>,
    pub(super) clock: Arc<dyn Clock>,
    /// Every found block is written here while it is sent, and stays until a node has taken it.
    pub(super) found_dir: PathBuf,
    /// Submissions under way; shutdown waits for them.
    pub(super) tasks: TaskTracker,
}

#[async_trait]
impl BlockSink for NodeSink {
    async fn found(
        &self,
        work: Arc<CurrentWork>,
        found: FoundBlock,
        miner: K2Address,
        worker: &str,
    ) {
        let block = match work.template().block().assemble(&found) {
            Ok(block) => block,
            Err(error) => {
                tracing::error!(%error, hash = %found.hash, "a found block could not be assembled");
                return;
            }
        };
        let record = BlockRecord {
            hash: found.hash,
            height: work.template().block().height(),
            round: work.round(),
            miner,
            worker: worker.to_owned(),
            value: work.template().job_template().total_value(),
            at: self.clock.now(),
            status: BlockStatus::Submitted,
        };
        let (chain, store) = (Arc::clone(&self.chain), Arc::clone(&self.store));
        let file = self.found_dir.join(format!("{}.hex", found.hash));
        self.tasks.spawn(async move {
            // The network first, where every millisecond counts; but what is known of the block must not wait for a node
            // that is away, or it would be lost with the process.
            let (outcome, written, recorded) = tokio::join!(
                biased;
                chain.submit_block(&block),
                keep(&file, &block),
                store.record_block(record.clone())
            );
            if let Err(error) = written {
                tracing::warn!(%error, file = %file.display(), "the block's file could not be written");
            }
            if let Err(error) = recorded {
                tracing::warn!(%error, hash = %record.hash, "the block could not be recorded; trying again");
            }
            let status = judge(&record, &outcome, &file);
            // In hand: the file has done its work.
            if status == BlockStatus::Accepted {
                let _ = tokio::fs::remove_file(&file).await;
            }
            let hash = record.hash;
            let kept = async {
                let _ = store.record_block(record).await?;
                store.set_block_status(hash, status).await
            };
            if let Err(error) = kept.await {
                tracing::error!(%error, %hash, "the block could not be recorded");
            }
        });
    }
}

/// Tells what became of a submission.
fn judge(
    record: &BlockRecord,
    outcome: &Result<SubmitOutcome, chain::NodeError>,
    file: &std::path::Path,
) -> BlockStatus {
    let (hash, height) = (record.hash, record.height);
    match outcome {
        Ok(outcome) if outcome.is_in_good_hands() => {
            tracing::info!(%hash, height, miner = %record.miner, worker = record.worker, "BLOCK FOUND and accepted");
            BlockStatus::Accepted
        }
        Ok(outcome) if !is_final(outcome) => {
            tracing::error!(%hash, height, ?outcome, "a found block waits: the node lacks its parent");
            BlockStatus::Submitted
        }
        Ok(outcome) => {
            tracing::error!(%hash, height, ?outcome, "a found block was refused");
            BlockStatus::Rejected(format!("{outcome:?}"))
        }
        Err(error) => {
            tracing::error!(
                %hash, height, %error, file = %file.display(),
                "a found block could not be submitted; it is offered again every minute"
            );
            BlockStatus::Submitted
        }
    }
}
