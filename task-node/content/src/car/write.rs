//! A stored DAG to a CAR.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures::{Stream, stream};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use unsigned_varint::encode;

use super::{CarError, decoder::Header};
use crate::{
    block::Block,
    dag::{DagLimits, DagWalk, Step},
    dag_cbor,
    store::BlockStore,
};

/// What an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportReport {
    /// Blocks.
    pub blocks: usize,
    /// Length of the CAR, in bytes.
    pub bytes: u64,
}

/// Writes the whole DAG under `root`, depth first, each block once.
///
/// # Errors
/// [`CarError::Missing`], [`CarError::Dag`], [`CarError::Store`], or the writer's [`CarError::Io`].
pub async fn export<W: AsyncWrite + Unpin + Send>(
    store: &dyn BlockStore,
    root: Cid,
    limits: DagLimits,
    mut writer: W,
) -> Result<ExportReport, CarError> {
    let mut export = Export::open(store, root, limits).await?;
    let mut report = ExportReport {
        blocks: 0,
        bytes: 0,
    };
    while let Some(part) = export.next(store).await? {
        writer.write_all(&part).await?;
        report.bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
    }
    writer.flush().await?;
    report.blocks = export.walk.frontier().blocks();
    Ok(report)
}

/// The CAR of the DAG under `root` as a stream of parts, for an HTTP body.
///
/// The root is read before this returns, so that a server can still answer 404. An error later on ends the stream and
/// must break the connection: a CAR has no end mark, the reader knows a whole one by its links.
///
/// # Errors
/// [`CarError::Missing`] for the root, [`CarError::Dag`], [`CarError::Store`].
pub async fn export_stream(
    store: Arc<dyn BlockStore>,
    root: Cid,
    limits: DagLimits,
) -> Result<impl Stream<Item = Result<Bytes, CarError>> + Send + use<>, CarError> {
    let export = Export::open(&*store, root, limits).await?;
    Ok(stream::try_unfold(
        (export, store),
        |(mut export, store)| async move {
            let part = export.next(&*store).await?;
            Ok(part.map(|part| (part, (export, store))))
        },
    ))
}

/// An export under way; each part is the header or one section.
struct Export {
    walk: DagWalk,
    /// Header and root, read ahead.
    first: Option<Bytes>,
}

impl Export {
    async fn open(store: &dyn BlockStore, root: Cid, limits: DagLimits) -> Result<Self, CarError> {
        let mut walk = DagWalk::new(root, limits)?;
        let mut first = BytesMut::new();
        write_header(&mut first, root)?;
        match walk.next(store).await? {
            Some(Step::Block(block)) => write_section(&mut first, &block),
            Some(Step::Missing(_)) | None => return Err(CarError::Missing(root)),
        }
        Ok(Self {
            walk,
            first: Some(first.freeze()),
        })
    }

    async fn next(&mut self, store: &dyn BlockStore) -> Result<Option<Bytes>, CarError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match self.walk.next(store).await? {
            None => Ok(None),
            Some(Step::Missing(cid)) => Err(CarError::Missing(cid)),
            Some(Step::Block(block)) => {
                let mut section = BytesMut::new();
                write_section(&mut section, &block);
                Ok(Some(section.freeze()))
            }
        }
    }
}

pub(super) fn write_header(out: &mut BytesMut, root: Cid) -> Result<(), CarError> {
    let header = dag_cbor::encode(&Header {
        roots: vec![root],
        version: 1,
    })?;
    write_length(out, header.bytes().len());
    out.extend_from_slice(header.bytes());
    Ok(())
}

pub(super) fn write_section(out: &mut BytesMut, block: &Block) {
    let cid = block.cid().to_bytes();
    out.reserve(cid.len() + block.bytes().len() + 10);
    write_length(out, cid.len() + block.bytes().len());
    out.extend_from_slice(&cid);
    out.extend_from_slice(block.bytes());
}

pub(super) fn write_length(out: &mut BytesMut, length: usize) {
    out.extend_from_slice(encode::usize(length, &mut encode::usize_buffer()));
}
