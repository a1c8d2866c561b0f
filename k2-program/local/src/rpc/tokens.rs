//! Methods about SPL Token accounts. K2 has the classic token program only.

use serde_json::Value;
use solana_account_decoder::{
    parse_account_data::SplTokenAdditionalDataV2, parse_token::token_amount_to_ui_amount_v3,
};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{RpcAccountInfoConfig, RpcContextConfig, RpcTokenAccountsFilter},
    request::NUM_LARGEST_ACCOUNTS,
    response::{RpcTokenAccountBalance, UiTokenAmount},
};
use spl_token_interface::state::{Account as TokenAccount, Mint};

use super::{
    accounts::encode_list,
    error::RpcError,
    params::{Params, address, slot_of},
    with_context,
};
use crate::bank::{Bank, mint, token_account};

fn amount(amount: u64, mint: &Mint) -> UiTokenAmount {
    token_amount_to_ui_amount_v3(
        amount,
        &SplTokenAdditionalDataV2::with_decimals(mint.decimals),
    )
}

fn not_found(what: &str) -> RpcError {
    RpcError::invalid_params(format!("Invalid param: {what}"))
}

fn mint_at(bank: &Bank, key: &Pubkey, slot: u64) -> Result<Mint, RpcError> {
    let account = bank
        .account(key, slot)
        .ok_or_else(|| not_found("could not find mint"))?;
    mint(account).ok_or_else(|| not_found("not a Token mint"))
}

fn context_slot(bank: &Bank, params: Params<'_>) -> Result<u64, RpcError> {
    let config: RpcContextConfig = params.optional(1)?.unwrap_or_default();
    slot_of(bank, config.commitment, config.min_context_slot)
}

pub(super) fn account_balance(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let key = params.address(0)?;
    let slot = context_slot(bank, params)?;
    let account = bank
        .account(&key, slot)
        .ok_or_else(|| not_found("could not find account"))?;
    let token = token_account(account).ok_or_else(|| not_found("not a Token account"))?;
    with_context(
        slot,
        amount(token.amount, &mint_at(bank, &token.mint, slot)?),
    )
}

pub(super) fn supply(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let key = params.address(0)?;
    let slot = context_slot(bank, params)?;
    if bank.account(&key, slot).is_none() {
        return Err(not_found("could not find account"));
    }
    let mint = mint_at(bank, &key, slot)?;
    with_context(slot, amount(mint.supply, &mint))
}

pub(super) fn by_owner(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let owner = params.address(0)?;
    list(bank, params, |token| token.owner == owner)
}

pub(super) fn by_delegate(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let delegate = params.address(0)?;
    list(bank, params, |token| token.delegate.contains(&delegate))
}

/// The token accounts that `keep` takes, of a mint or of the whole token program (parameter 1).
fn list(
    bank: &Bank,
    params: Params<'_>,
    keep: impl Fn(&TokenAccount) -> bool,
) -> Result<Value, RpcError> {
    let filter: RpcTokenAccountsFilter = params.required(1, "mint or programId")?;
    let config: RpcAccountInfoConfig = params.optional(2)?.unwrap_or_default();
    let slot = slot_of(bank, config.commitment, config.min_context_slot)?;
    let of_mint = match filter {
        RpcTokenAccountsFilter::Mint(key) => {
            let key = address(&key)?;
            mint_at(bank, &key, slot)?;
            Some(key)
        }
        RpcTokenAccountsFilter::ProgramId(program) => {
            if address(&program)? != spl_token_interface::ID {
                return Err(not_found("unrecognized Token program id"));
            }
            None
        }
    };
    let accounts = bank.accounts_where(slot, |account| {
        token_account(account)
            .is_some_and(|token| keep(&token) && of_mint.is_none_or(|key| token.mint == key))
    });
    with_context(slot, encode_list(bank, &accounts, &config, slot)?)
}

pub(super) fn largest(bank: &Bank, params: Params<'_>) -> Result<Value, RpcError> {
    let key = params.address(0)?;
    let slot = context_slot(bank, params)?;
    let mint = mint_at(bank, &key, slot)?;
    let accounts = bank.accounts_where(slot, |account| {
        token_account(account).is_some_and(|token| token.mint == key)
    });
    let mut holders: Vec<(u64, Pubkey)> = accounts
        .into_iter()
        .filter_map(|(key, account)| Some((token_account(account)?.amount, key)))
        .collect();
    holders.sort_unstable_by(|a, b| b.cmp(a));
    holders.truncate(NUM_LARGEST_ACCOUNTS);
    let holders: Vec<_> = holders
        .into_iter()
        .map(|(held, key)| RpcTokenAccountBalance {
            address: key.to_string(),
            amount: amount(held, &mint),
        })
        .collect();
    with_context(slot, holders)
}
