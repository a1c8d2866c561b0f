//! Setting up the pool: configuration, operators' set, mint, vault and escrow, all at once and once only.

use k2_interface::instruction::Initialize;
use k2_interface::state::{Config, CustodyScripts, Kind, OperatorSet};
use k2_interface::{AccountFault, PoolError, pda};
use solana_program::program::invoke;
use solana_program::program_pack::Pack as _;
use solana_program::pubkey::Pubkey;
use spl_token_interface::instruction::{initialize_account3, initialize_mint2};
use spl_token_interface::state::{Account as TokenAccount, Mint};

use super::{custody, parameters};
use crate::accounts::{Context, Slot};
use crate::error::Result;
use crate::token::{DECIMALS, require_system_program, require_token_program};

/// The program that deploys and upgrades programs.
const UPGRADEABLE_LOADER: Pubkey =
    Pubkey::from_str_const("BPFLoaderUpgradeab1e11111111111111111111111");

/// Initialize.
pub(super) fn initialize(context: &Context<'_, '_>, args: &Initialize) -> Result<()> {
    let [
        payer,
        upgrade_authority,
        program_data,
        config,
        operators,
        mint,
        vault,
        escrow,
        token_authority,
        token_program,
        system_program,
    ] = &context.accounts()?;
    require_token_program(token_program)?;
    require_system_program(system_program)?;
    require_upgrade_authority(context, program_data, upgrade_authority)?;
    let scripts = CustodyScripts {
        coinbase: args.coinbase_script,
        deposit: args.deposit_script,
    };
    custody::check_scripts(&scripts)?;
    let parameters = parameters::check(args)?;

    let program_id = context.program_id;
    let token_authority_bump =
        token_authority.require_derived(program_id, &[pda::TOKEN_AUTHORITY])?;
    {
        let mut config =
            config.create::<Config>(context, payer, Kind::Config, &[pda::CONFIG], 0)?;
        config.network = args.network;
        config.quorum = args.quorum;
        config.token_authority_bump = token_authority_bump;
        config.authority = args.authority;
        config.guardian = args.guardian;
        config.mint = mint.key();
        config.vault = vault.key();
        config.escrow = escrow.key();
        config.token_authority = token_authority.key();
        config.parameters = parameters;
        config.custody.active = scripts;
    }
    operators.create::<OperatorSet>(context, payer, Kind::Operators, &[pda::OPERATORS], 0)?;

    let owner = token_authority.info.key;
    create_for_token_program(context, payer, mint, pda::MINT, Mint::LEN)?;
    // No freeze authority: nobody can stop a holder.
    let call = initialize_mint2(
        &spl_token_interface::ID,
        mint.info.key,
        owner,
        None,
        DECIMALS,
    )?;
    invoke(&call, core::slice::from_ref(mint.info))?;
    for (slot, seed) in [(vault, pda::VAULT), (escrow, pda::ESCROW)] {
        create_for_token_program(context, payer, slot, seed, TokenAccount::LEN)?;
        let call = initialize_account3(
            &spl_token_interface::ID,
            slot.info.key,
            mint.info.key,
            owner,
        )?;
        invoke(&call, &[slot.info.clone(), mint.info.clone()])?;
    }
    Ok(())
}

fn create_for_token_program<'a, 'info>(
    context: &Context<'a, 'info>,
    payer: &Slot<'a, 'info>,
    slot: &Slot<'a, 'info>,
    seed: &[u8],
    size: usize,
) -> Result<()> {
    let bump = slot.require_derived(context.program_id, &[seed])?;
    slot.create_raw(payer, &spl_token_interface::ID, &[seed], bump, size)
}

/// Whoever deployed the program sets it up: an Initialize that takes the first who comes can be front-run (Neodyme's
/// ND-JIT1-I1 on distributors). A program that nobody can upgrade any more has nobody who could.
fn require_upgrade_authority(
    context: &Context<'_, '_>,
    program_data: &Slot<'_, '_>,
    upgrade_authority: &Slot<'_, '_>,
) -> Result<()> {
    let (address, _) =
        Pubkey::find_program_address(&[context.program_id.as_ref()], &UPGRADEABLE_LOADER);
    program_data.require(
        *program_data.info.key == address,
        AccountFault::WrongAddress,
    )?;
    program_data.require(
        *program_data.info.owner == UPGRADEABLE_LOADER,
        AccountFault::WrongOwner,
    )?;
    let data = program_data.info.try_borrow_data()?;
    let authority = authority_of(&data).ok_or(program_data.fault(AccountFault::WrongKind))?;
    if authority == Some(upgrade_authority.info.key.as_ref()) {
        Ok(())
    } else {
        Err(PoolError::NotUpgradeAuthority.into())
    }
}

/// Who may upgrade, by the head of a ProgramData account: `UpgradeableLoaderState::ProgramData` in bincode, which is
/// `3 u32 | slot u64 | Option: 0 or 1 | key`. `None` if these bytes are something else.
fn authority_of(data: &[u8]) -> Option<Option<&[u8]>> {
    const PROGRAM_DATA: [u8; 4] = 3_u32.to_le_bytes();
    if data.get(..4)? != PROGRAM_DATA {
        return None;
    }
    match data.get(12)? {
        0 => Some(None),
        1 => Some(Some(data.get(13..45)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::authority_of;

    #[test]
    fn upgrade_authority_by_the_loaders_layout() {
        let mut data = vec![3, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 1];
        data.extend([7; 32]);
        assert_eq!(authority_of(&data), Some(Some(&[7; 32][..])));
        // What follows is the program itself.
        data.push(0x7f);
        assert_eq!(authority_of(&data), Some(Some(&[7; 32][..])));
        assert_eq!(authority_of(&data[..44]), None);
        // Frozen: the key stays in the account, without a meaning.
        data[12] = 0;
        assert_eq!(authority_of(&data), Some(None));
        data[12] = 2;
        assert_eq!(authority_of(&data), None);
        // A program account (2) or buffer (1) is none, and neither is nothing.
        data[12] = 1;
        data[0] = 2;
        assert_eq!(authority_of(&data), None);
        assert_eq!(authority_of(&[]), None);
    }
}
