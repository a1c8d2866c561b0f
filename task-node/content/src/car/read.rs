//! A CAR into a store, or into memory.

use bytes::BytesMut;
use cid::Cid;
use futures::StreamExt as _;
use tokio::io::AsyncRead;
use tokio_util::codec::{Decoder as _, FramedRead};

use super::{CarDecoder, CarError, CarItem};
use crate::{
    block::Block,
    dag::{Accepted, DagLimits, Frontier},
    store::BlockStore,
};

const READ_BUFFER_BYTES: usize = 64 << 10;

/// What a CAR brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// The root its header names.
    pub root: Cid,
    /// Distinct blocks.
    pub blocks: usize,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// Blocks that are linked but not in the CAR, sorted. Empty means the DAG is whole.
    pub missing: Vec<Cid>,
}

/// Reads a CAR into `store`. With `expected_root`, a CAR of anything else is refused before a block is stored.
///
/// Blocks are stored as they arrive, each verified and linked from the root; on an error those before it stay.
///
/// # Errors
/// Any [`CarError`]. A block that is missing is no error but stands in the report.
pub async fn import<R: AsyncRead + Unpin + Send>(
    reader: R,
    expected_root: Option<Cid>,
    store: &dyn BlockStore,
    limits: DagLimits,
) -> Result<ImportReport, CarError> {
    let mut items = framed(reader, limits);
    let root = read_root(&mut items).await?;
    if let Some(expected) = expected_root
        && expected != root
    {
        return Err(CarError::WrongRoot { found: root });
    }
    let mut frontier = Frontier::new(root, limits)?;
    read_blocks(&mut items, &mut frontier, store).await?;
    Ok(ImportReport {
        root,
        blocks: frontier.blocks(),
        bytes: frontier.bytes(),
        missing: frontier.missing(),
    })
}

/// As [`import`], going on with a DAG of which some blocks are known. Returns how many were new.
pub(crate) async fn import_into<R: AsyncRead + Unpin + Send>(
    reader: R,
    frontier: &mut Frontier,
    store: &dyn BlockStore,
) -> Result<usize, CarError> {
    let mut items = framed(reader, *frontier.limits());
    let found = read_root(&mut items).await?;
    if found != *frontier.root() {
        return Err(CarError::WrongRoot { found });
    }
    let before = frontier.blocks();
    read_blocks(&mut items, frontier, store).await?;
    Ok(frontier.blocks() - before)
}

fn framed<R: AsyncRead>(reader: R, limits: DagLimits) -> FramedRead<R, CarDecoder> {
    FramedRead::with_capacity(reader, CarDecoder::new(limits), READ_BUFFER_BYTES)
}

async fn read_root<R: AsyncRead + Unpin>(
    items: &mut FramedRead<R, CarDecoder>,
) -> Result<Cid, CarError> {
    match items.next().await {
        Some(Ok(CarItem::Root(root))) => Ok(root),
        Some(Err(error)) => Err(error),
        Some(Ok(CarItem::Block(_))) | None => Err(CarError::Truncated),
    }
}

async fn read_blocks<R: AsyncRead + Unpin>(
    items: &mut FramedRead<R, CarDecoder>,
    frontier: &mut Frontier,
    store: &dyn BlockStore,
) -> Result<(), CarError> {
    while let Some(item) = items.next().await {
        if let CarItem::Block(block) = item?
            && let Some(vetted) = frontier.vet(&block)?
        {
            store.put(&block).await?;
            frontier.admit(vetted);
        }
    }
    Ok(())
}

/// A CAR read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarContents {
    /// The root its header names.
    pub root: Cid,
    /// Its distinct blocks, in its order.
    pub blocks: Vec<Block>,
    /// Blocks that are linked but not in the CAR, sorted.
    pub missing: Vec<Cid>,
}

/// Reads a CAR from memory.
///
/// # Errors
/// As [`import`].
pub fn read_all(bytes: &[u8], limits: DagLimits) -> Result<CarContents, CarError> {
    let mut source = BytesMut::from(bytes);
    let mut decoder = CarDecoder::new(limits);
    let Some(CarItem::Root(root)) = decoder.decode_eof(&mut source)? else {
        return Err(CarError::Truncated);
    };
    let mut frontier = Frontier::new(root, limits)?;
    let mut blocks = Vec::new();
    while let Some(item) = decoder.decode_eof(&mut source)? {
        if let CarItem::Block(block) = item
            && let Accepted::New(_) = frontier.accept(&block)?
        {
            blocks.push(block);
        }
    }
    Ok(CarContents {
        root,
        blocks,
        missing: frontier.missing(),
    })
}
