//! Gets a bundle's blocks, whole or in part, and reads it.
//!
//! The root is read first: it bounds what the rest can have, so that nothing a forger serves costs more than an honest
//! bundle of that root would.

use std::collections::HashMap;

use bytes::Bytes;
use cid::Cid;
use content::{DagLimits, DagViolation, FetchError, Fetcher};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::audit_failure::AuditFailure;
use crate::bundle::Bundle;
use crate::bundle_root::{BundleRoot, MAX_BUNDLE_BLOCKS};
use crate::shares_chunk::MAX_CHUNK_BYTES;
use crate::unavailable::{AuditUnavailable, Stop};

/// Blocks of a sample asked for at the same time.
const PARALLEL_BLOCKS: usize = 8;

/// A root that was fetched and read.
pub(crate) struct FetchedRoot {
    pub(crate) cid: Cid,
    pub(crate) root: BundleRoot,
    bytes: u64,
}

impl FetchedRoot {
    /// The most bytes the bundle can have, the root included.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.root.most_linked_bytes())
    }
}

pub(crate) async fn fetch_root(fetcher: &Fetcher, cid: Cid) -> Result<FetchedRoot, Stop> {
    let block = fetcher.fetch_block(&cid).await?;
    let root = BundleRoot::decode(block.bytes()).map_err(AuditFailure::from)?;
    let bytes = block.bytes().len() as u64;
    Ok(FetchedRoot { cid, root, bytes })
}

/// All of a bundle: one CAR where a source has one.
pub(crate) async fn fetch_whole(fetcher: &Fetcher, root: FetchedRoot) -> Result<Bundle, Stop> {
    let limits = DagLimits {
        max_blocks: MAX_BUNDLE_BLOCKS,
        max_total_bytes: root.most_bytes(),
        max_depth: 1,
    };
    fetcher.fetch_dag(&root.cid, limits).await?;
    let mut blocks = HashMap::new();
    for link in root.root.links() {
        let block = fetcher.store().get(link).await.map_err(FetchError::from)?;
        if let Some(block) = block {
            blocks.insert(*link, block.into_bytes());
        }
    }
    let everything: Vec<usize> = (0..root.root.chunks().len()).collect();
    read(root, everything, blocks).await
}

/// The tables and the named chunks, and nothing else.
pub(crate) async fn fetch_parts(
    fetcher: &Fetcher,
    root: FetchedRoot,
    chunks: &[usize],
) -> Result<Bundle, Stop> {
    let opened = chunks
        .iter()
        .filter_map(|index| root.root.chunks().get(*index))
        .map(|chunk| chunk.cid);
    let wanted: Vec<Cid> = root.root.table_links().copied().chain(opened).collect();
    let blocks = stream::iter(wanted)
        .map(|cid| async move {
            let bytes = fetcher.fetch_block(&cid).await?.into_bytes();
            if bytes.len() > MAX_CHUNK_BYTES {
                // Hundreds of these would fill the memory before the first is looked at.
                let limit = MAX_CHUNK_BYTES as u64;
                let violation = Box::new(DagViolation::TooManyBytes { limit });
                return Err(Stop::Verdict(AuditFailure::Content(violation)));
            }
            Ok((cid, bytes))
        })
        .buffer_unordered(PARALLEL_BLOCKS)
        .try_collect()
        .await?;
    read(root, chunks.to_vec(), blocks).await
}

async fn read(
    root: FetchedRoot,
    chunks: Vec<usize>,
    blocks: HashMap<Cid, Bytes>,
) -> Result<Bundle, Stop> {
    let read = tokio::task::spawn_blocking(move || {
        Bundle::read_parts(&root.cid, root.root, &chunks, &mut |link| {
            blocks.get(link).cloned()
        })
    });
    Ok(read
        .await
        .map_err(|_| AuditUnavailable::CutOff)?
        .map_err(AuditFailure::from)?)
}
