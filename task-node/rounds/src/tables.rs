//! The two tables shares point into: job templates and claims.
//!
//! Both are sorted, without repetition, and cut into DAG-CBOR arrays of at most 256 KiB, so that no block grows with
//! the length of a round. A job's `mintime`, `curtime` and BIP320 version bits are not committed to by any hash (a
//! share carries its own time and bits), so they are normalised: two templates that differ only there are one job, and
//! nobody can make a second bundle of the same shares.

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;
use content::{Block, dag_cbor};
use ipld_core::ipld::Ipld;
use pow::ShareDifficulty;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use work::{
    JobTemplate, JobTemplateError, JobTemplateId, K2Address, MAX_EXTENSION_BYTES, VersionMask,
};

use crate::bundle_error::{BundleError, Part};
use crate::shares_chunk::{MAX_CHUNK_BYTES, MAX_TABLE_ENTRIES};

/// A day with a new template every five seconds, which is six times as often as nodes make them.
pub const MAX_JOBS: usize = 16_384;
/// Thirty thousand miners whose difficulty changes four times in a round.
pub const MAX_CLAIMS: usize = MAX_TABLE_ENTRIES;
/// 16 MiB a table: [`MAX_JOBS`] templates of a full block's size, [`MAX_CLAIMS`] claims without extension.
pub const MAX_TABLE_BLOCKS: usize = 64;
/// The head of the array around a block's entries.
const ARRAY_HEAD_BYTES: usize = 5;

/// Who earns a share, as a bundle holds it; task, round and node stand in the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleClaim {
    /// The K2 address that is paid.
    pub miner: K2Address,
    /// The difficulty the job was issued at: a step of the ladder by its type.
    #[serde(rename = "bits")]
    pub difficulty: ShareDifficulty,
    /// Empty, or the share chain's fields.
    #[serde(with = "serde_bytes")]
    pub extension: Vec<u8>,
}

/// A job as the table holds it: `mintime` = `curtime` = the smallest ntime of its shares, no BIP320 version bits.
pub(crate) fn normalised(
    job: &JobTemplate,
    base_time: u32,
) -> Result<JobTemplate, JobTemplateError> {
    let failed = |error: String| JobTemplateError::Encoding(error);
    let version = job.version() & !VersionMask::BIP320.to_u32();
    if (job.min_time(), job.cur_time(), job.version()) == (base_time, base_time, version) {
        return Ok(job.clone());
    }
    let Ipld::Map(mut fields): Ipld =
        serde_ipld_dagcbor::from_slice(&job.encode()?).map_err(|e| failed(e.to_string()))?
    else {
        return Err(failed("not a map".to_owned()));
    };
    for (name, value) in [
        ("mintime", base_time),
        ("curtime", base_time),
        ("version", version),
    ] {
        fields.insert(name.to_owned(), Ipld::Integer(i128::from(value)));
    }
    let bytes =
        serde_ipld_dagcbor::to_vec(&Ipld::Map(fields)).map_err(|e| failed(e.to_string()))?;
    JobTemplate::decode(&bytes)
}

/// The order of the jobs table: by height, so that shares come in the order a payout window reads them; then by name.
pub(crate) fn job_order(job: &JobTemplate) -> Result<(u32, JobTemplateId), JobTemplateError> {
    Ok((job.height(), job.id()?))
}

/// Cuts a table into blocks: each takes as many entries as fit.
pub(crate) fn cut<T: Serialize>(
    part: Part,
    entries: &[T],
) -> Result<Vec<(Block, u32)>, BundleError> {
    let refuse = |index| {
        move |error: dag_cbor::CborError| BundleError::Table {
            part,
            index,
            reason: error.to_string(),
        }
    };
    let mut blocks = Vec::new();
    let (mut start, mut bytes) = (0, ARRAY_HEAD_BYTES);
    let close = |blocks: &mut Vec<(Block, u32)>, entries: &[T]| {
        let block = dag_cbor::encode(entries).map_err(refuse(blocks.len()))?;
        blocks.push((block, entries.len() as u32));
        Ok::<_, BundleError>(())
    };
    for (index, entry) in entries.iter().enumerate() {
        let length = serde_ipld_dagcbor::to_vec(entry)
            .map_err(|error| BundleError::Table {
                part,
                index: blocks.len(),
                reason: error.to_string(),
            })?
            .len();
        if bytes + length > MAX_CHUNK_BYTES && index > start {
            close(&mut blocks, &entries[start..index])?;
            (start, bytes) = (index, ARRAY_HEAD_BYTES);
        }
        bytes += length;
    }
    if start < entries.len() {
        close(&mut blocks, &entries[start..])?;
    }
    if blocks.len() > MAX_TABLE_BLOCKS {
        return Err(BundleError::TooMany {
            what: "table blocks",
            count: blocks.len() as u64,
            max: MAX_TABLE_BLOCKS as u64,
        });
    }
    Ok(blocks)
}

/// Reads a table back and refuses any other cut or form than [`cut`] makes.
pub(crate) fn join<T: Serialize + DeserializeOwned>(
    part: Part,
    links: &[(Cid, u32)],
    get: &mut impl FnMut(&Cid) -> Option<Bytes>,
) -> Result<Vec<T>, BundleError> {
    let mut entries = Vec::new();
    for (index, (cid, count)) in links.iter().enumerate() {
        let bytes = get(cid).ok_or(BundleError::Missing {
            part,
            index,
            cid: *cid,
        })?;
        entries.extend(decode_table::<T>(part, index, &bytes, *count)?);
    }
    let again = cut(part, &entries)?;
    let same = again.len() == links.len()
        && again
            .iter()
            .zip(links)
            .all(|((block, _), (cid, _))| block.cid() == cid);
    if same {
        Ok(entries)
    } else {
        Err(BundleError::TableCut(part))
    }
}

fn decode_table<T: Serialize + DeserializeOwned>(
    part: Part,
    index: usize,
    bytes: &[u8],
    count: u32,
) -> Result<Vec<T>, BundleError> {
    let refuse = |reason| BundleError::Table {
        part,
        index,
        reason,
    };
    if bytes.len() > MAX_CHUNK_BYTES {
        return Err(refuse(format!("{} bytes", bytes.len())));
    }
    let entries: Vec<T> =
        dag_cbor::decode_slice(bytes).map_err(|error| refuse(error.to_string()))?;
    if entries.len() as u64 != u64::from(count) {
        return Err(BundleError::LinkCount {
            part,
            index,
            count: u64::from(count),
        });
    }
    Ok(entries)
}

/// Reads one block of the jobs table. For fuzzing; [`crate::Bundle::read`] is what auditors call.
///
/// # Errors
/// [`BundleError`] when it is not the canonical encoding of `count` job templates.
pub fn decode_jobs_block(bytes: &[u8], count: u32) -> Result<Vec<JobTemplate>, BundleError> {
    decode_table(Part::Jobs, 0, bytes, count)
}

/// Reads one block of the claims table. For fuzzing; [`crate::Bundle::read`] is what auditors call.
///
/// # Errors
/// [`BundleError`] when it is not the canonical encoding of `count` claims.
pub fn decode_claims_block(bytes: &[u8], count: u32) -> Result<Vec<BundleClaim>, BundleError> {
    let claims = decode_table(Part::Claims, 0, bytes, count)?;
    check_claims(&claims)?;
    Ok(claims)
}

/// Sorted, each once, and each in its normal form.
pub(crate) fn check_jobs(jobs: &[JobTemplate]) -> Result<(), BundleError> {
    let mut before = None;
    for (index, job) in jobs.iter().enumerate() {
        let normal =
            job.min_time() == job.cur_time() && job.version() & VersionMask::BIP320.to_u32() == 0;
        if !normal {
            return Err(BundleError::JobForm(index));
        }
        let place = Some(job_order(job)?);
        if before >= place {
            return Err(BundleError::TableOrder {
                part: Part::Jobs,
                index,
            });
        }
        before = place;
    }
    Ok(())
}

/// Sorted, each once, with extensions of a bearable length.
pub(crate) fn check_claims(claims: &[BundleClaim]) -> Result<(), BundleError> {
    for (index, claim) in claims.iter().enumerate() {
        if claim.extension.len() > MAX_EXTENSION_BYTES {
            return Err(BundleError::Extension {
                index,
                bytes: claim.extension.len(),
            });
        }
        if index > 0 && claims[index - 1] >= *claim {
            return Err(BundleError::TableOrder {
                part: Part::Claims,
                index,
            });
        }
    }
    Ok(())
}

/// A sorted table and where each entry of the unsorted one went; `None` for entries that are not used.
pub(crate) fn sorted<K: Ord, T>(entries: Vec<Option<(K, T)>>) -> (Vec<T>, Vec<Option<u32>>) {
    let mut places = vec![None; entries.len()];
    let ordered: BTreeMap<K, (usize, T)> = entries
        .into_iter()
        .enumerate()
        .filter_map(|(index, entry)| entry.map(|(key, value)| (key, (index, value))))
        .collect();
    let mut table = Vec::with_capacity(ordered.len());
    for (index, value) in ordered.into_values() {
        places[index] = Some(table.len() as u32);
        table.push(value);
    }
    (table, places)
}
