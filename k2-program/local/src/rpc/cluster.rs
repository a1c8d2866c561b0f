//! Methods about the cluster: slots, times, blockhashes, epochs.

use std::str::FromStr;

use serde_json::{Value, json};
use solana_hash::Hash;
use solana_rpc_client_types::{
    config::{RpcBlocksConfigWrapper, RpcContextConfig},
    request::MAX_GET_CONFIRMED_BLOCKS_RANGE,
    response::{RpcApiVersion, RpcBlockhash, RpcPrioritizationFee},
};

use super::{
    error::RpcError,
    params::{Params, slot_of},
    to_json, with_context,
};
use crate::bank::{
    Bank, MAX_PROCESSING_AGE,
    engine::{self, LAMPORTS_PER_SIGNATURE},
};

/// The slot at the commitment of an optional configuration, which is parameter `index`.
fn slot_at(bank: &Bank, params: Params<'_>, index: usize) -> Result<u64, RpcError> {
    let config: RpcContextConfig = params.optional(index)?.unwrap_or_default();
    slot_of(bank, config.commitment, config.min_context_slot)
}

pub(super) fn health(_: Params<'_>) -> Result<Value, RpcError> {
    Ok(json!("ok"))
}

/// The version of the runtime that is really at work here, which is newer than K2's.
pub(super) fn version(_: Params<'_>) -> Result<Value, RpcError> {
    Ok(json!({ "solana-core": RpcApiVersion::default().to_string() }))
}

pub(super) fn identity(bank: &Bank, _: Params<'_>) -> Result<Value, RpcError> {
    Ok(json!({ "identity": bank.identity().to_string() }))
}

pub(super) fn genesis_hash(bank: &Bank, _: Params<'_>) -> Result<Value, RpcError> {
    Ok(json!(bank.genesis_hash().to_string()))
}

/// Slot and block height are one: every slot has a block.
pub(super) fn slot(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    Ok(json!(slot_at(bank, params, 0)?))
}

pub(super) fn slot_leader(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    slot_at(bank, params, 0)?;
    Ok(json!(bank.identity().to_string()))
}

pub(super) fn block_time(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let slot: u64 = params.required(0, "slot")?;
    if slot > bank.slot() {
        return Err(RpcError::block_not_available(slot));
    }
    Ok(json!(bank.time_of(slot)))
}

pub(super) fn blocks(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let first: u64 = params.required(0, "start slot")?;
    let wrapper: Option<RpcBlocksConfigWrapper> = params.optional(1)?;
    let (end, config) = wrapper.map_or((None, None), |wrapper| wrapper.unzip());
    let config = params
        .optional::<RpcContextConfig>(2)?
        .or(config)
        .unwrap_or_default();
    let last = slot_of(bank, config.commitment, config.min_context_slot)?;
    let last = end.map_or(last, |end| end.min(last));
    if last.saturating_sub(first) > MAX_GET_CONFIRMED_BLOCKS_RANGE {
        return Err(RpcError::invalid_params(format!(
            "Slot range too large; max {MAX_GET_CONFIRMED_BLOCKS_RANGE}"
        )));
    }
    to_json((first..=last).collect::<Vec<u64>>())
}

pub(super) fn first_block(_: Params<'_>) -> Result<Value, RpcError> {
    Ok(json!(0))
}

pub(super) fn epoch_info(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let slot = slot_at(bank, params, 0)?;
    let schedule = engine::epoch_schedule();
    let (epoch, index) = schedule.get_epoch_and_slot_index(slot);
    Ok(json!({
        "absoluteSlot": slot,
        "blockHeight": slot,
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": schedule.get_slots_in_epoch(epoch),
        "transactionCount": bank.transaction_count(),
    }))
}

pub(super) fn epoch_schedule(_: Params<'_>) -> Result<Value, RpcError> {
    let schedule = engine::epoch_schedule();
    Ok(json!({
        "slotsPerEpoch": schedule.slots_per_epoch,
        "leaderScheduleSlotOffset": schedule.leader_schedule_slot_offset,
        "warmup": schedule.warmup,
        "firstNormalEpoch": schedule.first_normal_epoch,
        "firstNormalSlot": schedule.first_normal_slot,
    }))
}

pub(super) fn transaction_count(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    slot_at(bank, params, 0)?;
    Ok(json!(bank.transaction_count()))
}

pub(super) fn latest_blockhash(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let slot = slot_at(bank, params, 0)?;
    let (blockhash, last_valid_block_height) = bank.latest_blockhash(slot);
    let blockhash = blockhash.to_string();
    with_context(
        slot,
        RpcBlockhash {
            blockhash,
            last_valid_block_height,
        },
    )
}

/// Deprecated on Solana, and still what clients of K2's generation ask for.
pub(super) fn recent_blockhash(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let slot = slot_at(bank, params, 0)?;
    let (blockhash, _) = bank.latest_blockhash(slot);
    let fee = json!({ "lamportsPerSignature": LAMPORTS_PER_SIGNATURE });
    with_context(
        slot,
        json!({ "blockhash": blockhash.to_string(), "feeCalculator": fee }),
    )
}

pub(super) fn is_blockhash_valid(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let hash: String = params.required(0, "blockhash")?;
    let hash =
        Hash::from_str(&hash).map_err(|error| RpcError::invalid_params(format!("{error:?}")))?;
    let slot = slot_at(bank, params, 1)?;
    with_context(slot, bank.last_valid_height(&hash, slot).is_some())
}

/// What it took to get into each of the last 150 slots: nothing, because none was ever full.
pub(super) fn prioritization_fees(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let addresses: Vec<String> = params.optional(0)?.unwrap_or_default();
    if addresses.len() > 128 {
        return Err(RpcError::invalid_params(
            "Too many inputs provided; max 128",
        ));
    }
    for address in &addresses {
        super::params::address(address)?;
    }
    let first = bank.slot().saturating_sub(MAX_PROCESSING_AGE - 1);
    let fee = |slot| RpcPrioritizationFee {
        slot,
        prioritization_fee: 0,
    };
    to_json((first..=bank.slot()).map(fee).collect::<Vec<_>>())
}
