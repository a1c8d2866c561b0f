//! Branches too long for one transaction: collected in an account of the payer's until they have more work than the best
//! chain. Without it a branch of more than ten blocks could never be shown, though it is the chain that counts.

use k2_interface::bitcoin::Context as Chain;
use k2_interface::bitcoin::time_window::MEDIAN_TIME_SPAN;
use k2_interface::instruction::SubmitFork;
use k2_interface::state::{Fork, Kind, Relay};
use k2_interface::{PoolError, pda};
use solana_program::clock::Clock;
use solana_program::sysvar::Sysvar as _;

use super::relay::{
    adopt, chain_after, extend, first, has_more_work, read_epoch, require_depth, write_epoch,
};
use crate::accounts::{Context, Slot};
use crate::error::Result;
use crate::token::require_system_program;

/// SubmitFork.
pub(super) fn submit(context: &Context<'_, '_>, args: &SubmitFork, bytes: &[u8]) -> Result<()> {
    let [payer, relay, fork_slot, system_program] = &context.accounts()?;
    require_system_program(system_program)?;
    let mut relay = relay.load_mut::<Relay>(context.program_id, Kind::Relay)?;
    let relay = &mut *relay;
    // Also when it is adopted, and that is always here: the tip may have moved on since the branch was begun.
    require_depth(relay, args.base_height)?;
    let base = chain_after(relay, args.base_height)?;
    if fork_slot.is_empty() {
        if *first(bytes)?.prev_hash() != base.hash {
            return Err(PoolError::UnknownParent.into());
        }
        begin(context, payer, fork_slot, &base)?;
    }

    let adopted = {
        let mut fork = fork_slot.load_mut::<Fork>(context.program_id, Kind::Fork)?;
        let fork = &mut *fork;
        if fork.payer != payer.key() {
            return Err(PoolError::NotPayer.into());
        }
        if fork.base_height.get() != args.base_height {
            return Err(PoolError::ForkBase.into());
        }
        if fork.base_hash != base.hash {
            return Err(PoolError::ForkMoved.into());
        }
        let mut chain = chain_of(fork, base)?;
        let from = fork.count.get() as usize;
        let free = fork.entries.get_mut(from..).ok_or(PoolError::ForkFull)?;
        let added = extend(&mut chain, bytes, free)?;
        let count = from.checked_add(added).ok_or(PoolError::Overflow)?;
        fork.count = (count as u32).into();
        fork.epoch = write_epoch(&chain.epoch);
        let blocks = fork.entries.get(..count).ok_or(PoolError::ForkFull)?;
        let adopted = has_more_work(relay, &chain)?;
        if adopted {
            adopt(relay, args.base_height, blocks, &chain.epoch)?;
        }
        adopted
    };
    if adopted {
        fork_slot.close(payer)?;
    }
    Ok(())
}

/// A branch of no blocks yet.
fn begin<'a, 'info>(
    context: &Context<'a, 'info>,
    payer: &Slot<'a, 'info>,
    fork: &Slot<'a, 'info>,
    base: &Chain,
) -> Result<()> {
    let opened_slot = Clock::get()?.slot;
    let seeds = [pda::FORK, payer.info.key.as_ref()];
    let mut fork = fork.create::<Fork>(context, payer, Kind::Fork, &seeds, 0)?;
    fork.payer = payer.key();
    fork.base_height = base.height.into();
    fork.base_hash = base.hash;
    fork.epoch = write_epoch(&base.epoch);
    fork.opened_slot = opened_slot.into();
    Ok(())
}

/// What the rules need to know of the branch so far.
fn chain_of(fork: &Fork, mut chain: Chain) -> Result<Chain> {
    let count = fork.count.get() as usize;
    let blocks = fork.entries.get(..count).ok_or(PoolError::ForkFull)?;
    let Some(last) = blocks.last() else {
        return Ok(chain);
    };
    let recent = blocks.get(count.saturating_sub(MEDIAN_TIME_SPAN)..);
    for block in recent.unwrap_or_default() {
        chain.times.push(block.time.get());
    }
    chain.height = chain
        .height
        .checked_add(fork.count.get())
        .ok_or(PoolError::Overflow)?;
    chain.hash = last.hash;
    chain.time = last.time.get();
    chain.chain_work = last.chain_work.get();
    chain.epoch = read_epoch(&fork.epoch)?;
    Ok(chain)
}

/// CloseFork.
pub(super) fn close(context: &Context<'_, '_>) -> Result<()> {
    let [payer, fork_slot] = &context.accounts()?;
    {
        let fork = fork_slot.load::<Fork>(context.program_id, Kind::Fork)?;
        if fork.payer != payer.key() {
            return Err(PoolError::NotPayer.into());
        }
    }
    fork_slot.close(payer)
}
