//! Records of used outputs: made once for each, closed when the output could not be proved again.

use k2_interface::bitcoin::Hash;
use k2_interface::state::{Config, Kind, Record, Relay};
use k2_interface::{AccountFault, PoolError, pda};

use crate::accounts::{Context, Slot};
use crate::error::Result;

/// Which output.
#[derive(Clone, Copy)]
pub(super) struct Outpoint<'p> {
    pub txid: &'p Hash,
    pub vout: u32,
}

/// What is recorded of it.
#[derive(Clone, Copy)]
pub(super) struct Use {
    /// Deposit or Payout.
    pub kind: Kind,
    /// Height of the block it is known from.
    pub height: u32,
    /// Its value in sats; zero where it was not minted but spent by what was.
    pub value: u64,
}

/// Records that this output has been used; so it can be once only.
///
/// # Errors
/// [`PoolError::AlreadyUsed`]; [`AccountFault::WrongAddress`] where the account is
/// not the output's record.
pub(super) fn create<'a, 'info>(
    context: &Context<'a, 'info>,
    payer: &Slot<'a, 'info>,
    slot: &Slot<'a, 'info>,
    outpoint: Outpoint<'_>,
    used: Use,
) -> Result<()> {
    let seed = match used.kind {
        Kind::Payout => pda::PAYOUT,
        _ => pda::DEPOSIT,
    };
    let vout = outpoint.vout.to_le_bytes();
    let seeds = [seed, outpoint.txid, &vout];
    if !slot.is_empty() {
        slot.require_derived(context.program_id, &seeds)?;
        return Err(PoolError::AlreadyUsed.into());
    }
    let mut record = slot.create::<Record>(context, payer, used.kind, &seeds, 0)?;
    record.payer = payer.key();
    record.txid = *outpoint.txid;
    record.vout = outpoint.vout.into();
    record.height = used.height.into();
    record.value = used.value.into();
    Ok(())
}

/// Records an output as used that a deposit spends. Where that has been recorded before, with another output of the same
/// deposit, nothing is done.
///
/// # Errors
/// [`PoolError::SpendsMinted`]; [`AccountFault::WrongAddress`] as above.
pub(super) fn create_spent<'a, 'info>(
    context: &Context<'a, 'info>,
    payer: &Slot<'a, 'info>,
    slot: &Slot<'a, 'info>,
    outpoint: Outpoint<'_>,
    height: u32,
) -> Result<()> {
    if slot.is_empty() {
        let used = Use {
            kind: Kind::Deposit,
            height,
            value: 0,
        };
        return create(context, payer, slot, outpoint, used);
    }
    let record = slot.load::<Record>(context.program_id, Kind::Deposit)?;
    slot.require(
        record.txid == *outpoint.txid && record.vout.get() == outpoint.vout,
        AccountFault::WrongAddress,
    )?;
    if record.value.get() > 0 {
        return Err(PoolError::SpendsMinted.into());
    }
    Ok(())
}

/// CloseDeposit.
pub(super) fn close_deposit(context: &Context<'_, '_>) -> Result<()> {
    close(context, Kind::Deposit)
}

/// ClosePayout.
pub(super) fn close_payout(context: &Context<'_, '_>) -> Result<()> {
    close(context, Kind::Payout)
}

fn close(context: &Context<'_, '_>, kind: Kind) -> Result<()> {
    let [rent_receiver, config, relay, record_slot] = &context.accounts()?;
    {
        let config = config.load::<Config>(context.program_id, Kind::Config)?;
        let relay = relay.load::<Relay>(context.program_id, Kind::Relay)?;
        let record = record_slot.load::<Record>(context.program_id, kind)?;
        rent_receiver.require_key(&record.payer)?;
        if !relay.is_record_closable(record.height.get(), config.parameters.mint_horizon.get()) {
            return Err(PoolError::AboveHorizon.into());
        }
    }
    record_slot.close(rent_receiver)
}
