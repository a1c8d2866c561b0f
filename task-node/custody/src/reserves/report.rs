//! What a proof shows, in exact numbers.

use std::collections::BTreeSet;

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
use serde::Serialize;

/// Reserves against what is owed, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Backing {
    /// Wrapped sats.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub supply: Amount,
    /// Sats of it that were paid in BTC and are burned as soon as K2 is shown it.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub in_flight: Amount,
    /// Sats that the proof's coins are worth, spent ones and immature coinbases left out.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub reserves: Amount,
    /// Sats of coinbases that are not 100 deep: not owed yet, because they cannot be minted yet.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub immature: Amount,
}

impl Backing {
    /// What the reserves must cover: the supply without what is paid.
    #[must_use]
    pub fn owed(&self) -> Amount {
        self.supply
            .checked_sub(self.in_flight)
            .unwrap_or(self.supply)
    }

    /// What is not covered.
    #[must_use]
    pub fn missing(&self) -> Amount {
        self.owed().checked_sub(self.reserves).unwrap_or_default()
    }

    /// Whether everything is covered.
    #[must_use]
    pub fn is_backed(&self) -> bool {
        self.missing() == Amount::ZERO
    }

    /// Reserves by debt in millionths, rounded down: below 1,000,000 something is missing. `None`: nothing is owed.
    #[must_use]
    pub fn ratio_ppm(&self) -> Option<u64> {
        let (reserves, owed) = (self.reserves.to_sat(), self.owed().to_sat());
        let ratio = (u128::from(reserves) * 1_000_000).checked_div(u128::from(owed))?;
        Some(u64::try_from(ratio).unwrap_or(u64::MAX))
    }
}

/// The coins of one script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptTotal {
    /// The script.
    pub script: ScriptBuf,
    /// Whether K2 registers it for coinbases.
    pub registered: bool,
    /// How many.
    pub coins: usize,
    /// What they are worth, in sats.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub amount: Amount,
}

/// A coin that was there at the proof's block and is gone now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpentSince {
    /// Which.
    pub outpoint: OutPoint,
    /// What it was worth, in sats.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub amount: Amount,
    /// By what.
    pub by: Txid,
    /// In which block.
    pub height: u32,
    /// The redemptions that transaction names: it is a payout then, and what it did not pay out is change, which this proof
    /// knows nothing of.
    pub redemptions: BTreeSet<u64>,
}

/// What a valid proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// At the statement's block and slot. Its supply is the statement's own word: K2 tells nobody what was.
    pub then: Backing,
    /// At the verifier's tip and slot: today's supply, and the proof's coins that are left.
    pub now: Backing,
    /// The scripts of all coins, the registered ones first.
    pub scripts: Vec<ScriptTotal>,
    /// What was spent since.
    pub spent: Vec<SpentSince>,
    /// Whether all scripts were found in a given descriptor; none: none was given.
    pub of_descriptor: Option<bool>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backing(supply: u64, in_flight: u64, reserves: u64) -> Backing {
        Backing {
            supply: Amount::from_sat(supply),
            in_flight: Amount::from_sat(in_flight),
            reserves: Amount::from_sat(reserves),
            immature: Amount::ZERO,
        }
    }

    #[test]
    fn a_sat_less_is_not_backed() {
        let exact = backing(2_100_000_000_000_000, 0, 2_100_000_000_000_000);
        assert!(exact.is_backed());
        assert_eq!(exact.ratio_ppm(), Some(1_000_000));
        let less = backing(2_100_000_000_000_000, 0, 2_099_999_999_999_999);
        assert!(!less.is_backed());
        assert_eq!(less.ratio_ppm(), Some(999_999), "rounded down, not up");
        assert_eq!(less.missing(), Amount::from_sat(1));
    }

    #[test]
    fn nothing_owed_is_backed_and_has_no_ratio() {
        assert!(backing(0, 0, 0).is_backed());
        assert_eq!(backing(0, 0, 5).ratio_ppm(), None);
        assert_eq!(backing(7, 7, 5).ratio_ppm(), None);
    }

    #[test]
    fn what_is_paid_and_not_settled_is_not_owed() {
        let backing = backing(100, 30, 70);
        assert_eq!(backing.owed(), Amount::from_sat(70));
        assert!(backing.is_backed());
    }

    proptest! {
        #[test]
        fn backed_means_a_ratio_of_at_least_one(supply: u64, in_flight: u64, reserves: u64) {
            let backing = backing(supply, in_flight, reserves);
            let ratio = backing.ratio_ppm();
            prop_assert_eq!(backing.is_backed(), ratio.is_none_or(|ratio| ratio >= 1_000_000));
        }
    }
}
