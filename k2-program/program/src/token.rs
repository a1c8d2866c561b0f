//! The SPL Token program: reading token accounts, and the calls the pool makes. Always the classic program, by its address.

use k2_interface::state::Config;
use k2_interface::{AccountFault, K2Address, PoolError, pda};
use solana_program::program::{invoke, invoke_signed};
use solana_program::program_pack::Pack as _;
use solana_program::pubkey::Pubkey;
use spl_token_interface::instruction as token;
use spl_token_interface::state::{Account as TokenAccount, AccountState};

use crate::accounts::Slot;
use crate::error::Result;

/// The associated token account program.
const ASSOCIATED_TOKEN: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

/// Decimals of the wrapped token: its smallest unit is a satoshi.
pub const DECIMALS: u8 = 8;

/// # Errors
/// [`AccountFault::WrongAddress`] unless this is the SPL Token program.
pub fn require_token_program(slot: &Slot<'_, '_>) -> Result<()> {
    slot.require(
        *slot.info.key == spl_token_interface::ID,
        AccountFault::WrongAddress,
    )
}

/// # Errors
/// [`AccountFault::WrongAddress`] unless this is the system program.
pub fn require_system_program(slot: &Slot<'_, '_>) -> Result<()> {
    slot.require(
        *slot.info.key == solana_system_interface::program::ID,
        AccountFault::WrongAddress,
    )
}

/// Reads a token account of the wrapped mint.
///
/// # Errors
/// [`AccountFault`]: it is no usable token account, or of another mint.
pub fn read(slot: &Slot<'_, '_>, mint: &K2Address) -> Result<TokenAccount> {
    slot.require(!slot.is_empty(), AccountFault::Uninitialized)?;
    slot.require(
        *slot.info.owner == spl_token_interface::ID,
        AccountFault::WrongOwner,
    )?;
    let account = TokenAccount::unpack(&slot.info.try_borrow_data()?)
        .map_err(|_| slot.fault(AccountFault::NotTokenAccount))?;
    slot.require(
        account.state == AccountState::Initialized,
        AccountFault::NotTokenAccount,
    )?;
    slot.require(
        account.mint.as_ref() == mint.as_bytes(),
        AccountFault::WrongMint,
    )?;
    Ok(account)
}

/// Checks that tokens of `owner` may be sent to `destination`: it is the owner's associated token account, or the owner
/// signs and it is the owner's. Anybody may pay for a claim, so without the signature nobody but the owner's usual account
/// may receive it.
///
/// # Errors
/// [`PoolError::NotYours`], or an [`AccountFault`] of the destination.
pub fn require_destination(
    destination: &Slot<'_, '_>,
    owner: &Slot<'_, '_>,
    mint: &K2Address,
    associated_bump: u8,
) -> Result<()> {
    let account = read(destination, mint)?;
    if account.owner != *owner.info.key {
        return Err(PoolError::NotYours.into());
    }
    if owner.info.is_signer {
        return Ok(());
    }
    // Another bump than the canonical one cannot be an associated account: that program creates none there, and only it
    // could. So the caller may save us the search for it.
    let seeds: [&[u8]; 4] = [
        owner.info.key.as_ref(),
        spl_token_interface::ID.as_ref(),
        mint.as_bytes(),
        &[associated_bump],
    ];
    match Pubkey::create_program_address(&seeds, &ASSOCIATED_TOKEN) {
        Ok(address) if address == *destination.info.key => Ok(()),
        _ => Err(PoolError::NotYours.into()),
    }
}

/// The token accounts and the authority of the pool, as a group of checked accounts.
pub struct Pool<'s, 'a, 'info> {
    /// The token authority.
    pub authority: &'s Slot<'a, 'info>,
    /// Its bump.
    pub bump: u8,
}

impl<'s, 'a, 'info> Pool<'s, 'a, 'info> {
    /// # Errors
    /// [`AccountFault::WrongAddress`] where authority or token program are not the pool's.
    pub fn new(
        config: &Config,
        authority: &'s Slot<'a, 'info>,
        token_program: &Slot<'a, 'info>,
    ) -> Result<Self> {
        authority.require_key(&config.token_authority)?;
        require_token_program(token_program)?;
        Ok(Self {
            authority,
            bump: config.token_authority_bump,
        })
    }

    /// Mints into the vault.
    ///
    /// # Errors
    /// What the token program answers.
    pub fn mint_to(&self, mint: &Slot<'a, 'info>, to: &Slot<'a, 'info>, sats: u64) -> Result<()> {
        let by = self.authority.info;
        let call = token::mint_to(
            &spl_token_interface::ID,
            mint.info.key,
            to.info.key,
            by.key,
            &[],
            sats,
        )?;
        let infos = [mint.info.clone(), to.info.clone(), by.clone()];
        Ok(invoke_signed(
            &call,
            &infos,
            &[&[pda::TOKEN_AUTHORITY, &[self.bump]]],
        )?)
    }

    /// Pays out of vault or escrow.
    ///
    /// # Errors
    /// What the token program answers.
    pub fn pay(&self, from: &Slot<'a, 'info>, to: &Slot<'a, 'info>, sats: u64) -> Result<()> {
        let by = self.authority.info;
        let call = token::transfer(
            &spl_token_interface::ID,
            from.info.key,
            to.info.key,
            by.key,
            &[],
            sats,
        )?;
        let infos = [from.info.clone(), to.info.clone(), by.clone()];
        Ok(invoke_signed(
            &call,
            &infos,
            &[&[pda::TOKEN_AUTHORITY, &[self.bump]]],
        )?)
    }

    /// Burns out of the escrow.
    ///
    /// # Errors
    /// What the token program answers.
    pub fn burn(&self, from: &Slot<'a, 'info>, mint: &Slot<'a, 'info>, sats: u64) -> Result<()> {
        let by = self.authority.info;
        let call = token::burn(
            &spl_token_interface::ID,
            from.info.key,
            mint.info.key,
            by.key,
            &[],
            sats,
        )?;
        let infos = [from.info.clone(), mint.info.clone(), by.clone()];
        Ok(invoke_signed(
            &call,
            &infos,
            &[&[pda::TOKEN_AUTHORITY, &[self.bump]]],
        )?)
    }
}

/// Moves an owner's tokens, which signs itself.
///
/// # Errors
/// What the token program answers, as when there are too few.
pub fn transfer<'a, 'info>(
    from: &Slot<'a, 'info>,
    to: &Slot<'a, 'info>,
    owner: &Slot<'a, 'info>,
    sats: u64,
) -> Result<()> {
    let by = owner.info;
    let call = token::transfer(
        &spl_token_interface::ID,
        from.info.key,
        to.info.key,
        by.key,
        &[],
        sats,
    )?;
    Ok(invoke(
        &call,
        &[from.info.clone(), to.info.clone(), by.clone()],
    )?)
}
