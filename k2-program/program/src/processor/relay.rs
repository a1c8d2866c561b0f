//! The Bitcoin header relay: what everybody may add to it. Where it begins stands in `checkpoint`, branches of more than
//! ten blocks in `fork`.
//!
//! Nobody is trusted for headers: each must have been mined by the network's rules ([`Chain::extend`]), and of two chains the
//! one with more work counts. What can be taken back is bounded: a branch leaves the best chain at most 24 blocks below the
//! tip, and never below the checkpoint.
//!
//! The ring's oldest block is never taken back, and cursors build on that. A branch leaves the chain at a block the ring
//! has, together with the ten before it unless there are none, and only what is above that block is replaced. The oldest
//! block moves up only to where 191 blocks stand above it; and where a branch lowers the tip, since fewer blocks can have
//! more work (testnet4), it stays where it is.

use k2_interface::PoolError;
use k2_interface::bitcoin::header::HEADER_LEN;
use k2_interface::bitcoin::network::RETARGET_INTERVAL;
use k2_interface::bitcoin::time_window::MEDIAN_TIME_SPAN;
use k2_interface::bitcoin::{
    Accepted, CompactTarget, Context as Chain, Epoch, Hash, Header, HeaderError, Network,
    TimeWindow, headers,
};
use k2_interface::instruction::MAX_HEADERS;
use k2_interface::state::{EpochSlot, Kind, MAX_REORG, RING, Relay, RelayEntry};
use solana_program::clock::Clock;
use solana_program::sysvar::Sysvar as _;
use zerocopy::FromZeros as _;

use crate::accounts::Context;
use crate::error::Result;
use crate::hash::sha256;

/// Blocks whose times count for the median besides the last one's.
const WINDOW_BEFORE: u32 = MEDIAN_TIME_SPAN as u32 - 1;
/// Blocks of a full ring below the tip.
const RING_BELOW_TIP: u32 = RING as u32 - 1;

/// SubmitHeaders. Needs no signature: it is the headers that count, not who brings them.
pub(super) fn submit_headers(context: &Context<'_, '_>, bytes: &[u8]) -> Result<()> {
    let [relay] = &context.accounts()?;
    let mut relay = relay.load_mut::<Relay>(context.program_id, Kind::Relay)?;
    let relay = &mut *relay;
    let first = first(bytes)?;
    let base_height = height_of(relay, first.prev_hash())?;
    let mut chain = chain_after(relay, base_height)?;
    let mut entries = [RelayEntry::new_zeroed(); MAX_HEADERS];
    let count = extend(&mut chain, bytes, &mut entries)?;
    require_more_work(relay, &chain)?;
    adopt(
        relay,
        base_height,
        entries.get(..count).unwrap_or_default(),
        &chain.epoch,
    )
}

/// The first of 1 to 10 headers.
///
/// # Errors
/// [`PoolError::HeaderCount`].
pub(super) fn first(bytes: &[u8]) -> Result<Header<'_>> {
    let first = bytes
        .get(..HEADER_LEN)
        .and_then(|first| Header::parse(first).ok());
    Ok(first.ok_or(PoolError::HeaderCount)?)
}

/// Judges headers one after the other and writes them to the front of `entries`, of which there may be more. Returns how
/// many there are.
///
/// # Errors
/// [`PoolError::HeaderCount`]; [`PoolError::ForkFull`] where there are too few entries; the rule a header breaks.
pub(super) fn extend(chain: &mut Chain, bytes: &[u8], entries: &mut [RelayEntry]) -> Result<usize> {
    let headers = headers(bytes)
        .ok()
        .filter(|headers| headers.len() <= MAX_HEADERS)
        .ok_or(PoolError::HeaderCount)?;
    let count = headers.len();
    if count > entries.len() {
        return Err(PoolError::ForkFull.into());
    }
    let now = Clock::get()?.unix_timestamp;
    for (header, entry) in headers.zip(entries) {
        let Accepted {
            hash,
            chain_work,
            time,
            ..
        } = chain.extend(&header, now, sha256).map_err(refusal)?;
        *entry = RelayEntry {
            hash,
            chain_work: chain_work.into(),
            time: time.into(),
        };
    }
    Ok(count)
}

/// The height of the best chain's block with this hash, from which a branch may leave.
///
/// # Errors
/// [`PoolError::UnknownParent`], [`PoolError::ReorgTooDeep`].
fn height_of(relay: &Relay, hash: &Hash) -> Result<u32> {
    let heights = relay.oldest_height.get()..=relay.tip_height.get();
    let height = heights
        .rev()
        .find(|height| {
            relay
                .entry(*height)
                .is_some_and(|entry| entry.hash == *hash)
        })
        .ok_or(PoolError::UnknownParent)?;
    require_depth(relay, height)?;
    Ok(height)
}

/// # Errors
/// [`PoolError::ReorgTooDeep`] where a branch that leaves after this block takes back too many.
pub(super) fn require_depth(relay: &Relay, base_height: u32) -> Result<()> {
    if relay.tip_height.get().saturating_sub(base_height) > MAX_REORG {
        return Err(PoolError::ReorgTooDeep.into());
    }
    Ok(())
}

/// # Errors
/// [`PoolError::NotMoreWork`]. Of two chains with the same work the one seen first stays, as in Bitcoin Core.
pub(super) fn require_more_work(relay: &Relay, chain: &Chain) -> Result<()> {
    if has_more_work(relay, chain)? {
        return Ok(());
    }
    Err(PoolError::NotMoreWork.into())
}

/// Whether this chain has more work than the best one.
///
/// # Errors
/// [`PoolError::UnknownParent`] where the relay has no tip, which cannot be.
pub(super) fn has_more_work(relay: &Relay, chain: &Chain) -> Result<bool> {
    let tip = relay
        .entry(relay.tip_height.get())
        .ok_or(PoolError::UnknownParent)?;
    Ok(chain.chain_work > tip.chain_work.get())
}

/// What the rules need to know of the best chain up to this height.
///
/// # Errors
/// [`PoolError::UnknownParent`] where the ring does not have it; [`PoolError::CheckpointFinal`] where it does not have the
/// ten blocks before it; [`PoolError::EpochUnknown`].
pub(super) fn chain_after(relay: &Relay, height: u32) -> Result<Chain> {
    let base = relay.entry(height).ok_or(PoolError::UnknownParent)?;
    let oldest = relay.oldest_height.get();
    let first = height.saturating_sub(WINDOW_BEFORE);
    if first < oldest {
        return Err(PoolError::CheckpointFinal.into());
    }
    let times = (first..=height)
        .filter_map(|height| relay.entry(height))
        .map(|entry| entry.time.get());
    let epoch = relay.epoch(height).ok_or(PoolError::EpochUnknown)?;
    Ok(Chain {
        network: network(relay.network)?,
        height,
        hash: base.hash,
        time: base.time.get(),
        chain_work: base.chain_work.get(),
        epoch: read_epoch(epoch)?,
        times: TimeWindow::from_oldest(times).ok_or(PoolError::UnknownParent)?,
    })
}

/// Makes these blocks, the first of them at `base_height + 1`, the end of the best chain. `epoch` is the last one's.
///
/// # Errors
/// [`PoolError::Overflow`].
pub(super) fn adopt(
    relay: &mut Relay,
    base_height: u32,
    blocks: &[RelayEntry],
    epoch: &Epoch,
) -> Result<()> {
    let mut height = base_height;
    for block in blocks {
        height = height.checked_add(1).ok_or(PoolError::Overflow)?;
        *place(relay, height)? = *block;
    }
    relay.tip_height = height.into();
    let oldest = height.saturating_sub(RING_BELOW_TIP);
    if oldest > relay.oldest_height.get() {
        relay.oldest_height = oldest.into();
    }
    // The end that was replaced may have reached an epoch this one has not.
    for slot in &mut relay.epochs {
        if slot.start_height.get() > height {
            *slot = EpochSlot::new_zeroed();
        }
    }
    if epoch.start_height() > base_height {
        remember_epoch(relay, epoch)?;
    }
    Ok(())
}

/// The ring's place of the block at this height.
///
/// # Errors
/// [`PoolError::Overflow`], which cannot be.
pub(super) fn place(relay: &mut Relay, height: u32) -> Result<&mut RelayEntry> {
    let place = relay.ring.get_mut(height as usize % RING);
    Ok(place.ok_or(PoolError::Overflow)?)
}

/// Keeps an epoch in its slot.
///
/// # Errors
/// [`PoolError::Overflow`], which cannot be.
pub(super) fn remember_epoch(relay: &mut Relay, epoch: &Epoch) -> Result<()> {
    let count = relay.epochs.len();
    let index = (epoch.start_height() / RETARGET_INTERVAL) as usize;
    let slot = index
        .checked_rem(count)
        .and_then(|index| relay.epochs.get_mut(index));
    *slot.ok_or(PoolError::Overflow)? = write_epoch(epoch);
    Ok(())
}

/// An epoch as accounts keep it.
pub(super) fn write_epoch(epoch: &Epoch) -> EpochSlot {
    EpochSlot {
        start_height: epoch.start_height().into(),
        start_time: epoch.start_time().into(),
        bits: epoch.bits().0.into(),
        work: epoch.work().into(),
    }
}

/// # Errors
/// [`PoolError::BadTarget`] where the slot is empty.
pub(super) fn read_epoch(slot: &EpochSlot) -> Result<Epoch> {
    let epoch = Epoch::from_stored(
        slot.start_height.get(),
        slot.start_time.get(),
        CompactTarget(slot.bits.get()),
        slot.work.get(),
    );
    Ok(epoch.map_err(|_| PoolError::BadTarget)?)
}

/// The network an account names.
///
/// # Errors
/// [`PoolError::UnknownNetwork`].
pub(super) fn network(byte: u8) -> Result<Network> {
    Ok(Network::try_from(byte).map_err(|_| PoolError::UnknownNetwork)?)
}

const fn refusal(error: HeaderError) -> PoolError {
    match error {
        HeaderError::PreviousHash => PoolError::NotLinked,
        HeaderError::Bits => PoolError::WrongBits,
        HeaderError::ProofOfWork => PoolError::NotEnoughWork,
        HeaderError::TimeTooOld => PoolError::TimeTooOld,
        HeaderError::TimeWarp => PoolError::TimeWarp,
        HeaderError::TimeTooNew => PoolError::TimeTooNew,
        HeaderError::Version => PoolError::OldVersion,
        // An overflow; and what a later version of the rules may know.
        _ => PoolError::Overflow,
    }
}
