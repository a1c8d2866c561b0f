//! A round's bundle: the blocks behind the CID a node submits.
//!
//! ```text
//! root (DAG-CBOR)  { format, task, round, node, network, rules,
//!                    opened {at, height, tip}, closed {at, height, tip},
//!                    jobs [[link, count]..], claims [[link, count]..], shares [[link, count, work]..],
//!                    totals {shares, work, blocks}, sum }
//! jobs, claims     DAG-CBOR arrays of at most 256 KiB                    (see `tables`)
//! shares           raw chunks of 8192 packed shares                      (see `shares_chunk`)
//! ```
//!
//! Work is a 16-byte big-endian byte string, hashes are byte strings in internal order, `sum` is the Merkle-sum root.
//! A set of shares has exactly one bundle: reading refuses every other form, so the CID is the same on every machine.
//!
//! Reading checks the form only. Whether the shares are worth what the bundle says is the audit's question.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use work::JobTemplate;

use crate::bundle_error::{BundleError, Part};
use crate::bundle_root::BundleRoot;
use crate::shares_chunk::{PackedShare, decode_chunk};
use crate::tables::{BundleClaim, check_claims, check_jobs, join};

/// A bundle with its tables read; its chunks are decoded one at a time.
#[derive(Debug, Clone)]
pub struct Bundle {
    cid: Cid,
    root: BundleRoot,
    jobs: Vec<Arc<JobTemplate>>,
    base_times: Vec<u32>,
    claims: Vec<BundleClaim>,
    /// As many as the root names; `None` where a sample left one out.
    chunks: Vec<Option<Bytes>>,
}

impl Bundle {
    /// Reads a whole bundle. `get` gives the bytes of a block that has been hashed and bears this name.
    ///
    /// # Errors
    /// [`BundleError`] names the first thing that is not in its one right form.
    pub fn read(
        cid: &Cid,
        root: &[u8],
        mut get: impl FnMut(&Cid) -> Option<Bytes>,
    ) -> Result<Self, BundleError> {
        let root = BundleRoot::decode(root)?;
        let everything: Vec<usize> = (0..root.chunks.len()).collect();
        Self::read_parts(cid, root, &everything, &mut get)
    }

    /// Reads the tables and the named chunks only.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_parts(
        cid: &Cid,
        root: BundleRoot,
        chunks: &[usize],
        get: &mut impl FnMut(&Cid) -> Option<Bytes>,
    ) -> Result<Self, BundleError> {
        let jobs: Vec<JobTemplate> = join(Part::Jobs, &root.jobs, get)?;
        check_jobs(&jobs)?;
        let claims: Vec<BundleClaim> = join(Part::Claims, &root.claims, get)?;
        check_claims(&claims)?;
        let mut bytes = vec![None; root.chunks.len()];
        for &index in chunks {
            let Some(link) = root.chunks.get(index) else {
                continue;
            };
            let missing = BundleError::Missing {
                part: Part::Shares,
                index,
                cid: link.cid,
            };
            bytes[index] = Some(get(&link.cid).ok_or(missing)?);
        }
        Ok(Self {
            cid: *cid,
            base_times: jobs.iter().map(JobTemplate::min_time).collect(),
            jobs: jobs.into_iter().map(Arc::new).collect(),
            claims,
            chunks: bytes,
            root,
        })
    }

    /// Its name.
    #[must_use]
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> &BundleRoot {
        &self.root
    }

    /// The job templates; `min_time` of each is the smallest ntime of its shares.
    #[must_use]
    pub fn jobs(&self) -> &[Arc<JobTemplate>] {
        &self.jobs
    }

    /// Who earns.
    #[must_use]
    pub fn claims(&self) -> &[BundleClaim] {
        &self.claims
    }

    /// The chunks that were read, in order.
    pub fn present(&self) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.chunks.len()).filter(|index| self.chunks[*index].is_some())
    }

    /// Whether all chunks were read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.chunks.iter().all(Option::is_some)
    }

    /// Decodes one chunk.
    ///
    /// # Errors
    /// [`BundleError`] when it was not read, is not in its one right form, or holds another number of shares.
    pub fn shares(&self, index: usize) -> Result<Vec<PackedShare>, BundleError> {
        let (Some(link), Some(Some(bytes))) = (self.root.chunks.get(index), self.chunks.get(index))
        else {
            let cid = self
                .root
                .chunks
                .get(index)
                .map_or(self.cid, |link| link.cid);
            return Err(BundleError::Missing {
                part: Part::Shares,
                index,
                cid,
            });
        };
        let shares = decode_chunk(bytes, &self.base_times, self.claims.len())
            .map_err(|source| BundleError::Chunk { index, source })?;
        if shares.len() != link.shares as usize {
            let count = u64::from(link.shares);
            return Err(BundleError::LinkCount {
                part: Part::Shares,
                index,
                count,
            });
        }
        Ok(shares)
    }
}
