//! Paying what a leaf of the finalized reward tree says, less what was paid before.

use core::cell::RefMut;

use k2_interface::instruction::Claim;
use k2_interface::reward_tree::{ProofError, verify_with};
use k2_interface::state::{Config, Kind, Ledger, Pause};
use k2_interface::{AccountFault, K2Address, PoolError, RewardLeaf, Role, pda};
use zerocopy::FromBytes as _;

use crate::accounts::{Context, Slot};
use crate::error::Result;
use crate::hash::sha256;
use crate::token::{Pool, require_destination, require_system_program};

/// Claim.
pub(super) fn claim(context: &Context<'_, '_>, args: &Claim, siblings: &[u8]) -> Result<()> {
    let [
        payer,
        config,
        ledger,
        owner,
        destination,
        vault,
        token_authority,
        token_program,
        system_program,
    ] = &context.accounts()?;
    require_system_program(system_program)?;
    let mut config = config.load_mut::<Config>(context.program_id, Kind::Config)?;
    if config.is_paused(Pause::Claim) {
        return Err(PoolError::Paused.into());
    }
    if config.rewards.finalized.get() == 0 {
        return Err(PoolError::NothingFinalized.into());
    }
    vault.require_key(&config.vault)?;
    let pool = Pool::new(&config, token_authority, token_program)?;
    let role = Role::try_from(args.role).map_err(|_| PoolError::UnknownRole)?;
    let leaf = RewardLeaf {
        program: K2Address::from_bytes(context.program_id.to_bytes()),
        round: config.rewards.round.get(),
        index: args.index,
        role,
        owner: owner.key(),
        cumulative: args.cumulative,
    };
    let siblings = <[[u8; 32]]>::ref_from_bytes(siblings).map_err(|_| PoolError::ProofLength)?;
    verify_with(
        sha256,
        &config.rewards.root,
        &leaf,
        config.rewards.leaf_count.get(),
        siblings,
    )
    .map_err(refusal)?;
    require_destination(destination, owner, &config.mint, args.destination_bump)?;

    let mut ledger = open_or_create(context, payer, ledger, role, &leaf.owner)?;
    let amount = leaf
        .cumulative
        .checked_sub(ledger.claimed.get())
        .filter(|amount| *amount > 0)
        .ok_or(PoolError::NothingToClaim)?;
    // The quorum answers for a list that adds up. This bounds what one that does not can cost: never more is paid than
    // was finalized, and no more was finalized than was minted.
    let claimed = config
        .totals
        .claimed
        .get()
        .checked_add(amount)
        .filter(|claimed| *claimed <= config.rewards.total.get())
        .ok_or(PoolError::VaultShort)?;
    ledger.claimed = leaf.cumulative.into();
    config.totals.claimed = claimed.into();
    pool.pay(vault, destination, amount)
}

/// The owner's ledger in this role, made at its first claim.
///
/// Only that first time is its address derived, and only from the canonical bump: a ledger at another one would begin at
/// zero and pay everything again. Later on the account says whose it is.
fn open_or_create<'a, 'info>(
    context: &Context<'a, 'info>,
    payer: &Slot<'a, 'info>,
    slot: &Slot<'a, 'info>,
    role: Role,
    owner: &K2Address,
) -> Result<RefMut<'a, Ledger>> {
    if !slot.is_empty() {
        let ledger = slot.load_mut::<Ledger>(context.program_id, Kind::Ledger)?;
        slot.require(
            ledger.owner == *owner && ledger.role == u8::from(role),
            AccountFault::WrongAddress,
        )?;
        return Ok(ledger);
    }
    let role = u8::from(role);
    let seeds = [pda::LEDGER, &[role][..], owner.as_bytes()];
    let mut ledger = slot.create::<Ledger>(context, payer, Kind::Ledger, &seeds, 0)?;
    ledger.owner = *owner;
    ledger.role = role;
    Ok(ledger)
}

const fn refusal(error: ProofError) -> PoolError {
    match error {
        ProofError::NullRoot => PoolError::NullRoot,
        ProofError::LeafCount => PoolError::BadLeafCount,
        ProofError::IndexOutOfRange => PoolError::IndexOutOfRange,
        ProofError::ProofLength => PoolError::ProofLength,
        _ => PoolError::WrongRoot,
    }
}
