//! Where the pool's BTC is paid to, and how that changes: announced, waited for, put in force.
//!
//! The scripts before a rotation are honoured for a grace of blocks after it, since blocks are found by whoever has not
//! heard of it yet. One set of them is kept. So two rotations in a row end the grace of the scripts two back; what was
//! paid to those has had `custody_delay_slots` to mature and be minted.

use k2_interface::PoolError;
use k2_interface::bitcoin::ScriptPubkey;
use k2_interface::instruction::ProposeCustody;
use k2_interface::state::{Config, CustodyScripts, Kind, PackedScript, Relay};
use solana_program::clock::Clock;
use solana_program::sysvar::Sysvar as _;

use super::admin::{require_authority, require_guardian_or_authority};
use crate::accounts::Context;
use crate::error::Result;

/// No script.
const NONE: PackedScript = [0; 35];
const NO_SCRIPTS: CustodyScripts = CustodyScripts {
    coinbase: NONE,
    deposit: NONE,
};

/// Both are standard, and two. There may be no deposit script.
///
/// # Errors
/// [`PoolError::BadScript`]; [`PoolError::BadArgument`] where they are the same.
pub(super) fn check_scripts(scripts: &CustodyScripts) -> Result<()> {
    ScriptPubkey::from_packed(&scripts.coinbase).map_err(|_| PoolError::BadScript)?;
    if scripts.deposit != NONE {
        ScriptPubkey::from_packed(&scripts.deposit).map_err(|_| PoolError::BadScript)?;
    }
    if scripts.deposit == scripts.coinbase {
        return Err(PoolError::BadArgument.into());
    }
    Ok(())
}

/// Whether coins of `old` could be taken for new ones under `new`: a deposit script holds custody's own coins as soon as it
/// was, is or becomes the script of coinbases, and then moving them mints them again.
fn mixes(old: &CustodyScripts, new: &CustodyScripts) -> bool {
    new.coinbase == old.deposit || new.deposit != NONE && new.deposit == old.coinbase
}

/// ProposeCustody. Proposed anew, the delay begins anew.
pub(super) fn propose(context: &Context<'_, '_>, args: &ProposeCustody) -> Result<()> {
    let [authority, config] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    require_authority(&config, authority)?;
    let scripts = CustodyScripts {
        coinbase: args.coinbase_script,
        deposit: args.deposit_script,
    };
    check_scripts(&scripts)?;
    let custody = &config.custody;
    if scripts == custody.active
        || mixes(&custody.active, &scripts)
        || mixes(&custody.previous, &scripts)
    {
        return Err(PoolError::BadArgument.into());
    }
    let from_slot = Clock::get()?
        .slot
        .checked_add(config.parameters.custody_delay_slots.get())
        .ok_or(PoolError::Overflow)?;
    config.custody.pending = scripts;
    config.custody.pending_slot = from_slot.into();
    Ok(())
}

/// CancelCustody.
pub(super) fn cancel(context: &Context<'_, '_>) -> Result<()> {
    let [guardian, config] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    require_guardian_or_authority(&config, guardian)?;
    if config.custody.pending_slot.get() == 0 {
        return Err(PoolError::NothingPending.into());
    }
    config.custody.pending = NO_SCRIPTS;
    config.custody.pending_slot = 0.into();
    Ok(())
}

/// ActivateCustody.
pub(super) fn activate(context: &Context<'_, '_>) -> Result<()> {
    let [config, relay] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    let relay = relay.load::<Relay>(context.program_id, Kind::Relay)?;
    let from_slot = config.custody.pending_slot.get();
    if from_slot == 0 {
        return Err(PoolError::NothingPending.into());
    }
    if Clock::get()?.slot < from_slot {
        return Err(PoolError::NotYet.into());
    }
    let epoch = config.custody.epoch.get().checked_add(1);
    let previous_until = relay
        .tip_height
        .get()
        .checked_add(config.parameters.custody_grace_blocks.get());
    let custody = &mut config.custody;
    custody.epoch = epoch.ok_or(PoolError::Overflow)?.into();
    custody.previous_until = previous_until.ok_or(PoolError::Overflow)?.into();
    custody.previous = custody.active;
    custody.active = custody.pending;
    custody.pending = NO_SCRIPTS;
    custody.pending_slot = 0.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use k2_interface::PoolError;
    use k2_interface::state::{CustodyScripts, PackedScript};

    use super::{NONE, check_scripts, mixes};
    use crate::error::Error;

    fn p2wpkh(tag: u8) -> PackedScript {
        let mut script = NONE;
        script[..3].copy_from_slice(&[22, 0, 20]);
        script[3] = tag;
        script
    }

    fn scripts(coinbase: PackedScript, deposit: PackedScript) -> CustodyScripts {
        CustodyScripts { coinbase, deposit }
    }

    #[test]
    fn scripts_are_standard_and_two() {
        assert_eq!(check_scripts(&scripts(p2wpkh(1), NONE)), Ok(()));
        assert_eq!(check_scripts(&scripts(p2wpkh(1), p2wpkh(2))), Ok(()));
        assert_eq!(
            check_scripts(&scripts(p2wpkh(1), p2wpkh(1))),
            Err(Error::Rule(PoolError::BadArgument))
        );
        let mut op_return = p2wpkh(1);
        op_return[1] = 0x6a;
        let mut padded = p2wpkh(1);
        padded[34] = 1;
        for bad in [NONE, op_return, padded, [35; 35]] {
            assert_eq!(
                check_scripts(&scripts(bad, p2wpkh(2))),
                Err(Error::Rule(PoolError::BadScript))
            );
            if bad != NONE {
                assert_eq!(
                    check_scripts(&scripts(p2wpkh(2), bad)),
                    Err(Error::Rule(PoolError::BadScript))
                );
            }
        }
    }

    #[test]
    fn coins_of_custody_are_never_new() {
        let old = scripts(p2wpkh(1), p2wpkh(2));
        assert!(mixes(&old, &scripts(p2wpkh(2), p2wpkh(3))));
        assert!(mixes(&old, &scripts(p2wpkh(3), p2wpkh(1))));
        assert!(!mixes(&old, &scripts(p2wpkh(3), p2wpkh(2))));
        assert!(!mixes(&old, &scripts(p2wpkh(1), p2wpkh(3))));
        // No script is no coins' script.
        let none = scripts(p2wpkh(1), NONE);
        assert!(!mixes(&none, &scripts(p2wpkh(3), NONE)));
        assert!(!mixes(&scripts(NONE, NONE), &none));
    }
}
