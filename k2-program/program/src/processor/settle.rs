//! What ends a redemption for good: the proof that it was paid.

use k2_interface::PoolError;
use k2_interface::bitcoin::PaymentProof;
use k2_interface::bitcoin::redeem_ids::is_payout;
use k2_interface::instruction::ProveOutput;
use k2_interface::state::{Config, Kind, Redemption, RedemptionState, Relay};

use super::mint::pays;
use super::proof::{self, refusal};
use super::records::{self, Outpoint, Use};
use crate::accounts::Context;
use crate::error::Result;
use crate::hash::sha256;
use crate::token::{Pool, require_system_program};

/// SettleRedeem. For as long as nobody has refunded it, also after its expiry: the payment was made, and not to count it would
/// be the custodians' loss. For the same reason it is never paused: refunds are not either, and what was paid would be refunded
/// too if a pause lasted until the expiry.
pub(super) fn settle(context: &Context<'_, '_>, args: &ProveOutput, inline: &[u8]) -> Result<()> {
    let accounts = context.accounts_with(proof::optional(args)?)?;
    let [
        payer,
        config,
        relay,
        redemption,
        payout,
        mint,
        escrow,
        token_authority,
        token_program,
        system_program,
    ] = &accounts.fixed;
    require_system_program(system_program)?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    let relay = relay.load::<Relay>(context.program_id, Kind::Relay)?;
    let mut redemption = redemption.load_mut::<Redemption>(context.program_id, Kind::Redemption)?;
    if redemption.state != RedemptionState::Open as u8 {
        return Err(PoolError::RedemptionNotOpen.into());
    }
    mint.require_key(&config.mint)?;
    escrow.require_key(&config.escrow)?;
    let pool = Pool::new(&config, token_authority, token_program)?;

    let bytes = proof::bytes(context, payer, accounts.buffer.as_ref(), inline)?;
    let proven = PaymentProof::parse(&bytes)
        .and_then(|proof| proof.verify(sha256))
        .map_err(refusal)?;
    let confirmations = proof::confirmations(
        context,
        payer,
        &relay,
        accounts.cursor.as_ref(),
        args.height,
        &proven.block_hash,
        config.parameters.mint_horizon.get(),
    )?;
    if confirmations < config.parameters.deposit_confirmations.get() {
        return Err(PoolError::Immature.into());
    }
    // A payment before the request was for something else.
    if args.height <= redemption.requested_height.get() {
        return Err(PoolError::PaidTooEarly.into());
    }
    let output = (proven.transaction.output(args.vout)).ok_or(PoolError::NoSuchOutput)?;
    if !pays(output.script, &redemption.script) {
        return Err(PoolError::WrongDestination.into());
    }
    let amount = redemption.amount.get();
    let least = amount
        .checked_sub(redemption.max_fee.get())
        .ok_or(PoolError::Overflow)?;
    if output.value < least {
        return Err(PoolError::Underpaid.into());
    }
    let scripts = proven.transaction.outputs().map(|output| output.script);
    if !is_payout(scripts, redemption.id.get(), args.vout).ok_or(PoolError::IdNotNamed)? {
        return Err(PoolError::OtherPayout.into());
    }

    // An output that two lists of ids give to two redemptions is only one payment.
    let outpoint = Outpoint {
        txid: &proven.txid,
        vout: args.vout,
    };
    let used = Use {
        kind: Kind::Payout,
        height: args.height,
        value: output.value,
    };
    records::create(context, payer, payout, outpoint, used)?;
    redemption.state = RedemptionState::Settled as u8;
    redemption.payout_txid = proven.txid;
    redemption.payout_vout = args.vout.into();
    redemption.paid = output.value.into();
    let burned = config.totals.burned.get().checked_add(amount);
    let escrowed = config.totals.escrowed.get().checked_sub(amount);
    config.totals.burned = burned.ok_or(PoolError::Overflow)?.into();
    config.totals.escrowed = escrowed.ok_or(PoolError::Overflow)?.into();
    pool.burn(escrow, mint, amount)
}
