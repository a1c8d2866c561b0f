//! From accepted bundles to what the ledger divides.
//!
//! Everything is a function of the submissions K2 accepted, their bundles, the rules, and which of the blocks found are
//! on the best chain. Bundles come here after they were accepted: their form is checked again, their worth was the
//! audit's question.

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash};
use ledger::{Distribution, DistributionError, DistributionInput, PplnsError, Share, Window};
use pow::{Algorithm, NBits, Sha256d, Work};
use work::{Job, K2Address, RoundNumber, VersionMask};

use crate::audit::BlockShare;
use crate::bundle::Bundle;
use crate::bundle_error::BundleError;
use crate::rules::PoolRules;
use crate::shares_chunk::PackedShare;

/// Why a round cannot be distributed (yet).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistributeError {
    /// The window reaches into a round whose accepted bundles are not here.
    #[error(
        "the accepted submissions of round {round} are missing: the window takes {window} work and has {reached} so far; \
         fetch that round's bundles and ask again"
    )]
    MissingRound {
        /// The round.
        round: RoundNumber,
        /// What the window takes.
        window: Work,
        /// What it holds without that round.
        reached: Work,
    },
    /// A bundle of another round than it was accepted for.
    #[error("the bundle of node {node} is of round {found}, not {expected}")]
    OtherRound {
        /// Its node.
        node: K2Address,
        /// The round it was accepted for.
        expected: RoundNumber,
        /// Its own.
        found: RoundNumber,
    },
    /// Two bundles of one node in one round.
    #[error("node {0} has two accepted bundles in one round; K2 accepts one")]
    TwoBundles(K2Address),
    /// A bundle that cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The blocks pay more than all there is.
    #[error("the blocks of the round pay more than 2^64 satoshis")]
    PotOverflow,
    /// The shares cannot be counted.
    #[error(transparent)]
    Pplns(#[from] PplnsError),
    /// The money cannot be divided.
    #[error(transparent)]
    Distribution(#[from] DistributionError),
}

/// A bundle all of whose chunks decode.
#[derive(Debug, Clone)]
pub struct AcceptedBundle {
    bundle: Arc<Bundle>,
    blocks: Vec<BlockShare>,
}

impl AcceptedBundle {
    /// Decodes every share once and finds the blocks among them.
    ///
    /// # Errors
    /// [`BundleError`] when a chunk is missing or is not in its one right form.
    pub fn new(bundle: Arc<Bundle>) -> Result<Self, BundleError> {
        let mut hasher = Hasher::default();
        let mut blocks = Vec::new();
        for chunk in 0..bundle.root().chunks().len() {
            for share in bundle.shares(chunk)? {
                let Some(hash) = hasher.hash(&bundle, &share) else {
                    continue;
                };
                let Some(job) = bundle.jobs().get(share.job as usize) else {
                    continue;
                };
                if job.nbits().target().is_met_by_le(&hash) {
                    blocks.push(BlockShare {
                        hash: BlockHash::from_byte_array(hash),
                        height: job.height(),
                        value: job.total_value(),
                    });
                }
            }
        }
        Ok(Self { bundle, blocks })
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
    fn network_bits(&self) -> Option<NBits> {
        let jobs = self
            .bundles
            .iter()
            .flat_map(|accepted| accepted.bundle.jobs());
        jobs.max_by_key(|job| (job.height(), job.nbits().work()))
            .map(|job| job.nbits())
    }
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
                // `AcceptedBundle::new` has decoded every chunk.
                self.chunk = bundle.shares(self.at.1).ok()?.into_iter();
                self.at.1 += 1;
            } else {
                self.at = (self.at.0 + 1, 0);
                self.hasher = Hasher::default();
            }
        }
    }
}

/// Fills the PPLNS window of `round`: from it backwards to `first`, the first round of the task anybody knows. `get`
/// gives a round's accepted bundles (with none in it where none was accepted), or `None` where they are not here.
///
/// # Errors
/// [`DistributeError::MissingRound`] names the first round that has to be fetched; what is already there stays useful.
pub fn payout_window<'a>(
    rules: &PoolRules,
    round: RoundNumber,
    first: RoundNumber,
    mut get: impl FnMut(RoundNumber) -> Option<&'a AcceptedRound>,
) -> Result<Window, DistributeError> {
    // The size is that of the newest job anybody worked on; only rounds without any are passed over for it.
    let mut size = rules.pplns_window(Work::ZERO);
    let mut window: Option<Window> = None;
    let mut next = Some(round);
    while let Some(number) = next.filter(|number| *number >= first) {
        if window.as_ref().is_some_and(Window::is_full) {
            break;
        }
        let Some(accepted) = get(number) else {
            let reached = window.as_ref().map_or(Work::ZERO, Window::reached);
            return Err(DistributeError::MissingRound {
                round: number,
                window: size,
                reached,
            });
        };
        if let Some(bits) = accepted.network_bits() {
            let mut filling = match window.take() {
                Some(filling) => filling,
                None => {
                    size = rules.pplns_window(bits.work());
                    Window::new(size)?
                }
            };
            filling.add_round(number, accepted.shares())?;
            window = Some(filling);
        }
        next = number.previous();
    }
    match window {
        Some(window) => Ok(window),
        None => Ok(Window::new(size)?),
    }
}

/// What a distribution depends on besides bundles and rules.
#[derive(Debug, Clone, Copy)]
pub struct PayoutTerms<'a> {
    /// The K2 program that pays.
    pub program: K2Address,
    /// What Koii pays the operators for the round, in base units of the task's token.
    pub bounty: u64,
    /// What the round's blocks on the best chain pay, and whatever an earlier round left undistributed.
    pub pot: Amount,
    /// The distribution this one continues.
    pub previous: Option<&'a Distribution>,
}

/// The distribution of a round whose window has been filled.
///
/// # Errors
/// [`DistributeError::Distribution`]; nothing is distributed then.
pub fn distribute(
    rules: &PoolRules,
    round: RoundNumber,
    window: &Window,
    terms: &PayoutTerms<'_>,
) -> Result<Distribution, DistributeError> {
    Ok(Distribution::compute(&DistributionInput {
        program: terms.program,
        round,
        window,
        fee: rules.operator_fee(),
        bounty: terms.bounty,
        pot: terms.pot,
        leaf_minimum: rules.leaf_minimum(),
        previous: terms.previous,
    })?)
}
