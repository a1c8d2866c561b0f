//! Methods that read accounts.

use serde_json::{Value, json};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::{
    MAX_BASE58_BYTES, UiAccount, UiAccountEncoding, UiDataSliceConfig, encode_ui_account,
    parse_account_data::{AccountAdditionalDataV3, SplTokenAdditionalDataV2},
};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{RpcAccountInfoConfig, RpcContextConfig, RpcProgramAccountsConfig},
    filter::RpcFilterType,
    request::{MAX_GET_PROGRAM_ACCOUNT_FILTERS, MAX_MULTIPLE_ACCOUNTS},
    response::RpcKeyedAccount,
};

use super::{
    MAX_RESPONSE_BYTES,
    error::RpcError,
    params::{Params, address, slot_of},
    to_json, with_context,
};
use crate::bank::{Bank, mint, token_account};

/// Largest account there can be (10 MiB).
const MAX_ACCOUNT_BYTES: usize = 10 * 1024 * 1024;

/// `account` as clients read it, in `encoding`.
pub(super) fn encode(
    bank: &Bank,
    key: &Pubkey,
    account: &AccountSharedData,
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
    at: u64,
) -> Result<UiAccount, RpcError> {
    let len = account.data().len();
    let shown = slice.map_or(len, |slice| {
        slice.length.min(len.saturating_sub(slice.offset))
    });
    if matches!(
        encoding,
        UiAccountEncoding::Binary | UiAccountEncoding::Base58
    ) && shown > MAX_BASE58_BYTES
    {
        return Err(RpcError::invalid_request(format!(
            "Encoded binary (base 58) data should be less than {MAX_BASE58_BYTES} bytes, please use Base64 encoding."
        )));
    }
    // Only the mint knows where the decimal point of a token account's amount stands.
    let decimals = token_account(account)
        .and_then(|token| Some(mint(bank.account(&token.mint, at)?)?.decimals));
    let additional = decimals.map(|decimals| AccountAdditionalDataV3 {
        spl_token_additional_data: Some(SplTokenAdditionalDataV2::with_decimals(decimals)),
    });
    Ok(encode_ui_account(key, account, encoding, additional, slice))
}

/// Encodes a list of accounts that is not larger than an answer may be.
pub(super) fn encode_list(
    bank: &Bank,
    accounts: &[(Pubkey, &AccountSharedData)],
    config: &RpcAccountInfoConfig,
    at: u64,
) -> Result<Vec<RpcKeyedAccount>, RpcError> {
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let shown = |account: &AccountSharedData| {
        let len = account.data().len();
        config.data_slice.map_or(len, |slice| slice.length.min(len))
    };
    // An account without data is about 300 bytes of JSON; base64 and JSON take at most a few times the data.
    let bytes: usize = accounts
        .iter()
        .map(|(_, account)| 300 + shown(account) * 4 / 3)
        .sum();
    if bytes > MAX_RESPONSE_BYTES {
        return Err(RpcError::scan_too_large());
    }
    accounts
        .iter()
        .map(|(key, account)| {
            let account = encode(bank, key, account, encoding, config.data_slice, at)?;
            let pubkey = key.to_string();
            Ok(RpcKeyedAccount { pubkey, account })
        })
        .collect()
}

pub(super) fn balance(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let key = params.address(0)?;
    let config: RpcContextConfig = params.optional(1)?.unwrap_or_default();
    let slot = slot_of(bank, config.commitment, config.min_context_slot)?;
    let lamports = bank
        .account(&key, slot)
        .map_or(0, ReadableAccount::lamports);
    with_context(slot, lamports)
}

pub(super) fn account_info(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let key = params.address(0)?;
    let config: RpcAccountInfoConfig = params.optional(1)?.unwrap_or_default();
    let slot = slot_of(bank, config.commitment, config.min_context_slot)?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let account = bank
        .account(&key, slot)
        .map(|account| encode(bank, &key, account, encoding, config.data_slice, slot))
        .transpose()?;
    with_context(slot, account)
}

pub(super) fn multiple_accounts(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let keys: Vec<String> = params.required(0, "addresses")?;
    if keys.len() > MAX_MULTIPLE_ACCOUNTS {
        return Err(RpcError::invalid_params(format!(
            "Too many inputs provided; max {MAX_MULTIPLE_ACCOUNTS}"
        )));
    }
    let config: RpcAccountInfoConfig = params.optional(1)?.unwrap_or_default();
    let slot = slot_of(bank, config.commitment, config.min_context_slot)?;
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Base64);
    let mut bytes = 0;
    let mut accounts = Vec::with_capacity(keys.len());
    for key in &keys {
        let key = address(key)?;
        let account = bank.account(&key, slot);
        bytes += account.map_or(0, |account| account.data().len() * 4 / 3);
        if bytes > MAX_RESPONSE_BYTES {
            return Err(RpcError::scan_too_large());
        }
        let account = account
            .map(|account| encode(bank, &key, account, encoding, config.data_slice, slot))
            .transpose()?;
        accounts.push(account);
    }
    with_context(slot, accounts)
}

pub(super) fn program_accounts(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let program = params.address(0)?;
    let config: RpcProgramAccountsConfig = params.optional(1)?.unwrap_or_default();
    let filters = config.filters.unwrap_or_default();
    if filters.len() > MAX_GET_PROGRAM_ACCOUNT_FILTERS {
        return Err(RpcError::invalid_params(format!(
            "Too many filters provided; max {MAX_GET_PROGRAM_ACCOUNT_FILTERS}"
        )));
    }
    for filter in &filters {
        filter
            .verify()
            .map_err(|error| RpcError::invalid_params(format!("Invalid param: {error:?}")))?;
    }
    let account_config = config.account_config;
    let slot = slot_of(
        bank,
        account_config.commitment,
        account_config.min_context_slot,
    )?;
    let accounts = bank.accounts_where(slot, |account| {
        *account.owner() == program && filters.iter().all(|filter| passes(filter, account))
    });
    let accounts = encode_list(bank, &accounts, &account_config, slot)?;
    if config.with_context == Some(true) {
        with_context(slot, accounts)
    } else {
        to_json(accounts)
    }
}

fn passes(filter: &RpcFilterType, account: &AccountSharedData) -> bool {
    match filter {
        RpcFilterType::DataSize(size) => u64::try_from(account.data().len()) == Ok(*size),
        RpcFilterType::Memcmp(compare) => compare.bytes().is_some_and(|bytes| {
            let rest = account.data().get(compare.offset()..);
            rest.is_some_and(|rest| rest.starts_with(&bytes))
        }),
        RpcFilterType::TokenAccountState => token_account(account).is_some(),
    }
}

pub(super) fn minimum_balance(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let len: usize = params.required(0, "data length")?;
    params.optional::<RpcContextConfig>(1)?;
    if len > MAX_ACCOUNT_BYTES {
        return Err(RpcError::invalid_params(format!(
            "Invalid params: an account has at most {MAX_ACCOUNT_BYTES} bytes."
        )));
    }
    Ok(json!(bank.minimum_balance_for_rent_exemption(len)))
}
