//! The root block of a bundle: what it is about, which blocks it has, and their sums.
//!
//! Everything that can be checked without the blocks it names is checked when it is read: limits, counts, totals and
//! the Merkle-sum root. It is at most 1 MiB, so an auditor knows what it is in for before it fetches more.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Network};
use cid::Cid;
use content::block::check_cid;
use content::{Block, Codec, MAX_BLOCK_BYTES, dag_cbor};
use pow::Work;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use work::{Claim, K2Address, RoundNumber, TaskId, UnixTime};

use crate::RulesDigest;
use crate::bundle_error::{BundleError, Part};
use crate::merkle_sum::{Leaf, MerkleSumTree};
use crate::shares_chunk::{MAX_CHUNK_BYTES, SHARES_PER_CHUNK, most_chunk_bytes};
use crate::tables::{BundleClaim, MAX_CLAIMS, MAX_JOBS, MAX_TABLE_BLOCKS};

/// The format this version writes and reads.
pub const FORMAT: &str = "orcapool/bundle/1";
/// What IPFS implementations pass on as one block at most.
pub const MAX_ROOT_BYTES: usize = MAX_BLOCK_BYTES;
/// 512 chunks of 8192. At the usual twenty shares a minute that is an hour of 3,500 miners; a node with more raises
/// its difficulty. It bounds what an auditor can be made to fetch (some 60 MB in practice) and to remember.
pub const MAX_SHARE_CHUNKS: usize = 512;
/// The most shares one bundle holds.
pub const MAX_SHARES: u64 = (MAX_SHARE_CHUNKS * SHARES_PER_CHUNK) as u64;
/// The most blocks one bundle has.
pub const MAX_BUNDLE_BLOCKS: usize = 1 + 2 * MAX_TABLE_BLOCKS + MAX_SHARE_CHUNKS;
/// The most bytes one bundle has.
pub const MAX_BUNDLE_BYTES: usize = MAX_ROOT_BYTES + (MAX_BUNDLE_BLOCKS - 1) * MAX_CHUNK_BYTES;

/// A moment of a round and the tip of the Bitcoin chain the node saw then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: UnixTime,
    /// The tip's height.
    pub height: u32,
    /// The tip's hash.
    pub tip: BlockHash,
}

/// What a bundle is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleHead {
    /// The Koii task.
    pub task: TaskId,
    /// The round.
    pub round: RoundNumber,
    /// The operator's K2 key.
    pub node: K2Address,
    /// The Bitcoin network.
    pub network: Network,
    /// The rules the node runs with.
    pub rules: RulesDigest,
    /// When the round was opened.
    pub opened: Moment,
    /// When it was closed.
    pub closed: Moment,
}

impl BundleHead {
    /// The claim a share of this bundle's node and round was hashed with.
    #[must_use]
    pub fn claim(&self, claim: &BundleClaim) -> Claim {
        Claim {
            task: self.task,
            round: self.round,
            node: self.node,
            miner: claim.miner,
            difficulty: claim.difficulty,
            extension: claim.extension.clone(),
        }
    }
}

/// A chunk of shares, as the root names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLink {
    /// The block.
    pub cid: Cid,
    /// Its shares.
    pub shares: u32,
    /// Their work.
    pub work: Work,
}

/// The sums over a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Shares.
    pub shares: u64,
    /// Their work.
    pub work: Work,
    /// How many of them met the block target.
    pub blocks: u64,
}

/// A root block, checked in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleRoot {
    pub(crate) head: BundleHead,
    pub(crate) jobs: Vec<(Cid, u32)>,
    pub(crate) claims: Vec<(Cid, u32)>,
    pub(crate) chunks: Vec<ChunkLink>,
    pub(crate) totals: Totals,
    pub(crate) sum_root: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMoment {
    at: UnixTime,
    height: u32,
    tip: ByteArray<32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTotals {
    shares: u64,
    work: ByteArray<16>,
    blocks: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    task: TaskId,
    round: RoundNumber,
    node: K2Address,
    network: String,
    rules: ByteArray<32>,
    opened: WireMoment,
    closed: WireMoment,
    jobs: Vec<(Cid, u32)>,
    claims: Vec<(Cid, u32)>,
    shares: Vec<(Cid, u32, ByteArray<16>)>,
    totals: WireTotals,
    sum: ByteArray<32>,
}

impl From<Moment> for WireMoment {
    fn from(moment: Moment) -> Self {
        Self {
            at: moment.at,
            height: moment.height,
            tip: ByteArray::new(moment.tip.to_byte_array()),
        }
    }
}

impl From<WireMoment> for Moment {
    fn from(wire: WireMoment) -> Self {
        Self {
            at: wire.at,
            height: wire.height,
            tip: BlockHash::from_byte_array(wire.tip.into_array()),
        }
    }
}

fn work_bytes(work: Work) -> ByteArray<16> {
    ByteArray::new(work.to_hashes().to_be_bytes())
}

fn work_of(bytes: ByteArray<16>) -> Work {
    Work::from_hashes(u128::from_be_bytes(bytes.into_array()))
}

impl BundleRoot {
    /// What the bundle is about.
    #[must_use]
    pub fn head(&self) -> &BundleHead {
        &self.head
    }

    /// The chunks of shares.
    #[must_use]
    pub fn chunks(&self) -> &[ChunkLink] {
        &self.chunks
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The Merkle-sum root.
    #[must_use]
    pub fn sum_root(&self) -> &[u8; 32] {
        &self.sum_root
    }

    /// The Merkle-sum tree over the chunks.
    ///
    /// # Errors
    /// [`BundleError::Overflow`]; never for a root that was read.
    pub fn sum_tree(&self) -> Result<MerkleSumTree, BundleError> {
        sum_tree(&self.chunks)
    }

    /// All links, in the order of the root: jobs, claims, shares.
    pub fn links(&self) -> impl Iterator<Item = &Cid> {
        self.table_links()
            .chain(self.chunks.iter().map(|chunk| &chunk.cid))
    }

    /// The links of the tables: jobs, claims.
    pub fn table_links(&self) -> impl Iterator<Item = &Cid> {
        self.jobs.iter().chain(&self.claims).map(|(cid, _)| cid)
    }

    /// The most bytes the blocks it names can have together if they are in their one right form. An honest bundle has
    /// about two thirds of it in its shares.
    #[must_use]
    pub fn most_linked_bytes(&self) -> u64 {
        let tables = (self.jobs.len() + self.claims.len()) * MAX_CHUNK_BYTES;
        let chunks = self.chunks.iter().map(|c| most_chunk_bytes(c.shares));
        (tables as u64).saturating_add(chunks.sum())
    }

    /// The root block.
    ///
    /// # Errors
    /// [`BundleError`] if it cannot be encoded or is too long.
    pub fn encode(&self) -> Result<Block, BundleError> {
        let wire = Wire {
            format: FORMAT.to_owned(),
            task: self.head.task,
            round: self.head.round,
            node: self.head.node,
            network: self.head.network.to_core_arg().to_owned(),
            rules: ByteArray::new(self.head.rules.0),
            opened: self.head.opened.into(),
            closed: self.head.closed.into(),
            jobs: self.jobs.clone(),
            claims: self.claims.clone(),
            shares: self
                .chunks
                .iter()
                .map(|c| (c.cid, c.shares, work_bytes(c.work)))
                .collect(),
            totals: WireTotals {
                shares: self.totals.shares,
                work: work_bytes(self.totals.work),
                blocks: self.totals.blocks,
            },
            sum: ByteArray::new(self.sum_root),
        };
        dag_cbor::encode(&wire).map_err(|error| BundleError::Root(error.to_string()))
    }

    /// Reads a root block and checks everything that can be checked without the blocks it names: limits, counts,
    /// totals and the Merkle-sum root.
    ///
    /// # Errors
    /// [`BundleError`] names the first field that cannot be right.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_ROOT_BYTES {
            return Err(BundleError::RootTooLong(bytes.len()));
        }
        let wire: Wire =
            dag_cbor::decode_slice(bytes).map_err(|error| BundleError::Root(error.to_string()))?;
        if wire.format != FORMAT {
            // A name from outside ends up in logs: no more of it than a name needs.
            return Err(BundleError::Format(wire.format.chars().take(64).collect()));
        }
        let network = Network::from_core_arg(&wire.network)
            .map_err(|_| BundleError::Network(wire.network.chars().take(64).collect()))?;
        let root = Self {
            head: BundleHead {
                task: wire.task,
                round: wire.round,
                node: wire.node,
                network,
                rules: RulesDigest(wire.rules.into_array()),
                opened: wire.opened.into(),
                closed: wire.closed.into(),
            },
            jobs: wire.jobs,
            claims: wire.claims,
            chunks: wire
                .shares
                .into_iter()
                .map(|(cid, shares, work)| ChunkLink {
                    cid,
                    shares,
                    work: work_of(work),
                })
                .collect(),
            totals: Totals {
                shares: wire.totals.shares,
                work: work_of(wire.totals.work),
                blocks: wire.totals.blocks,
            },
            sum_root: wire.sum.into_array(),
        };
        root.check()?;
        Ok(root)
    }

    fn check(&self) -> Result<(), BundleError> {
        let (opened, closed) = (self.head.opened.at.0, self.head.closed.at.0);
        if opened > closed {
            return Err(BundleError::Times { opened, closed });
        }
        at_most("table blocks", self.jobs.len(), MAX_TABLE_BLOCKS)?;
        at_most("table blocks", self.claims.len(), MAX_TABLE_BLOCKS)?;
        at_most("shares chunks", self.chunks.len(), MAX_SHARE_CHUNKS)?;
        check_table(Part::Jobs, "jobs", &self.jobs, MAX_JOBS)?;
        check_table(Part::Claims, "claims", &self.claims, MAX_CLAIMS)?;
        for (index, chunk) in self.chunks.iter().enumerate() {
            check_link(Part::Shares, index, &chunk.cid, Codec::Raw)?;
            let shares = chunk.shares as usize;
            let last = index + 1 == self.chunks.len();
            if shares == 0 || shares > SHARES_PER_CHUNK || (shares < SHARES_PER_CHUNK && !last) {
                let count = u64::from(chunk.shares);
                return Err(BundleError::LinkCount {
                    part: Part::Shares,
                    index,
                    count,
                });
            }
        }
        let tree = self.sum_tree()?;
        for (what, given, sum) in [
            (
                "shares",
                u128::from(self.totals.shares),
                u128::from(tree.shares()),
            ),
            (
                "work",
                self.totals.work.to_hashes(),
                tree.work().to_hashes(),
            ),
        ] {
            if given != sum {
                return Err(BundleError::Total { what, given, sum });
            }
        }
        if self.sum_root != tree.root() {
            return Err(BundleError::SumRoot);
        }
        Ok(())
    }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), BundleError> {
    if count <= max {
        return Ok(());
    }
    Err(BundleError::TooMany {
        what,
        count: count as u64,
        max: max as u64,
    })
}

fn check_link(part: Part, index: usize, cid: &Cid, codec: Codec) -> Result<(), BundleError> {
    if check_cid(cid) == Ok(codec) {
        Ok(())
    } else {
        Err(BundleError::Link {
            part,
            index,
            cid: *cid,
        })
    }
}

fn check_table(
    part: Part,
    what: &'static str,
    links: &[(Cid, u32)],
    max: usize,
) -> Result<(), BundleError> {
    let mut entries = 0;
    for (index, (cid, count)) in links.iter().enumerate() {
        check_link(part, index, cid, Codec::DagCbor)?;
        if *count == 0 {
            return Err(BundleError::LinkCount {
                part,
                index,
                count: 0,
            });
        }
        entries += *count as usize;
    }
    at_most(what, entries, max)
}

/// The SHA-256 digest in a CID that [`check_link`] has passed.
pub(crate) fn digest_of(cid: &Cid) -> [u8; 32] {
    cid.hash().digest().try_into().unwrap_or_default()
}

pub(crate) fn sum_tree(chunks: &[ChunkLink]) -> Result<MerkleSumTree, BundleError> {
    let leaves: Vec<Leaf> = chunks
        .iter()
        .map(|chunk| Leaf {
            digest: digest_of(&chunk.cid),
            shares: u64::from(chunk.shares),
            work: chunk.work,
        })
        .collect();
    MerkleSumTree::new(&leaves).ok_or(BundleError::Overflow)
}
