//! The reward list: the leaves of a round's reward tree as packed bytes, from which anybody rebuilds the tree and every
//! proof.
//!
//! ```text
//! entry = role u8 | owner 32 | cumulative u64le          41 bytes, sats
//! chunk = entry*                                         6,393 entries (262,113 bytes); the last one fewer, never none
//! ```
//!
//! Entries stand in the order of the leaves: by role, then owner, each once. Nothing is left to choose, so a list has
//! exactly one encoding. Chunks are cut by number and not by bytes, so that entry `i` is found without reading others.
//! The crate `rounds` names the chunks and the block that links them.

use bitcoin::Amount;
use k2_interface::reward_tree::{Hash, MAX_LEAVES, RewardTree, TreeError, UnknownRole};
use k2_interface::{K2Address, RewardLeaf, Role};
use work::RoundNumber;

use crate::{CumulativeError, CumulativeList, Distribution, DistributionError, Entry, Stake};

/// The length of one packed entry.
pub const REWARD_ENTRY_BYTES: usize = 1 + 32 + 8;
/// The longest chunk: what IPFS tools take as one raw block without splitting it.
pub const MAX_REWARD_CHUNK_BYTES: usize = 256 * 1024;
/// Entries in every chunk but the last.
pub const REWARDS_PER_CHUNK: usize = MAX_REWARD_CHUNK_BYTES / REWARD_ENTRY_BYTES;
/// The most chunks of a list: those of a full tree.
pub const MAX_REWARD_CHUNKS: usize = (MAX_LEAVES as usize).div_ceil(REWARDS_PER_CHUNK);

/// Why bytes are no reward list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewardListError {
    /// No entry: a tree without leaves has no root to pay from.
    #[error("a reward list has at least one entry")]
    Empty,
    /// More chunks than a full tree has.
    #[error("a reward list has at most {MAX_REWARD_CHUNKS} chunks")]
    TooManyChunks,
    /// A chunk that does not hold whole entries, or not as many as its place demands.
    #[error(
        "chunk {index} has {bytes} bytes: every chunk but the last holds {REWARDS_PER_CHUNK} entries of \
         {REWARD_ENTRY_BYTES} bytes, the last one at least one"
    )]
    ChunkLength {
        /// Its position.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// A role nobody knows.
    #[error("entry {index}: {role}")]
    Role {
        /// The entry's position.
        index: usize,
        /// The byte.
        role: UnknownRole,
    },
    /// The entries are not in order, hold nothing, or add up to more than there is.
    #[error(transparent)]
    Entries(#[from] CumulativeError),
    /// More entries than a tree can have leaves.
    #[error("{0}")]
    Tree(TreeError),
}

/// Everything that can be claimed after a round, with its tree: 112 bytes an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardList {
    program: K2Address,
    round: RoundNumber,
    entries: CumulativeList,
    tree: RewardTree,
}

impl RewardList {
    /// The list of a distribution: its entries that have a leaf. `None` where no entry has one.
    ///
    /// # Errors
    /// [`DistributionError`]; a checked distribution has a list, if it has leaves.
    pub fn from_distribution(
        distribution: &Distribution,
    ) -> Result<Option<Self>, DistributionError> {
        let Some(tree) = distribution.tree()? else {
            return Ok(None);
        };
        let record = distribution.record();
        let leaves: Vec<Entry> = record.leaf_entries().copied().collect();
        Ok(Some(Self {
            program: record.program,
            round: record.round,
            entries: CumulativeList::try_from(leaves)?,
            tree,
        }))
    }

    /// Reads the chunks of a list, in order. Nothing is believed: order, sums and form are checked, and the tree is built
    /// anew, so that two lists with the same root are the same list.
    ///
    /// # Errors
    /// [`RewardListError`] names the first thing that is not in its one right form.
    pub fn from_chunks<C: AsRef<[u8]>>(
        program: K2Address,
        round: RoundNumber,
        chunks: impl IntoIterator<Item = C>,
    ) -> Result<Self, RewardListError> {
        let mut entries = Vec::new();
        for (index, chunk) in chunks.into_iter().enumerate() {
            if index == MAX_REWARD_CHUNKS {
                return Err(RewardListError::TooManyChunks);
            }
            let chunk = chunk.as_ref();
            // Only a full chunk has another one after it.
            let follows_full = entries.len() == index * REWARDS_PER_CHUNK;
            let (packed, rest) = chunk.as_chunks::<REWARD_ENTRY_BYTES>();
            let fits = (1..=REWARDS_PER_CHUNK).contains(&packed.len());
            if !follows_full || !fits || !rest.is_empty() {
                let bytes = chunk.len();
                return Err(RewardListError::ChunkLength { index, bytes });
            }
            for bytes in packed {
                let index = entries.len();
                let entry = unpack(bytes).map_err(|role| RewardListError::Role { index, role })?;
                entries.push(entry);
            }
        }
        let entries = CumulativeList::try_from(entries)?;
        let leaves = entries.entries().iter();
        let leaves = leaves.map(|entry| (entry.role, entry.owner, entry.sats.to_sat()));
        let tree = RewardTree::build(program, round.get(), leaves)
            .map_err(RewardListError::Tree)?
            .ok_or(RewardListError::Empty)?;
        Ok(Self {
            program,
            round,
            entries,
            tree,
        })
    }

    /// The chunks, each packed when it is asked for.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = Vec<u8>> {
        let chunks = self.entries.entries().chunks(REWARDS_PER_CHUNK);
        chunks.map(|entries| entries.iter().flat_map(pack).collect())
    }

    /// The K2 program that pays.
    #[must_use]
    pub fn program(&self) -> K2Address {
        self.program
    }

    /// The round after which it holds.
    #[must_use]
    pub fn round(&self) -> RoundNumber {
        self.round
    }

    /// The entries, in the order of the leaves.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.entries.entries()
    }

    /// What they add up to: all that has ever been there to be claimed.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.entries.total()
    }

    /// How many entries there are, from 1 to 1,048,576.
    #[must_use]
    pub fn leaf_count(&self) -> u32 {
        self.tree.leaf_count()
    }

    /// The tree's root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> &RewardTree {
        &self.tree
    }

    /// What `owner` may claim in `role`: the leaf and its siblings, lowest level first.
    #[must_use]
    pub fn leaf(&self, role: Role, owner: K2Address) -> Option<(RewardLeaf, Vec<Hash>)> {
        let stake = Stake::new(role, owner);
        let at = self.entries().binary_search_by_key(&stake, Entry::stake);
        let index = at.ok()?;
        let entry = self.entries().get(index)?;
        let leaf = RewardLeaf {
            program: self.program,
            round: self.round.get(),
            index: u32::try_from(index).ok()?,
            role,
            owner,
            cumulative: entry.sats.to_sat(),
        };
        let proof = self.tree.proof(leaf.index)?;
        Some((leaf, proof))
    }
}

fn pack(entry: &Entry) -> [u8; REWARD_ENTRY_BYTES] {
    let mut bytes = [0; REWARD_ENTRY_BYTES];
    bytes[0] = entry.role.into();
    bytes[1..33].copy_from_slice(entry.owner.as_bytes());
    bytes[33..].copy_from_slice(&entry.sats.to_sat().to_le_bytes());
    bytes
}

fn unpack(bytes: &[u8; REWARD_ENTRY_BYTES]) -> Result<Entry, UnknownRole> {
    let (mut owner, mut sats) = ([0; 32], [0; 8]);
    owner.copy_from_slice(&bytes[1..33]);
    sats.copy_from_slice(&bytes[33..]);
    Ok(Entry {
        role: Role::try_from(bytes[0])?,
        owner: K2Address::from_bytes(owner),
        sats: Amount::from_sat(u64::from_le_bytes(sats)),
    })
}
