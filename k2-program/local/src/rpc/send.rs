//! Methods that send or try transactions.

use std::any::type_name;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bincode::Options as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solana_account_decoder::UiAccountEncoding;
use solana_message::VersionedMessage;
use solana_rpc_client_types::{
    config::{
        RpcContextConfig, RpcRequestAirdropConfig, RpcSendTransactionConfig,
        RpcSimulateTransactionAccountsConfig, RpcSimulateTransactionConfig,
    },
    response::{RpcBlockhash, RpcSimulateTransactionResult, UiAccount},
};
use solana_signature::Signature;
use solana_transaction::{sanitized::SanitizedTransaction, versioned::VersionedTransaction};
use solana_transaction_status::{TransactionBinaryEncoding, UiTransactionEncoding};

use super::{
    accounts::encode,
    error::RpcError,
    params::{Params, address, slot_of},
    with_context,
};
use crate::bank::{Bank, Simulation, inner_instructions};

/// Largest transaction on the wire: an IPv6 packet without its headers.
const PACKET_DATA_SIZE: usize = 1_232;
/// The same in base58 and base64.
const MAX_BASE58_SIZE: usize = 1_683;
const MAX_BASE64_SIZE: usize = 1_644;

/// Reads a `T` from its wire format in base58 or base64.
fn decode<T: DeserializeOwned>(
    text: &str,
    encoding: TransactionBinaryEncoding,
) -> Result<T, RpcError> {
    let (name, max) = match encoding {
        TransactionBinaryEncoding::Base58 => ("base58", MAX_BASE58_SIZE),
        TransactionBinaryEncoding::Base64 => ("base64", MAX_BASE64_SIZE),
    };
    // Before decoding: base58 takes time that grows with the square of the length.
    if text.len() > max {
        return Err(RpcError::invalid_params(format!(
            "{name} encoded {} too large: {} bytes (max: encoded/raw {max}/{PACKET_DATA_SIZE})",
            type_name::<T>(),
            text.len(),
        )));
    }
    let wire = match encoding {
        TransactionBinaryEncoding::Base58 => bs58::decode(text)
            .into_vec()
            .map_err(|error| error.to_string()),
        TransactionBinaryEncoding::Base64 => BASE64.decode(text).map_err(|error| error.to_string()),
    }
    .map_err(|error| RpcError::invalid_params(format!("invalid {name} encoding: {error}")))?;
    if wire.len() > PACKET_DATA_SIZE {
        return Err(RpcError::invalid_params(format!(
            "decoded {} too large: {} bytes (max: {PACKET_DATA_SIZE} bytes)",
            type_name::<T>(),
            wire.len(),
        )));
    }
    bincode::options()
        .with_limit(PACKET_DATA_SIZE as u64)
        .with_fixint_encoding()
        .allow_trailing_bytes()
        .deserialize(&wire)
        .map_err(|error| {
            RpcError::invalid_params(format!(
                "failed to deserialize {}: {error}",
                type_name::<T>()
            ))
        })
}

fn decode_transaction(
    text: &str,
    encoding: Option<UiTransactionEncoding>,
) -> Result<VersionedTransaction, RpcError> {
    let encoding = encoding.unwrap_or(UiTransactionEncoding::Base58);
    let binary = encoding.into_binary_encoding().ok_or_else(|| {
        RpcError::invalid_params(format!(
            "unsupported encoding: {encoding}. Supported encodings: base58, base64"
        ))
    })?;
    decode(text, binary)
}

fn sanitize(
    bank: &Bank,
    transaction: VersionedTransaction,
) -> Result<SanitizedTransaction, RpcError> {
    bank.sanitize(transaction)
        .map_err(|error| RpcError::invalid_params(format!("invalid transaction: {error}")))
}

fn result_of(simulation: &Simulation) -> RpcSimulateTransactionResult {
    let meta = &simulation.meta;
    RpcSimulateTransactionResult {
        err: simulation.status.clone().err().map(Into::into),
        logs: Some(meta.logs.clone()),
        accounts: None,
        units_consumed: Some(meta.compute_units_consumed),
        loaded_accounts_data_size: None,
        return_data: Some(meta.return_data.clone())
            .filter(|data| !data.data.is_empty())
            .map(Into::into),
        inner_instructions: None,
        replacement_blockhash: None,
        fee: Some(meta.fee),
        pre_balances: None,
        post_balances: None,
        pre_token_balances: None,
        post_token_balances: None,
        loaded_addresses: None,
    }
}

pub(super) fn send_transaction(bank: &mut Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let text: String = params.required(0, "transaction")?;
    let config: RpcSendTransactionConfig = params.optional(1)?.unwrap_or_default();
    let transaction = sanitize(bank, decode_transaction(&text, config.encoding)?)?;
    let signature = *transaction.signature();
    if !config.skip_preflight {
        let commitment = config
            .preflight_commitment
            .map(|commitment| solana_commitment_config::CommitmentConfig { commitment });
        slot_of(bank, commitment, config.min_context_slot)?;
        if transaction.verify().is_err() {
            return Err(RpcError::signature_verification());
        }
        let simulation = bank.simulate(&transaction);
        if let Err(error) = &simulation.status {
            return Err(RpcError::preflight(error, &result_of(&simulation)));
        }
    }
    // A cluster hands the transaction on and answers; what it does not take then, it drops in silence.
    if let Err(error) = bank.process(&transaction) {
        tracing::info!(%signature, %error, "transaction dropped");
    }
    Ok(json!(signature.to_string()))
}

pub(super) fn simulate_transaction(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let text: String = params.required(0, "transaction")?;
    let config: RpcSimulateTransactionConfig = params.optional(1)?.unwrap_or_default();
    let mut transaction = decode_transaction(&text, config.encoding)?;
    slot_of(bank, config.commitment, config.min_context_slot)?;
    if config.sig_verify && config.replace_recent_blockhash {
        return Err(RpcError::invalid_params(
            "sigVerify may not be used with replaceRecentBlockhash",
        ));
    }
    let replacement = config.replace_recent_blockhash.then(|| {
        let (blockhash, last_valid_block_height) = bank.latest_blockhash(bank.slot());
        transaction.message.set_recent_blockhash(blockhash);
        // Those it came with are another message's, which may well have been processed.
        transaction.signatures.fill(Signature::default());
        RpcBlockhash {
            blockhash: blockhash.to_string(),
            last_valid_block_height,
        }
    });
    let transaction = sanitize(bank, transaction)?;
    if config.sig_verify && transaction.verify().is_err() {
        return Err(RpcError::signature_verification());
    }
    let simulation = bank.simulate(&transaction);
    let accounts = config
        .accounts
        .map(|wanted| post_accounts(bank, &transaction, &simulation, &wanted))
        .transpose()?;
    let inner = config.inner_instructions.then(|| {
        inner_instructions(&simulation.meta)
            .into_iter()
            .map(Into::into)
            .collect()
    });
    let result = RpcSimulateTransactionResult {
        accounts,
        inner_instructions: inner,
        replacement_blockhash: replacement,
        ..result_of(&simulation)
    };
    with_context(bank.slot(), result)
}

/// The accounts a caller wants to see as they would be after the simulated transaction.
fn post_accounts(
    bank: &Bank,
    transaction: &SanitizedTransaction,
    simulation: &Simulation,
    wanted: &RpcSimulateTransactionAccountsConfig,
) -> Result<Vec<Option<UiAccount>>, RpcError> {
    let encoding = wanted.encoding.unwrap_or(UiAccountEncoding::Base64);
    if matches!(
        encoding,
        UiAccountEncoding::Binary | UiAccountEncoding::Base58
    ) {
        return Err(RpcError::invalid_params("base58 encoding not supported"));
    }
    let most = transaction.message().account_keys().len();
    if wanted.addresses.len() > most {
        return Err(RpcError::invalid_params(format!(
            "Too many accounts provided; max {most}"
        )));
    }
    let slot = bank.slot();
    wanted
        .addresses
        .iter()
        .map(|text| {
            let key = address(text)?;
            if simulation.status.is_err() {
                return Ok(None);
            }
            let written = simulation
                .post_accounts
                .iter()
                .find(|(written, _)| *written == key);
            match written
                .map(|(_, account)| account)
                .or_else(|| bank.account(&key, slot))
            {
                Some(account) => encode(bank, &key, account, encoding, None, slot).map(Some),
                None => Ok(None),
            }
        })
        .collect()
}

pub(super) fn fee_for_message(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let text: String = params.required(0, "message")?;
    let config: RpcContextConfig = params.optional(1)?.unwrap_or_default();
    let slot = slot_of(bank, config.commitment, config.min_context_slot)?;
    let message: VersionedMessage = decode(&text, TransactionBinaryEncoding::Base64)?;
    let fee = bank.fee(message, slot).map_err(|error| {
        RpcError::invalid_params(format!("invalid transaction message: {error}"))
    })?;
    with_context(slot, fee)
}

pub(super) fn request_airdrop(bank: &mut Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let to = params.address(0)?;
    let lamports: u64 = params.required(1, "lamports")?;
    params.optional::<RpcRequestAirdropConfig>(2)?;
    let signature = bank
        .airdrop(to, lamports)
        .map_err(|error| RpcError::internal(format!("airdrop request failed: {error}")))?;
    tracing::info!(%to, lamports, "airdrop");
    Ok(json!(signature.to_string()))
}
