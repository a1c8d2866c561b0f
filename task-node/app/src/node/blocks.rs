//! What becomes of the blocks this node's miners found.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::Block;
use bitcoin::consensus::encode::deserialize_hex;
use chain::{BitcoinNode, Standing};
use store::{BlockStatus, ShareStore};
use tokio_util::sync::CancellationToken;

/// How often found blocks are looked up.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many of the last blocks are looked up. Older ones are buried.
const RECENT: u32 = 200;

/// Keeps the status of found blocks true: a block that lost to a sibling is stale, and may come back.
pub(super) async fn follow(
    chain: Arc<dyn BitcoinNode>,
    store: Arc<dyn ShareStore>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if let Err(error) = look_up(chain.as_ref(), store.as_ref()).await {
            tracing::warn!(%error, "found blocks could not be looked up");
        }
    }
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

/// Submits the blocks that an earlier run found and could not hand over before it ended.
pub(super) async fn resubmit(found_dir: PathBuf, chain: Arc<dyn BitcoinNode>) {
    let Ok(entries) = std::fs::read_dir(&found_dir) else {
        return;
    };
    let files = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "hex")) {
        match resubmit_one(&file, chain.as_ref()).await {
            Ok(outcome) => {
                tracing::info!(file = %file.display(), outcome, "a block of an earlier run was submitted");
                let _ = std::fs::remove_file(&file);
            }
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "a block of an earlier run waits");
            }
        }
    }
}

async fn resubmit_one(file: &Path, chain: &dyn BitcoinNode) -> anyhow::Result<String> {
    let block: Block = deserialize_hex(std::fs::read_to_string(file)?.trim())?;
    // Refused or not, the node has judged it.
    Ok(format!("{:?}", chain.submit_block(&block).await?))
}
