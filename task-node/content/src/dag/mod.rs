//! From a root to everything it links, within limits.
//!
//! A block cannot link itself, its name being its hash, so there are no cycles; but it can be linked many times, and a
//! few blocks can stand for exponentially many paths. Each block is therefore visited once. [`Frontier`] holds the
//! rules as a pure state machine; the walk below drives it by order, CAR import and fetching by arrival.

use std::collections::{HashMap, HashSet};

use cid::Cid;

use crate::{
    block::{Block, BlockError, check_cid},
    dag_cbor::{self, CborError},
    store::{BlockStore, StoreError},
};

/// How much of a DAG is looked at. Beyond it the DAG counts as invalid: an honest bundle is far smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DagLimits {
    /// Distinct blocks, the root included.
    pub max_blocks: usize,
    /// Sum of the lengths of the distinct blocks, in bytes.
    pub max_total_bytes: u64,
    /// Links followed from the root; 0 means the root alone. A bundle has depth 1.
    ///
    /// A guard against long chains: a block reached on several ways counts at the way it was first linked on.
    pub max_depth: usize,
}

impl Default for DagLimits {
    /// 4,096 blocks, 256 MiB, depth 8.
    fn default() -> Self {
        Self {
            max_blocks: 4096,
            max_total_bytes: 256 << 20,
            max_depth: 8,
        }
    }
}

/// What is wrong with a DAG itself, whoever served it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DagViolation {
    /// The root is not of the form spoken here.
    #[error("root {cid}: {error}")]
    Root {
        /// The root.
        cid: Cid,
        /// What is wrong with it.
        error: Box<BlockError>,
    },
    /// A block is not DAG-CBOR, or links something of another form.
    #[error("block {cid}: {error}")]
    Undecodable {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        error: Box<CborError>,
    },
    /// More distinct blocks are linked than allowed.
    #[error("more than {limit} blocks")]
    TooManyBlocks {
        /// [`DagLimits::max_blocks`].
        limit: usize,
    },
    /// The blocks are larger together than allowed.
    #[error("more than {limit} bytes in all blocks together")]
    TooManyBytes {
        /// [`DagLimits::max_total_bytes`].
        limit: u64,
    },
    /// A chain of links is longer than allowed.
    #[error("block {cid} lies deeper than {limit} links under the root")]
    TooDeep {
        /// A block beyond the limit.
        cid: Cid,
        /// [`DagLimits::max_depth`].
        limit: usize,
    },
    /// A block arrived that nothing seen so far links.
    #[error("block {cid} is not linked from any block before it")]
    Unexpected {
        /// The block.
        cid: Cid,
    },
}

impl DagViolation {
    pub(crate) fn root(cid: Cid, error: BlockError) -> Self {
        Self::Root {
            cid,
            error: Box::new(error),
        }
    }
}

/// Why a DAG in a store cannot be walked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DagError {
    /// The DAG breaks a rule.
    #[error("invalid DAG: {0}")]
    Invalid(#[from] DagViolation),
    /// A block is not in the store.
    #[error("block {0} is not in the store; fetch it first")]
    Missing(Cid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a block given to a [`Frontier`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// A new part of the DAG, with its distinct links that were not accepted yet, in order.
    New(Vec<Cid>),
    /// Known already.
    Repeated,
}

/// A block that [`Frontier::vet`] let through.
#[derive(Debug)]
pub(crate) struct Vetted {
    cid: Cid,
    depth: usize,
    /// Of all blocks, this one included.
    bytes: u64,
    /// Distinct links not accepted yet.
    links: Vec<Cid>,
    /// Those of them that nothing linked before.
    surplus: Vec<Cid>,
}

/// Which blocks of a DAG have been seen and which are linked but not seen yet.
///
/// Memory is bounded by [`DagLimits::max_blocks`]: a DAG that links more is refused at the first link too many,
/// before any of the surplus is asked for.
#[derive(Debug, Clone)]
pub struct Frontier {
    root: Cid,
    limits: DagLimits,
    seen: HashSet<Cid>,
    /// Linked but not seen, with the depth of the first link.
    expected: HashMap<Cid, usize>,
    bytes: u64,
}

impl Frontier {
    /// Expects `root`.
    ///
    /// # Errors
    /// [`DagViolation::Root`], or [`DagViolation::TooManyBlocks`] where not even one block is allowed.
    pub fn new(root: Cid, limits: DagLimits) -> Result<Self, DagViolation> {
        check_cid(&root).map_err(|error| DagViolation::root(root, error))?;
        if limits.max_blocks == 0 {
            return Err(DagViolation::TooManyBlocks { limit: 0 });
        }
        Ok(Self {
            root,
            limits,
            seen: HashSet::new(),
            expected: HashMap::from([(root, 0)]),
            bytes: 0,
        })
    }

    /// Takes a block that is linked from one before it, and expects its links in turn.
    ///
    /// # Errors
    /// Any [`DagViolation`]; the frontier is then unchanged.
    pub fn accept(&mut self, block: &Block) -> Result<Accepted, DagViolation> {
        Ok(match self.vet(block)? {
            Some(vetted) => Accepted::New(self.admit(vetted)),
            None => Accepted::Repeated,
        })
    }

    /// The judging half of [`accept`](Self::accept), so that a block can be stored between the two halves: work that
    /// is cut off there must not leave a block that counts as seen and is nowhere. `None` for a repeated block.
    pub(crate) fn vet(&self, block: &Block) -> Result<Option<Vetted>, DagViolation> {
        let cid = *block.cid();
        if self.seen.contains(&cid) {
            return Ok(None);
        }
        let Some(&depth) = self.expected.get(&cid) else {
            return Err(DagViolation::Unexpected { cid });
        };
        let bytes = u64::try_from(block.bytes().len())
            .ok()
            .and_then(|length| self.bytes.checked_add(length))
            .filter(|bytes| *bytes <= self.limits.max_total_bytes)
            .ok_or(DagViolation::TooManyBytes {
                limit: self.limits.max_total_bytes,
            })?;
        let links = self.open_links(block)?;
        let surplus: Vec<Cid> = links
            .iter()
            .filter(|link| !self.expected.contains_key(*link))
            .copied()
            .collect();
        if let Some(link) = surplus.first() {
            if depth >= self.limits.max_depth {
                return Err(DagViolation::TooDeep {
                    cid: *link,
                    limit: self.limits.max_depth,
                });
            }
            let distinct = self.seen.len() + self.expected.len() + surplus.len();
            if distinct > self.limits.max_blocks {
                return Err(DagViolation::TooManyBlocks {
                    limit: self.limits.max_blocks,
                });
            }
        }
        Ok(Some(Vetted {
            cid,
            depth,
            bytes,
            links,
            surplus,
        }))
    }

    /// The other half: returns the block's open links. `vetted` must come from this frontier as it is now.
    pub(crate) fn admit(&mut self, vetted: Vetted) -> Vec<Cid> {
        self.expected.remove(&vetted.cid);
        self.seen.insert(vetted.cid);
        self.bytes = vetted.bytes;
        for link in vetted.surplus {
            self.expected.insert(link, vetted.depth + 1);
        }
        vetted.links
    }

    /// Distinct links not accepted yet, in order.
    fn open_links(&self, block: &Block) -> Result<Vec<Cid>, DagViolation> {
        let mut links = dag_cbor::links(block).map_err(|error| DagViolation::Undecodable {
            cid: *block.cid(),
            error: Box::new(error),
        })?;
        let mut met = HashSet::new();
        links.retain(|link| !self.seen.contains(link) && met.insert(*link));
        Ok(links)
    }

    /// The root it was made for.
    #[must_use]
    pub const fn root(&self) -> &Cid {
        &self.root
    }

    /// The limits it was made with.
    #[must_use]
    pub const fn limits(&self) -> &DagLimits {
        &self.limits
    }

    /// Whether the block was accepted.
    #[must_use]
    pub fn has_seen(&self, cid: &Cid) -> bool {
        self.seen.contains(cid)
    }

    /// Blocks accepted.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.seen.len()
    }

    /// Their lengths together.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Blocks linked but not accepted, sorted by CID. Empty means the DAG is whole.
    #[must_use]
    pub fn missing(&self) -> Vec<Cid> {
        let mut missing: Vec<Cid> = self.expected.keys().copied().collect();
        missing.sort_unstable();
        missing
    }

    /// Whether every linked block was accepted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.expected.is_empty()
    }
}

/// One step of a [`DagWalk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next block.
    Block(Block),
    /// A linked block the store lacks; the walk goes on behind it.
    Missing(Cid),
}

/// Visits each block of a stored DAG once, depth first, links in the order they stand: the order `order=dfs; dups=n`
/// of the trustless gateways.
#[derive(Debug)]
pub struct DagWalk {
    frontier: Frontier,
    missing: HashSet<Cid>,
    /// Links still to visit, a stack of siblings. No deeper than the depth limit, no wider than the block limit.
    stack: Vec<std::vec::IntoIter<Cid>>,
}

impl DagWalk {
    /// Starts at `root`.
    ///
    /// # Errors
    /// As [`Frontier::new`].
    pub fn new(root: Cid, limits: DagLimits) -> Result<Self, DagViolation> {
        Ok(Self {
            frontier: Frontier::new(root, limits)?,
            missing: HashSet::new(),
            stack: vec![vec![root].into_iter()],
        })
    }

    /// The next block or gap; `None` at the end.
    ///
    /// # Errors
    /// [`DagError::Invalid`] and [`DagError::Store`].
    pub async fn next(&mut self, store: &dyn BlockStore) -> Result<Option<Step>, DagError> {
        while let Some(siblings) = self.stack.last_mut() {
            let Some(cid) = siblings.next() else {
                self.stack.pop();
                continue;
            };
            if self.frontier.has_seen(&cid) || self.missing.contains(&cid) {
                continue;
            }
            let Some(block) = store.get(&cid).await? else {
                self.missing.insert(cid);
                return Ok(Some(Step::Missing(cid)));
            };
            if let Accepted::New(links) = self.frontier.accept(&block)? {
                self.stack.push(links.into_iter());
            }
            return Ok(Some(Step::Block(block)));
        }
        Ok(None)
    }

    /// What has been visited so far.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}

/// What a whole walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagSummary {
    /// Blocks present.
    pub blocks: usize,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// Blocks that are linked but not in the store, sorted. What they link is unknown.
    pub missing: Vec<Cid>,
}

/// Walks the whole DAG under `root`.
///
/// # Errors
/// [`DagError::Invalid`] and [`DagError::Store`]; a missing block is no error here.
pub async fn walk(
    store: &dyn BlockStore,
    root: Cid,
    limits: DagLimits,
) -> Result<DagSummary, DagError> {
    let mut walk = DagWalk::new(root, limits)?;
    while walk.next(store).await?.is_some() {}
    let frontier = walk.frontier();
    Ok(DagSummary {
        blocks: frontier.blocks(),
        bytes: frontier.bytes(),
        missing: frontier.missing(),
    })
}

#[cfg(test)]
mod tests;
