//! The Bitcoin header relay: its checkpoint, and what everybody may add to it.
//!
//! Nobody is trusted for headers: each must have been mined by the network's rules ([`Context::extend`]), and of two chains
//! the one with more work counts. What can be taken back is bounded: a branch leaves the best chain at most 24 blocks below the
//! tip, and never below the checkpoint.
//!
//! Nothing below the ring's oldest block is ever taken back either, and cursors build on that. A branch leaves the chain
//! at a block the ring has, with the ten blocks before it, so above the oldest; the oldest block moves up only to where 192
//! blocks stand above it; and where a branch lowers the tip (fewer blocks can have more work on testnet4) it stays.

use k2_interface::PoolError;
use k2_interface::bitcoin::chain::MIN_DIFFICULTY_AFTER;
use k2_interface::bitcoin::header::HEADER_LEN;
use k2_interface::bitcoin::network::RETARGET_INTERVAL;
use k2_interface::bitcoin::time_window::MEDIAN_TIME_SPAN;
use k2_interface::bitcoin::{
    Accepted, CompactTarget, Context as Chain, Epoch, Hash, Header, HeaderError, Network, Target,
    TimeWindow, headers, linked,
};
use k2_interface::instruction::{InitializeRelay, MAX_HEADERS};
use k2_interface::pda;
use k2_interface::state::{Config, EpochSlot, Kind, MAX_REORG, RING, Relay, RelayEntry};
use solana_program::clock::Clock;
use solana_program::sysvar::Sysvar as _;
use zerocopy::FromZeros as _;

use super::admin::require_authority;
use crate::accounts::Context;
use crate::error::Result;
use crate::hash::sha256;
use crate::token::require_system_program;

/// Blocks whose times count for the median besides the last one's.
const WINDOW_BEFORE: u32 = MEDIAN_TIME_SPAN as u32 - 1;
/// Blocks of a full ring below the tip.
const RING_BELOW_TIP: u32 = RING as u32 - 1;

/// InitializeRelay. The authority answers for the checkpoint: that it is a block of Bitcoin's best chain, deep enough never
/// to be taken back, with this much work. What the headers themselves can show is checked.
pub(super) fn initialize(
    context: &Context<'_, '_>,
    args: &InitializeRelay,
    bytes: &[u8],
) -> Result<()> {
    let [payer, authority, config, relay, system_program] = &context.accounts()?;
    require_system_program(system_program)?;
    let network = {
        let config = config.load::<Config>(context.program_id, Kind::Config)?;
        require_authority(&config, authority)?;
        network(config.network)?
    };
    let (first, links) = linked::split(bytes)
        .ok()
        .filter(|(_, links)| links.len() < MEDIAN_TIME_SPAN)
        .ok_or(PoolError::HeaderCount)?;
    let count = (links.len() as u32).saturating_add(1);
    let first_height = (args.height)
        .checked_add(1)
        .and_then(|above| above.checked_sub(count))
        .ok_or(PoolError::BadCheckpoint)?;
    // The median of times needs eleven blocks, or all there are.
    if first_height > 0 && count < MEDIAN_TIME_SPAN as u32 {
        return Err(PoolError::BadCheckpoint.into());
    }
    let bits = CompactTarget(args.epoch_bits);
    let start_height = epoch_start(args.height);
    let epoch = Epoch::new(network, start_height, args.epoch_start_time, bits)
        .map_err(|_| PoolError::BadTarget)?;

    let mut entries = [RelayEntry::new_zeroed(); MEDIAN_TIME_SPAN];
    let mut previous_time = None;
    // Work of the headers alone; what the chain had before them is added below.
    let mut work = 0_u128;
    let mut bytes = *first;
    let mut links = links.iter();
    for (height, entry) in (first_height..=args.height).zip(&mut entries) {
        let header = Header::parse(&bytes).map_err(|_| PoolError::HeaderCount)?;
        let hash = header.hash(sha256);
        let target = network
            .target(header.bits())
            .map_err(|_| PoolError::BadTarget)?;
        if !target.is_met_by(&hash) {
            return Err(PoolError::NotEnoughWork.into());
        }
        if height == 0 && hash != network.genesis_hash()
            || !fits_epoch(&epoch, network, height, &header, previous_time)
        {
            return Err(PoolError::BadCheckpoint.into());
        }
        work = add_work(work, &target)?;
        *entry = RelayEntry {
            hash,
            chain_work: work.into(),
            time: header.time().into(),
        };
        previous_time = Some(header.time());
        if let Some(link) = links.next() {
            bytes = linked::header(&hash, link);
        }
    }
    let before = (args.chain_work)
        .checked_sub(work)
        .filter(|before| (*before == 0) == (first_height == 0))
        .ok_or(PoolError::BadCheckpoint)?;

    let mut relay = relay.create::<Relay>(context, payer, Kind::Relay, &[pda::RELAY], 0)?;
    relay.network = network.into();
    relay.tip_height = args.height.into();
    relay.oldest_height = first_height.into();
    remember_epoch(&mut relay, &epoch)?;
    for (height, mut entry) in (first_height..=args.height).zip(entries) {
        entry.chain_work = entry
            .chain_work
            .get()
            .checked_add(before)
            .ok_or(PoolError::Overflow)?
            .into();
        *place(&mut relay, height)? = entry;
    }
    Ok(())
}

/// Whether a checkpoint's header says nothing else than the epoch that is claimed for the last one.
fn fits_epoch(
    epoch: &Epoch,
    network: Network,
    height: u32,
    header: &Header<'_>,
    previous_time: Option<u32>,
) -> bool {
    if height < epoch.start_height() {
        return true;
    }
    if height == epoch.start_height() {
        return header.time() == epoch.start_time() && header.bits() == epoch.bits();
    }
    let easy = network.allows_min_difficulty() && header.bits() == network.pow_limit_bits();
    match previous_time {
        Some(time)
            if network.allows_min_difficulty()
                && header.time() > time.saturating_add(MIN_DIFFICULTY_AFTER) =>
        {
            easy
        }
        Some(_) => header.bits() == epoch.bits(),
        None => easy || header.bits() == epoch.bits(),
    }
}

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

fn place(relay: &mut Relay, height: u32) -> Result<&mut RelayEntry> {
    let place = relay.ring.get_mut(height as usize % RING);
    Ok(place.ok_or(PoolError::Overflow)?)
}

fn remember_epoch(relay: &mut Relay, epoch: &Epoch) -> Result<()> {
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

fn network(byte: u8) -> Result<Network> {
    Ok(Network::try_from(byte).map_err(|_| PoolError::UnknownNetwork)?)
}

const fn epoch_start(height: u32) -> u32 {
    height.saturating_sub(height % RETARGET_INTERVAL)
}

fn add_work(sum: u128, target: &Target) -> Result<u128> {
    let work = target.work().map_err(|_| PoolError::BadTarget)?;
    Ok(sum.checked_add(work).ok_or(PoolError::Overflow)?)
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
