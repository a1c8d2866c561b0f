//! From accepted bundles to what the ledger divides.
//!
//! Everything is a function of the submissions K2 accepted, their bundles, the rules, and which of the blocks found are
//! on the best chain. What of a bundle counts is decided where it is unpacked ([`AcceptedBundle`]).
//!
//! [`AcceptedBundle`]: crate::AcceptedBundle

use bitcoin::Amount;
use ledger::{Distribution, DistributionError, DistributionInput, PplnsError, Window};
use pow::Work;
use work::{K2Address, RoundNumber};

use crate::accepted::AcceptedRound;
use crate::bundle_error::BundleError;
use crate::rules::PoolRules;

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

/// The PPLNS window of a round while it is filled: from that round backwards to the first one of the task anybody
/// knows. It asks for one round at a time, so that no more than one need be in memory however far it reaches back.
///
/// ```text
/// let mut window = PayoutWindow::new(rules, round, first);
/// while let Some(wanted) = window.wanted() {
///     window.add(rules, accepted_bundles_of(wanted))?;
/// }
/// let window = window.finish()?;
/// ```
#[derive(Debug, Clone)]
pub struct PayoutWindow {
    /// That of the newest job anybody worked on; only rounds without any are passed over for it.
    size: Work,
    filling: Option<Window>,
    next: Option<RoundNumber>,
    first: RoundNumber,
}

impl PayoutWindow {
    /// An empty window that ends with `round` and reaches back to `first` at most.
    #[must_use]
    pub fn new(rules: &PoolRules, round: RoundNumber, first: RoundNumber) -> Self {
        Self {
            size: rules.pplns_window(Work::ZERO),
            filling: None,
            next: Some(round),
            first,
        }
    }

    /// The round to be added next; `None` once the window is full or there is none before.
    #[must_use]
    pub fn wanted(&self) -> Option<RoundNumber> {
        let is_full = self.filling.as_ref().is_some_and(Window::is_full);
        self.next.filter(|next| !is_full && *next >= self.first)
    }

    /// Adds the wanted round (with no bundles in it where none was accepted). Every share is hashed: not for a thread
    /// that others wait for.
    ///
    /// # Errors
    /// [`DistributeError::MissingRound`] when it is another round than the wanted one.
    pub fn add(
        &mut self,
        rules: &PoolRules,
        accepted: &AcceptedRound,
    ) -> Result<(), DistributeError> {
        let Some(wanted) = self.wanted() else {
            return Ok(());
        };
        if accepted.round() != wanted {
            return Err(self.misses(wanted));
        }
        if let Some(bits) = accepted.network_bits() {
            let mut filling = match self.filling.take() {
                Some(filling) => filling,
                None => {
                    self.size = rules.pplns_window(bits.work());
                    Window::new(self.size)?
                }
            };
            filling.add_round(wanted, accepted.shares())?;
            self.filling = Some(filling);
        }
        self.next = wanted.previous();
        Ok(())
    }

    /// The window as far as it was filled.
    ///
    /// # Errors
    /// [`DistributeError::Pplns`]; never with checked rules.
    pub fn finish(self) -> Result<Window, DistributeError> {
        match self.filling {
            Some(window) => Ok(window),
            None => Ok(Window::new(self.size)?),
        }
    }

    fn misses(&self, round: RoundNumber) -> DistributeError {
        DistributeError::MissingRound {
            round,
            window: self.size,
            reached: self
                .filling
                .as_ref()
                .map_or(Work::ZERO, |filling| filling.reached()),
        }
    }
}

/// Fills the PPLNS window of `round` where all rounds are at hand. `get` gives a round's accepted bundles, or `None`
/// where they are not here.
///
/// # Errors
/// [`DistributeError::MissingRound`] names the first round that has to be fetched.
pub fn payout_window<'a>(
    rules: &PoolRules,
    round: RoundNumber,
    first: RoundNumber,
    mut get: impl FnMut(RoundNumber) -> Option<&'a AcceptedRound>,
) -> Result<Window, DistributeError> {
    let mut window = PayoutWindow::new(rules, round, first);
    while let Some(wanted) = window.wanted() {
        let accepted = get(wanted).ok_or_else(|| window.misses(wanted))?;
        window.add(rules, accepted)?;
    }
    window.finish()
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
