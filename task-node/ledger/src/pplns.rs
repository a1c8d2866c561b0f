//! PPLNS: whose work counts.
//!
//! The window is an amount of work, not of time or of shares, so its length in proof of work is the same whatever
//! difficulties the miners choose. It is filled from the newest share backwards; the share in which it ends counts
//! with exactly the work that is still missing.
//!
//! # Order
//! Newest first: round descending, height descending, header hash ascending. Nothing a miner writes into a share may
//! move it within the window, so ntime, nonce and arrival play no part. Hashes are compared as the bytes SHA-256 gives
//! (internal order, least significant byte of the number first). Compared as numbers, small hashes, which are those of
//! high-difficulty miners, would always rank newest; the bytes compared here are far from the ones a target
//! constrains, so they are evenly distributed whatever the difficulty, and a miner can only influence them by throwing
//! finished work away.
//!
//! # Cost
//! One pass over a round adds up (height, miner, node) groups. Only the one (round, height) group in which the window
//! ends is looked at a second time, and only it is sorted.

use std::collections::BTreeMap;

use k2_interface::{K2Address, Role};
use pow::Work;
use ruint::aliases::U256;
use work::RoundNumber;

use crate::{Fee, Stake};

/// Why shares cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PplnsError {
    /// A window without work would pay nobody.
    #[error("a PPLNS window of no work pays nobody: set a floor for it in the rules")]
    EmptyWindow,
    /// Rounds must come newest first, each once.
    #[error("round {given} was given after round {last}: give each round once, newest first")]
    RoundOrder {
        /// The round given last.
        last: RoundNumber,
        /// The round that does not come before it.
        given: RoundNumber,
    },
    /// A share of another round than the one it was given with.
    #[error("a share of round {found} was given with round {expected}")]
    ForeignShare {
        /// The round being added.
        expected: RoundNumber,
        /// The share's round.
        found: RoundNumber,
    },
    /// More work than 128 bits can count in one block's time; no audited bundle holds it.
    #[error("the shares of round {round} at height {height} claim more work than 2^128 hashes")]
    Overflow {
        /// The round.
        round: RoundNumber,
        /// The block height.
        height: u32,
    },
}

/// What the ledger needs to know of an audited share. That no header appears twice is the auditor's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The round its claim names.
    pub round: RoundNumber,
    /// The height of the block it tried to find.
    pub height: u32,
    /// Its header hash as SHA-256 gives it (internal byte order).
    pub hash: [u8; 32],
    /// What it is credited with: the work of its job's difficulty.
    pub work: Work,
    /// Who found it.
    pub miner: K2Address,
    /// Whose node it was found on.
    pub node: K2Address,
}

impl Share {
    fn earner(&self) -> Earner {
        Earner {
            miner: self.miner,
            node: self.node,
        }
    }
}

/// A miner on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Earner {
    /// Who finds the shares.
    pub miner: K2Address,
    /// Whose node they are found on.
    pub node: K2Address,
}

/// A PPLNS window, filled round by round.
///
/// ```text
/// let mut window = Window::new(rules.pplns_window(network_work))?;
/// for round in rounds.newest_first() {
///     if window.is_full() { break; }
///     window.add_round(round.number, round.shares())?;
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    size: Work,
    reached: Work,
    newest: Option<RoundNumber>,
    oldest: Option<RoundNumber>,
    counted: BTreeMap<Earner, Work>,
}

/// The shares of one round at one height.
#[derive(Default)]
struct Group {
    work: Work,
    by_earner: BTreeMap<Earner, Work>,
}

impl Window {
    /// An empty window that takes `size` of work (by the rules, the greater of a floor and twice the work a block
    /// takes). The size is read once, here: it cannot change while the window fills.
    ///
    /// # Errors
    /// [`PplnsError::EmptyWindow`] if `size` is zero.
    pub const fn new(size: Work) -> Result<Self, PplnsError> {
        if size.to_hashes() == 0 {
            return Err(PplnsError::EmptyWindow);
        }
        Ok(Self {
            size,
            reached: Work::ZERO,
            newest: None,
            oldest: None,
            counted: BTreeMap::new(),
        })
    }

    /// Adds the shares of `round`, in any order. Rounds that count nothing (none accepted, all voted down) are left
    /// out. In a full window nothing changes.
    ///
    /// `shares` is cloned and walked a second time if the window ends in this round; both walks must give the same
    /// shares. A slice's `iter().copied()` does, and so does an iterator that unpacks a bundle.
    ///
    /// # Errors
    /// [`PplnsError`]; the window is then as it was before.
    pub fn add_round<I>(&mut self, round: RoundNumber, shares: I) -> Result<(), PplnsError>
    where
        I: IntoIterator<Item = Share> + Clone,
    {
        if let Some(last) = self.oldest
            && round >= last
        {
            return Err(PplnsError::RoundOrder { last, given: round });
        }
        if self.is_full() {
            return Ok(());
        }
        let groups = group_by_height(round, shares.clone())?;
        // Nothing fails from here on. No sum leaves 128 bits either: none exceeds the window's size.
        self.newest = self.newest.or(Some(round));
        self.oldest = Some(round);
        for (height, group) in groups.into_iter().rev() {
            if self.is_full() {
                break;
            }
            if group.work <= self.missing() {
                for (earner, work) in group.by_earner {
                    self.count(earner, work);
                }
            } else {
                self.count_newest(shares.into_iter().filter(|share| share.height == height));
                break;
            }
        }
        Ok(())
    }

    /// Counts shares of the one group in which the window ends.
    fn count_newest(&mut self, shares: impl Iterator<Item = Share>) {
        // Work and earner decide between equal hashes only, so that even then the order of delivery does not.
        let mut group: Vec<_> = shares
            .map(|share| (share.hash, share.work, share.earner()))
            .collect();
        group.sort_unstable();
        for (_, work, earner) in group {
            let missing = self.missing();
            if missing == Work::ZERO {
                break;
            }
            self.count(earner, work.min(missing));
        }
    }

    fn count(&mut self, earner: Earner, work: Work) {
        self.reached += work;
        *self.counted.entry(earner).or_default() += work;
    }

    fn missing(&self) -> Work {
        self.size.saturating_sub(self.reached)
    }

    /// Whether no further round is needed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.reached >= self.size
    }

    /// How much work it takes.
    #[must_use]
    pub fn size(&self) -> Work {
        self.size
    }

    /// How much work it holds; at most its size, exactly its size once it is full.
    #[must_use]
    pub fn reached(&self) -> Work {
        self.reached
    }

    /// The newest round it was given.
    #[must_use]
    pub fn newest_round(&self) -> Option<RoundNumber> {
        self.newest
    }

    /// The oldest round it was given before it was full: older rounds are not needed for it.
    #[must_use]
    pub fn oldest_round(&self) -> Option<RoundNumber> {
        self.oldest
    }

    /// The work counted, by miner and node.
    #[must_use]
    pub fn counted(&self) -> &BTreeMap<Earner, Work> {
        &self.counted
    }

    /// What each node's miners did, in hashes: the operators' weights.
    #[must_use]
    pub fn node_weights(&self) -> BTreeMap<K2Address, U256> {
        let mut weights = BTreeMap::new();
        for (earner, work) in &self.counted {
            add(&mut weights, earner.node, U256::from(work.to_hashes()));
        }
        weights
    }

    /// What each miner and each operator earns of a block, in millionths of a hash: of every share's work the fee goes
    /// to its node, the rest to its miner. The sum is exactly a million times [`Self::reached`].
    #[must_use]
    pub fn stake_weights(&self, fee: Fee) -> BTreeMap<Stake, U256> {
        let mut weights = BTreeMap::new();
        for (earner, work) in &self.counted {
            let (miner, operator) = fee.split(work.to_hashes());
            add(&mut weights, Stake::new(Role::Miner, earner.miner), miner);
            add(
                &mut weights,
                Stake::new(Role::Operator, earner.node),
                operator,
            );
        }
        weights
    }
}

fn group_by_height(
    round: RoundNumber,
    shares: impl IntoIterator<Item = Share>,
) -> Result<BTreeMap<u32, Group>, PplnsError> {
    let mut groups: BTreeMap<u32, Group> = BTreeMap::new();
    for share in shares {
        if share.round != round {
            return Err(PplnsError::ForeignShare {
                expected: round,
                found: share.round,
            });
        }
        let group = groups.entry(share.height).or_default();
        group.work = group
            .work
            .checked_add(share.work)
            .ok_or(PplnsError::Overflow {
                round,
                height: share.height,
            })?;
        // At most the group's work, so it does not saturate.
        *group.by_earner.entry(share.earner()).or_default() += share.work;
    }
    Ok(groups)
}

/// Sums of at most 2^148: a window's work times a million.
fn add<K: Ord>(weights: &mut BTreeMap<K, U256>, key: K, weight: U256) {
    *weights.entry(key).or_default() += weight;
}
