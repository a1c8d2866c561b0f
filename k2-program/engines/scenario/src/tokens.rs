//! SPL Token accounts without the instructions that make them.

use crate::Recorder;
use solana_account::Account;
use solana_program_pack::Pack;
use solana_pubkey::Pubkey;
use spl_token_interface::state::{self, AccountState, Mint};

impl Recorder {
    /// Puts a mint at `address`, with nobody who may freeze.
    pub fn set_mint(&mut self, address: Pubkey, authority: Pubkey, supply: u64, decimals: u8) {
        let mint = Mint {
            mint_authority: Some(authority).into(),
            supply,
            decimals,
            is_initialized: true,
            ..Mint::default()
        };
        self.set_packed(address, &mint);
    }

    /// Puts a token account at `address`. The mint's supply stays as it is.
    pub fn set_token_account(&mut self, address: Pubkey, mint: Pubkey, owner: Pubkey, amount: u64) {
        let account = state::Account {
            mint,
            owner,
            amount,
            state: AccountState::Initialized,
            ..state::Account::default()
        };
        self.set_packed(address, &account);
    }

    /// The amount in the token account at `address`; 0 if there is none.
    pub fn token_balance(&self, address: &Pubkey) -> u64 {
        self.unpacked::<state::Account>(address)
            .map_or(0, |account| account.amount)
    }

    /// The supply of the mint at `address`; 0 if there is none.
    pub fn mint_supply(&self, address: &Pubkey) -> u64 {
        self.unpacked::<Mint>(address).map_or(0, |mint| mint.supply)
    }

    fn set_packed<T: Pack>(&mut self, address: Pubkey, value: &T) {
        let mut data = vec![0; T::LEN];
        value.pack_into_slice(&mut data);
        let account = Account {
            lamports: self.rent(data.len()),
            data,
            owner: spl_token_interface::id(),
            ..Account::default()
        };
        self.set_account(address, account);
    }

    fn unpacked<T: Pack + solana_program_pack::IsInitialized>(
        &self,
        address: &Pubkey,
    ) -> Option<T> {
        let account = self
            .account(address)
            .filter(|account| account.owner == spl_token_interface::id())?;
        T::unpack(&account.data).ok()
    }
}
