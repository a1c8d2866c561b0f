//! Authority, guardian, and pausing.
//!
//! The guardian can stop and veto, the authority can do that and start again: a key that must be at hand in an emergency
//! should be able to do no more than that.

use k2_interface::instruction::{NewAuthority, NewGuardian, PauseFlags};
use k2_interface::state::{Config, Kind, Pause};
use k2_interface::{K2Address, PoolError};

use crate::accounts::{Context, Slot};
use crate::error::Result;

/// No key. It is the system program's address too, for which nobody can sign.
pub(super) const NOBODY: K2Address = K2Address::from_bytes([0; 32]);

/// # Errors
/// [`PoolError::NotAuthority`]. That the account signed is checked with the instruction's accounts.
pub(super) fn require_authority(config: &Config, who: &Slot<'_, '_>) -> Result<()> {
    if who.info.key.as_ref() == config.authority.as_bytes() {
        Ok(())
    } else {
        Err(PoolError::NotAuthority.into())
    }
}

/// # Errors
/// [`PoolError::NotGuardian`]. That the account signed is checked with the instruction's accounts.
pub(super) fn require_guardian_or_authority(config: &Config, who: &Slot<'_, '_>) -> Result<()> {
    let key = who.info.key.as_ref();
    if key == config.guardian.as_bytes() || key == config.authority.as_bytes() {
        Ok(())
    } else {
        Err(PoolError::NotGuardian.into())
    }
}

/// ProposeAuthority. In two steps, so that a mistyped key cannot take the pool away from everybody.
pub(super) fn propose_authority(context: &Context<'_, '_>, args: &NewAuthority) -> Result<()> {
    let [authority, config] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    require_authority(&config, authority)?;
    config.pending_authority = args.key;
    Ok(())
}

/// AcceptAuthority.
pub(super) fn accept_authority(context: &Context<'_, '_>) -> Result<()> {
    let [pending, config] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    if config.pending_authority == NOBODY {
        return Err(PoolError::NothingPending.into());
    }
    if config.pending_authority != pending.key() {
        return Err(PoolError::NotPendingAuthority.into());
    }
    config.authority = config.pending_authority;
    config.pending_authority = NOBODY;
    Ok(())
}

/// SetGuardian.
pub(super) fn set_guardian(context: &Context<'_, '_>, args: &NewGuardian) -> Result<()> {
    let [authority, config] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    require_authority(&config, authority)?;
    if args.key == NOBODY {
        return Err(PoolError::BadArgument.into());
    }
    config.guardian = args.key;
    Ok(())
}

/// Pause.
pub(super) fn pause(context: &Context<'_, '_>, args: &PauseFlags) -> Result<()> {
    let [guardian, config] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    require_guardian_or_authority(&config, guardian)?;
    config.paused |= known(args.flags)?;
    Ok(())
}

/// Resume.
pub(super) fn resume(context: &Context<'_, '_>, args: &PauseFlags) -> Result<()> {
    let [authority, config] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    require_authority(&config, authority)?;
    config.paused &= !known(args.flags)?;
    Ok(())
}

/// Flags that name something, and nothing this version does not know.
fn known(flags: u8) -> Result<u8> {
    if flags != 0 && flags & !Pause::ALL == 0 {
        Ok(flags)
    } else {
        Err(PoolError::BadArgument.into())
    }
}
