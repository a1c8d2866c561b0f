//! Where the relay begins.

use k2_interface::PoolError;
use k2_interface::bitcoin::chain::MIN_DIFFICULTY_AFTER;
use k2_interface::bitcoin::network::RETARGET_INTERVAL;
use k2_interface::bitcoin::time_window::MEDIAN_TIME_SPAN;
use k2_interface::bitcoin::{CompactTarget, Epoch, Header, Network, Target, linked};
use k2_interface::instruction::InitializeRelay;
use k2_interface::pda;
use k2_interface::state::{Config, Kind, Relay, RelayEntry};
use zerocopy::FromZeros as _;

use super::admin::require_authority;
use super::relay::{network, place, remember_epoch};
use crate::accounts::Context;
use crate::error::Result;
use crate::hash::sha256;
use crate::token::require_system_program;

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

const fn epoch_start(height: u32) -> u32 {
    height.saturating_sub(height % RETARGET_INTERVAL)
}

fn add_work(sum: u128, target: &Target) -> Result<u128> {
    let work = target.work().map_err(|_| PoolError::BadTarget)?;
    Ok(sum.checked_add(work).ok_or(PoolError::Overflow)?)
}
