//! Makes a bundle of a round's shares.
//!
//! Shares may come in any order and more than once; the bundle is that of their set. A share costs 36 bytes here, so a
//! million of them sort in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use cid::Cid;
use content::{Block, Codec};
use pow::{ShareDifficulty, Work};
use work::{JobTemplate, K2Address, MAX_EXTENSION_BYTES, ShareFields, VersionMask};

use crate::bundle_error::{BundleError, Part};
use crate::bundle_root::{BundleHead, BundleRoot, ChunkLink, MAX_SHARES, Totals, sum_tree};
use crate::shares_chunk::{ChunkError, PackedShare, SHARES_PER_CHUNK, encode_chunk};
use crate::tables::{BundleClaim, MAX_CLAIMS, MAX_JOBS, cut, job_order, normalised, sorted};

/// A job of the bundle under construction, as [`BundleBuilder::job`] names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobHandle(u32);

/// A finished bundle.
#[derive(Debug, Clone)]
pub struct EncodedBundle {
    /// Its name.
    pub cid: Cid,
    /// Its root.
    pub root: BundleRoot,
    /// All blocks, the root last, so that whoever stores them in order never has a root without its parts.
    pub blocks: Vec<Block>,
}

/// Collects shares.
#[derive(Debug)]
pub struct BundleBuilder {
    head: BundleHead,
    /// With base time 0, to find templates that are one job.
    jobs: HashMap<JobTemplate, u32>,
    /// The smallest ntime of each job's shares; `None` while it has none.
    base_times: Vec<Option<u32>>,
    claims: HashMap<BundleClaim, u32>,
    /// The claim of the last share: shares come in runs.
    last_claim: Option<(BundleClaim, u32)>,
    /// Indices are those of this builder until the end.
    shares: Vec<(PackedShare, bool)>,
}

impl BundleBuilder {
    /// An empty bundle.
    #[must_use]
    pub fn new(head: BundleHead) -> Self {
        Self {
            head,
            jobs: HashMap::new(),
            base_times: Vec::new(),
            claims: HashMap::new(),
            last_claim: None,
            shares: Vec::new(),
        }
    }

    /// Announces a job template. Templates without shares leave no trace.
    ///
    /// # Errors
    /// [`BundleError::Job`]; no job template is known to cause it.
    pub fn job(&mut self, template: &JobTemplate) -> Result<JobHandle, BundleError> {
        let next = self.base_times.len() as u32;
        let index = *self.jobs.entry(normalised(template, 0)?).or_insert(next);
        if index == next {
            self.base_times.push(None);
        }
        Ok(JobHandle(index))
    }

    /// Adds a share.
    ///
    /// # Errors
    /// [`BundleError`] when the bundle is full or the share is not one [`work::check_share`] can have credited.
    pub fn push(
        &mut self,
        job: JobHandle,
        miner: K2Address,
        difficulty: ShareDifficulty,
        extension: &[u8],
        fields: &ShareFields,
        is_block: bool,
    ) -> Result<(), BundleError> {
        if self.shares.len() as u64 >= MAX_SHARES {
            let count = self.shares.len() as u64 + 1;
            return Err(BundleError::TooMany {
                what: "shares",
                count,
                max: MAX_SHARES,
            });
        }
        let claim = self.claim(miner, difficulty, extension)?;
        if let Some(base_time) = self.base_times.get_mut(job.0 as usize) {
            *base_time = Some(base_time.unwrap_or(fields.ntime).min(fields.ntime));
        }
        let share = PackedShare {
            job: job.0,
            claim,
            extranonce: fields.extranonce,
            ntime: fields.ntime,
            nonce: fields.nonce,
            version_bits: fields.version_bits.unwrap_or(0) & VersionMask::BIP320.to_u32(),
        };
        self.shares.push((share, is_block));
        Ok(())
    }

    fn claim(
        &mut self,
        miner: K2Address,
        difficulty: ShareDifficulty,
        extension: &[u8],
    ) -> Result<u32, BundleError> {
        if let Some((last, index)) = &self.last_claim
            && last.miner == miner
            && last.difficulty == difficulty
            && last.extension == extension
        {
            return Ok(*index);
        }
        let next = self.claims.len() as u32;
        if extension.len() > MAX_EXTENSION_BYTES {
            return Err(BundleError::Extension {
                index: next as usize,
                bytes: extension.len(),
            });
        }
        let claim = BundleClaim {
            miner,
            difficulty,
            extension: extension.to_vec(),
        };
        let index = match self.claims.entry(claim.clone()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(next),
        };
        if self.claims.len() > MAX_CLAIMS {
            let count = self.claims.len() as u64;
            return Err(BundleError::TooMany {
                what: "claims",
                count,
                max: MAX_CLAIMS as u64,
            });
        }
        self.last_claim = Some((claim, index));
        Ok(index)
    }

    /// Sorts and cuts.
    ///
    /// # Errors
    /// [`BundleError`] when a limit is exceeded.
    pub fn finish(self) -> Result<EncodedBundle, BundleError> {
        let Self {
            head,
            jobs,
            base_times,
            claims,
            mut shares,
            ..
        } = self;

        let mut by_index = vec![None; base_times.len()];
        for (template, index) in jobs {
            let Some(base_time) = base_times[index as usize] else {
                continue;
            };
            let job = normalised(&template, base_time)?;
            by_index[index as usize] = Some((job_order(&job)?, job));
        }
        let (jobs, job_places) = sorted(by_index);
        if jobs.len() > MAX_JOBS {
            let count = jobs.len() as u64;
            return Err(BundleError::TooMany {
                what: "jobs",
                count,
                max: MAX_JOBS as u64,
            });
        }
        let mut by_index = vec![None; claims.len()];
        for (claim, index) in claims {
            by_index[index as usize] = Some((claim.clone(), claim));
        }
        let (claims, claim_places) = sorted(by_index);

        for (share, _) in &mut shares {
            share.job = place(&job_places, share.job);
            share.claim = place(&claim_places, share.claim);
        }
        shares.sort_unstable();
        shares.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            earlier.1 |= same && later.1;
            same
        });

        let job_blocks = cut(Part::Jobs, &jobs)?;
        let claim_blocks = cut(Part::Claims, &claims)?;
        let base_times: Vec<u32> = jobs.iter().map(JobTemplate::min_time).collect();
        let works: Vec<Work> = claims.iter().map(|claim| claim.difficulty.work()).collect();
        let mut chunks = Vec::new();
        let mut chunk_blocks = Vec::new();
        let mut packed = Vec::with_capacity(SHARES_PER_CHUNK);
        for (index, run) in shares.chunks(SHARES_PER_CHUNK).enumerate() {
            packed.clear();
            packed.extend(run.iter().map(|(share, _)| *share));
            let bytes = encode_chunk(&packed, &base_times)
                .map_err(|source| BundleError::Chunk { index, source })?;
            let length = bytes.len();
            let block = Block::new(Codec::Raw, bytes).map_err(|_| BundleError::Chunk {
                index,
                source: ChunkError::TooLong(length),
            })?;
            chunks.push(ChunkLink {
                cid: *block.cid(),
                shares: packed.len() as u32,
                work: sum(&packed, &works)?,
            });
            chunk_blocks.push(block);
        }
        let tree = sum_tree(&chunks)?;
        let root = BundleRoot {
            head,
            jobs: job_blocks
                .iter()
                .map(|(block, count)| (*block.cid(), *count))
                .collect(),
            claims: claim_blocks
                .iter()
                .map(|(block, count)| (*block.cid(), *count))
                .collect(),
            totals: Totals {
                shares: tree.shares(),
                work: tree.work(),
                blocks: shares.iter().filter(|(_, is_block)| *is_block).count() as u64,
            },
            sum_root: tree.root(),
            chunks,
        };
        let root_block = root.encode()?;
        let cid = *root_block.cid();
        let tables = job_blocks
            .into_iter()
            .chain(claim_blocks)
            .map(|(block, _)| block);
        let blocks = tables.chain(chunk_blocks).chain([root_block]).collect();
        Ok(EncodedBundle { cid, root, blocks })
    }
}

/// Where a table entry went; every entry a share names is used and has a place.
fn place(places: &[Option<u32>], index: u32) -> u32 {
    places
        .get(index as usize)
        .copied()
        .flatten()
        .unwrap_or(u32::MAX)
}

fn sum(shares: &[PackedShare], works: &[Work]) -> Result<Work, BundleError> {
    shares.iter().try_fold(Work::ZERO, |sum, share| {
        let work = works.get(share.claim as usize).copied().unwrap_or_default();
        sum.checked_add(work).ok_or(BundleError::Overflow)
    })
}
