//! Balances of the SPL Token accounts of a transaction, as `getTransaction` shows them before and after it.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::{
    parse_account_data::SplTokenAdditionalDataV2, parse_token::token_amount_to_ui_amount_v3,
};
use solana_program_pack::Pack;
use solana_pubkey::Pubkey;
use solana_transaction_status::TransactionTokenBalance;
use spl_token_interface::state::{Account as TokenAccount, Mint};

/// The mint in `account`, if it is one of the SPL Token program's.
#[must_use]
pub fn mint(account: &AccountSharedData) -> Option<Mint> {
    (*account.owner() == spl_token_interface::ID)
        .then(|| Mint::unpack(account.data()).ok())
        .flatten()
}

/// The token account in `account`, if it is one of the SPL Token program's.
#[must_use]
pub fn token_account(account: &AccountSharedData) -> Option<TokenAccount> {
    (*account.owner() == spl_token_interface::ID)
        .then(|| TokenAccount::unpack(account.data()).ok())
        .flatten()
}

/// The token balances among `accounts`, which are a transaction's in its order. `mint_of` finds mints.
pub(crate) fn token_balances<'a>(
    accounts: impl Iterator<Item = Option<&'a AccountSharedData>>,
    mint_of: impl Fn(&Pubkey) -> Option<Mint>,
) -> Vec<TransactionTokenBalance> {
    accounts
        .enumerate()
        .filter_map(|(index, account)| {
            let token = token_account(account?)?;
            let decimals = mint_of(&token.mint)?.decimals;
            Some(TransactionTokenBalance {
                account_index: u8::try_from(index).ok()?,
                mint: token.mint.to_string(),
                ui_token_amount: token_amount_to_ui_amount_v3(
                    token.amount,
                    &SplTokenAdditionalDataV2::with_decimals(decimals),
                ),
                owner: token.owner.to_string(),
                program_id: spl_token_interface::ID.to_string(),
            })
        })
        .collect()
}
