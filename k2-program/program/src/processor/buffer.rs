//! Buffers: proofs too large for one transaction, announced by their hash and written piece by piece.
//!
//! A proof can be as long as a block ([`MAX_PROOF`]), an account that another program creates at first only 10,240 bytes. So a
//! buffer begins with its head alone.

use core::cell::Ref;

use k2_interface::instruction::{OpenBuffer, WriteBuffer};
use k2_interface::state::{Buffer, Kind, MAX_PROOF};
use k2_interface::{K2Address, PoolError, pda};

use crate::accounts::{Context, Slot};
use crate::error::Result;
use crate::hash::sha256;
use crate::token::require_system_program;

/// OpenBuffer.
pub(super) fn open(context: &Context<'_, '_>, args: &OpenBuffer) -> Result<()> {
    let [payer, buffer, system_program] = &context.accounts()?;
    require_system_program(system_program)?;
    if args.length == 0 || args.length > MAX_PROOF {
        return Err(PoolError::BadArgument.into());
    }
    let id = args.id.to_le_bytes();
    let seeds = [pda::BUFFER, payer.info.key.as_ref(), &id];
    let tail = args.length as usize;
    let mut buffer = buffer.create::<Buffer>(context, payer, Kind::Buffer, &seeds, tail)?;
    buffer.payer = payer.key();
    buffer.id = args.id.into();
    buffer.length = args.length.into();
    buffer.sha256 = args.sha256;
    Ok(())
}

/// WriteBuffer. In order and without gaps: the account is as long as what is written, and grows with it. One instruction can
/// add 10,240 bytes (`MAX_PERMITTED_DATA_INCREASE`), more than a transaction holds; the rent was paid by OpenBuffer.
pub(super) fn write(context: &Context<'_, '_>, args: &WriteBuffer, piece: &[u8]) -> Result<()> {
    let [payer, buffer_slot] = &context.accounts()?;
    let written = {
        let mut buffer = buffer_slot.load_mut::<Buffer>(context.program_id, Kind::Buffer)?;
        require_payer(&buffer, &payer.key())?;
        let written = u32::try_from(piece.len())
            .ok()
            .and_then(|length| args.offset.checked_add(length))
            .filter(|written| {
                !piece.is_empty()
                    && args.offset == buffer.written.get()
                    && *written <= buffer.length.get()
            })
            .ok_or(PoolError::BufferRange)?;
        buffer.written = written.into();
        written
    };
    let end = size_of::<Buffer>().saturating_add(written as usize);
    buffer_slot.info.resize(end)?;
    let mut data = buffer_slot.info.try_borrow_mut_data()?;
    let free = end
        .checked_sub(piece.len())
        .and_then(|start| data.get_mut(start..))
        .ok_or(PoolError::BufferRange)?;
    free.copy_from_slice(piece);
    Ok(())
}

/// CloseBuffer.
pub(super) fn close(context: &Context<'_, '_>) -> Result<()> {
    let [payer, buffer_slot] = &context.accounts()?;
    {
        let buffer = buffer_slot.load::<Buffer>(context.program_id, Kind::Buffer)?;
        require_payer(&buffer, &payer.key())?;
    }
    buffer_slot.close(payer)
}

/// The whole proof in the payer's buffer, as it was announced. The buffer stays: its payer closes it.
///
/// # Errors
/// [`PoolError::NotPayer`], [`PoolError::BufferIncomplete`].
pub(super) fn proof<'a>(
    context: &Context<'_, '_>,
    payer: &Slot<'_, '_>,
    slot: &Slot<'a, '_>,
) -> Result<Ref<'a, [u8]>> {
    let digest = {
        let buffer = slot.load::<Buffer>(context.program_id, Kind::Buffer)?;
        require_payer(&buffer, &payer.key())?;
        if buffer.written != buffer.length {
            return Err(PoolError::BufferIncomplete.into());
        }
        buffer.sha256
    };
    let data = slot.info.try_borrow_data()?;
    let bytes = Ref::filter_map(data, |data| data.get(size_of::<Buffer>()..))
        .map_err(|_| PoolError::BufferIncomplete)?;
    if sha256(&[&bytes]) != digest {
        return Err(PoolError::BufferIncomplete.into());
    }
    Ok(bytes)
}

fn require_payer(buffer: &Buffer, payer: &K2Address) -> Result<()> {
    if buffer.payer == *payer {
        Ok(())
    } else {
        Err(PoolError::NotPayer.into())
    }
}
