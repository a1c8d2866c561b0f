//! What becomes of the blocks this node's miners found.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::Block;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use chain::{BitcoinNode, Standing, SubmitOutcome};
use store::{BlockStatus, ShareStore};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often blocks that wait are offered again: a node that lacks their parent is often behind by seconds only.
const OFFER_EVERY: Duration = Duration::from_secs(5);
/// How often found blocks are looked up, and the longest one offer takes.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many of the last blocks are looked up. Older ones are buried.
const RECENT: u32 = 200;
/// What bitcoind says of a block whose parent it has not seen (`validation.cpp`, `AcceptBlockHeader`).
const NO_PARENT: &str = "prev-blk-not-found";

/// Whether the node has judged the block. One that lacks its parent is behind, and may still take it.
pub(super) fn is_final(outcome: &SubmitOutcome) -> bool {
    !matches!(outcome, SubmitOutcome::Rejected(reason) if reason == NO_PARENT)
}

/// Writes a block to where [`follow`] finds it, whole or not at all.
pub(super) async fn keep(file: &Path, block: &Block) -> std::io::Result<()> {
    let part = file.with_extension("part");
    let mut writing = tokio::fs::File::create(&part).await?;
    writing.write_all(serialize_hex(block).as_bytes()).await?;
    writing.sync_all().await?;
    tokio::fs::rename(part, file).await
}

/// Offers the blocks that no node has taken yet, of this run and of earlier ones, and keeps the status of all true: a
/// block that lost to a sibling is stale, and may come back.
pub(super) async fn follow(
    chain: Arc<dyn BitcoinNode>,
    store: Arc<dyn ShareStore>,
    found_dir: PathBuf,
    stop: CancellationToken,
) {
    let following = async {
        let mut next_look_up = Instant::now();
        loop {
            resubmit(&found_dir, chain.as_ref()).await;
            if Instant::now() >= next_look_up {
                next_look_up = Instant::now() + INTERVAL;
                if let Err(error) = look_up(chain.as_ref(), store.as_ref()).await {
                    tracing::warn!(%error, "found blocks could not be looked up");
                }
            }
            tokio::time::sleep(OFFER_EVERY).await;
        }
    };
    // Cut off anywhere: a file goes only after its block was taken.
    let _ = stop.run_until_cancelled(following).await;
}

async fn look_up(chain: &dyn BitcoinNode, store: &dyn ShareStore) -> anyhow::Result<()> {
    for block in store.blocks(RECENT).await? {
        let Some(header) = chain.header(block.hash).await? else {
            continue;
        };
        let status = match header.standing {
            Standing::Active { .. } => BlockStatus::Accepted,
            Standing::Stale => BlockStatus::Stale,
        };
        // A node that refused a block knows at most its header, as stale; the refusal says more.
        let refused = matches!(block.status, BlockStatus::Rejected(_));
        if status != block.status && !(refused && status == BlockStatus::Stale) {
            tracing::info!(hash = %block.hash, height = block.height, ?status, "a found block's standing changed");
            store.set_block_status(block.hash, status).await?;
        }
    }
    Ok(())
}

async fn resubmit(found_dir: &Path, chain: &dyn BitcoinNode) {
    let Ok(entries) = std::fs::read_dir(found_dir) else {
        return;
    };
    let files = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "hex")) {
        match resubmit_one(&file, chain).await {
            Ok(outcome) if is_final(&outcome) => {
                tracing::info!(file = %file.display(), ?outcome, "a block that waited was submitted");
                let _ = std::fs::remove_file(&file);
            }
            Ok(outcome) => {
                tracing::warn!(file = %file.display(), ?outcome, "a block waits for its parent");
            }
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "a block waits for a Bitcoin node");
            }
        }
    }
}

async fn resubmit_one(file: &Path, chain: &dyn BitcoinNode) -> anyhow::Result<SubmitOutcome> {
    let block: Block = deserialize_hex(tokio::fs::read_to_string(file).await?.trim())?;
    // No longer: a node that is away must not keep the others from being asked again.
    Ok(tokio::time::timeout(INTERVAL, chain.submit_block(&block)).await??)
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
