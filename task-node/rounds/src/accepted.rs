//! Bundles K2 accepted, unpacked: the shares a distribution pays for.
//!
//! An audit may have opened a sample only. Paying takes every share anyway, so here each one's proof of work is tried, and
//! what does not hold earns nothing.

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash};
use ledger::Share;
use pow::{Algorithm, NBits, Sha256d, Work};
use work::{Job, JobTemplate, RoundNumber, VersionMask};

use crate::audit::BlockShare;
use crate::bundle::Bundle;
use crate::bundle_error::BundleError;
use crate::distribution::DistributeError;
use crate::rules::PoolRules;
use crate::shares_chunk::PackedShare;

/// A bundle whose chunks have been weighed.
#[derive(Debug, Clone)]
pub struct AcceptedBundle {
    bundle: Arc<Bundle>,
    blocks: Vec<BlockShare>,
    /// By position; `None` for a chunk that counts.
    faults: Vec<Option<ChunkFault>>,
}

/// Why a chunk of an accepted bundle earns nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkFault {
    /// It is not in its one right form.
    #[error(transparent)]
    Form(BundleError),
    /// It does not begin above the end of the one before it that counts: its shares may stand there already.
    #[error("it begins at or below the end of the one before it")]
    Order,
    /// A share without its proof of work.
    #[error("share {0} does not meet its target")]
    Share(usize),
    /// Its shares have other work than the root says.
    #[error("it is said to hold {given} work, it holds {sum}")]
    Work {
        /// The root's.
        given: Work,
        /// The value recomputed.
        sum: Work,
    },
}

impl AcceptedBundle {
    /// Decodes every share once, tries its proof of work, and finds the blocks among them. A block counts with what its
    /// coinbase pays to the rules' payout scripts: only that can ever be minted, and an auditor may have opened a sample.
    ///
    /// A chunk in which anything is wrong earns nothing: an audit by sample may not have opened it. All nodes see the
    /// same bytes, so they leave out the same chunks; and whoever gets a bundle accepted that cannot be read in some
    /// place does not hold up everybody's payout.
    ///
    /// # Errors
    /// [`BundleError::Missing`] when a chunk was not read.
    pub fn new(bundle: Arc<Bundle>, rules: &PoolRules) -> Result<Self, BundleError> {
        let mut weigher = Weigher {
            bundle: &bundle,
            rules,
            hasher: Hasher::default(),
            last: None,
            blocks: Vec::new(),
        };
        let faults = (0..bundle.root().chunks().len())
            .map(|chunk| match weigher.weigh(chunk) {
                Ok(()) => Ok(None),
                Err(ChunkFault::Form(missing @ BundleError::Missing { .. })) => Err(missing),
                Err(fault) => {
                    tracing::warn!(cid = %bundle.cid(), chunk, %fault, "a chunk of an accepted bundle earns nothing");
                    Ok(Some(fault))
                }
            })
            .collect::<Result<_, _>>()?;
        let blocks = weigher.blocks;
        Ok(Self {
            bundle,
            blocks,
            faults,
        })
    }

    /// The chunks that earn nothing, by position, and why.
    pub fn faults(&self) -> impl Iterator<Item = (usize, &ChunkFault)> {
        let faults = self.faults.iter().enumerate();
        faults.filter_map(|(chunk, fault)| fault.as_ref().map(|fault| (chunk, fault)))
    }

    fn counts(&self, chunk: usize) -> bool {
        self.faults.get(chunk).is_some_and(Option::is_none)
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// The blocks its shares found.
    #[must_use]
    pub fn blocks(&self) -> &[BlockShare] {
        &self.blocks
    }
}

/// The accepted bundles of one round.
#[derive(Debug, Clone)]
pub struct AcceptedRound {
    round: RoundNumber,
    bundles: Vec<AcceptedBundle>,
}

impl AcceptedRound {
    /// A round with the bundles K2 accepted for it, in any order; none is fine.
    ///
    /// # Errors
    /// [`DistributeError::OtherRound`], [`DistributeError::TwoBundles`].
    pub fn new(
        round: RoundNumber,
        mut bundles: Vec<AcceptedBundle>,
    ) -> Result<Self, DistributeError> {
        let node = |accepted: &AcceptedBundle| accepted.bundle.root().head().node;
        bundles.sort_by_key(node);
        for (index, accepted) in bundles.iter().enumerate() {
            let head = accepted.bundle.root().head();
            if head.round != round {
                let (node, expected, found) = (head.node, round, head.round);
                return Err(DistributeError::OtherRound {
                    node,
                    expected,
                    found,
                });
            }
            if index > 0 && node(&bundles[index - 1]) == head.node {
                return Err(DistributeError::TwoBundles(head.node));
            }
        }
        Ok(Self { round, bundles })
    }

    /// Its number.
    #[must_use]
    pub fn round(&self) -> RoundNumber {
        self.round
    }

    /// Its bundles, by node.
    #[must_use]
    pub fn bundles(&self) -> &[AcceptedBundle] {
        &self.bundles
    }

    /// The blocks found in it.
    pub fn blocks(&self) -> impl Iterator<Item = &BlockShare> {
        self.bundles.iter().flat_map(|accepted| &accepted.blocks)
    }

    /// What its blocks on the best chain pay.
    ///
    /// # Errors
    /// [`DistributeError::PotOverflow`]; no chain has so much.
    pub fn pot(
        &self,
        on_best_chain: impl Fn(&BlockHash) -> bool,
    ) -> Result<Amount, DistributeError> {
        self.blocks()
            .filter(|block| on_best_chain(&block.hash))
            .try_fold(Amount::ZERO, |sum, block| sum.checked_add(block.value))
            .ok_or(DistributeError::PotOverflow)
    }

    /// Its shares as the ledger takes them, unpacked chunk by chunk: a round of millions is never in memory at once.
    #[must_use]
    pub fn shares(&self) -> Shares<'_> {
        Shares {
            round: self,
            at: (0, 0),
            chunk: Vec::new().into_iter(),
            hasher: Hasher::default(),
        }
    }

    /// The target of its highest job; of several at that height, the hardest.
    pub(crate) fn network_bits(&self) -> Option<NBits> {
        let jobs = self
            .bundles
            .iter()
            .flat_map(|accepted| accepted.bundle.jobs());
        jobs.max_by_key(|job| (job.height(), job.nbits().work()))
            .map(|job| job.nbits())
    }
}

/// Goes through the chunks of a bundle.
struct Weigher<'a> {
    bundle: &'a Bundle,
    rules: &'a PoolRules,
    hasher: Hasher,
    /// The last share that counts.
    last: Option<PackedShare>,
    blocks: Vec<BlockShare>,
}

impl Weigher<'_> {
    fn weigh(&mut self, chunk: usize) -> Result<(), ChunkFault> {
        let shares = self.bundle.shares(chunk).map_err(ChunkFault::Form)?;
        if let (Some(last), Some(first)) = (&self.last, shares.first())
            && last >= first
        {
            return Err(ChunkFault::Order);
        }
        let mut sum = Work::ZERO;
        let mut blocks = Vec::new();
        for (index, share) in shares.iter().enumerate() {
            let fault = || ChunkFault::Share(index);
            let tables = self.bundle.jobs().get(share.job as usize);
            let tables = tables.zip(self.bundle.claims().get(share.claim as usize));
            let (job, claim) = tables.ok_or_else(fault)?;
            let hash = self.hasher.hash(self.bundle, share).ok_or_else(fault)?;
            if !claim.difficulty.target().is_met_by_le(&hash) {
                return Err(fault());
            }
            sum = sum
                .checked_add(claim.difficulty.work())
                .ok_or(ChunkFault::Form(BundleError::Overflow))?;
            if job.nbits().target().is_met_by_le(&hash) {
                blocks.push(BlockShare {
                    hash: BlockHash::from_byte_array(hash),
                    height: job.height(),
                    value: paid_to_pool(job, self.rules),
                });
            }
        }
        let given = self.bundle.root().chunks().get(chunk).map(|link| link.work);
        if given != Some(sum) {
            let given = given.unwrap_or(Work::ZERO);
            return Err(ChunkFault::Work { given, sum });
        }
        self.last = shares.last().copied();
        self.blocks.append(&mut blocks);
        Ok(())
    }
}

fn paid_to_pool(job: &JobTemplate, rules: &PoolRules) -> Amount {
    let outputs = job.payouts().iter();
    let ours = outputs.filter(|output| rules.payout_scripts().contains(&output.script));
    // What adds up to more than there can be was never in a block.
    ours.map(|output| output.value)
        .try_fold(Amount::ZERO, Amount::checked_add)
        .unwrap_or(Amount::ZERO)
}

/// Rebuilds headers; shares are sorted, so a job is rebuilt once.
#[derive(Debug, Clone, Default)]
struct Hasher {
    job: Option<(u32, u32, Job)>,
}

impl Hasher {
    /// The header hash, internal byte order. `None` only for indices that decoding has refused.
    fn hash(&mut self, bundle: &Bundle, share: &PackedShare) -> Option<[u8; 32]> {
        if !matches!(&self.job, Some((job, claim, _)) if (*job, *claim) == (share.job, share.claim))
        {
            let template = bundle.jobs().get(share.job as usize)?;
            let claim = bundle
                .root()
                .head()
                .claim(bundle.claims().get(share.claim as usize)?);
            let job = Job::new(Arc::clone(template), claim).ok()?;
            self.job = Some((share.job, share.claim, job));
        }
        let (_, _, job) = self.job.as_ref()?;
        Some(Sha256d::hash(
            &job.header(&share.fields(), VersionMask::BIP320),
        ))
    }
}

/// An iterator over a round's shares; see [`AcceptedRound::shares`].
#[derive(Debug, Clone)]
pub struct Shares<'a> {
    round: &'a AcceptedRound,
    /// Bundle and chunk to be decoded next.
    at: (usize, usize),
    chunk: std::vec::IntoIter<PackedShare>,
    hasher: Hasher,
}

impl Iterator for Shares<'_> {
    type Item = Share;

    fn next(&mut self) -> Option<Share> {
        loop {
            let accepted = self.round.bundles.get(self.at.0)?;
            let bundle = &accepted.bundle;
            if let Some(share) = self.chunk.next() {
                let hash = self.hasher.hash(bundle, &share)?;
                let claim = bundle.claims().get(share.claim as usize)?;
                return Some(Share {
                    round: self.round.round,
                    height: bundle.jobs().get(share.job as usize)?.height(),
                    hash,
                    work: claim.difficulty.work(),
                    miner: claim.miner,
                    node: bundle.root().head().node,
                });
            }
            if self.at.1 < bundle.root().chunks().len() {
                if accepted.counts(self.at.1) {
                    // `AcceptedBundle::new` has decoded it.
                    self.chunk = bundle.shares(self.at.1).ok()?.into_iter();
                }
                self.at.1 += 1;
            } else {
                self.at = (self.at.0 + 1, 0);
                self.hasher = Hasher::default();
            }
        }
    }
}
