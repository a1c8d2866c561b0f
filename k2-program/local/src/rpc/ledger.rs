//! Methods about transactions of the past.

use serde_json::{Value, json};
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_rpc_client_types::{
    config::{
        RpcEncodingConfigWrapper, RpcSignatureStatusConfig, RpcSignaturesForAddressConfig,
        RpcTransactionConfig,
    },
    request::{
        MAX_GET_CONFIRMED_SIGNATURES_FOR_ADDRESS2_LIMIT, MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS,
    },
    response::RpcConfirmedTransactionStatusWithSignature,
};
use solana_transaction_status::{
    ConfirmedTransactionWithStatusMeta, EncodeError, TransactionConfirmationStatus,
    TransactionStatus, TransactionWithStatusMeta, UiTransactionEncoding,
    VersionedTransactionWithStatusMeta, extract_memos::extract_and_fmt_memos,
};

use super::{
    error::RpcError,
    params::{Params, signature, slot_of},
    to_json, with_context,
};
use crate::bank::{Bank, MAX_PROCESSING_AGE, Record};

fn confirmation(bank: &Bank, slot: u64) -> TransactionConfirmationStatus {
    if slot <= bank.slot_at(CommitmentLevel::Finalized) {
        TransactionConfirmationStatus::Finalized
    } else if slot <= bank.slot_at(CommitmentLevel::Confirmed) {
        TransactionConfirmationStatus::Confirmed
    } else {
        TransactionConfirmationStatus::Processed
    }
}

fn status(bank: &Bank, record: &Record) -> TransactionStatus {
    let confirmation = confirmation(bank, record.slot);
    let confirmations = usize::try_from(bank.slot() - record.slot).ok();
    TransactionStatus {
        slot: record.slot,
        confirmations: confirmations
            .filter(|_| confirmation != TransactionConfirmationStatus::Finalized),
        status: record.meta.status.clone(),
        err: record.meta.status.clone().err(),
        confirmation_status: Some(confirmation),
    }
}

pub(super) fn signature_statuses(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let signatures: Vec<String> = params.required(0, "signatures")?;
    if signatures.len() > MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS {
        return Err(RpcError::invalid_params(format!(
            "Too many inputs provided; max {MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS}"
        )));
    }
    let config: Option<RpcSignatureStatusConfig> = params.optional(1)?;
    let search = config.is_some_and(|config| config.search_transaction_history);
    // Without a search, a cluster only looks at what it has in memory.
    let oldest = if search {
        0
    } else {
        bank.slot().saturating_sub(2 * MAX_PROCESSING_AGE)
    };
    let statuses = signatures
        .iter()
        .map(|text| {
            let record = bank.transaction(&signature(text)?);
            let record = record.filter(|record| record.slot >= oldest);
            Ok(record.map(|record| status(bank, record)))
        })
        .collect::<Result<Vec<_>, RpcError>>()?;
    with_context(bank.slot(), statuses)
}

/// The slot up to which the ledger is read; it shows nothing that is not at least confirmed.
fn ledger_slot(bank: &Bank, commitment: Option<CommitmentConfig>) -> Result<u64, RpcError> {
    if commitment.is_some_and(|config| !config.is_at_least_confirmed()) {
        return Err(RpcError::invalid_params(
            "Method does not support commitment below `confirmed`",
        ));
    }
    slot_of(bank, commitment, None)
}

pub(super) fn transaction(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let signature = signature(&params.required::<String>(0, "signature")?)?;
    let config: RpcTransactionConfig = params
        .optional::<RpcEncodingConfigWrapper<RpcTransactionConfig>>(1)?
        .map(|wrapper| wrapper.convert_to_current())
        .unwrap_or_default();
    let newest = ledger_slot(bank, config.commitment)?;
    let Some(record) = bank
        .transaction(&signature)
        .filter(|record| record.slot <= newest)
    else {
        return Ok(Value::Null);
    };
    let confirmed = ConfirmedTransactionWithStatusMeta {
        slot: record.slot,
        tx_with_meta: TransactionWithStatusMeta::Complete(with_meta(record)),
        block_time: Some(bank.time_of(record.slot)),
        index: record.index,
    };
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Json);
    let encoded = confirmed
        .encode(encoding, config.max_supported_transaction_version)
        .map_err(|EncodeError::UnsupportedTransactionVersion(version)| {
            RpcError::unsupported_version(version)
        })?;
    to_json(encoded)
}

fn with_meta(record: &Record) -> VersionedTransactionWithStatusMeta {
    VersionedTransactionWithStatusMeta {
        transaction: record.transaction.clone(),
        meta: record.meta.clone(),
    }
}

pub(super) fn signatures_for_address(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let address = params.address(0)?;
    let config: RpcSignaturesForAddressConfig = params.optional(1)?.unwrap_or_default();
    let before = config.before.as_deref().map(signature).transpose()?;
    let until = config.until.as_deref().map(signature).transpose()?;
    let limit = config
        .limit
        .unwrap_or(MAX_GET_CONFIRMED_SIGNATURES_FOR_ADDRESS2_LIMIT);
    if limit == 0 || limit > MAX_GET_CONFIRMED_SIGNATURES_FOR_ADDRESS2_LIMIT {
        return Err(RpcError::invalid_params(format!(
            "Invalid limit; max {MAX_GET_CONFIRMED_SIGNATURES_FOR_ADDRESS2_LIMIT}"
        )));
    }
    let newest = ledger_slot(bank, config.commitment)?;
    slot_of(bank, config.commitment, config.min_context_slot)?;
    let from = match before {
        // Of one transaction before, the place in the chain is known, whatever accounts it names.
        Some(before) => match bank.transaction(&before) {
            Some(record) => (record.slot, record.index),
            None => return Ok(json!([])),
        },
        None => (newest.saturating_add(1), 0),
    };
    let until = until.and_then(|until| bank.transaction(&until));
    let until = until.map(|record| (record.slot, record.index));
    let found: Vec<_> = bank
        .transactions_naming(address)
        .filter(|(_, record)| record.slot <= newest && (record.slot, record.index) < from)
        .take_while(|(_, record)| until.is_none_or(|until| (record.slot, record.index) > until))
        .take(limit)
        .map(
            |(signature, record)| RpcConfirmedTransactionStatusWithSignature {
                signature: signature.to_string(),
                slot: record.slot,
                err: record.meta.status.clone().err().map(Into::into),
                memo: extract_and_fmt_memos(&with_meta(record)),
                block_time: Some(bank.time_of(record.slot)),
                confirmation_status: Some(confirmation(bank, record.slot)),
                transaction_index: Some(record.index),
            },
        )
        .collect();
    to_json(found)
}
