//! CARv1: a whole DAG as one stream (<https://ipld.io/specs/transport/car/carv1/>).
//!
//! ```text
//! varint(length) dag-cbor{roots: [cid], version: 1}   then for each block   varint(length) cid bytes
//! ```
//!
//! Written by hand over `unsigned-varint` because `iroh-car`, the maintained crate, is not made for hostile input: it
//! hashes nothing, takes a stream that ends inside a length for a whole one, allocates up to 4 MiB on a length's
//! word, and has no limit on the number of blocks or on their sum. Here every block is hashed on arrival, memory grows with what
//! has arrived, and a block that no earlier one links is refused: a peer can neither fill the store nor hide a block.
//!
//! So a CAR must list parents before children, as [`export`], Kubo and the trustless gateways do.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_util::codec::{Decoder, FramedRead};
use unsigned_varint::{decode, encode};

use crate::{
    block::{Block, BlockError, CID_BYTES, MAX_BLOCK_BYTES},
    dag::{Accepted, DagError, DagLimits, DagViolation, DagWalk, Frontier, Step},
    dag_cbor,
    store::{BlockStore, StoreError},
};

/// The longest header read. One with a single root has 58 bytes.
const MAX_HEADER_BYTES: usize = 1024;

/// The whole header of a CARv2, `{version: 2}`.
const CARV2_PRAGMA: &[u8] = b"\xa1\x67version\x02";

const READ_BUFFER_BYTES: usize = 64 << 10;

/// Why a stream is not the CAR of one DAG.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// The stream ends inside the header or a block.
    #[error("CAR is cut off")]
    Truncated,
    /// A length is not a minimal varint of at most 9 bytes.
    #[error("CAR has a malformed length")]
    BadLength,
    /// The header is longer than any with one root.
    #[error("CAR header of {length} bytes; at most {MAX_HEADER_BYTES} are read")]
    HeaderTooLarge {
        /// Its claimed length.
        length: u64,
    },
    /// The header is not `{roots, version}` in DAG-CBOR.
    #[error("CAR header: {0}")]
    BadHeader(#[from] dag_cbor::CborError),
    /// CARv2, or a version from the future.
    #[error("CAR version {0} is not supported; export it as CARv1")]
    UnsupportedVersion(u64),
    /// Not exactly one root.
    #[error("CAR has {0} roots; exactly one is needed")]
    NotOneRoot(usize),
    /// Another root than the one asked for.
    #[error("CAR is of {found}, not of what was asked for")]
    WrongRoot {
        /// What the header names.
        found: Cid,
    },
    /// A section shorter than a CID or longer than a CID and the largest block.
    #[error("CAR section of {length} bytes cannot hold one block")]
    BadSection {
        /// Its claimed length.
        length: u64,
    },
    /// A section does not begin with a CID of the form spoken here.
    #[error("CAR section {index} does not begin with a CIDv1 of sha2-256")]
    BadCid {
        /// Which block, from 0.
        index: usize,
    },
    /// A block's bytes do not hash to its CID.
    #[error("CAR section {index}: {error}")]
    BadBlock {
        /// Which block, from 0.
        index: usize,
        /// What is wrong with it.
        error: BlockError,
    },
    /// More sections, repeated ones included, than blocks are allowed.
    #[error("CAR has more than {limit} sections")]
    TooManySections {
        /// [`DagLimits::max_blocks`].
        limit: usize,
    },
    /// More bytes in all sections, repeated ones included, than allowed.
    #[error("CAR has more than {limit} bytes of blocks")]
    TooManyBytes {
        /// [`DagLimits::max_total_bytes`].
        limit: u64,
    },
    /// The blocks do not form one DAG within the limits.
    #[error("CAR: {0}")]
    Dag(#[from] DagViolation),
    /// On export: a block is not in the store.
    #[error("block {0} is not in the store; fetch it before exporting")]
    Missing(Cid),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream itself failed.
    #[error("CAR stream: {0}")]
    Io(#[from] std::io::Error),
}

impl From<DagError> for CarError {
    fn from(error: DagError) -> Self {
        match error {
            DagError::Invalid(violation) => Self::Dag(violation),
            DagError::Missing(cid) => Self::Missing(cid),
            DagError::Store(error) => Self::Store(error),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    roots: Vec<Cid>,
    version: u64,
}

/// One part of a CAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarItem {
    /// The root the header names; always the first item.
    Root(Cid),
    /// A block that hashes to its CID.
    Block(Block),
}

/// Cuts a byte stream into [`CarItem`]s. Pure: bytes in, items out.
#[derive(Debug)]
pub struct CarDecoder {
    limits: DagLimits,
    header_read: bool,
    sections: usize,
    bytes: u64,
}

impl CarDecoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub const fn new(limits: DagLimits) -> Self {
        Self {
            limits,
            header_read: false,
            sections: 0,
            bytes: 0,
        }
    }

    fn header(&mut self, bytes: &[u8]) -> Result<CarItem, CarError> {
        if bytes == CARV2_PRAGMA {
            return Err(CarError::UnsupportedVersion(2));
        }
        let header: Header = dag_cbor::decode_slice(bytes)?;
        if header.version != 1 {
            return Err(CarError::UnsupportedVersion(header.version));
        }
        let [root] = header.roots[..] else {
            return Err(CarError::NotOneRoot(header.roots.len()));
        };
        self.header_read = true;
        Ok(CarItem::Root(root))
    }

    fn section(&mut self, bytes: &[u8]) -> Result<CarItem, CarError> {
        let index = self.sections;
        let bad_cid = CarError::BadCid { index };
        let Some((cid, content)) = bytes.split_at_checked(CID_BYTES) else {
            return Err(bad_cid);
        };
        let cid = match Cid::try_from(cid) {
            Ok(cid) if cid.encoded_len() == CID_BYTES => cid,
            _ => return Err(bad_cid),
        };
        // A copy: a slice of the read buffer would keep all of it alive for a block of a few bytes.
        let block = Block::verify(&cid, Bytes::copy_from_slice(content))
            .map_err(|error| CarError::BadBlock { index, error })?;
        self.sections += 1;
        Ok(CarItem::Block(block))
    }

    /// Checks a section's claimed length against everything it could break, before any of it is waited for.
    fn admit(&mut self, length: u64) -> Result<(), CarError> {
        let overhead = u64::try_from(CID_BYTES).unwrap_or(u64::MAX);
        let max = u64::try_from(CID_BYTES + MAX_BLOCK_BYTES).unwrap_or(u64::MAX);
        if length < overhead || length > max {
            return Err(CarError::BadSection { length });
        }
        if self.sections >= self.limits.max_blocks {
            return Err(CarError::TooManySections {
                limit: self.limits.max_blocks,
            });
        }
        if self.bytes + (length - overhead) > self.limits.max_total_bytes {
            return Err(CarError::TooManyBytes {
                limit: self.limits.max_total_bytes,
            });
        }
        Ok(())
    }
}

impl Decoder for CarDecoder {
    type Item = CarItem;
    type Error = CarError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<CarItem>, CarError> {
        let (length, prefix) = match decode::u64(source) {
            Ok((length, rest)) => (length, source.len() - rest.len()),
            Err(decode::Error::Insufficient) => return Ok(None),
            Err(_) => return Err(CarError::BadLength),
        };
        if self.header_read {
            self.admit(length)?;
        } else if length > u64::try_from(MAX_HEADER_BYTES).unwrap_or(u64::MAX) {
            return Err(CarError::HeaderTooLarge { length });
        }
        // Both branches above leave at most a little over 1 MiB.
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(prefix))
            .ok_or(CarError::BadLength)?;
        if source.len() < end {
            return Ok(None);
        }
        let framed = source.split_to(end);
        let body = framed.get(prefix..).unwrap_or_default();
        if self.header_read {
            let item = self.section(body)?;
            self.bytes += length - u64::try_from(CID_BYTES).unwrap_or(0);
            Ok(Some(item))
        } else {
            self.header(body).map(Some)
        }
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<CarItem>, CarError> {
        match self.decode(source)? {
            Some(item) => Ok(Some(item)),
            None if source.is_empty() && self.header_read => Ok(None),
            None => Err(CarError::Truncated),
        }
    }
}

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

fn write_header(out: &mut BytesMut, root: Cid) -> Result<(), CarError> {
    let header = dag_cbor::encode(&Header {
        roots: vec![root],
        version: 1,
    })?;
    write_length(out, header.bytes().len());
    out.extend_from_slice(header.bytes());
    Ok(())
}

fn write_section(out: &mut BytesMut, block: &Block) {
    let cid = block.cid().to_bytes();
    out.reserve(cid.len() + block.bytes().len() + 10);
    write_length(out, cid.len() + block.bytes().len());
    out.extend_from_slice(&cid);
    out.extend_from_slice(block.bytes());
}

fn write_length(out: &mut BytesMut, length: usize) {
    out.extend_from_slice(encode::usize(length, &mut encode::usize_buffer()));
}

#[cfg(test)]
#[path = "car_tests.rs"]
mod tests;
