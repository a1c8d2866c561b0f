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
