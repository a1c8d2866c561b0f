//! Redemptions: wrapped sats into escrow for BTC, back after the expiry. What settles them stands in `settle`.

use k2_interface::bitcoin::ScriptPubkey;
use k2_interface::instruction::{RefundRedeem, RequestRedeem};
use k2_interface::state::{Config, Kind, Pause, Redemption, RedemptionState, Relay};
use k2_interface::{PoolError, pda};

use crate::accounts::Context;
use crate::error::Result;
use crate::token::{
    self, Pool, require_destination, require_system_program, require_token_program, transfer,
};

/// RequestRedeem.
pub(super) fn request(context: &Context<'_, '_>, args: &RequestRedeem) -> Result<()> {
    let [
        payer,
        owner,
        config,
        relay,
        source,
        escrow,
        redemption,
        token_program,
        system_program,
    ] = &context.accounts()?;
    require_token_program(token_program)?;
    require_system_program(system_program)?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    let tip_height = {
        let relay = relay.load::<Relay>(context.program_id, Kind::Relay)?;
        relay.tip_height.get()
    };
    if config.is_paused(Pause::Redeem) {
        return Err(PoolError::Paused.into());
    }
    escrow.require_key(&config.escrow)?;
    let script = ScriptPubkey::from_packed(&args.script).map_err(|_| PoolError::BadScript)?;
    let least = config.parameters.redeem_min.get().max(script.dust_limit());
    let payout = args.amount.checked_sub(args.max_fee);
    if payout.is_none_or(|payout| payout < least) {
        return Err(PoolError::BelowMinimum.into());
    }
    let tokens = token::read(source, &config.mint)?;
    // A delegate could move them too; the refund would then be the delegate's.
    if tokens.owner != *owner.info.key {
        return Err(PoolError::NotYours.into());
    }
    if tokens.amount < args.amount {
        return Err(PoolError::TooFewTokens.into());
    }
    let id = config.totals.redemptions.get();
    let next = id.checked_add(1).ok_or(PoolError::Overflow)?;
    let escrowed = config.totals.escrowed.get().checked_add(args.amount);
    let expires = tip_height
        .checked_add(config.parameters.redeem_expiry_blocks.get())
        .ok_or(PoolError::Overflow)?;

    let id_bytes = id.to_le_bytes();
    let seeds = [pda::REDEMPTION, &id_bytes[..]];
    {
        let mut redemption =
            redemption.create::<Redemption>(context, payer, Kind::Redemption, &seeds, 0)?;
        redemption.id = id.into();
        redemption.owner = owner.key();
        redemption.payer = payer.key();
        redemption.amount = args.amount.into();
        redemption.max_fee = args.max_fee.into();
        redemption.requested_height = tip_height.into();
        redemption.expires_height = expires.into();
        redemption.script = args.script;
        redemption.state = RedemptionState::Open as u8;
    }
    config.totals.redemptions = next.into();
    config.totals.escrowed = escrowed.ok_or(PoolError::Overflow)?.into();
    transfer(source, escrow, owner, args.amount)
}

/// RefundRedeem. Never paused: whoever waits for custodians must not depend on the guardian as well.
///
/// Custodians must not pay a redemption that is near its expiry, since a refund after their payment leaves them out of
/// pocket: what is on Bitcoin cannot be taken back. A settlement is possible for as long as nobody has refunded.
pub(super) fn refund(context: &Context<'_, '_>, args: &RefundRedeem) -> Result<()> {
    let [
        config,
        relay,
        redemption,
        owner,
        destination,
        escrow,
        token_authority,
        token_program,
    ] = &context.accounts()?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    let tip_height = {
        let relay = relay.load::<Relay>(context.program_id, Kind::Relay)?;
        relay.tip_height.get()
    };
    let mut redemption = redemption.load_mut::<Redemption>(context.program_id, Kind::Redemption)?;
    escrow.require_key(&config.escrow)?;
    let pool = Pool::new(&config, token_authority, token_program)?;
    if redemption.state != RedemptionState::Open as u8 {
        return Err(PoolError::RedemptionNotOpen.into());
    }
    if tip_height < redemption.expires_height.get() {
        return Err(PoolError::NotExpired.into());
    }
    owner.require_key(&redemption.owner)?;
    require_destination(destination, owner, &config.mint, args.destination_bump)?;
    let amount = redemption.amount.get();
    let escrowed = config.totals.escrowed.get().checked_sub(amount);
    redemption.state = RedemptionState::Refunded as u8;
    config.totals.escrowed = escrowed.ok_or(PoolError::Overflow)?.into();
    pool.pay(escrow, destination, amount)
}

/// CloseRedemption.
pub(super) fn close(context: &Context<'_, '_>) -> Result<()> {
    let [rent_receiver, redemption] = &context.accounts()?;
    {
        let redemption = redemption.load::<Redemption>(context.program_id, Kind::Redemption)?;
        rent_receiver.require_key(&redemption.payer)?;
        if redemption.state == RedemptionState::Open as u8 {
            return Err(PoolError::RedemptionOpen.into());
        }
    }
    redemption.close(rent_receiver)
}
