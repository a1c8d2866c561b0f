//! The bounds of what Initialize sets: none of it can be changed later, so a slip of the finger must be caught here.

use k2_interface::PoolError;
use k2_interface::bitcoin::Network;
use k2_interface::instruction::Initialize;
use k2_interface::state::{MAX_OPERATORS, MAX_REORG, Parameters, RING};

use super::admin::NOBODY;
use crate::error::Result;

/// Slots of an hour: K2's are 400 ms long.
const HOUR: u64 = 9_000;
const DAY: u64 = 24 * HOUR;
/// The longest delay: one in which a mistake could be lived with.
const YEAR: u64 = 365 * DAY;
/// Blocks of a day, two weeks and a year.
const BLOCKS_A_DAY: u32 = 144;
const BLOCKS_OF_TWO_WEEKS: u32 = 2_016;
const BLOCKS_A_YEAR: u32 = 52_560;
/// Confirmations of a coinbase, on any network. To ask more of a payment would have no reason.
const MATURITY: u32 = 100;
/// 21 million BTC in sats.
const MAX_MONEY: u64 = 21_000_000 * 100_000_000;
/// 100 BTC. More than any block has paid for long: the dearest of late was one of 90 BTC in 2023, nearly all of it fees.
const LEAST_WINDOW: u64 = 100 * 100_000_000;
/// Above each standard script's dust limit, with room for fees to rise.
const LEAST_REDEMPTION: u64 = 1_000;

/// The rules in an account's layout.
///
/// # Errors
/// [`PoolError::UnknownNetwork`], [`PoolError::BadQuorum`], [`PoolError::BadArgument`].
pub(super) fn check(args: &Initialize) -> Result<Parameters> {
    let network = Network::try_from(args.network).map_err(|_| PoolError::UnknownNetwork)?;
    if args.quorum == 0 || usize::from(args.quorum) > MAX_OPERATORS {
        return Err(PoolError::BadQuorum.into());
    }
    let keys = args.authority != NOBODY && args.guardian != NOBODY;
    if keys && in_range(args) && (network != Network::Main || safe_for_money(args)) {
        Ok(parameters(args))
    } else {
        Err(PoolError::BadArgument.into())
    }
}

/// What holds on every network.
fn in_range(args: &Initialize) -> bool {
    // An output must stay mintable after it has left the ring, and whatever a re-organisation brings back.
    let least_horizon = (RING as u32).saturating_add(MAX_REORG);
    (1..=MATURITY).contains(&args.deposit_confirmations)
        && args.mint_horizon > least_horizon
        && args.mint_horizon <= BLOCKS_A_YEAR
        && (1..=BLOCKS_A_YEAR).contains(&args.mint_window_blocks)
        // A payout that is sent at once must be provable in time.
        && args.redeem_expiry_blocks > args.deposit_confirmations
        && args.redeem_expiry_blocks <= BLOCKS_A_YEAR
        // No grace would orphan the blocks of whoever has not heard of a rotation yet; a long one honours a script that
        // was perhaps given up because its keys are lost to somebody.
        && (1..=BLOCKS_OF_TWO_WEEKS).contains(&args.custody_grace_blocks)
        && (1..=MAX_MONEY).contains(&args.mint_window_cap)
        && (1..=MAX_MONEY).contains(&args.supply_cap)
        && (LEAST_REDEMPTION..=MAX_MONEY).contains(&args.redeem_min)
        && (1..=YEAR).contains(&args.challenge_slots)
        && (1..=YEAR).contains(&args.custody_delay_slots)
        // A signature must cost its bond at least as long as its root can be challenged.
        && (args.challenge_slots..=YEAR).contains(&args.unbonding_slots)
        && args.bond_lamports > 0
}

/// What holds besides where coins have value: time for people to see what happens and to act, and no coinbase that can never
/// be minted, because it is above a cap or because minting was paused for a day or two. All later rounds would wait for it,
/// their totals being above what was minted.
const fn safe_for_money(args: &Initialize) -> bool {
    args.deposit_confirmations >= 6
        && args.mint_horizon >= BLOCKS_OF_TWO_WEEKS
        && args.mint_window_cap >= LEAST_WINDOW
        && args.supply_cap >= LEAST_WINDOW
        && args.redeem_expiry_blocks >= BLOCKS_A_DAY
        && args.challenge_slots >= HOUR
        && args.custody_delay_slots >= DAY
        && args.unbonding_slots >= DAY
}

fn parameters(args: &Initialize) -> Parameters {
    Parameters {
        deposit_confirmations: args.deposit_confirmations.into(),
        mint_horizon: args.mint_horizon.into(),
        mint_window_blocks: args.mint_window_blocks.into(),
        redeem_expiry_blocks: args.redeem_expiry_blocks.into(),
        custody_grace_blocks: args.custody_grace_blocks.into(),
        mint_window_cap: args.mint_window_cap.into(),
        supply_cap: args.supply_cap.into(),
        redeem_min: args.redeem_min.into(),
        challenge_slots: args.challenge_slots.into(),
        custody_delay_slots: args.custody_delay_slots.into(),
        unbonding_slots: args.unbonding_slots.into(),
        bond_lamports: args.bond_lamports.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use k2_interface::instruction::Initialize;
    use k2_interface::{K2Address, PoolError};

    use super::{BLOCKS_A_YEAR, LEAST_WINDOW, MAX_MONEY, YEAR, check};
    use crate::error::{Error, Result};

    /// The least that is allowed on the main network.
    fn least() -> Initialize {
        Initialize {
            network: 0,
            quorum: 1,
            authority: K2Address::from_bytes([1; 32]),
            guardian: K2Address::from_bytes([2; 32]),
            deposit_confirmations: 6,
            mint_horizon: 2_016,
            mint_window_blocks: 1,
            redeem_expiry_blocks: 144,
            custody_grace_blocks: 1,
            mint_window_cap: LEAST_WINDOW,
            supply_cap: LEAST_WINDOW,
            redeem_min: 1_000,
            challenge_slots: 9_000,
            custody_delay_slots: 216_000,
            unbonding_slots: 216_000,
            bond_lamports: 1,
            coinbase_script: [0; 35],
            deposit_script: [0; 35],
        }
    }

    /// One change of a valid set.
    type Change = fn(&mut Initialize);

    fn with(change: Change) -> Result<()> {
        let mut args = least();
        change(&mut args);
        check(&args).map(drop)
    }

    const BAD: Result<()> = Err(Error::Rule(PoolError::BadArgument));

    #[test]
    fn the_bounds_themselves_are_allowed() {
        let parameters = check(&least()).unwrap();
        assert_eq!(parameters.mint_horizon.get(), 2_016);
        assert_eq!(parameters.bond_lamports.get(), 1);
        let most: [Change; 12] = [
            |args| args.quorum = 32,
            |args| args.deposit_confirmations = 100,
            |args| args.mint_horizon = BLOCKS_A_YEAR,
            |args| args.mint_window_blocks = BLOCKS_A_YEAR,
            |args| args.redeem_expiry_blocks = BLOCKS_A_YEAR,
            |args| args.custody_grace_blocks = 2_016,
            |args| args.mint_window_cap = MAX_MONEY,
            |args| args.supply_cap = MAX_MONEY,
            |args| args.redeem_min = MAX_MONEY,
            |args| (args.challenge_slots, args.unbonding_slots) = (YEAR, YEAR),
            |args| args.custody_delay_slots = YEAR,
            |args| args.bond_lamports = u64::MAX,
        ];
        for change in most {
            assert_eq!(with(change), Ok(()));
        }
    }

    #[test]
    fn one_beyond_a_bound_is_refused() {
        let beyond: [Change; 27] = [
            |args| args.authority = K2Address::from_bytes([0; 32]),
            |args| args.guardian = K2Address::from_bytes([0; 32]),
            |args| args.deposit_confirmations = 5,
            |args| args.deposit_confirmations = 101,
            |args| args.mint_horizon = 2_015,
            |args| args.mint_horizon = BLOCKS_A_YEAR + 1,
            |args| args.mint_window_blocks = 0,
            |args| args.mint_window_blocks = BLOCKS_A_YEAR + 1,
            |args| args.redeem_expiry_blocks = 143,
            |args| args.redeem_expiry_blocks = BLOCKS_A_YEAR + 1,
            |args| args.custody_grace_blocks = 0,
            |args| args.custody_grace_blocks = 2_017,
            |args| args.mint_window_cap = LEAST_WINDOW - 1,
            |args| args.mint_window_cap = MAX_MONEY + 1,
            |args| args.supply_cap = LEAST_WINDOW - 1,
            |args| args.supply_cap = MAX_MONEY + 1,
            |args| args.redeem_min = 999,
            |args| args.redeem_min = MAX_MONEY + 1,
            |args| args.challenge_slots = 8_999,
            |args| args.challenge_slots = YEAR + 1,
            |args| args.challenge_slots = args.unbonding_slots + 1,
            |args| args.custody_delay_slots = 215_999,
            |args| args.custody_delay_slots = YEAR + 1,
            |args| args.unbonding_slots = 215_999,
            |args| args.unbonding_slots = YEAR + 1,
            |args| args.bond_lamports = 0,
            |args| (args.deposit_confirmations, args.redeem_expiry_blocks) = (100, 100),
        ];
        for (number, change) in beyond.into_iter().enumerate() {
            assert_eq!(with(change), BAD, "number {number}");
        }
        assert_eq!(
            with(|args| args.network = 4),
            Err(Error::Rule(PoolError::UnknownNetwork))
        );
        let none_or_too_many: [Change; 2] = [|args| args.quorum = 0, |args| args.quorum = 33];
        for change in none_or_too_many {
            assert_eq!(with(change), Err(Error::Rule(PoolError::BadQuorum)));
        }
    }

    #[test]
    fn test_networks_may_be_quick_but_not_instant() {
        let quick: Change = |args| {
            args.network = 3;
            args.deposit_confirmations = 1;
            args.mint_horizon = 217;
            args.mint_window_cap = 1;
            args.supply_cap = 1;
            args.redeem_expiry_blocks = 2;
            args.challenge_slots = 1;
            args.custody_delay_slots = 1;
            args.unbonding_slots = 1;
        };
        assert_eq!(with(quick), Ok(()));
        let instant: [Change; 8] = [
            |args| args.deposit_confirmations = 0,
            |args| args.mint_horizon = 216,
            |args| args.mint_window_cap = 0,
            |args| args.supply_cap = 0,
            |args| args.redeem_expiry_blocks = args.deposit_confirmations,
            |args| args.challenge_slots = 0,
            |args| args.custody_delay_slots = 0,
            |args| args.unbonding_slots = 0,
        ];
        for change in instant {
            let mut args = least();
            quick(&mut args);
            change(&mut args);
            assert_eq!(check(&args).map(drop), BAD);
        }
    }
}
